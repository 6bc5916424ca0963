/*
 * Deleting by a condition: its bounds, where it goes on, and in a random run
 * against a plain model: which records it deletes, in which order, what is told and
 * what is kept of them. SYSRT_SEED repeats a run, SYSRT_LONG makes it long.
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/xalloc.h"
#include "daemon/store/apply.h"
#include "daemon/store/migrate.h"
#include "daemon/store/sql.h"

#define NOW      INT64_C(1700000000000)
#define MIB      (1 << 20)
#define IDS      40
#define NUMBERS  10
#define LIMITS   6
#define VERSIONS 3 /* that are kept */

/** A record of the model, in the category "c". */
struct known {
	int64_t seq; /* 0: there is none */
	int number;
};

static char folder[64];
static sqlite3 *db;
static struct apply *apply;
static struct error error;
static struct known known[IDS];

static void
setup(void)
{
	static struct conf conf = {.store = {.cache_bytes = MIB}};
	char path[96];

	snprintf(folder, sizeof(folder), "/tmp/test_sweep.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/sysrt.db", folder);
	error = ERROR_NONE;
	memset(known, 0, sizeof(known));
	ck_assert_msg(sql_open(path, SQL_WRITER, &conf, &db, &error) == OK, "%s", error.text);
	ck_assert_msg(migrate_to(db, migrate_newest(), &error) == OK, "%s", error.text);
	ck_assert_msg(apply_new(db, &apply, &error) == OK, "%s", error.text);
	ck_assert_int_eq(sql_exec(db, "BEGIN", &error), OK);
}

static void
teardown(void)
{
	char command[128];

	sql_exec(db, "COMMIT", &error);
	apply_free(apply);
	sql_close(db);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	ck_assert_int_eq(system(command), 0);
}

static int64_t
query(const char *sql)
{
	int64_t n = -1;

	ck_assert_msg(sql_query_int(db, sql, -1, &n, &error) == OK, "%s", error.text);
	return n;
}

static struct op
new_op(enum op_kind kind, const char *category, const char *id)
{
	return (struct op){
		.kind = kind,
		.category = span_of(category),
		.id = span_of(id),
		.name = span_of(id),
		.if_seq = -1,
		.now_ms = NOW,
	};
}

/** The seq of a put or a delete. */
static int64_t
run(struct op *op)
{
	ck_assert_msg(apply_op(apply, op, &error) == OK, "%s", error.text);
	change_unref(op->change);
	return op->seq;
}

static int64_t
put(const char *category, const char *id, struct span data)
{
	struct op op = new_op(OP_PUT, category, id);

	op.data = data;
	op.keep = VERSIONS;
	return run(&op);
}

static void
put_numbers(const char *category, unsigned from, unsigned to)
{
	char id[32], data[32];

	for (unsigned i = from; i < to; i++) {
		snprintf(id, sizeof(id), "i%u", i);
		snprintf(data, sizeof(data), "{\"n\":%u}", i);
		put(category, id, span_of(data));
	}
}

/** A deletion of up to `limit` records of "c", as a job. */
static struct job *
new_sweep(const char *condition, int64_t since, unsigned limit)
{
	struct job *j = job_new(JOB_WRITE, &(struct origin){.kind = ORIGIN_NONE}, 1, 0);
	struct json_value value;
	struct json_fault fault;
	struct where *where = NULL;

	ck_assert_int_eq(json_check(span_of(condition), JSON_DEPTH_MAX, &value, &fault), OK);
	ck_assert_msg(where_new(value, &where, &error) == OK, "%s", error.text);
	j->ops[0] = new_op(OP_DELETE_WHERE, "c", "");
	j->ops[0].limit = limit;
	j->ops[0].keep = VERSIONS;
	j->ops[0].sweep = sweep_new(where, since);
	free(where);
	return j;
}

/** What it did. */
static const struct sweep *
apply_it(struct job *j)
{
	ck_assert_msg(apply_op(apply, &j->ops[0], &error) == OK, "%s", error.text);
	return j->ops[0].sweep;
}

