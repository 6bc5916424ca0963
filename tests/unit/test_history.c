/*
 * What categories keep: earlier versions, how many records; and what maintenance
 * finds to be too much. Without threads, on real tables.
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"
#include "daemon/store/apply.h"
#include "daemon/store/due.h"
#include "daemon/store/migrate.h"
#include "daemon/store/sql.h"

#define NOW INT64_C(1700000000000)

static char folder[64];
static sqlite3 *db;
static struct apply *apply;
static struct due *due;
static struct error error;
static int64_t now, mono;
static int64_t keep, max_records; /* of the puts and deletes to come */

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
	mono = keep = max_records = 0;
	ck_assert_msg(sql_open(path, SQL_WRITER, &conf, &db, &error) == OK, "%s", error.text);
	ck_assert_msg(migrate_to(db, migrate_newest(), &error) == OK, "%s", error.text);
	ck_assert_msg(apply_new(db, &apply, &error) == OK, "%s", error.text);
	ck_assert_msg(due_new(db, &due, &error) == OK, "%s", error.text);
}

static void
teardown(void)
{
	char command[128];

	due_free(due);
	apply_free(apply);
	sql_close(db);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	ck_assert_int_eq(system(command), 0);
}

/** Applies an operation on category "c" with what is kept now; the job, for its results. */
static struct job *
apply_one(enum op_kind kind, const char *id, const char *data)
{
	struct job *j = job_new(JOB_WRITE, &(struct origin){.kind = ORIGIN_NONE}, 1, 0);
	struct op *op = &j->ops[0];

	op->kind = kind;
	op->category = SPAN("c");
	op->id = op->name = span_of(id);
	op->data = span_of(data);
	op->now_ms = now;
	op->keep = keep;
	op->max_records = max_records;
	op->limit = 1000;
	ck_assert_msg(apply_op(apply, op, &error) == OK, "%s", error.text);
	return j;
}

static void
put(const char *id, const char *data)
{
	job_free(apply_one(OP_PUT, id, data));
}

static void
del(const char *id)
{
	job_free(apply_one(OP_DELETE, id, ""));
}

/** Forgets all tombstones. */
static void
prune(void)
{
	keep = 0;
	job_free(apply_one(OP_PRUNE, "", ""));
}

static int64_t
number(const char *sql)
{
	int64_t n = -1;

	ck_assert_msg(sql_query_int(db, sql, -1, &n, &error) == OK, "%s", error.text);
	return n;
}

/** The one value of the query, as text. */
static void
expect(const char *sql, const char *text)
{
	sqlite3_stmt *st;

	ck_assert_int_eq(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_step(st), SQLITE_ROW);
	ck_assert_str_eq((const char *)sqlite3_column_text(st, 0), text);
	sqlite3_finalize(st);
}

/* The versions in their order: op:seq, for a put its data. */
#define VERSIONS                                                                                   \
	"SELECT coalesce(group_concat(op || ':' || seq || coalesce('=' || data, ''), ' '), '') "   \
	"FROM (SELECT * FROM history ORDER BY category, id, n)"

/** Rules for "c" and, other than that, none. */
static void
set_rules(struct conf_keep history, int64_t max)
{
	struct conf_category c = {
		.named = {.pattern = {.text = SPAN("c")}},
		.history = history,
		.max_records = max,
	};
	struct name_pattern *v[] = {&c.named.pattern};
	struct conf conf = {
		.categories = {.v = v, .n = 1}
        };

	due_set_retention(due, retention_new(&conf));
}

/** Runs a whole walk; how many operations it made. */
static size_t
walk(void)
{
	struct job *j;
	size_t n = 0;

	mono += 60000;
	do {
		j = due_walk(due, apply, now, mono);
		for (size_t i = 0; j != NULL && i < j->ops_n; i++, n++)
			ck_assert_msg(apply_op(apply, &j->ops[i], &error) == OK, "%s", error.text);
		job_free(j);
	} while (j != NULL || due_wake_ms(due) == 0);
	return n;
}

START_TEST(versions_are_kept_and_the_oldest_go)
{
	put("a", "1");
	put("a", "2"); /* nothing is kept yet */
	keep = 3;
	put("a", "3");
	put("b", "1");
	now += 5;
	put("a", "4");
	expect(VERSIONS, "0:2=2 0:3=3");
	ck_assert_int_eq(number("SELECT ended_at - updated_at FROM history WHERE seq = 3"), 5);
	ck_assert_int_eq(number("SELECT ended_seq FROM history WHERE seq = 3"), 5);
	ck_assert_int_eq(number("SELECT rev FROM history WHERE seq = 3"), 3);
	put("a", "5");
	put("a", "6");
	expect(VERSIONS, "0:3=3 0:5=4 0:6=5");
	keep = 1;
	put("a", "7");
	expect(VERSIONS, "0:7=6");
	keep = INT64_MAX;
	for (int i = 0; i < 50; i++)
		put("a", "8");
	ck_assert_int_eq(number("SELECT count(*) FROM history"), 51);
}
END_TEST

