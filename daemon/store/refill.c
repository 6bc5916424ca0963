/* Records out of an export: see refill.h. */

#include "daemon/store/refill.h"

#include <stdlib.h>

#include "common/xalloc.h"
#include "daemon/store/sql.h"
#include "daemon/store/sum.h"

enum statement {
	ST_RESTORED_TO,
	ST_SET_META,
	ST_UNSET,
	ST_FIND,
	ST_PUT,
	ST_BURY,
	ST_DELETE,
	ST_UNBURY,
	ST_COUNT
};

static const char *const texts[ST_COUNT] = {
	[ST_RESTORED_TO] = "SELECT value FROM meta WHERE key = 'restored_to'",
	[ST_SET_META] = "INSERT INTO meta (key, value, sum) "
			"VALUES (?1, ?2, row_sum('meta', ?1, ?2)) "
			"ON CONFLICT (key) DO UPDATE SET value = excluded.value, "
			"sum = excluded.sum",
	[ST_UNSET] = "DELETE FROM meta WHERE key = 'restored_to'",
	[ST_FIND] = "SELECT max(coalesce((SELECT seq FROM records "
		    "WHERE category = ?1 AND id = ?2), 0), "
		    "coalesce((SELECT seq FROM tombstones WHERE category = ?1 AND id = ?2), 0))",
	[ST_PUT] = "INSERT INTO records "
		   "(category, id, seq, name, data, rev, created_at, updated_at, expires_at, sum) "
		   "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) "
		   "ON CONFLICT (category, id) DO UPDATE SET seq = excluded.seq, "
		   "name = excluded.name, data = excluded.data, rev = excluded.rev, "
		   "created_at = excluded.created_at, updated_at = excluded.updated_at, "
		   "expires_at = excluded.expires_at, sum = excluded.sum",
	[ST_BURY] = "INSERT INTO tombstones "
		    "(category, id, seq, rev, deleted_at, sum) "
		    "VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
	[ST_DELETE] = "DELETE FROM records WHERE category = ?1 AND id = ?2",
	[ST_UNBURY] = "DELETE FROM tombstones WHERE category = ?1 AND id = ?2",
};

struct refill {
	sqlite3 *db;
	sqlite3_stmt *st[ST_COUNT];
};

enum err
refill_new(sqlite3 *db, struct refill **out, struct error *error)
{
	struct refill *r = xnew(struct refill);
	enum err e = OK;

	r->db = db;
	for (int i = 0; i < ST_COUNT && e == OK; i++)
		e = sql_prepare(db, texts[i], &r->st[i], error);
	if (e != OK) {
		refill_free(r);
		return e;
	}
	*out = r;
	return OK;
}

void
refill_free(struct refill *r)
{
	if (r == NULL)
		return;
	for (int i = 0; i < ST_COUNT; i++)
		sqlite3_finalize(r->st[i]);
	free(r);
}

static enum err
run(struct refill *r, enum statement which, struct error *error)
{
	return sql_run(r->st[which]) == SQLITE_DONE ? OK
						    : sql_error(r->db, error, "restoring records");
}

static sqlite3_stmt *
bind_key(struct refill *r, enum statement which, const struct op *op)
{
	sql_bind_span(r->st[which], 1, op->category);
	sql_bind_span(r->st[which], 2, op->id);
	return r->st[which];
}

bool
refill_is_under_way(struct refill *r, int64_t last_seq)
{
	int rc;
	int64_t restored_to = sql_int(r->st[ST_RESTORED_TO], 0, &rc);

	return rc == SQLITE_ROW && restored_to == last_seq;
}

/** The store has nothing but what was restored into it. That it is complete already at the seq
 * that the operation wants is fine: the answer to that was lost. */
static enum err
check(struct refill *r, struct op *op, int64_t last_seq, struct error *error)
{
	int rc;
	int64_t restored_to = sql_int(r->st[ST_RESTORED_TO], 0, &rc);

	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		return sql_error(r->db, error, "reading what was restored");
	if (restored_to == last_seq || (op->given.seq > 0 && op->given.seq == last_seq))
		return OK;
	error_set(error, ERR_CONFLICT,
		"the store is not empty (seq %lld): records are restored into a new one only",
		(long long)last_seq);
	error->seq = last_seq;
	return ERR_CONFLICT;
}

/** What is there already was sent before, and its answer was lost; anything else is out of order.
 */