/** Deletes; where it goes on. */
static int64_t
delete_where(const char *condition, int64_t since, unsigned limit, size_t wanted_n)
{
	struct job *j = new_sweep(condition, since, limit);
	const struct sweep *s = apply_it(j);
	int64_t end = s->end;

	ck_assert_uint_eq(s->n, wanted_n);
	ck_assert_int_eq(j->ops[0].seq, wanted_n > 0 ? apply_last_seq(apply) : 0);
	job_free(j);
	return end;
}

START_TEST(a_limit_ends_it)
{
	int64_t since;

	put_numbers("c", 1, 11);
	put_numbers("other", 1, 11);
	since = delete_where("{\"/n\":{\">\":4}}", 0, 2, 2);
	ck_assert_int_eq(since, 6);
	since = delete_where("{\"/n\":{\">\":4}}", since, 3, 3);
	ck_assert_int_eq(since, 9);
	ck_assert_int_eq(delete_where("{\"/n\":{\">\":4}}", since, 1, 1), 0); /* it was the last */
	ck_assert_int_eq(delete_where("{\"/n\":{\">\":4}}", 0, 1000, 0), 0);
	ck_assert_int_eq(query("SELECT count(*) FROM records WHERE category = 'c'"), 4);
	ck_assert_int_eq(query("SELECT count(*) FROM records WHERE category = 'other'"), 10);
	ck_assert_int_eq(query("SELECT count(*) FROM tombstones"), 6);
	ck_assert_int_eq(delete_where("{}", 0, 1000, 4), 0);
	ck_assert_int_eq(query("SELECT count(*) FROM records"), 10);
}
END_TEST

START_TEST(so_many_records_are_looked_at)
{
	put_numbers("c", 1, SWEEP_ROWS + 2);
	ck_assert_int_eq(delete_where("{\"/n\":10001}", 0, 1000, 0), SWEEP_ROWS);
	ck_assert_int_eq(delete_where("{\"/n\":10001}", SWEEP_ROWS, 1000, 1), 0);
	ck_assert_int_eq(delete_where("{\"/n\":10001}", 0, 1000, 0), 0);
}
END_TEST

START_TEST(so_many_bytes_are_looked_at)
{
	char *text = xcalloc(1, MIB + 1);
	char id[] = "a";

	memset(text, 'x', MIB);
	text[0] = text[MIB - 1] = '"';
	for (; id[0] <= 'q'; id[0]++)
		put("c", id, span_of(text));
	ck_assert_int_eq(delete_where("{\"\":1}", 0, 1000, 0), 16);
	ck_assert_int_eq(delete_where("{}", 0, 1000, 16), 16);
	ck_assert_int_eq(delete_where("{}", 16, 1000, 1), 0);
	free(text);
}
END_TEST

/* As after a batch that failed: the same job once more. */
START_TEST(a_rollback_takes_all_of_it_back)
{
	struct job *j = new_sweep("{\"/n\":{\"<\":5}}", 0, 3);

	put_numbers("c", 1, 11);
	ck_assert_int_eq(sql_exec(db, "COMMIT; BEGIN", &error), OK);
	apply_committed(apply);
	for (int i = 0; i < 2; i++) {
		const struct sweep *s = apply_it(j);

		ck_assert_uint_eq(s->n, 3);
		ck_assert_int_eq(s->end, 3);
		ck_assert_int_eq(s->changes[2]->seq, 13);
		ck_assert_int_eq(j->ops[0].seq, 13);
		if (i == 1)
			break;
		ck_assert_int_eq(sql_exec(db, "ROLLBACK; BEGIN", &error), OK);
		apply_rolled_back(apply);
		job_drop_results(j);
		ck_assert_int_eq(j->ops[0].seq, 0);
	}
	job_free(j);
	ck_assert_int_eq(query("SELECT count(*) FROM records"), 7);
}
END_TEST

/** The id of the first record of the model above this seq; IDS: there is none. */
static size_t
next_above(int64_t seq)
{
	size_t found = IDS;

	for (size_t i = 0; i < IDS; i++)
		if (known[i].seq > seq && (found == IDS || known[i].seq < known[found].seq))
			found = i;
	return found;
}

static void
write_one(size_t id)
{
	char text[16], data[16];
	struct op op;

	snprintf(text, sizeof(text), "%zu", id);
	if (rand() % 4 == 0) {
		op = new_op(OP_DELETE, "c", text);
		op.keep = VERSIONS;
		run(&op);
		known[id].seq = 0;
		return;
	}
	known[id].number = rand() % NUMBERS;
	snprintf(data, sizeof(data), "[%d]", known[id].number);
	known[id].seq = put("c", text, span_of(data));
}

