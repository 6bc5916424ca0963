/* What is due: see due.h. */

#include "daemon/store/due.h"

#include <stdlib.h>

#include "common/buf.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "daemon/store/sql.h"

#define WALK_EVERY_MS    60000
#define STEPS            64   /* of a walk at a time */
#define RECORDS_AT_ONCE  256  /* deleted by one job */
#define VERSIONS_AT_ONCE 1000 /* dropped by one job */

enum statement {
	ST_EXPIRED,
	ST_OLDEST,
	ST_NEXT_IN_HISTORY,
	ST_NEXT_IN_RECORDS,
	ST_HAS_ENDED,
	ST_GONE,
	ST_NEXT_ID,
	ST_COUNT
};

#define VERSIONS_OF(row)                                                                           \
	"(SELECT max(n) FROM history AS b WHERE b.category = " row ".category "                    \
	"AND b.id = " row ".id) - (SELECT min(n) FROM history AS b "                               \
	"WHERE b.category = " row ".category AND b.id = " row ".id) + 1"

static const char *const texts[ST_COUNT] = {
	[ST_EXPIRED] = "SELECT category, id, seq FROM records WHERE expires_at <= ?1 "
		       "ORDER BY expires_at LIMIT ?2",
	[ST_OLDEST] = "SELECT category, id, seq FROM records INDEXED BY records_by_category "
		      "WHERE category = ?1 ORDER BY seq LIMIT ?2",
	[ST_NEXT_IN_HISTORY] =
		"SELECT category FROM history WHERE category > ?1 ORDER BY category LIMIT 1",
	[ST_NEXT_IN_RECORDS] = "SELECT category FROM records INDEXED BY records_by_category "
			       "WHERE category > ?1 ORDER BY category LIMIT 1",
	[ST_HAS_ENDED] = "SELECT 1 FROM history INDEXED BY history_by_end "
			 "WHERE category = ?1 AND ended_at < ?2 LIMIT 1",
	[ST_GONE] = "SELECT category, id, " VERSIONS_OF(
		"a") " FROM history AS a "
		     "INDEXED BY history_of_gone WHERE op = 2 AND category = ?1 AND ended_at < ?2 "
		     "ORDER BY ended_at LIMIT 1000",
	[ST_NEXT_ID] = "SELECT category, id, " VERSIONS_OF(
		"a") " FROM history AS a "
		     "WHERE category = ?1 AND id > ?2 ORDER BY id LIMIT 1",
};

enum phase { PHASE_NONE, PHASE_HISTORY, PHASE_RECORDS };

struct due {
	sqlite3 *db;
	sqlite3_stmt *st[ST_COUNT];
	struct retention *retention;
	enum phase phase;
	bool is_thorough;          /* the rules are new: numbers are looked at too */
	bool has_uncounted;        /* numbers of records are */
	bool is_in_category;       /* there may be more to do in the one at the cursor */
	bool has_history;          /* some was found, or may come */
	bool is_failing[ST_COUNT]; /* it could not look with this one, and that was logged */
	struct buf category;       /* the cursor */
	struct buf id;             /* in the category, of a thorough walk */
	int64_t next_ms;
};

/** Keys on their way into a job; their texts one behind the other. */
struct keys {
	struct buf texts;
	struct key {
		size_t category_n;
		size_t id_n;
		int64_t number; /* a seq, or how many */
	} * v;
	size_t n;
	size_t cap;
};

enum err
due_new(sqlite3 *db, struct due **out, struct error *error)
{
	struct due *d = xnew(struct due);
	enum err e = OK;

	d->db = db;
	buf_init(&d->category, SIZE_MAX / 2);
	buf_init(&d->id, SIZE_MAX / 2);
	d->is_thorough = true;
	for (int i = 0; i < ST_COUNT && e == OK; i++)
		e = sql_prepare(db, texts[i], &d->st[i], error);
	if (e != OK) {
		due_free(d);
		return e;
	}
	*out = d;
	return OK;
}