static enum err
judge_order(struct refill *r, struct op *op, int64_t last_seq, struct error *error)
{
	int rc;
	int64_t seq;

	if (op->given.seq > last_seq)
		return OK;
	seq = sql_int(bind_key(r, ST_FIND, op), 0, &rc);
	if (rc != SQLITE_ROW)
		return sql_error(r->db, error, "looking for a record");
	op->skipped = seq >= op->given.seq;
	if (op->skipped)
		return OK;
	error_set(error, ERR_CONFLICT, "seq %lld is not above %lld, which the store is at",
		(long long)op->given.seq, (long long)last_seq);
	error->seq = last_seq;
	return ERR_CONFLICT;
}

static enum err
put(struct refill *r, struct op *op, struct error *error)
{
	sqlite3_stmt *st = bind_key(r, ST_PUT, op);
	const struct record record = {
		.category = op->category,
		.id = op->id,
		.name = op->name,
		.data = op->data,
		.seq = op->given.seq,
		.rev = op->given.rev,
		.created_at = op->given.created_at,
		.updated_at = op->now_ms,
		.expires_at = op->expires_at,
	};
	struct sum sum = sum_of_record(&record);
	enum err e;

	sqlite3_bind_int64(st, 3, op->given.seq);
	sql_bind_span(st, 4, op->name);
	sql_bind_span(st, 5, op->data);
	sqlite3_bind_int64(st, 6, op->given.rev);
	sqlite3_bind_int64(st, 7, op->given.created_at);
	sqlite3_bind_int64(st, 8, op->now_ms);
	if (op->expires_at != 0)
		sqlite3_bind_int64(st, 9, op->expires_at);
	else
		sqlite3_bind_null(st, 9);
	sqlite3_bind_int64(st, 10, sum_end(&sum));
	e = run(r, ST_PUT, error);
	if (e != OK)
		return e;
	op->change = change_new_put(&record);
	return OK;
}

static enum err
bury(struct refill *r, struct op *op, int64_t *tombstones, struct error *error)
{
	sqlite3_stmt *st = bind_key(r, ST_BURY, op);
	enum err e;

	bind_key(r, ST_DELETE, op);
	e = run(r, ST_DELETE, error);
	if (e != OK)
		return e;
	sqlite3_bind_int64(st, 3, op->given.seq);
	sqlite3_bind_int64(st, 4, op->given.rev);
	sqlite3_bind_int64(st, 5, op->now_ms);
	sqlite3_bind_int64(st, 6,
		sum_of_tombstone(op->given.seq, op->category, op->id, op->given.rev, op->now_ms));
	e = run(r, ST_BURY, error);
	if (e != OK)
		return e;
	(*tombstones)++;
	op->change =
		change_new_delete(op->category, op->id, op->given.rev, op->given.seq, op->now_ms);
	return OK;
}

static enum err
refill_one(struct refill *r, struct op *op, int64_t *last_seq, int64_t *tombstones,
	struct error *error)
{
	enum err e = judge_order(r, op, *last_seq, error);

	if (e != OK || op->skipped)
		return e;
	if (*tombstones > 0) {
		bind_key(r, ST_UNBURY, op);
		e = run(r, ST_UNBURY, error);
		*tombstones -= e == OK ? sqlite3_changes(r->db) : 0;
	}
	if (e == OK)
		e = op->kind == OP_REFILL ? put(r, op, error) : bury(r, op, tombstones, error);
	if (e != OK)
		return e;
	*last_seq = op->seq = op->given.seq;
	op->rev = op->given.rev;
	return op->change != NULL ? OK : error_set(error, ERR_UNAVAILABLE, "out of memory");
}

static enum err
set_meta(struct refill *r, const char *key, int64_t value, struct error *error)
{
	sql_bind_span(r->st[ST_SET_META], 1, span_of(key));
	sqlite3_bind_int64(r->st[ST_SET_META], 2, value);
	return run(r, ST_SET_META, error);
}

/** Notes how far it has come; or, when all is there, that the store is at a seq and as any other.
 */
static enum err
mark(struct refill *r, struct op *op, int64_t *last_seq, struct error *error)
{
	enum err e;

	if (op->given.seq == 0)
		return set_meta(r, "restored_to", *last_seq, error);
	if (op->given.seq < *last_seq)
		return error_set(error, ERR_CONFLICT,
			"the store is at seq %lld already, above the seq that it is to be at",
			(long long)*last_seq);
	e = set_meta(r, "last_seq", op->given.seq, error);
	if (e == OK)
		e = run(r, ST_UNSET, error);
	*last_seq = op->seq = op->given.seq;
	return e;
}

enum err
refill_apply(struct refill *r, struct op *op, int64_t *last_seq, int64_t *tombstones,
	struct error *error)
{
	if (op->kind == OP_REFILL_CHECK)
		return check(r, op, *last_seq, error);
	if (op->kind == OP_REFILL_MARK)
		return mark(r, op, last_seq, error);
	return refill_one(r, op, last_seq, tombstones, error);
}
