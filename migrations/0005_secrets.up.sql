-- Secrets: what each is called, and its value, sealed with a key of its own, which is sealed
-- with the vault's. The row '$vault' is none: its key is how the vault's key is found, its value
-- the list of all secrets, proven by that key, its version how often that has changed.
CREATE TABLE secrets (
	id INTEGER PRIMARY KEY,
	name TEXT NOT NULL UNIQUE,
	key TEXT NOT NULL,
	value TEXT NOT NULL,
	version INTEGER NOT NULL,
	created_at INTEGER NOT NULL,
	updated_at INTEGER NOT NULL,
	sealed_at INTEGER NOT NULL,
	sum INTEGER
);