void
due_free(struct due *d)
{
	if (d == NULL)
		return;
	for (int i = 0; i < ST_COUNT; i++)
		sqlite3_finalize(d->st[i]);
	retention_free(d->retention);
	buf_fini(&d->category);
	buf_fini(&d->id);
	free(d);
}

void
due_set_retention(struct due *d, struct retention *r)
{
	retention_free(d->retention);
	d->retention = r;
	d->phase = PHASE_NONE;
	d->is_thorough = true;
	d->next_ms = 0;
	d->has_history = true;
}

static void
keys_init(struct keys *k)
{
	*k = (struct keys){.v = NULL};
	buf_init(&k->texts, SIZE_MAX / 2);
}

static void
keys_fini(struct keys *k)
{
	buf_fini(&k->texts);
	free(k->v);
}

static void
keys_add(struct keys *k, struct span category, struct span id, int64_t value)
{
	if (k->n == k->cap) {
		k->cap = k->cap > 0 ? 2 * k->cap : 64;
		k->v = xrealloc(k->v, k->cap, sizeof(*k->v));
	}
	buf_add_span(&k->texts, category);
	buf_add_span(&k->texts, id);
	k->v[k->n++] = (struct key){category.n, id.n, value};
}

/** Adds the rows of a statement whose columns are category, id and a number. */
static void
keys_add_rows(struct due *d, struct keys *k, enum statement which)
{
	struct error error = ERROR_NONE;
	int rc;

	while ((rc = sqlite3_step(d->st[which])) == SQLITE_ROW)
		keys_add(k, sql_span(d->st[which], 0), sql_span(d->st[which], 1),
			sqlite3_column_int64(d->st[which], 2));
	sqlite3_reset(d->st[which]);
	if (rc != SQLITE_DONE && !d->is_failing[which]) {
		sql_error(d->db, &error, "looking for what is due");
		log_warn("store", "maintenance cannot look", F_ERROR(&error));
	}
	d->is_failing[which] = rc != SQLITE_DONE;
}

/** A job with an operation for each key, whose texts and numbers are set; NULL: there is none. */
static struct job *
job_of(struct keys *k, enum op_kind kind, int64_t wall_ms)
{
	const char *p = k->texts.p;
	struct job *j;

	if (k->n == 0 || k->texts.failed)
		return NULL;
	j = job_new(JOB_WRITE, &(struct origin){.kind = ORIGIN_NONE}, k->n, k->texts.n);
	for (size_t i = 0; j != NULL && i < k->n; i++) {
		struct op *op = &j->ops[i];

		op->kind = kind;
		op->now_ms = wall_ms;
		op->category = job_keep(j, (struct span){p, k->v[i].category_n});
		op->id = job_keep(j, (struct span){p + k->v[i].category_n, k->v[i].id_n});
		p += k->v[i].category_n + k->v[i].id_n;
	}
	return j;
}

/** Deletes of the keys, each only while the record is at the seq at which it was seen. */
static struct job *
deletes_of(struct due *d, struct keys *k, int64_t wall_ms)
{
	struct job *j = job_of(k, OP_DELETE, wall_ms);

	for (size_t i = 0; j != NULL && i < k->n; i++) {
		struct op *op = &j->ops[i];

		op->if_seq = k->v[i].number;
		op->keep = retention_find(d->retention, op->category)->history.count;
	}
	keys_fini(k);
	return j;
}

/** Drops of the versions beyond `keep` of each key, but not too many; the numbers are how many each
 * has too many. */
static struct job *
trims_of(struct keys *k, int64_t keep, int64_t wall_ms)
{
	struct job *j = job_of(k, OP_TRIM_HISTORY, wall_ms);

	for (size_t i = 0; j != NULL && i < k->n; i++) {
		int64_t excess = k->v[i].number;

		j->ops[i].keep = keep;
		j->ops[i].limit = excess < VERSIONS_AT_ONCE ? (unsigned)excess : VERSIONS_AT_ONCE;
	}
	keys_fini(k);
	return j;
}

