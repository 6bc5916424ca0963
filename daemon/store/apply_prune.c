/* Letting go of tombstones and versions: see apply.h. */

#include "daemon/store/apply_priv.h"
#include "daemon/store/sql.h"

static enum err
set_meta(struct apply *a, const char *key, int64_t value, struct error *error)
{
	sql_bind_span(a->st[ST_SET_META], 1, span_of(key));
	sqlite3_bind_int64(a->st[ST_SET_META], 2, value);
	if (sql_run(a->st[ST_SET_META]) != SQLITE_DONE)
		return sql_error(a->db, error, "writing where the store stands");
	return OK;
}

/** The highest seq that may go, and how many rows that is. */
static enum err
find_prunable(struct apply *a, struct op *op, int64_t *to, int64_t *n, struct error *error)
{
	sqlite3_stmt *st = a->st[ST_OLDEST_TOMBSTONES];
	enum err e = OK;
	int rc;

	*to = *n = 0;
	sqlite3_bind_int64(st, 1, op->limit);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		bool is_old = sqlite3_column_int64(st, 1) < op->expires_at;

		if (!is_old && a->now.tombstones - *n <= op->keep)
			break;
		if (op->upto != 0 && sqlite3_column_int64(st, 0) > op->upto) {
			op->skipped = true;
			break;
		}
		*to = sqlite3_column_int64(st, 0);
		(*n)++;
	}
	if (rc != SQLITE_DONE && rc != SQLITE_ROW)
		e = sql_error(a->db, error, "looking for old tombstones");
	sqlite3_reset(st);
	return e;
}

enum err
apply_prune(struct apply *a, struct op *op, struct error *error)
{
	int64_t to, n;
	enum err e = find_prunable(a, op, &to, &n, error);

	if (e != OK || n == 0)
		return e;
	e = history_keep_pruned(a->history, to, op->now_ms, error);
	if (e != OK)
		return e;
	sqlite3_bind_int64(a->st[ST_PRUNE], 1, to);
	if (sql_run(a->st[ST_PRUNE]) != SQLITE_DONE)
		return sql_error(a->db, error, "pruning tombstones");
	e = set_meta(a, "pruned_to", to, error);
	if (e == OK)
		e = set_meta(a, "last_seq", a->now.last_seq, error);
	a->now.tombstones -= n;
	a->now.pruned_to = to;
	op->seq = n;
	return e;
}

enum err
apply_trim_history(struct apply *a, struct op *op, struct error *error)
{
	int64_t forgotten_to = 0;
	enum err e = history_trim(a->history, op, &forgotten_to, error);

	return e == OK && forgotten_to > 0 ? set_meta(a, "forgotten_to", forgotten_to, error) : e;
}
