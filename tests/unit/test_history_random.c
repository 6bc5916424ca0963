/*
 * What history, retention and expiry promise, in a long random run with the time
 * moved: a model keeps every version there ever was, with those that may be gone
 * by now, and the store is compared with it after every step. SYSRT_SEED repeats
 * a run, SYSRT_LONG makes it long. long: on release
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/xalloc.h"
#include "daemon/store/maintain.h"
#include "daemon/store/migrate.h"
#include "daemon/store/read.h"
#include "daemon/store/sql.h"

#define NOW       INT64_C(1700000000000)
#define IDS       12
#define MINUTE    INT64_C(60000)
#define RETENTION (30 * MINUTE)

/** A version of a record. */
struct version {
	int64_t seq;
	int64_t began_at;
	int64_t ended_at;  /* INT64_MAX: it is the newest */
	int64_t ended_seq; /* INT64_MAX: the same */
	int64_t expires_at;
	bool is_deletion;
	bool is_lost;     /* the rules said that it goes */
	bool is_gone;     /* it goes, unless the record comes back before maintenance */
	bool is_out;      /* it is not in the store's history */
	bool may_be_lost; /* a deletion that is a version now may have taken its place */
};

/** An id's life. */
struct life {
	struct version *v;
	size_t n;
	int64_t forgotten_at; /* its newest is a deletion whose tombstone is forgotten since; 0 */
};

static char folder[64];
static sqlite3 *db;
static struct apply *apply;
static struct due *due;
static struct read *reads;
static struct maintain maintain;
static struct error error;
static int64_t now, mono, last_seq;
static struct life lives[IDS];
static struct conf_keep rule;
static int64_t max_records;

static struct version *
newest(size_t id)
{
	return lives[id].n > 0 ? &lives[id].v[lives[id].n - 1] : NULL;
}

static bool
is_there(size_t id)
{
	return newest(id) != NULL && !newest(id)->is_deletion;
}

/** A new newest version, whose seq is the next. */
static void
add_version(size_t id, bool is_deletion, int64_t expires_at)
{
	struct life *l = &lives[id];
	struct version *before = newest(id);

	last_seq++;
	for (size_t i = 0; i < l->n; i++)
		l->v[i].is_gone = false;
	if (before != NULL) {
		before->ended_at = now;
		before->ended_seq = last_seq;
		before->is_lost = rule.count == 0 || (before->is_deletion && before->is_lost);
	}
	l->v = xrealloc(l->v, l->n + 1, sizeof(*l->v));
	l->v[l->n++] = (struct version){
		.seq = last_seq,
		.began_at = now,
		.ended_at = INT64_MAX,
		.ended_seq = INT64_MAX,
		.expires_at = expires_at,
		.is_deletion = is_deletion,
	};
	l->forgotten_at = 0;
}

static size_t
records(void)
{
	size_t n = 0;

	for (size_t id = 0; id < IDS; id++)
		n += is_there(id);
	return n;
}

static size_t
oldest(void)
{
	size_t found = IDS;

	for (size_t id = 0; id < IDS; id++)
		if (is_there(id) && (found == IDS || newest(id)->seq < newest(found)->seq))
			found = id;
	return found;
}

/** Marks what the rules do not keep as of now. */
static void
lose(void)
{
	for (size_t id = 0; id < IDS; id++) {
		struct life *l = &lives[id];
		bool is_gone = l->forgotten_at != 0 && rule.count != INT64_MAX &&
			       l->forgotten_at < now - DUE_GONE_MS;
		int64_t kept = 0, marker = l->forgotten_at != 0;

		for (size_t i = l->n; i-- > 0;) {
			struct version *v = &l->v[i];
			int64_t ended_at = v->ended_at;

			if (ended_at == INT64_MAX && l->forgotten_at == 0)
				continue; /* the newest: in records or tombstones */
			if (ended_at == INT64_MAX)
				ended_at = l->forgotten_at;
			v->is_gone = is_gone;
			v->is_lost |= rule.count == 0 ||
				      (rule.age_ms < now && ended_at < now - rule.age_ms) ||
				      (marker == 0 && kept >= rule.count);
			v->may_be_lost |= kept >= rule.count;
			kept++;
		}
	}
}

