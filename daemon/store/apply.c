/* Applying operations: see apply.h. */

#include "daemon/store/apply.h"

#include <stdlib.h>

#include "common/xalloc.h"
#include "daemon/store/apply_priv.h"
#include "daemon/store/sql.h"

#define UPSERT(sum)                                                                                \
	"INSERT INTO records "                                                                     \
	"(seq, category, id, name, data, rev, created_at, updated_at, expires_at, sum) "           \
	"VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6, ?6, ?7, ?8) "                                          \
	"ON CONFLICT (category, id) DO UPDATE SET seq = excluded.seq, "                            \
	"name = excluded.name, data = excluded.data, "                                             \
	"rev = rev + 1, updated_at = excluded.updated_at, "                                        \
	"expires_at = excluded.expires_at, sum = " sum
#define DELETE(returning) "DELETE FROM records WHERE category = ?1 AND id = ?2 RETURNING " returning

static const char *const texts[ST_COUNT] = {
	[ST_FIND] = "SELECT seq, rev, name, data, expires_at FROM records "
		    "WHERE category = ?1 AND id = ?2",
	[ST_UPSERT] = UPSERT("note_update(rev + 1, created_at)"),
	[ST_UPSERT_KEEPING] = UPSERT("note_update(rev + 1, created_at, data)"),
	[ST_SET_REV] = "UPDATE records SET rev = ?2, sum = ?3 WHERE seq = ?1",
	[ST_DELETE] = DELETE("rev"),
	[ST_DELETE_KEEPING] = DELETE("rev, data"),
	[ST_BURY] = "INSERT INTO tombstones (seq, category, id, rev, deleted_at, sum) "
		    "VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
	[ST_UNBURY] = "DELETE FROM tombstones WHERE category = ?1 AND id = ?2 RETURNING rev",
	[ST_COUNT_RECORDS] = "SELECT count(*) FROM records WHERE category = ?1",
	[ST_OLDEST_TOMBSTONES] = "SELECT seq, deleted_at FROM tombstones ORDER BY seq LIMIT ?1",
	[ST_PRUNE] = "DELETE FROM tombstones WHERE seq <= ?1",
	[ST_SET_META] = "INSERT INTO meta (key, value, sum) "
			"VALUES (?1, ?2, row_sum('meta', ?1, ?2)) "
			"ON CONFLICT (key) DO UPDATE SET value = max(value, excluded.value), "
			"sum = row_sum('meta', key, max(value, excluded.value))",
	[ST_LAST_SEQ] = SQL_LAST_SEQ,
	[ST_PRUNED_TO] = SQL_PRUNED_TO,
	[ST_COUNT_TOMBSTONES] = "SELECT count(*) FROM tombstones",
	[ST_NEXT_EXPIRY] = "SELECT expires_at FROM records WHERE expires_at IS NOT NULL "
			   "ORDER BY expires_at LIMIT 1",
};

/** note_update(rev, created_at [, data]) in the UPSERT: called when the record was there, answers
 * its sum. RETURNING would tell the same, at a tenth of the price of the whole write. */
static void
note_update(sqlite3_context *c, int n, sqlite3_value **args)
{
	struct apply *a = sqlite3_user_data(c);

	must(n == 2 || n == 3);
	a->rev = sqlite3_value_int64(args[0]);
	a->created_at = sqlite3_value_int64(args[1]);
	if (n == 3) {
		const unsigned char *data = sqlite3_value_text(args[2]);

		buf_add(&a->before, data, (size_t)sqlite3_value_bytes(args[2]));
	}
	sum_set_life(&a->sum, a->rev, a->created_at);
	sqlite3_result_int64(c, sum_end(&a->sum));
}

static enum err
add_functions(struct apply *a, struct error *error)
{
	enum err e = sum_add_function(a->db, error);

	if (e != OK)
		return e;
	for (int n = 2; n <= 3; n++)
		if (sqlite3_create_function(a->db, "note_update", n,
			    SQLITE_UTF8 | SQLITE_DIRECTONLY, a, note_update, NULL,
			    NULL) != SQLITE_OK)
			return sql_error(a->db, error, "adding a function");
	return OK;
}

enum err
apply_new(sqlite3 *db, struct apply **out, struct error *error)
{
	struct apply *a = xnew(struct apply);
	enum err e;

	a->db = db;
	a->counts = counts_new();
	buf_init(&a->before, SIZE_MAX / 2);
	e = add_functions(a, error);
	for (int i = 0; i < ST_COUNT && e == OK; i++)
		e = sql_prepare(db, texts[i], &a->st[i], error);
	if (e == OK)
		e = history_new(db, &a->history, error);
	if (e == OK)
		e = refill_new(db, &a->refill, error);
	if (e == OK)
		e = grants_new(db, &a->grants, error);
	if (e == OK)
		e = safe_new(db, &a->safe, error);
	if (e == OK)
		e = feedrows_new(db, &a->feedrows, error);
	if (e == OK)
		e = pick_new(db, &a->pick, error);
	if (e == OK)
		e = apply_reload(a, error);
	if (e != OK) {
		apply_free(a);
		return e;
	}
	*out = a;
	return OK;
}

