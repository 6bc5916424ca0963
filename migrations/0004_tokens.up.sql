-- Tokens: what each is called, what it may do, and a keyed hash of its text, which is
-- nowhere. The row '$key' is none: its hash is the key.
CREATE TABLE tokens (
	id INTEGER PRIMARY KEY,
	name TEXT NOT NULL UNIQUE,
	hash TEXT NOT NULL UNIQUE,
	scopes TEXT NOT NULL,
	created_at INTEGER NOT NULL,
	expires_at INTEGER,
	used_at INTEGER,
	sum INTEGER
);
INSERT INTO tokens (name, hash, scopes, created_at)
VALUES ('$key', lower(hex(randomblob(32))), '', 0);
UPDATE tokens SET sum = row_sum('tokens', id, name, hash, scopes, created_at, expires_at, used_at);
