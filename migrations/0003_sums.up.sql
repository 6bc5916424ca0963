-- Each row proves itself: sum is row_sum('table', all other columns).
ALTER TABLE records ADD COLUMN sum INTEGER;
UPDATE records SET sum = row_sum('records',
	seq, category, id, name, data, rev, created_at, updated_at, expires_at);
ALTER TABLE tombstones ADD COLUMN sum INTEGER;
UPDATE tombstones SET sum = row_sum('tombstones', seq, category, id, rev, deleted_at);
ALTER TABLE history ADD COLUMN sum INTEGER;
UPDATE history SET sum = row_sum('history', seq, n, op, category, id, name, data, rev,
	created_at, updated_at, expires_at, ended_at, ended_seq);
ALTER TABLE epochs ADD COLUMN sum INTEGER;
UPDATE epochs SET sum = row_sum('epochs', epoch, first_seq);
ALTER TABLE meta ADD COLUMN sum INTEGER;
UPDATE meta SET sum = row_sum('meta', key, value);