void
apply_free(struct apply *a)
{
	if (a == NULL)
		return;
	for (int i = 0; i < ST_COUNT; i++)
		sqlite3_finalize(a->st[i]);
	history_free(a->history);
	counts_free(a->counts);
	refill_free(a->refill);
	grants_free(a->grants);
	safe_free(a->safe);
	feedrows_free(a->feedrows);
	pick_free(a->pick);
	buf_fini(&a->before);
	free(a);
}

void
apply_keep_before(struct apply *a, bool keeps)
{
	a->keeps_before = keeps;
}

int64_t
apply_last_seq(const struct apply *a)
{
	return a->now.last_seq;
}

int64_t
apply_pruned_to(const struct apply *a)
{
	return a->now.pruned_to;
}

int64_t
apply_tombstones(const struct apply *a)
{
	return a->now.tombstones;
}

int64_t
apply_evicted(const struct apply *a)
{
	return a->now.evicted;
}

static enum err
read_number(struct apply *a, enum statement which, int64_t *out, struct error *error)
{
	int rc;
	int64_t value = sql_int(a->st[which], 0, &rc);

	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		return sql_error(a->db, error, "reading where the store stands");
	*out = value;
	return OK;
}

enum err
apply_reload(struct apply *a, struct error *error)
{
	enum err e = read_number(a, ST_LAST_SEQ, &a->now.last_seq, error);

	counts_forget(a->counts);
	a->has_uncounted = true;
	if (a->now.last_seq < a->committed.last_seq)
		a->now.last_seq = a->committed.last_seq;
	if (e == OK)
		e = read_number(a, ST_PRUNED_TO, &a->now.pruned_to, error);
	if (e == OK)
		e = read_number(a, ST_COUNT_TOMBSTONES, &a->now.tombstones, error);
	if (e == OK)
		a->committed = apply_mark(a);
	return e;
}

void
apply_committed(struct apply *a)
{
	counts_committed(a->counts);
	a->committed = apply_mark(a);
}

void
apply_rolled_back(struct apply *a)
{
	apply_return(a, a->committed);
}

struct apply_mark
apply_mark(const struct apply *a)
{
	struct apply_mark mark = a->now;

	mark.counts = counts_mark(a->counts);
	return mark;
}

void
apply_return(struct apply *a, struct apply_mark mark)
{
	a->now = mark;
	counts_return(a->counts, mark.counts);
}

enum err
apply_count(struct apply *a, struct span category, int64_t *n, struct error *error)
{
	sqlite3_stmt *st = a->st[ST_COUNT_RECORDS];
	int rc;

	*n = counts_get(a->counts, category);
	if (*n >= 0)
		return OK;
	sql_bind_span(st, 1, category);
	*n = sql_int(st, 0, &rc);
	if (rc != SQLITE_ROW)
		return sql_error(a->db, error, "counting the records of a category");
	counts_set(a->counts, category, *n);
	return OK;
}

bool
apply_take_uncounted(struct apply *a)
{
	bool has_uncounted = a->has_uncounted;

	a->has_uncounted = false;
	return has_uncounted;
}

bool
apply_is_restoring(const struct apply *a)
{
	return refill_is_under_way(a->refill, a->now.last_seq);
}

enum err
apply_next_expiry(struct apply *a, int64_t *ms, struct error *error)
{
	int rc;
	int64_t next = sql_int(a->st[ST_NEXT_EXPIRY], INT64_MAX, &rc);

	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		return sql_error(a->db, error, "looking for the next expiry");
	*ms = next;
	return OK;
}

bool
apply_is_refusal(enum err e)
{
	return e == ERR_CONFLICT || e == ERR_NOT_FOUND || e == ERR_LIMIT_EXCEEDED;
}

enum err
apply_op(struct apply *a, struct op *op, struct error *error)
{
	switch (op->kind) {
	case OP_PUT:
		return apply_put(a, op, error);
	case OP_PATCH:
		return apply_patch(a, op, error);
	case OP_DELETE:
		return apply_delete(a, op, error);
	case OP_DELETE_WHERE:
		return apply_delete_where(a, op, error);
	case OP_PRUNE:
		return apply_prune(a, op, error);
	case OP_TRIM_HISTORY:
		return apply_trim_history(a, op, error);
	case OP_REFILL_CHECK:
	case OP_REFILL:
	case OP_REFILL_DELETED:
	case OP_REFILL_MARK:
		counts_forget(a->counts); /* it keeps no counts */
		a->has_uncounted = true;
		return refill_apply(a->refill, op, &a->now.last_seq, &a->now.tombstones, error);
	case OP_GRANT:
	case OP_WITHDRAW:
	case OP_WITHDRAW_EXPIRED:
	case OP_NOTE_USE:
		return grants_apply(a->grants, op, error);
	case OP_STOW:
	case OP_DROP:
		return safe_apply(a->safe, op, error);
	case OP_FEED_SET:
	case OP_FEED_DROP:
		return feedrows_apply(a->feedrows, op, error);
	}
	return error_set(error, ERR_INTERNAL_ERROR, "unknown operation");
}
