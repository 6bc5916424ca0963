-- Records, what deleted ones leave behind, and the runs of the store.
--
-- seq is the rowid: a write appends at the end of the table, and "changes since N"
-- is a scan of the table in its own order.
CREATE TABLE records (
	seq INTEGER PRIMARY KEY,
	category TEXT NOT NULL,
	id TEXT NOT NULL,
	name TEXT NOT NULL,
	data TEXT NOT NULL,
	rev INTEGER NOT NULL,
	created_at INTEGER NOT NULL,
	updated_at INTEGER NOT NULL,
	expires_at INTEGER,
	UNIQUE (category, id)
);
CREATE INDEX records_by_category ON records (category);
CREATE INDEX records_by_expiry ON records (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE tombstones (
	seq INTEGER PRIMARY KEY,
	category TEXT NOT NULL,
	id TEXT NOT NULL,
	rev INTEGER NOT NULL,
	deleted_at INTEGER NOT NULL,
	UNIQUE (category, id)
);
CREATE INDEX tombstones_by_category ON tombstones (category);

CREATE TABLE epochs (
	epoch TEXT NOT NULL UNIQUE,
	first_seq INTEGER NOT NULL
);

-- last_seq: not below any seq ever given, written when the newest may go (pruning).
-- pruned_to: the highest tombstone ever pruned.
CREATE TABLE meta (
	key TEXT PRIMARY KEY,
	value INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO meta (key, value) VALUES ('last_seq', 0), ('pruned_to', 0);