struct job *
due_expired(struct due *d, int64_t wall_ms)
{
	struct keys k;

	keys_init(&k);
	sqlite3_bind_int64(d->st[ST_EXPIRED], 1, wall_ms);
	sqlite3_bind_int64(d->st[ST_EXPIRED], 2, RECORDS_AT_ONCE);
	keys_add_rows(d, &k, ST_EXPIRED);
	return deletes_of(d, &k, wall_ms);
}

/** Moves the cursor to the next category; false: there is none. */
static bool
next_category(struct due *d)
{
	sqlite3_stmt *st =
		d->st[d->phase == PHASE_HISTORY ? ST_NEXT_IN_HISTORY : ST_NEXT_IN_RECORDS];
	struct buf next;
	bool is_found;

	buf_init(&next, SIZE_MAX / 2);
	sql_bind_span(st, 1, buf_span(&d->category));
	is_found = sqlite3_step(st) == SQLITE_ROW;
	if (is_found)
		buf_add_span(&next, sql_span(st, 0));
	sqlite3_reset(st);
	buf_fini(&d->category);
	d->category = next;
	buf_reset(&d->id);
	d->is_in_category = is_found;
	return is_found;
}

/** Versions that ended before this. */
static struct job *
look_for_ended(struct due *d, int64_t before, int64_t wall_ms)
{
	sqlite3_stmt *st = d->st[ST_HAS_ENDED];
	struct keys k;
	struct job *j;

	sql_bind_span(st, 1, buf_span(&d->category));
	sqlite3_bind_int64(st, 2, before);
	if (sql_int(st, 0, NULL) == 0)
		return NULL;
	keys_init(&k);
	keys_add(&k, buf_span(&d->category), SPAN(""), VERSIONS_AT_ONCE);
	j = trims_of(&k, 0, wall_ms);
	if (j != NULL)
		j->ops[0].expires_at = before;
	return j;
}

/** All versions of records that are gone, and whose tombstones are. */
static struct job *
look_for_gone(struct due *d, int64_t wall_ms)
{
	sqlite3_stmt *st = d->st[ST_GONE];
	struct keys k;
	int64_t sum = 0;

	keys_init(&k);
	sql_bind_span(st, 1, buf_span(&d->category));
	sqlite3_bind_int64(st, 2, wall_ms - DUE_GONE_MS);
	keys_add_rows(d, &k, ST_GONE);
	for (size_t i = 0; i < k.n; i++) {
		sum += k.v[i].number;
		if (sum >= VERSIONS_AT_ONCE)
			k.n = i + 1;
	}
	return trims_of(&k, 0, wall_ms);
}

/** Versions beyond the number that is kept, of some records from the cursor on. */
static struct job *
look_for_many(struct due *d, int64_t keep, int64_t wall_ms, bool *is_at_end)
{
	int64_t sum = 0;
	struct keys all, k;

	keys_init(&k);
	*is_at_end = false;
	for (unsigned i = 0; i < STEPS && sum < VERSIONS_AT_ONCE && !*is_at_end; i++) {
		struct span id;
		int64_t excess;

		keys_init(&all);
		sql_bind_span(d->st[ST_NEXT_ID], 1, buf_span(&d->category));
		sql_bind_span(d->st[ST_NEXT_ID], 2, buf_span(&d->id));
		keys_add_rows(d, &all, ST_NEXT_ID);
		*is_at_end = all.n == 0;
		if (all.n > 0) {
			id = (struct span){all.texts.p + all.v[0].category_n, all.v[0].id_n};
			excess = all.v[0].number - keep;
			if (excess > 0)
				keys_add(&k, buf_span(&d->category), id, excess);
			sum += excess > 0 ? excess : 0;
			if (excess <= VERSIONS_AT_ONCE) { /* else it is looked at once more */
				buf_reset(&d->id);
				buf_add_span(&d->id, id);
			}
		}
		keys_fini(&all);
	}
	return trims_of(&k, keep, wall_ms);
}

