/* Earlier versions: see history.h. What the columns mean stands in the migration. */

#include "daemon/store/history.h"

#include <stdlib.h>

#include "common/xalloc.h"
#include "daemon/store/sql.h"
#include "daemon/store/sum.h"

/* Each row gets its sum: from the versions that are selected behind this. */
#define INTO                                                                                       \
	"INSERT INTO history (seq, n, op, category, id, name, data, rev, created_at, updated_at, " \
	"expires_at, ended_at, ended_seq, sum) SELECT *, " SUM_HISTORY " FROM (SELECT "
#define NEXT_N "1 + coalesce((SELECT max(n) FROM history WHERE category = ?1 AND id = ?2), 0) AS n"

enum statement {
	ST_KEEP,
	ST_KEEP_DELETION,
	ST_KEEP_PRUNED,
	ST_END_GONE,
	ST_TRIM_COUNT,
	ST_TRIM_AGE,
	ST_COUNT
};

static const char *const texts[ST_COUNT] = {
	[ST_KEEP] = INTO "seq, " NEXT_N ", 0 AS op, category, id, name, data, rev, created_at, "
			 "updated_at, expires_at, ?3 AS ended_at, ?4 AS ended_seq FROM records "
			 "WHERE category = ?1 AND id = ?2)",
	[ST_KEEP_DELETION] =
		INTO "seq, " NEXT_N ", 1 AS op, category, id, NULL AS name, NULL AS data, rev, "
		     "NULL AS created_at, deleted_at AS updated_at, NULL AS expires_at, "
		     "?3 AS ended_at, ?4 AS ended_seq FROM tombstones "
		     "WHERE category = ?1 AND id = ?2)",
	[ST_KEEP_PRUNED] =
		INTO "seq, 1 + (SELECT max(n) FROM history AS h "
		     "WHERE h.category = t.category AND h.id = t.id) AS n, 2 AS op, category, id, "
		     "NULL AS name, NULL AS data, rev, NULL AS created_at, "
		     "deleted_at AS updated_at, NULL AS expires_at, ?2 AS ended_at, "
		     "NULL AS ended_seq FROM tombstones AS t WHERE seq <= ?1 "
		     "AND EXISTS (SELECT 1 FROM history AS h "
		     "WHERE h.category = t.category AND h.id = t.id))",
	[ST_END_GONE] = "UPDATE history SET op = 1, ended_at = ?3, ended_seq = ?4, "
			"sum = row_sum('history', seq, n, 1, category, id, name, data, rev, "
			"created_at, updated_at, expires_at, ?3, ?4) "
			"WHERE category = ?1 AND id = ?2 AND op = 2 "
			"AND n = (SELECT max(n) FROM history WHERE category = ?1 AND id = ?2)",
	[ST_TRIM_COUNT] = "DELETE FROM history WHERE seq IN (SELECT seq FROM history "
			  "WHERE category = ?1 AND id = ?2 AND n <= -?3 + "
			  "(SELECT max(n) FROM history WHERE category = ?1 AND id = ?2) "
			  "ORDER BY n LIMIT ?4) RETURNING seq, op",
	[ST_TRIM_AGE] = "DELETE FROM history WHERE seq IN (SELECT seq FROM history "
			"INDEXED BY history_by_end WHERE category = ?1 AND ended_at < ?2 "
			"ORDER BY ended_at LIMIT ?3) RETURNING seq, op",
};

/* A version that comes sends one away, or a few after the number was lowered. */
#define TRIM_AT_ONCE 10

struct history {
	sqlite3 *db;
	sqlite3_stmt *st[ST_COUNT];
};

enum err
history_new(sqlite3 *db, struct history **out, struct error *error)
{
	struct history *h = xnew(struct history);
	enum err e = OK;

	h->db = db;
	for (int i = 0; i < ST_COUNT && e == OK; i++)
		e = sql_prepare(db, texts[i], &h->st[i], error);
	if (e != OK) {
		history_free(h);
		return e;
	}
	*out = h;
	return OK;
}