static struct job *
new_job(enum op_kind kind, size_t id)
{
	struct job *j = job_new(JOB_WRITE, &(struct origin){.kind = ORIGIN_NONE}, 1, 64);
	struct op *op = &j->ops[0];
	char text[32];

	op->kind = kind;
	op->category = SPAN("c");
	snprintf(text, sizeof(text), "id%zu", id);
	op->id = op->name = job_keep(j, span_of(text));
	snprintf(text, sizeof(text), "%lld", (long long)last_seq + 1);
	op->data = job_keep(j, span_of(text)); /* so data tells the seq */
	op->now_ms = now;
	op->keep = rule.count;
	op->max_records = max_records == INT64_MAX ? 0 : max_records;
	return j;
}

static void
apply_all(struct job *j)
{
	for (size_t i = 0; i < j->ops_n; i++)
		ck_assert_msg(apply_op(apply, &j->ops[i], &error) == OK, "%s", error.text);
}

static void
put(size_t id)
{
	struct job *j = new_job(OP_PUT, id);
	bool is_new = !is_there(id);
	size_t leaves;

	if (random() % 4 == 0)
		j->ops[0].expires_at = now + 1 + random() % (10 * MINUTE);
	apply_all(j);
	add_version(id, false, j->ops[0].expires_at);
	ck_assert_int_eq(j->ops[0].seq, last_seq);
	ck_assert_int_eq(j->ops[0].created, is_new);
	ck_assert_int_eq(j->ops[0].evicted != NULL, is_new && (int64_t)records() > max_records);
	if (j->ops[0].evicted != NULL) {
		leaves = oldest();
		add_version(leaves, true, 0);
		ck_assert_int_eq(j->ops[0].evicted->seq, last_seq);
	}
	job_free(j);
}

static void delete (size_t id)
{
	struct job *j = new_job(OP_DELETE, id);

	apply_all(j);
	if (is_there(id))
		add_version(id, true, 0);
	ck_assert_int_eq(j->ops[0].seq, j->ops[0].change != NULL ? last_seq : 0);
	job_free(j);
}

static size_t
id_of(struct span text)
{
	char digits[16] = "";

	ck_assert(text.n > 2 && text.n - 2 < sizeof(digits));
	memcpy(digits, text.p + 2, text.n - 2);
	return (size_t)atoi(digits);
}

/** Everything that maintenance finds, with what the model expects of each. */
static void
look_after(void)
{
	struct job *j;

	mono += MINUTE + 1;
	now += MINUTE + 1;
	for (;;) {
		j = maintain_next(&maintain, apply, now, mono);
		if (j == NULL && maintain_wake_us(&maintain, apply, now, mono * 1000) > mono * 1000)
			break;
		if (j == NULL)
			continue;
		apply_all(j);
		for (size_t i = 0; i < j->ops_n && j->ops[i].change != NULL; i++) {
			size_t id = id_of(j->ops[i].id);

			if (maintain.work == MAINTAIN_EXPIRE)
				ck_assert(newest(id)->expires_at != 0 &&
					  newest(id)->expires_at <= now);
			else
				ck_assert_uint_eq(id, oldest());
			add_version(id, true, 0);
			ck_assert_int_eq(j->ops[i].seq, last_seq);
		}
		maintain_done(&maintain, j, OK, mono);
		job_free(j);
	}
}

/** True if the version is in the table, as the model has it. */
static bool
is_kept(size_t id, const struct version *v)
{
	sqlite3_stmt *st;
	char name[32], data[32];
	bool found;

	snprintf(name, sizeof(name), "id%zu", id);
	snprintf(data, sizeof(data), "%lld", (long long)v->seq);
	ck_assert_int_eq(sqlite3_prepare_v2(db,
				 "SELECT op, id, data, updated_at, ended_at, ended_seq "
				 "FROM history WHERE seq = ?1",
				 -1, &st, NULL),
		SQLITE_OK);
	sqlite3_bind_int64(st, 1, v->seq);
	found = sqlite3_step(st) == SQLITE_ROW;
	if (found) {
		ck_assert_int_eq(sqlite3_column_int(st, 0), !v->is_deletion            ? 0
							    : v->ended_at == INT64_MAX ? 2
										       : 1);
		ck_assert(span_is(sql_span(st, 1), name));
		ck_assert(v->is_deletion || span_is(sql_span(st, 2), data));
		ck_assert_int_eq(sqlite3_column_int64(st, 3), v->began_at);
		if (v->ended_at != INT64_MAX) {
			ck_assert_int_eq(sqlite3_column_int64(st, 4), v->ended_at);
			ck_assert_int_eq(sqlite3_column_int64(st, 5), v->ended_seq);
		}
	}
	sqlite3_finalize(st);
	return found;
}

