/* Applying operations: see apply.h. */

#include "daemon/store/apply.h"

#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"
#include "daemon/store/sql.h"

enum statement {
	ST_FIND,
	ST_UPSERT,
	ST_SET_REV,
	ST_DELETE,
	ST_BURY,
	ST_UNBURY,
	ST_EXPIRED,
	ST_OLDEST_TOMBSTONES,
	ST_PRUNE,
	ST_SET_META,
	ST_LAST_SEQ,
	ST_PRUNED_TO,
	ST_COUNT_TOMBSTONES,
	ST_NEXT_EXPIRY,
	ST_COUNT
};

static const char *const texts[ST_COUNT] = {
	[ST_FIND] = "SELECT seq, rev, name, data, expires_at FROM records "
		    "WHERE category = ?1 AND id = ?2",
	[ST_UPSERT] = "INSERT INTO records "
		      "(seq, category, id, name, data, rev, created_at, updated_at, expires_at) "
		      "VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6, ?6, ?7) "
		      "ON CONFLICT (category, id) DO UPDATE SET seq = excluded.seq, "
		      "name = excluded.name, data = excluded.data, "
		      "rev = note_update(rev + 1, created_at), "
		      "updated_at = excluded.updated_at, expires_at = excluded.expires_at",
	[ST_SET_REV] = "UPDATE records SET rev = ?2 WHERE seq = ?1",
	[ST_DELETE] = "DELETE FROM records WHERE category = ?1 AND id = ?2 RETURNING rev",
	[ST_BURY] = "INSERT INTO tombstones (seq, category, id, rev, deleted_at) "
		    "VALUES (?1, ?2, ?3, ?4, ?5)",
	[ST_UNBURY] = "DELETE FROM tombstones WHERE category = ?1 AND id = ?2 RETURNING rev",
	[ST_EXPIRED] = "SELECT category, id FROM records WHERE expires_at <= ?1 "
		       "ORDER BY expires_at LIMIT ?2",
	[ST_OLDEST_TOMBSTONES] = "SELECT seq, deleted_at FROM tombstones ORDER BY seq LIMIT ?1",
	[ST_PRUNE] = "DELETE FROM tombstones WHERE seq <= ?1",
	[ST_SET_META] = "INSERT INTO meta (key, value) VALUES (?1, ?2) "
			"ON CONFLICT (key) DO UPDATE SET value = excluded.value",
	[ST_LAST_SEQ] = SQL_LAST_SEQ,
	[ST_PRUNED_TO] = SQL_PRUNED_TO,
	[ST_COUNT_TOMBSTONES] = "SELECT count(*) FROM tombstones",
	[ST_NEXT_EXPIRY] = "SELECT expires_at FROM records WHERE expires_at IS NOT NULL "
			   "ORDER BY expires_at LIMIT 1",
};

struct apply {
	sqlite3 *db;
	sqlite3_stmt *st[ST_COUNT];
	struct apply_mark now;
	int64_t floor; /* the last seq that was committed */
	int64_t rev;   /* of the record that is written */
	int64_t created_at;
};

/** note_update(rev, created_at) in the UPSERT: called when the record was there. RETURNING would
 * tell the same, at a tenth of the price of the whole write. */
static void
note_update(sqlite3_context *c, int n, sqlite3_value **args)
{
	struct apply *a = sqlite3_user_data(c);

	must(n == 2);
	a->rev = sqlite3_value_int64(args[0]);
	a->created_at = sqlite3_value_int64(args[1]);
	sqlite3_result_int64(c, a->rev);
}

static enum err
add_function(struct apply *a, struct error *error)
{
	if (sqlite3_create_function(a->db, "note_update", 2, SQLITE_UTF8 | SQLITE_DIRECTONLY, a,
		    note_update, NULL, NULL) != SQLITE_OK)
		return sql_error(a->db, error, "adding a function");
	return OK;
}

enum err
apply_new(sqlite3 *db, struct apply **out, struct error *error)
{
	struct apply *a = xnew(struct apply);
	enum err e;

	a->db = db;
	e = add_function(a, error);
	for (int i = 0; i < ST_COUNT && e == OK; i++)
		e = sql_prepare(db, texts[i], &a->st[i], error);
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
	free(a);
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

	if (a->now.last_seq < a->floor)
		a->now.last_seq = a->floor;
	if (e == OK)
		e = read_number(a, ST_PRUNED_TO, &a->now.pruned_to, error);
	if (e == OK)
		e = read_number(a, ST_COUNT_TOMBSTONES, &a->now.tombstones, error);
	return e;
}

void
apply_committed(struct apply *a)
{
	a->floor = a->now.last_seq;
}

struct apply_mark
apply_mark(const struct apply *a)
{
	return a->now;
}

void
apply_return(struct apply *a, struct apply_mark mark)
{
	a->now = mark;
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
	int64_t rev;
	int rc;

	if (a->now.tombstones == 0)
		return OK;
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
	if (sql_run(a->st[ST_SET_REV]) != SQLITE_DONE)
		return sql_error(a->db, error, "writing a record");
	return OK;
}

