/* Putting, patching and deleting records: see apply.h. */

#include "daemon/store/apply_priv.h"
#include "daemon/store/patch.h"
#include "daemon/store/sql.h"

static enum err
next_seq(struct apply *a, int64_t *seq, struct error *error)
{
	if (a->now.last_seq >= SEQ_MAX)
		return error_set(error, ERR_UNAVAILABLE, "the store has used up its seq numbers");
	*seq = ++a->now.last_seq;
	return OK;
}

static void
bind_key(sqlite3_stmt *st, const struct op *op)
{
	sql_bind_span(st, 1, op->category);
	sql_bind_span(st, 2, op->id);
}

/** True if the stored record (the current row of ST_FIND) is what the put would write. */
static bool
is_equal(sqlite3_stmt *st, const struct op *op)
{
	return span_eq(sql_span(st, 2), op->name) && span_eq(sql_span(st, 3), op->data) &&
	       sqlite3_column_int64(st, 4) == op->expires_at;
}

static enum err
refuse(const struct op *op, int64_t seq, struct error *error)
{
	if (seq == 0)
		error_set(error, ERR_CONFLICT, "%.*s/%.*s does not exist, if_seq is %lld",
			SPAN_FMT(op->category), SPAN_FMT(op->id), (long long)op->if_seq);
	else
		error_set(error, ERR_CONFLICT, "%.*s/%.*s is at seq %lld, if_seq is %lld",
			SPAN_FMT(op->category), SPAN_FMT(op->id), (long long)seq,
			(long long)op->if_seq);
	error->seq = seq;
	return ERR_CONFLICT;
}

/** Judges the conditions of a put or delete against what is stored. Sets op->skipped when there is
 * nothing to do. */
static enum err
check_conditions(struct apply *a, struct op *op, struct error *error)
{
	sqlite3_stmt *st = a->st[ST_FIND];
	int64_t seq = 0;
	enum err e = OK;
	int rc;

	if (op->if_seq < 0 && op->mode == PUT_REPLACE)
		return OK;
	bind_key(st, op);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		seq = sqlite3_column_int64(st, 0);
		op->rev = sqlite3_column_int64(st, 1);
		op->skipped = op->mode == PUT_SKIP_EXISTING ||
			      (op->mode == PUT_SKIP_EQUAL && is_equal(st, op));
		op->seq = op->skipped ? seq : 0;
	} else if (rc != SQLITE_DONE) {
		e = sql_error(a->db, error, "reading a record");
	}
	sqlite3_reset(st);
	if (e == OK && op->if_seq >= 0 && op->if_seq != seq) {
		op->skipped = false;
		op->seq = 0;
		e = refuse(op, seq, error);
	}
	return e;
}

/** A new record goes on with the rev of its tombstone, which goes. */
static enum err
unbury(struct apply *a, struct op *op, struct error *error)
{
	sqlite3_stmt *st = a->st[ST_UNBURY];
	enum err e = history_keep_deletion(a->history, op, op->seq, error);
	int64_t rev;
	int rc;

	if (e != OK || a->now.tombstones == 0)
		return e;
	bind_key(st, op);
	rev = sql_int(st, 0, &rc);
	if (rc == SQLITE_DONE)
		return OK;
	if (rc != SQLITE_ROW)
		return sql_error(a->db, error, "removing a tombstone");
	a->now.tombstones--;
	op->rev = rev + 1;
	sqlite3_bind_int64(a->st[ST_SET_REV], 1, op->seq);
	sqlite3_bind_int64(a->st[ST_SET_REV], 2, op->rev);
	sum_set_life(&a->sum, op->rev, a->created_at);
	sqlite3_bind_int64(a->st[ST_SET_REV], 3, sum_end(&a->sum));
	if (sql_run(a->st[ST_SET_REV]) != SQLITE_DONE)
		return sql_error(a->db, error, "writing a record");
	return OK;
}

/** What the put leaves, if there was nothing before it. */
static struct record
record_of(const struct op *op)
{
	return (struct record){
		.category = op->category,
		.id = op->id,
		.name = op->name,
		.data = op->data,
		.seq = op->seq,
		.rev = 1,
		.created_at = op->now_ms,
		.updated_at = op->now_ms,
		.expires_at = op->expires_at,
	};
}

static enum err
upsert(struct apply *a, const struct record *r, struct error *error)
{
	sqlite3_stmt *st = a->st[a->keeps_before ? ST_UPSERT_KEEPING : ST_UPSERT];

	buf_reset(&a->before);
	a->rev = r->rev;
	a->created_at = r->created_at;
	a->sum = sum_of_record(r);
	sqlite3_bind_int64(st, 1, r->seq);
	sql_bind_span(st, 2, r->category);
	sql_bind_span(st, 3, r->id);
	sql_bind_span(st, 4, r->name);
	sql_bind_span(st, 5, r->data);
	sqlite3_bind_int64(st, 6, r->updated_at);
	if (r->expires_at != 0)
		sqlite3_bind_int64(st, 7, r->expires_at);
	else
		sqlite3_bind_null(st, 7);
	sqlite3_bind_int64(st, 8, sum_end(&a->sum));
	return sql_run(st) == SQLITE_DONE ? OK : sql_error(a->db, error, "writing a record");
}

/** Tells the change what was there before it, when that is kept. */
static enum err
finish_change(struct apply *a, const struct op *op, struct error *error)
{
	if (op->change == NULL)
		return error_set(error, ERR_UNAVAILABLE, "out of memory");
	if (a->keeps_before && !a->before.failed)
		change_set_before(op->change, buf_span(&a->before));
	return OK;
}