START_TEST(a_deletion_is_a_version)
{
	keep = 10;
	put("a", "1");
	del("a");
	expect(VERSIONS, "0:1=1");
	now += 7;
	put("a", "2");
	expect(VERSIONS, "0:1=1 1:2");
	ck_assert_int_eq(number("SELECT ended_at - updated_at FROM history WHERE op = 1"), 7);
	ck_assert_int_eq(number("SELECT ended_seq FROM history WHERE op = 1"), 3);
	del("x"); /* which is not there */
	ck_assert_int_eq(number("SELECT count(*) FROM history"), 2);
}
END_TEST

START_TEST(a_deletion_that_is_pruned_stays_while_there_are_versions)
{
	keep = 10;
	put("a", "1");
	del("a");
	keep = 0;
	put("plain", "1");
	del("plain");
	prune();
	ck_assert_int_eq(number("SELECT count(*) FROM tombstones"), 0);
	expect(VERSIONS, "0:1=1 2:2");
	keep = 10;
	now += 3;
	put("a", "2");
	expect(VERSIONS, "0:1=1 1:2");
	ck_assert_int_eq(number("SELECT ended_seq FROM history WHERE seq = 2"), 5);
	ck_assert_int_eq(number("SELECT ended_at FROM history WHERE seq = 2"), now);
}
END_TEST

START_TEST(the_walk_drops_versions_by_age)
{
	set_rules((struct conf_keep){INT64_MAX, 1000}, INT64_MAX);
	keep = INT64_MAX;
	put("a", "1");
	put("a", "2");
	now += 500;
	put("a", "3");
	put("b", "1");
	del("b");
	now += 501; /* 1 ended 1001 ago, 2 ended 501 ago */
	ck_assert_uint_eq(walk(), 1);
	expect(VERSIONS, "0:2=2 0:4=1");
	now += 499;
	ck_assert_uint_eq(walk(), 0);
	now += 1;
	ck_assert_uint_eq(walk(), 1);
	expect(VERSIONS, "");
	ck_assert_int_eq(number("SELECT count(*) FROM records"), 1);
}
END_TEST

START_TEST(the_walk_drops_what_is_too_much_after_a_change)
{
	char id[24];

	keep = INT64_MAX;
	for (int i = 0; i < 200; i++) {
		snprintf(id, sizeof(id), "%d", i);
		for (int k = 0; k < 10; k++)
			put(id, "1");
	}
	for (int k = 0; k < 2500; k++)
		put("many", "1");
	set_rules((struct conf_keep){5, INT64_MAX}, INT64_MAX);
	ck_assert_uint_gt(walk(), 200);
	ck_assert_int_eq(number("SELECT count(*) FROM history"), 201 * 5);
	ck_assert_int_eq(number("SELECT count(*) FROM (SELECT max(n) - min(n) AS d FROM history "
				"GROUP BY id) WHERE d <> 4"),
		0);
	ck_assert_uint_eq(walk(), 0);
	set_rules((struct conf_keep){0, INT64_MAX}, INT64_MAX);
	walk();
	ck_assert_int_eq(number("SELECT count(*) FROM history"), 0);
}
END_TEST

START_TEST(the_versions_of_a_record_that_is_gone_go_later)
{
	set_rules((struct conf_keep){5, INT64_MAX}, INT64_MAX);
	keep = 5;
	put("a", "1");
	put("a", "2");
	del("a");
	put("b", "1");
	put("b", "2");
	prune();
	ck_assert_uint_eq(walk(), 0);
	expect(VERSIONS, "0:1=1 0:2=2 2:3 0:4=1");
	now += DUE_GONE_MS + 1;
	ck_assert_uint_eq(walk(), 1);
	expect(VERSIONS, "0:4=1");
	ck_assert_int_eq(number("SELECT value FROM meta WHERE key = 'forgotten_to'"), 3);
	/* One that came back is not gone. */
	keep = 5;
	put("c", "1");
	del("c");
	prune();
	keep = 5;
	put("c", "2");
	now += 2 * DUE_GONE_MS;
	ck_assert_uint_eq(walk(), 0);
	expect(VERSIONS, "0:4=1 0:6=1 1:7");
}
END_TEST

