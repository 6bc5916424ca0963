-- Earlier versions of records, in categories that keep them.
--
-- seq: of the version, as it was in records or tombstones. n counts the versions of
-- one record, so that those beyond a number are found without counting. op: 0 a
-- version, 1 that it was deleted, 2 the same of a record that is still deleted and
-- whose tombstone is forgotten. ended_at, ended_seq: when the next one came.
CREATE TABLE history (
	seq INTEGER PRIMARY KEY,
	n INTEGER NOT NULL,
	op INTEGER NOT NULL,
	category TEXT NOT NULL,
	id TEXT NOT NULL,
	name TEXT,
	data TEXT,
	rev INTEGER NOT NULL,
	created_at INTEGER,
	updated_at INTEGER NOT NULL,
	expires_at INTEGER,
	ended_at INTEGER NOT NULL,
	ended_seq INTEGER
);
CREATE UNIQUE INDEX history_by_key ON history (category, id, n);
CREATE INDEX history_by_category ON history (category);
CREATE INDEX history_by_end ON history (category, ended_at);
CREATE INDEX history_of_gone ON history (category, ended_at) WHERE op = 2;

-- forgotten_to: the highest deletion that was dropped from the history while the
-- record was still deleted.
INSERT INTO meta (key, value) VALUES ('forgotten_to', 0);