static enum err
bury(struct apply *a, struct op *op, struct error *error)
{
	sqlite3_stmt *st = a->st[ST_BURY];

	sqlite3_bind_int64(st, 1, op->seq);
	sql_bind_span(st, 2, op->category);
	sql_bind_span(st, 3, op->id);
	sqlite3_bind_int64(st, 4, op->rev);
	sqlite3_bind_int64(st, 5, op->now_ms);
	sqlite3_bind_int64(
		st, 6, sum_of_tombstone(op->seq, op->category, op->id, op->rev, op->now_ms));
	if (sql_run(st) != SQLITE_DONE)
		return sql_error(a->db, error, "writing a tombstone");
	a->now.tombstones++;
	return OK;
}

/** Deletes the record: SQLITE_ROW, and its rev and data are noted, or SQLITE_DONE: there is none.
 */
static int
delete_row(struct apply *a, struct op *op)
{
	sqlite3_stmt *st = a->st[a->keeps_before ? ST_DELETE_KEEPING : ST_DELETE];
	int rc;

	buf_reset(&a->before);
	bind_key(st, op);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		op->rev = sqlite3_column_int64(st, 0);
		if (a->keeps_before)
			buf_add_span(&a->before, sql_span(st, 1));
	}
	sqlite3_reset(st);
	return rc;
}

enum err
apply_delete(struct apply *a, struct op *op, struct error *error)
{
	enum err e = check_conditions(a, op, error);
	int rc;

	if (e != OK)
		return e;
	e = history_keep(a->history, op, a->now.last_seq + 1, error);
	if (e != OK)
		return e;
	rc = delete_row(a, op);
	if (rc == SQLITE_DONE)
		return OK;
	if (rc != SQLITE_ROW)
		return sql_error(a->db, error, "deleting a record");
	counts_add(a->counts, op->category, -1);
	e = next_seq(a, &op->seq, error);
	if (e == OK)
		e = bury(a, op, error);
	if (e != OK)
		return e;
	op->change = change_new_delete(op->category, op->id, op->rev, op->seq, op->now_ms);
	return finish_change(a, op, error);
}

enum err
apply_delete_where(struct apply *a, struct op *op, struct error *error)
{
	struct op one = *op;
	struct picked found;
	enum err e = pick_matching(a->pick, op, &found, error);

	while (e == OK && picked_next(&found, &one.id)) {
		e = apply_delete(a, &one, error);
		if (one.change != NULL)
			sweep_add(op->sweep, &one.change);
		op->seq = one.seq;
	}
	picked_fini(&found);
	return e;
}

/** Where the category has too many records now, the oldest leaves. After a maximum was lowered
 * there are more than one too many: that is for maintenance. */
static enum err
evict(struct apply *a, struct op *op, struct error *error)
{
	struct op one = *op;
	struct picked found;
	int64_t n;
	enum err e = apply_count(a, op->category, &n, error);

	if (e != OK || n <= op->max_records)
		return e;
	one.if_seq = -1;
	one.mode = PUT_REPLACE;
	one.change = NULL;
	e = pick_oldest(a->pick, op->category, &found, error);
	if (e == OK && picked_next(&found, &one.id)) {
		e = apply_delete(a, &one, error);
		op->evicted = one.change;
		a->now.evicted++;
	}
	picked_fini(&found);
	return e;
}

enum err
apply_put(struct apply *a, struct op *op, struct error *error)
{
	enum err e = check_conditions(a, op, error);
	struct record r;

	if (e != OK || op->skipped)
		return e;
	e = next_seq(a, &op->seq, error);
	r = record_of(op);
	if (e == OK)
		e = history_keep(a->history, op, op->seq, error);
	if (e == OK)
		e = upsert(a, &r, error);
	op->rev = a->rev;
	op->created = op->rev == 1;
	if (e == OK && op->created)
		e = unbury(a, op, error);
	if (e != OK)
		return e;
	if (op->created)
		counts_add(a->counts, op->category, 1);
	r.rev = op->rev;
	r.created_at = a->created_at;
	op->change = change_new_put(&r);
	e = finish_change(a, op, error);
	return e == OK && op->created && op->max_records > 0 ? evict(a, op, error) : e;
}

static enum err
merge(struct apply *a, const struct op *op, struct patch *p, struct error *error)
{
	sqlite3_stmt *st = a->st[ST_FIND];
	enum err e;
	int rc;

	bind_key(st, op);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		p->put.expires_at = sqlite3_column_int64(st, 4);
	if (rc == SQLITE_ROW && op->if_seq >= 0 && op->if_seq != sqlite3_column_int64(st, 0))
		e = refuse(op, sqlite3_column_int64(st, 0), error);
	else if (rc == SQLITE_ROW)
		e = patch_merge(p, sql_span(st, 2), sql_span(st, 3), error);
	else if (rc == SQLITE_DONE)
		e = error_set(error, ERR_NOT_FOUND, "there is no record %.*s/%.*s",
			SPAN_FMT(op->category), SPAN_FMT(op->id));
	else
		e = sql_error(a->db, error, "reading a record");
	sqlite3_reset(st);
	return e;
}

enum err
apply_patch(struct apply *a, struct op *op, struct error *error)
{
	struct patch p;
	enum err e;

	patch_init(&p, op);
	e = merge(a, op, &p, error);
	if (e == OK)
		e = apply_put(a, &p.put, error);
	patch_take_results(&p, op);
	patch_fini(&p);
	return e;
}