/** The change is this record's, and what it was is kept. */
static void
check_deletion(const struct change *c, size_t id, int64_t seq)
{
	char text[256];

	snprintf(text, sizeof(text), "%zu", id);
	ck_assert_int_eq(c->op, CHANGE_DELETE);
	ck_assert_msg(span_is(c->id, text), "%.*s instead of %s", SPAN_FMT(c->id), text);
	ck_assert_int_eq(c->seq, seq);
	snprintf(text, sizeof(text),
		"SELECT (SELECT data FROM history WHERE category = 'c' AND id = '%zu' "
		"ORDER BY n DESC LIMIT 1) = '[%d]' AND EXISTS (SELECT 1 FROM tombstones "
		"WHERE category = 'c' AND id = '%zu' AND seq = %lld)",
		id, known[id].number, id, (long long)seq);
	ck_assert_int_eq(query(text), 1);
}

/** Deletes what is below `below`, from `since` on, as the model says; where it goes on. */
static int64_t
sweep_some(int below, int64_t since)
{
	unsigned limit = 1 + (unsigned)rand() % LIMITS;
	int64_t last_seq = apply_last_seq(apply), end = since;
	char condition[64];
	const struct sweep *s;
	struct job *j;
	size_t n = 0, id;

	snprintf(condition, sizeof(condition), "{\"/0\":{\"<\":%d}}", below);
	j = new_sweep(condition, since, limit);
	s = apply_it(j);
	for (; n < limit && (id = next_above(end)) < IDS; end = known[id].seq) {
		if (known[id].number >= below)
			continue;
		ck_assert_uint_lt(n, s->n);
		check_deletion(s->changes[n], id, last_seq + 1 + (int64_t)n);
		n++;
	}
	ck_assert_uint_eq(s->n, n);
	ck_assert_int_eq(s->end, next_above(end) < IDS ? end : 0);
	for (size_t i = 0; i < IDS; i++)
		if (known[i].seq > since && known[i].seq <= end && known[i].number < below)
			known[i].seq = 0;
	end = s->end;
	job_free(j);
	for (size_t i = 0; end == 0 && i < IDS; i++) /* although some were written meanwhile */
		ck_assert(known[i].seq == 0 || known[i].number >= below);
	return end;
}

static void
check_model(void)
{
	int64_t n = 0;

	for (size_t i = 0; i < IDS; i++) {
		char text[128];

		snprintf(text, sizeof(text),
			"SELECT seq FROM records WHERE category = 'c' AND id = '%zu'", i);
		ck_assert_int_eq(query(text), known[i].seq > 0 ? known[i].seq : -1);
		n += known[i].seq > 0;
	}
	ck_assert_int_eq(query("SELECT count(*) FROM records"), n);
}

START_TEST(a_random_run_does_as_the_model_says)
{
	const char *seed_text = getenv("SYSRT_SEED");
	unsigned seed = seed_text != NULL ? (unsigned)atoi(seed_text) : (unsigned)time(NULL);
	int rounds = getenv("SYSRT_LONG") != NULL ? 5000 : 60;

	printf("SYSRT_SEED=%u\n", seed);
	srand(seed);
	for (int round = 0; round < rounds; round++) {
		int below = rand() % (NUMBERS + 1);
		int64_t since = 0;

		for (int i = 0; i < 30; i++)
			write_one((size_t)rand() % IDS);
		do {
			since = sweep_some(below, since);
			for (int i = rand() % 4; i > 0; i--)
				write_one((size_t)rand() % IDS);
		} while (since != 0 && rand() % 50 != 0);
		check_model();
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("sweep");
	TCase *tc = tcase_create("sweep");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, getenv("SYSRT_LONG") != NULL ? 600 : 60);
	tcase_add_test(tc, a_limit_ends_it);
	tcase_add_test(tc, so_many_records_are_looked_at);
	tcase_add_test(tc, so_many_bytes_are_looked_at);
	tcase_add_test(tc, a_rollback_takes_all_of_it_back);
	tcase_add_test(tc, a_random_run_does_as_the_model_says);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0;
}