void
history_free(struct history *h)
{
	if (h == NULL)
		return;
	for (int i = 0; i < ST_COUNT; i++)
		sqlite3_finalize(h->st[i]);
	free(h);
}

/** Runs a DELETE that returns seq and op; *n: how many rows. */
static enum err
run_trim(
	struct history *h, sqlite3_stmt *st, int64_t *n, int64_t *forgotten_to, struct error *error)
{
	int rc;

	*n = 0;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		int64_t seq = sqlite3_column_int64(st, 0);

		++*n;
		if (sqlite3_column_int(st, 1) == 2 && seq > *forgotten_to)
			*forgotten_to = seq;
	}
	sqlite3_reset(st);
	return rc == SQLITE_DONE ? OK : sql_error(h->db, error, "dropping earlier versions");
}

static enum err
trim_count(struct history *h, const struct op *op, int64_t limit, int64_t *n, int64_t *forgotten_to,
	struct error *error)
{
	sqlite3_stmt *st = h->st[ST_TRIM_COUNT];

	sql_bind_span(st, 1, op->category);
	sql_bind_span(st, 2, op->id);
	sqlite3_bind_int64(st, 3, op->keep);
	sqlite3_bind_int64(st, 4, limit);
	return run_trim(h, st, n, forgotten_to, error);
}

/** Runs a statement for the operation's key, when something ends with `seq`; *n: rows changed. */
static enum err
run_for_key(struct history *h, enum statement which, const struct op *op, int64_t seq, int *n,
	struct error *error)
{
	sqlite3_stmt *st = h->st[which];

	sql_bind_span(st, 1, op->category);
	sql_bind_span(st, 2, op->id);
	sqlite3_bind_int64(st, 3, op->now_ms);
	sqlite3_bind_int64(st, 4, seq);
	if (sql_run(st) != SQLITE_DONE)
		return sql_error(h->db, error, "keeping an earlier version");
	*n = sqlite3_changes(h->db);
	return OK;
}

/** After a version has come: the oldest beyond the number goes. */
static enum err
trim_one(struct history *h, const struct op *op, struct error *error)
{
	int64_t ignored = 0, trimmed;

	if (op->keep == INT64_MAX)
		return OK;
	return trim_count(h, op, TRIM_AT_ONCE, &trimmed, &ignored, error);
}

enum err
history_keep(struct history *h, const struct op *op, int64_t seq, struct error *error)
{
	enum err e = OK;
	int n = 0;

	if (op->keep > 0)
		e = run_for_key(h, ST_KEEP, op, seq, &n, error);
	return e == OK && n > 0 ? trim_one(h, op, error) : e;
}

enum err
history_keep_deletion(struct history *h, const struct op *op, int64_t seq, struct error *error)
{
	int ended = 0, kept = 0;
	enum err e;

	if (op->keep == 0)
		return OK;
	e = run_for_key(h, ST_END_GONE, op, seq, &ended, error);
	if (e == OK)
		e = run_for_key(h, ST_KEEP_DELETION, op, seq, &kept, error);
	return e == OK && ended + kept > 0 ? trim_one(h, op, error) : e;
}

enum err
history_keep_pruned(struct history *h, int64_t seq, int64_t now_ms, struct error *error)
{
	sqlite3_stmt *st = h->st[ST_KEEP_PRUNED];

	sqlite3_bind_int64(st, 1, seq);
	sqlite3_bind_int64(st, 2, now_ms);
	return sql_run(st) == SQLITE_DONE ? OK
					  : sql_error(h->db, error, "keeping earlier versions");
}

enum err
history_trim(struct history *h, struct op *op, int64_t *forgotten_to, struct error *error)
{
	sqlite3_stmt *st = h->st[ST_TRIM_AGE];

	if (op->id.n > 0)
		return trim_count(h, op, op->limit, &op->seq, forgotten_to, error);
	sql_bind_span(st, 1, op->category);
	sqlite3_bind_int64(st, 2, op->expires_at);
	sqlite3_bind_int64(st, 3, op->limit);
	return run_trim(h, st, &op->seq, forgotten_to, error);
}