static enum err
upsert(struct apply *a, const struct op *op, struct error *error)
{
	sqlite3_stmt *st = a->st[ST_UPSERT];

	a->rev = 1;
	a->created_at = op->now_ms;
	sqlite3_bind_int64(st, 1, op->seq);
	sql_bind_span(st, 2, op->category);
	sql_bind_span(st, 3, op->id);
	sql_bind_span(st, 4, op->name);
	sql_bind_span(st, 5, op->data);
	sqlite3_bind_int64(st, 6, op->now_ms);
	if (op->expires_at != 0)
		sqlite3_bind_int64(st, 7, op->expires_at);
	else
		sqlite3_bind_null(st, 7);
	return sql_run(st) == SQLITE_DONE ? OK : sql_error(a->db, error, "writing a record");
}

static enum err
apply_put(struct apply *a, struct op *op, struct error *error)
{
	enum err e = check_conditions(a, op, error);

	if (e != OK || op->skipped)
		return e;
	e = next_seq(a, &op->seq, error);
	if (e == OK)
		e = upsert(a, op, error);
	op->rev = a->rev;
	op->created = op->rev == 1;
	if (e == OK && op->created)
		e = unbury(a, op, error);
	if (e != OK)
		return e;
	op->change = change_new_put(&(struct record){
		.category = op->category,
		.id = op->id,
		.name = op->name,
		.data = op->data,
		.seq = op->seq,
		.rev = op->rev,
		.created_at = a->created_at,
		.updated_at = op->now_ms,
		.expires_at = op->expires_at,
	});
	return op->change != NULL ? OK : error_set(error, ERR_UNAVAILABLE, "out of memory");
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
	if (sql_run(st) != SQLITE_DONE)
		return sql_error(a->db, error, "writing a tombstone");
	a->now.tombstones++;
	return OK;
}

static enum err
apply_delete(struct apply *a, struct op *op, struct error *error)
{
	enum err e = check_conditions(a, op, error);
	int rc;

	if (e != OK)
		return e;
	bind_key(a->st[ST_DELETE], op);
	op->rev = sql_int(a->st[ST_DELETE], 0, &rc);
	if (rc == SQLITE_DONE)
		return OK;
	if (rc != SQLITE_ROW)
		return sql_error(a->db, error, "deleting a record");
	e = next_seq(a, &op->seq, error);
	if (e == OK)
		e = bury(a, op, error);
	if (e != OK)
		return e;
	op->change = change_new_delete(op->category, op->id, op->rev, op->seq, op->now_ms);
	return op->change != NULL ? OK : error_set(error, ERR_UNAVAILABLE, "out of memory");
}

/** The keys that expired, copied: rows are not deleted under a running SELECT. */
struct expired {
	char *texts;
	struct span category;
	struct span id;
};

static enum err
find_expired(
	struct apply *a, const struct op *op, struct expired *found, size_t *n, struct error *error)
{
	sqlite3_stmt *st = a->st[ST_EXPIRED];
	enum err e = OK;
	int rc;

	*n = 0;
	sqlite3_bind_int64(st, 1, op->now_ms);
	sqlite3_bind_int64(st, 2, op->limit);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct span category = sql_span(st, 0), id = sql_span(st, 1);
		char *p = xcalloc(1, category.n + id.n + 1);

		memcpy(p, category.p, category.n);
		memcpy(p + category.n, id.p, id.n);
		found[(*n)++] = (struct expired){
			p, {p,              category.n},
                         {p + category.n, id.n      }
                };
	}
	if (rc != SQLITE_DONE)
		e = sql_error(a->db, error, "looking for expired records");
	sqlite3_reset(st);
	return e;
}

static enum err
apply_expire(struct apply *a, struct job *j, struct op *op, struct error *error)
{
	struct expired *found = xnew_n(op->limit, struct expired);
	size_t n;
	enum err e = find_expired(a, op, found, &n, error);

	j->changes = n > 0 ? xnew_n(n, struct change *) : NULL;
	for (size_t i = 0; i < n; i++) {
		struct op one = {
			.kind = OP_DELETE,
			.category = found[i].category,
			.id = found[i].id,
			.if_seq = -1,
			.now_ms = op->now_ms,
		};

		if (e == OK)
			e = apply_delete(a, &one, error);
		if (one.change != NULL)
			j->changes[j->changes_n++] = one.change;
		free(found[i].texts);
	}
	free(found);
	op->seq = (int64_t)n;
	return e;
}

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
find_prunable(struct apply *a, const struct op *op, int64_t *to, int64_t *n, struct error *error)
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
		*to = sqlite3_column_int64(st, 0);
		(*n)++;
	}
	if (rc != SQLITE_DONE && rc != SQLITE_ROW)
		e = sql_error(a->db, error, "looking for old tombstones");
	sqlite3_reset(st);
	return e;
}

static enum err
apply_prune(struct apply *a, struct op *op, struct error *error)
{
	int64_t to, n;
	enum err e = find_prunable(a, op, &to, &n, error);

	if (e != OK || n == 0)
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
apply_op(struct apply *a, struct job *j, struct op *op, struct error *error)
{
	switch (op->kind) {
	case OP_PUT:
		return apply_put(a, op, error);
	case OP_DELETE:
		return apply_delete(a, op, error);
	case OP_EXPIRE:
		return apply_expire(a, j, op, error);
	case OP_PRUNE:
		return apply_prune(a, op, error);
	}
	return error_set(error, ERR_INTERNAL_ERROR, "unknown operation");
}
