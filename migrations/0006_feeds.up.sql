-- Feeds that were added while the daemon ran: what each is called, and its definition, JSON with
-- the keys of [feed.NAME].
CREATE TABLE feeds (
	id INTEGER PRIMARY KEY,
	name TEXT NOT NULL UNIQUE,
	definition TEXT NOT NULL,
	version INTEGER NOT NULL,
	created_at INTEGER NOT NULL,
	updated_at INTEGER NOT NULL,
	sum INTEGER
);