static int64_t
number(const char *sql)
{
	int64_t n = -1;

	ck_assert_msg(sql_query_int(db, sql, -1, &n, &error) == OK, "%s", error.text);
	return n;
}

/** A tombstone may go when it is old enough, and is then in the history or nowhere. */
static void
check_deletion(size_t id, bool is_after_maintenance)
{
	struct life *l = &lives[id];
	struct version *v = newest(id);
	char sql[96];
	bool is_old = v->began_at < now - RETENTION;

	if (l->forgotten_at != 0)
		return;
	snprintf(sql, sizeof(sql), "SELECT count(*) FROM tombstones WHERE seq = %lld",
		(long long)v->seq);
	if (number(sql) == 1) {
		ck_assert(!is_old || !is_after_maintenance);
		return;
	}
	ck_assert(is_old && is_after_maintenance);
	l->forgotten_at = now;
	v->is_lost = !is_kept(id, v);
	for (size_t i = 0; i + 1 < l->n; i++) /* it stays as long as some version does */
		ck_assert(!v->is_lost || l->v[i].is_lost || l->v[i].may_be_lost);
}

/** Drops what is gone for good, so that a long run stays quick. */
static void
forget(struct life *l)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++)
		if (i + 1 == l->n || !l->v[i].is_out)
			l->v[n++] = l->v[i];
	l->n = n;
}

/** A version that is no tombstone. */
static void
check_version(size_t id, struct version *v, bool is_in, bool is_after_maintenance)
{
	v->is_out = !is_in;
	v->is_lost |= v->is_gone && v->is_out; /* for good, whether or not the record comes back */
	ck_assert_msg(is_in || v->is_lost || v->may_be_lost, "id%zu seq %lld is not kept", id,
		(long long)v->seq);
	ck_assert_msg(!is_in || !(v->is_lost || v->is_gone) || !is_after_maintenance,
		"id%zu seq %lld is still there", id, (long long)v->seq);
}

/** The store against the model. After maintenance nothing may be there that need not be. */
static void
compare(bool is_after_maintenance)
{
	int64_t kept = 0;

	lose();
	for (size_t id = 0; id < IDS; id++) {
		struct life *l = &lives[id];
		size_t in_history;

		if (l->n > 0 && newest(id)->is_deletion)
			check_deletion(id, is_after_maintenance);
		in_history = l->n > 0 && l->forgotten_at == 0 ? l->n - 1 : l->n;
		for (size_t i = 0; i < in_history; i++) {
			bool is_in = is_kept(id, &l->v[i]);

			check_version(id, &l->v[i], is_in, is_after_maintenance);
			kept += is_in;
		}
		if (is_after_maintenance)
			forget(l);
	}
	ck_assert_int_eq(number("SELECT count(*) FROM history"), kept);
	ck_assert_int_eq(number("SELECT count(*) FROM records"), (int64_t)records());
	for (size_t id = 0; id < IDS; id++) {
		char sql[96];

		if (!is_there(id))
			continue;
		snprintf(sql, sizeof(sql), "SELECT count(*) FROM records WHERE seq = %lld",
			(long long)newest(id)->seq);
		ck_assert_int_eq(number(sql), 1);
		ck_assert(!is_after_maintenance || newest(id)->expires_at == 0 ||
			  newest(id)->expires_at > now);
	}
	ck_assert(!is_after_maintenance || (int64_t)records() <= max_records);
}

/** Which version was there at a seq; NULL: none, or one that is gone. */
static const struct version *
version_at(size_t id, int64_t seq)
{
	for (size_t i = lives[id].n; i-- > 0;)
		if (lives[id].v[i].seq <= seq && lives[id].v[i].ended_seq > seq)
			return &lives[id].v[i];
	return NULL;
}