static struct job *
look_at_history(struct due *d, int64_t wall_ms)
{
	const struct retention_rule *rule = retention_find(d->retention, buf_span(&d->category));
	const struct conf_keep *keep = &rule->history;
	bool has_number = keep->count > 0 && keep->count != CONF_UNLIMITED, is_at_end = true;
	struct job *j = NULL;

	d->has_history = true;
	if (keep->count == 0)
		j = look_for_ended(d, INT64_MAX, wall_ms);
	else if (keep->age_ms < wall_ms)
		j = look_for_ended(d, wall_ms - keep->age_ms, wall_ms);
	if (j == NULL && has_number)
		j = look_for_gone(d, wall_ms);
	if (j == NULL && has_number && d->is_thorough)
		j = look_for_many(d, keep->count, wall_ms, &is_at_end);
	d->is_in_category = j != NULL || !is_at_end;
	return j;
}

static struct job *
look_at_records(struct due *d, struct apply *a, int64_t wall_ms)
{
	const struct retention_rule *rule = retention_find(d->retention, buf_span(&d->category));
	int64_t n = 0, excess;
	struct keys k;

	d->is_in_category = rule->max_records != INT64_MAX &&
			    apply_count(a, buf_span(&d->category), &n, NULL) == OK &&
			    n > rule->max_records;
	if (!d->is_in_category)
		return NULL;
	excess = n - rule->max_records;
	keys_init(&k);
	sql_bind_span(d->st[ST_OLDEST], 1, buf_span(&d->category));
	sqlite3_bind_int64(
		d->st[ST_OLDEST], 2, excess < RECORDS_AT_ONCE ? excess : RECORDS_AT_ONCE);
	keys_add_rows(d, &k, ST_OLDEST);
	d->is_in_category = k.n > 0; /* else it cannot look */
	return deletes_of(d, &k, wall_ms);
}

static void
enter(struct due *d, enum phase phase, int64_t mono_ms)
{
	d->phase = phase;
	buf_reset(&d->category);
	d->is_in_category = false;
	if (phase == PHASE_HISTORY)
		d->has_history = retention_has_history(d->retention);
	if (phase != PHASE_NONE)
		return;
	d->is_thorough = d->has_uncounted = false;
	d->next_ms = mono_ms + WALK_EVERY_MS;
}

/** Records are looked at again, or for the first time. */
static void
look_at_uncounted(struct due *d, int64_t mono_ms)
{
	d->has_uncounted = true;
	if (d->phase == PHASE_RECORDS)
		enter(d, PHASE_RECORDS, mono_ms);
	else if (d->phase == PHASE_NONE)
		d->next_ms = mono_ms;
}

struct job *
due_walk(struct due *d, struct apply *a, int64_t wall_ms, int64_t mono_ms)
{
	struct job *j = NULL;

	if (apply_take_uncounted(a))
		look_at_uncounted(d, mono_ms);
	if (d->phase == PHASE_NONE && mono_ms >= due_wake_ms(d))
		enter(d, PHASE_HISTORY, mono_ms);
	for (unsigned i = 0; i < STEPS && j == NULL && d->phase != PHASE_NONE; i++) {
		if (d->is_in_category || next_category(d))
			j = d->phase == PHASE_HISTORY ? look_at_history(d, wall_ms)
						      : look_at_records(d, a, wall_ms);
		else
			enter(d,
				d->phase == PHASE_HISTORY && (d->is_thorough || d->has_uncounted)
					? PHASE_RECORDS
					: PHASE_NONE,
				mono_ms);
	}
	return j;
}

int64_t
due_wake_ms(const struct due *d)
{
	if (d->phase != PHASE_NONE)
		return 0;
	return d->has_history || d->is_thorough || d->has_uncounted ? d->next_ms : INT64_MAX;
}