START_TEST(a_full_category_sends_the_oldest_away)
{
	struct job *j;

	keep = 1;
	max_records = 3;
	put("a", "1");
	put("b", "1");
	put("c", "1");
	put("a", "2"); /* a is the newest now */
	j = apply_one(OP_PUT, "d", "1");
	ck_assert_ptr_nonnull(j->ops[0].evicted);
	ck_assert_int_eq(j->ops[0].evicted->op, CHANGE_DELETE);
	ck_assert(span_is(j->ops[0].evicted->id, "b"));
	ck_assert_int_eq(j->ops[0].change->seq, 5);
	ck_assert_int_eq(j->ops[0].evicted->seq, 6);
	job_free(j);
	expect("SELECT group_concat(id) FROM (SELECT id FROM records ORDER BY seq)", "c,a,d");
	expect("SELECT id FROM tombstones", "b");
	ck_assert_int_eq(number("SELECT count(*) FROM history WHERE id = 'b'"), 1);
	del("c");
	j = apply_one(OP_PUT, "e", "1");
	ck_assert_ptr_null(j->ops[0].evicted);
	job_free(j);
	put("f", "1");
	expect("SELECT group_concat(id) FROM (SELECT id FROM records ORDER BY seq)", "d,e,f");
	ck_assert_int_eq(apply_evicted(apply), 2);
}
END_TEST

START_TEST(what_is_taken_back_is_not_counted)
{
	struct apply_mark mark;

	max_records = 3;
	put("a", "1");
	put("b", "1");
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(sql_exec(db, "SAVEPOINT s", &error), OK);
		mark = apply_mark(apply);
		put("x", "1");
		put("y", "1");
		del("b");
		ck_assert_int_eq(sql_exec(db, "ROLLBACK TO s; RELEASE s", &error), OK);
		apply_return(apply, mark);
		/* The second time the count is told inside of what is taken back. */
		if (i == 0)
			ck_assert_int_eq(apply_reload(apply, &error), OK);
	}
	put("c", "1");
	ck_assert_int_eq(number("SELECT count(*) FROM records"), 3);
	put("d", "1");
	expect("SELECT group_concat(id) FROM (SELECT id FROM records ORDER BY seq)", "b,c,d");
	apply_committed(apply);
}
END_TEST

START_TEST(the_walk_empties_a_category_that_is_too_full)
{
	char id[24];

	for (int i = 0; i < 600; i++) {
		snprintf(id, sizeof(id), "%d", i);
		put(id, "1");
	}
	put("0", "2");
	set_rules((struct conf_keep){1, INT64_MAX}, 10);
	ck_assert_uint_eq(walk(), 590);
	ck_assert_int_eq(number("SELECT count(*) FROM records"), 10);
	ck_assert_int_eq(number("SELECT min(seq) FROM records"), 592);
	ck_assert_int_eq(number("SELECT count(*) FROM history"), 590);
	ck_assert_int_eq(number("SELECT count(*) FROM tombstones"), 590);
	max_records = 10;
	put("new", "1");
	ck_assert_int_eq(number("SELECT count(*) FROM records"), 10);
	max_records = 0;
	for (int i = 0; i < 300; i++) { /* as somebody else does */
		snprintf(id, sizeof(id), "s%d", i);
		put(id, "1");
	}
	ck_assert_uint_eq(walk(), 0);
	ck_assert_int_eq(apply_reload(apply, &error), OK);
	ck_assert_uint_eq(walk(), 300);
	ck_assert_int_eq(number("SELECT count(*) FROM records"), 10);
}
END_TEST

START_TEST(there_is_no_walk_when_nothing_is_kept)
{
	walk();
	ck_assert_int_eq(due_wake_ms(due), INT64_MAX);
	set_rules((struct conf_keep){1, INT64_MAX}, INT64_MAX);
	ck_assert_int_le(due_wake_ms(due), mono);
	walk();
	ck_assert_int_eq(due_wake_ms(due), mono + 60000);
	ck_assert_ptr_null(due_walk(due, apply, now, mono + 59999));
	ck_assert_int_eq(due_wake_ms(due), mono + 60000);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("history");
	TCase *tc = tcase_create("history");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, versions_are_kept_and_the_oldest_go);
	tcase_add_test(tc, a_deletion_is_a_version);
	tcase_add_test(tc, a_deletion_that_is_pruned_stays_while_there_are_versions);
	tcase_add_test(tc, the_walk_drops_versions_by_age);
	tcase_add_test(tc, the_walk_drops_what_is_too_much_after_a_change);
	tcase_add_test(tc, the_versions_of_a_record_that_is_gone_go_later);
	tcase_add_test(tc, a_full_category_sends_the_oldest_away);
	tcase_add_test(tc, what_is_taken_back_is_not_counted);
	tcase_add_test(tc, the_walk_empties_a_category_that_is_too_full);
	tcase_add_test(tc, there_is_no_walk_when_nothing_is_kept);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0;
}