/** A get of the version at a random seq: the right one, or none if it may be gone. */
static void
get_one(void)
{
	size_t id = (size_t)random() % IDS;
	int64_t seq = random() % (last_seq + 2);
	const struct version *v = version_at(id, seq);
	struct job *j = job_new(JOB_GET, &(struct origin){.kind = ORIGIN_NONE}, 0, 64);
	char text[64];

	snprintf(text, sizeof(text), "id%zu", id);
	j->read.category = SPAN("c");
	j->read.id = job_keep(j, span_of(text));
	j->read.version = VERSION_SEQ;
	j->read.number = seq;
	ck_assert_int_eq(read_begin(reads, &error), OK);
	read_run(reads, j);
	read_end(reads);
	if (j->result == OK) {
		ck_assert(v != NULL && !v->is_deletion);
		snprintf(text, sizeof(text), "\"data\":%lld,", (long long)v->seq);
		ck_assert(memmem(j->reply.p, j->reply.n, text, strlen(text)) != NULL);
	} else {
		ck_assert_int_eq(j->result, ERR_NOT_FOUND);
		ck_assert(v == NULL || v->is_deletion || v->is_lost || v->may_be_lost);
	}
	job_free(j);
}

static void
set_rules(void)
{
	static const struct conf_keep keeps[] = {
		{0,         INT64_MAX   },
		{1,         INT64_MAX   },
		{5,         INT64_MAX   },
		{INT64_MAX, INT64_MAX   },
		{INT64_MAX, 7 * MINUTE  },
		{INT64_MAX, 100 * MINUTE},
	};
	static const int64_t maxima[] = {INT64_MAX, 3, 8};
	struct conf_category c = {.named = {.pattern = {.text = SPAN("c")}}};
	struct name_pattern *v[] = {&c.named.pattern};
	struct conf conf = {
		.categories = {.v = v, .n = 1}
        };

	/* What was lost under the old rules goes first: the new ones may keep it. */
	look_after();
	compare(true);
	rule = keeps[(size_t)random() % (sizeof(keeps) / sizeof(keeps[0]))];
	max_records = maxima[random() % 3];
	c.history = rule;
	c.max_records = max_records;
	due_set_retention(due, retention_new(&conf));
	look_after();
	compare(true);
}

static void
step(void)
{
	size_t id = (size_t)random() % IDS;
	long what = random() % 100;

	now += random() % 2000;
	mono = now - NOW;
	if (what < 60)
		put(id);
	else if (what < 80)
		delete (id);
	else if (what < 97)
		get_one();
	else if (what < 99 || random() % 5 > 0)
		now += random() % (20 * MINUTE);
	else
		set_rules();
	mono = now - NOW;
	if (random() % 10 == 0) {
		look_after();
		compare(true);
	} else {
		compare(false);
	}
}

START_TEST(the_store_does_as_the_model)
{
	const char *seed = getenv("SYSRT_SEED");
	unsigned s = seed != NULL ? (unsigned)atoi(seed) : (unsigned)time(NULL) + (unsigned)_i;
	int steps = getenv("SYSRT_LONG") != NULL ? 20000 : 300;

	printf("SYSRT_SEED=%u\n", s);
	fflush(stdout);
	srandom(s);
	rule = (struct conf_keep){0, INT64_MAX};
	max_records = INT64_MAX;
	set_rules();
	for (int i = 0; i < steps; i++)
		step();
}
END_TEST

static void
setup(void)
{
	struct conf conf = {.store = {.cache_bytes = 1 << 20}};
	char path[96];

	snprintf(folder, sizeof(folder), "/tmp/test_history.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/sysrt.db", folder);
	error = ERROR_NONE;
	now = NOW;
	mono = last_seq = 0;
	ck_assert_msg(sql_open(path, SQL_WRITER, &conf, &db, &error) == OK, "%s", error.text);
	ck_assert_msg(migrate_to(db, migrate_newest(), &error) == OK, "%s", error.text);
	ck_assert_msg(apply_new(db, &apply, &error) == OK, "%s", error.text);
	ck_assert_msg(due_new(db, &due, &error) == OK, "%s", error.text);
	ck_assert_msg(read_new(db, "epoch", &reads, &error) == OK, "%s", error.text);
	maintain = (struct maintain){.retention_ms = RETENTION, .tombstone_max = INT64_MAX};
	maintain_init(&maintain, due, now, mono);
}

static void
teardown(void)
{
	char command[128];

	for (size_t id = 0; id < IDS; id++)
		free(lives[id].v);
	memset(lives, 0, sizeof(lives));
	read_free(reads);
	due_free(due);
	apply_free(apply);
	sql_close(db);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	ck_assert_int_eq(system(command), 0);
}

int
main(void)
{
	Suite *suite = suite_create("history_random");
	TCase *tc = tcase_create("history_random");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, getenv("SYSRT_LONG") != NULL ? 1200 : 60);
	tcase_add_loop_test(tc, the_store_does_as_the_model, 0, 2);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0;
}
