/*
 * Applying operations to real tables, without threads: modes, conditions, revs,
 * seqs, expiry, pruning; and when the writer expires and prunes.
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "daemon/store/apply.h"
#include "daemon/store/counts.h"
#include "daemon/store/maintain.h"
#include "daemon/store/migrate.h"
#include "daemon/store/sql.h"
#include "daemon/store/sum.h"
#include "tests/unit/fault_vfs.h"

#define NOW INT64_C(1700000000000)

static char folder[64];
static char path[96];
static struct conf conf;
static sqlite3 *db;
static struct apply *apply;
static struct due *due;
static struct error error;

static void
open_file(void)
{
	ck_assert_msg(sql_open(path, SQL_WRITER, &conf, &db, &error) == OK, "%s", error.text);
	ck_assert_msg(migrate_to(db, migrate_newest(), &error) == OK, "%s", error.text);
	ck_assert_msg(apply_new(db, &apply, &error) == OK, "%s", error.text);
	ck_assert_msg(due_new(db, &due, &error) == OK, "%s", error.text);
}

static void
close_file(void)
{
	due_free(due);
	apply_free(apply);
	sql_close(db);
}

static void
setup(void)
{
	snprintf(folder, sizeof(folder), "/tmp/test_apply.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/sysrt.db", folder);
	conf = (struct conf){.store = {.cache_bytes = 1 << 20}};
	error = ERROR_NONE;
	open_file();
}

/** Every row proves itself. */
static void
check_sums(void)
{
	int64_t wrong_n = -1;

	ck_assert_int_eq(
		sql_query_int(db,
			"SELECT (SELECT count(*) FROM records WHERE sum IS NOT " SUM_RECORDS ") + "
			"(SELECT count(*) FROM tombstones WHERE sum IS NOT " SUM_TOMBSTONES ") + "
			"(SELECT count(*) FROM history WHERE sum IS NOT " SUM_HISTORY ") + "
			"(SELECT count(*) FROM meta WHERE sum IS NOT " SUM_META ")",
			-1, &wrong_n, &error),
		OK);
	ck_assert_int_eq(wrong_n, 0);
}

static void
teardown(void)
{
	char command[128];

	check_sums();
	close_file();
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	ck_assert_int_eq(system(command), 0);
}

static struct job *
new_job(enum op_kind kind, const char *id)
{
	struct job *j = job_new(JOB_WRITE, &(struct origin){.kind = ORIGIN_NONE}, 1, 0);

	j->ops[0].kind = kind;
	j->ops[0].category = SPAN("c");
	j->ops[0].id = j->ops[0].name = span_of(id);
	j->ops[0].data = SPAN("1");
	j->ops[0].now_ms = NOW;
	j->ops[0].limit = 100;
	return j;
}

static enum err
apply_it(struct job *j)
{
	enum err e = OK;

	for (size_t i = 0; i < j->ops_n && e == OK; i++)
		e = apply_op(apply, &j->ops[i], &error);
	return e;
}

/** A put without conditions; its rev. */
static int64_t
put(const char *id)
{
	struct job *j = new_job(OP_PUT, id);
	int64_t rev;

	ck_assert_msg(apply_it(j) == OK, "%s", error.text);
	rev = j->ops[0].rev;
	job_free(j);
	return rev;
}

static void
del(const char *id, int64_t now_ms)
{
	struct job *j = new_job(OP_DELETE, id);

	j->ops[0].now_ms = now_ms;
	ck_assert_msg(apply_it(j) == OK, "%s", error.text);
	ck_assert_ptr_nonnull(j->ops[0].change);
	job_free(j);
}

static int64_t
number(const char *sql)
{
	int64_t n = -1;

	ck_assert_msg(sql_query_int(db, sql, -1, &n, &error) == OK, "%s", error.text);
	return n;
}

START_TEST(a_put_moves_the_record_to_a_new_seq)
{
	struct job *j = new_job(OP_PUT, "a");

	ck_assert_int_eq(apply_it(j), OK);
	ck_assert(j->ops[0].created);
	ck_assert_int_eq(j->ops[0].seq, 1);
	job_free(j);
	j = new_job(OP_PUT, "a");
	j->ops[0].now_ms = NOW + 5;
	ck_assert_int_eq(apply_it(j), OK);
	ck_assert(!j->ops[0].created);
	ck_assert_int_eq(j->ops[0].seq, 2);
	ck_assert_int_eq(j->ops[0].rev, 2);
	ck_assert_int_eq(j->ops[0].change->seq, 2);
	job_free(j);
	ck_assert_int_eq(number("SELECT count(*) FROM records"), 1);
	ck_assert_int_eq(number("SELECT updated_at - created_at FROM records WHERE seq = 2"), 5);
}
END_TEST

START_TEST(a_rev_goes_on_after_a_tombstone)
{
	ck_assert_int_eq(put("a"), 1);
	ck_assert_int_eq(put("a"), 2);
	del("a", NOW);
	ck_assert_int_eq(apply_tombstones(apply), 1);
	ck_assert_int_eq(number("SELECT rev FROM tombstones WHERE seq = 3"), 2);
	ck_assert_int_eq(put("a"), 3);
	ck_assert_int_eq(apply_tombstones(apply), 0);
	ck_assert_int_eq(number("SELECT count(*) FROM tombstones"), 0);
	ck_assert_int_eq(number("SELECT rev FROM records WHERE seq = 4"), 3);
}
END_TEST

START_TEST(modes_skip)
{
	struct job *j;

	put("a");
	j = new_job(OP_PUT, "a");
	j->ops[0].mode = PUT_SKIP_EXISTING;
	j->ops[0].data = SPAN("2");
	ck_assert_int_eq(apply_it(j), OK);
	ck_assert(j->ops[0].skipped && j->ops[0].change == NULL);
	ck_assert_int_eq(j->ops[0].seq, 1);
	job_free(j);
	for (unsigned i = 0; i < 4; i++) {
		j = new_job(OP_PUT, "a");
		j->ops[0].mode = PUT_SKIP_EQUAL;
		if (i == 1)
			j->ops[0].data = SPAN("1.0");
		if (i == 2)
			j->ops[0].name = SPAN("other");
		if (i == 3)
			j->ops[0].expires_at = NOW + 1;
		ck_assert_int_eq(apply_it(j), OK);
		ck_assert_msg(j->ops[0].skipped == (i == 0), "%u", i);
		job_free(j);
	}
	ck_assert_int_eq(apply_last_seq(apply), 4);
}
END_TEST

/** A write with if_seq; a refusal must name the record's seq and change nothing. */
static enum err
conditional(enum op_kind kind, int64_t if_seq, int64_t seq)
{
	struct job *j = new_job(kind, "a");
	int64_t last = apply_last_seq(apply);
	enum err e;

	j->ops[0].if_seq = if_seq;
	e = apply_it(j);
	if (e == ERR_CONFLICT) {
		ck_assert_int_eq(error.seq, seq);
		ck_assert_int_eq(apply_last_seq(apply), last);
		ck_assert_ptr_null(j->ops[0].change);
	}
	job_free(j);
	return e;
}

START_TEST(conditions)
{
	ck_assert_int_eq(conditional(OP_PUT, 5, 0), ERR_CONFLICT);
	ck_assert_int_eq(conditional(OP_DELETE, 5, 0), ERR_CONFLICT);
	ck_assert_int_eq(conditional(OP_PUT, 0, 0), OK);
	ck_assert_int_eq(conditional(OP_PUT, 0, 1), ERR_CONFLICT);
	ck_assert_int_eq(conditional(OP_PUT, 1, 1), OK);
	ck_assert_int_eq(conditional(OP_PUT, 1, 2), ERR_CONFLICT);
	ck_assert_int_eq(conditional(OP_DELETE, 1, 2), ERR_CONFLICT);
	ck_assert_int_eq(conditional(OP_DELETE, 2, 2), OK);
	ck_assert_int_eq(conditional(OP_PUT, 3, 0), ERR_CONFLICT); /* the tombstone's */
	ck_assert_int_eq(conditional(OP_PUT, 0, 0), OK);
	ck_assert_int_eq(number("SELECT rev FROM records"), 3);
}
END_TEST

START_TEST(expiry_deletes_the_oldest_first_and_in_bounds)
{
	struct job *j;
	char id[16];

	for (int i = 0; i < 300; i++) {
		snprintf(id, sizeof(id), "%d", i);
		j = new_job(OP_PUT, id);
		j->ops[0].expires_at = NOW + 300 - i;
		ck_assert_int_eq(apply_it(j), OK);
		job_free(j);
	}
	put("never");
	ck_assert_ptr_null(due_expired(due, NOW));
	j = due_expired(due, NOW + 295);
	ck_assert_uint_eq(j->ops_n, 256);
	ck_assert(span_is(j->ops[0].id, "299"));
	ck_assert_int_eq(apply_it(j), OK);
	for (size_t i = 0; i < j->ops_n; i++)
		ck_assert_int_eq(j->ops[i].change->seq, 302 + (int64_t)i);
	job_free(j);
	j = due_expired(due, NOW + 295);
	ck_assert_int_eq(apply_it(j), OK);
	ck_assert_uint_eq(j->ops_n, 39); /* up to id 5: 295 is due at 295 */
	job_free(j);
	ck_assert_ptr_null(due_expired(due, NOW + 295));
	ck_assert_int_eq(number("SELECT count(*) FROM records"), 6);
	ck_assert_int_eq(number("SELECT count(*) FROM tombstones"), 295);
}
END_TEST

START_TEST(a_record_that_was_written_again_does_not_expire)
{
	struct job *j = new_job(OP_PUT, "a"), *expiry;

	j->ops[0].expires_at = NOW + 1;
	ck_assert_int_eq(apply_it(j), OK);
	job_free(j);
	expiry = due_expired(due, NOW + 1);
	put("a");
	ck_assert_int_eq(apply_it(expiry), ERR_CONFLICT);
	job_free(expiry);
	ck_assert_int_eq(number("SELECT count(*) FROM records"), 1);
}
END_TEST

/** Prunes; how many went. */
static int64_t
prune(int64_t deleted_before, int64_t keep, unsigned limit)
{
	struct job *j = new_job(OP_PRUNE, "");
	int64_t n;

	j->ops[0].expires_at = deleted_before;
	j->ops[0].keep = keep;
	j->ops[0].limit = limit;
	ck_assert_msg(apply_it(j) == OK, "%s", error.text);
	n = j->ops[0].seq;
	job_free(j);
	return n;
}

START_TEST(pruning_by_age_and_beyond_the_maximum)
{
	char id[16];

	for (int i = 0; i < 10; i++) {
		snprintf(id, sizeof(id), "%d", i);
		put(id);
		del(id, NOW + i);
	}
	ck_assert_int_eq(prune(NOW, 100, 100), 0);
	ck_assert_int_eq(apply_pruned_to(apply), 0);
	ck_assert_int_eq(prune(NOW + 3, 100, 100), 3);
	ck_assert_int_eq(apply_pruned_to(apply), 6);
	ck_assert_int_eq(prune(NOW, 5, 1), 1);
	ck_assert_int_eq(prune(NOW, 5, 100), 1);
	ck_assert_int_eq(apply_tombstones(apply), 5);
	ck_assert_int_eq(prune(NOW, 0, 100), 5);
	ck_assert_int_eq(number(SQL_PRUNED_TO), 20);
	/* Nothing is left that has the last seq: it still is not given again. */
	close_file();
	open_file();
	ck_assert_int_eq(apply_last_seq(apply), 20);
	ck_assert_int_eq(apply_pruned_to(apply), 20);
	ck_assert_int_eq(put("a"), 1);
	ck_assert_int_eq(number("SELECT seq FROM records"), 21);
}
END_TEST

START_TEST(a_rollback_takes_back_and_a_commit_is_a_floor)
{
	struct job *j = new_job(OP_PUT, "c");
	struct apply_mark mark;

	j->ops[0].max_records = 1;
	put("a");
	apply_committed(apply);
	ck_assert_int_eq(sql_exec(db, "BEGIN", &error), OK);
	mark = apply_mark(apply);
	put("b");
	del("a", NOW);
	apply_return(apply, mark);
	ck_assert_int_eq(apply_last_seq(apply), 1);
	put("b");
	ck_assert_int_eq(apply_it(j), OK);
	ck_assert_int_eq(prune(NOW, 0, 1), 1);
	ck_assert_int_eq(apply_evicted(apply), 1);
	ck_assert_int_eq(sql_exec(db, "ROLLBACK", &error), OK);
	apply_rolled_back(apply);
	ck_assert_int_eq(apply_last_seq(apply), 1);
	ck_assert_int_eq(apply_pruned_to(apply), 0);
	ck_assert_int_eq(apply_tombstones(apply), 0);
	ck_assert_int_eq(apply_evicted(apply), 0);
	job_free(j);
	/* Somebody else removes the newest record: its seq was given out. */
	ck_assert_int_eq(sql_exec(db, "DELETE FROM records", &error), OK);
	ck_assert_int_eq(apply_reload(apply, &error), OK);
	ck_assert_int_eq(apply_last_seq(apply), 1);
}
END_TEST

START_TEST(a_count_that_was_told_since_the_mark_is_not_kept)
{
	struct counts *c = counts_new();
	struct counts_mark mark;
	char category[16];

	for (int i = 0; i < 10000; i++) { /* as many as are kept */
		snprintf(category, sizeof(category), "%d", i);
		counts_set(c, span_of(category), 1);
	}
	counts_committed(c);
	counts_add(c, SPAN("7"), 1);
	mark = counts_mark(c);
	counts_add(c, SPAN("7"), 1);
	counts_return(c, mark);
	ck_assert_int_eq(counts_get(c, SPAN("7")), 2);
	counts_set(c, SPAN("new"), 5); /* all others are forgotten */
	counts_return(c, mark);
	ck_assert_int_eq(counts_get(c, SPAN("7")), -1);
	ck_assert_int_eq(counts_get(c, SPAN("new")), -1);
	counts_free(c);
}
END_TEST

START_TEST(the_last_seq_of_all_is_the_end)
{
	struct job *j = new_job(OP_PUT, "b");

	ck_assert_int_eq(
		sql_exec(db,
			"UPDATE meta SET value = 9007199254740990, "
			"sum = row_sum('meta', key, 9007199254740990) WHERE key = 'last_seq'",
			&error),
		OK);
	ck_assert_int_eq(apply_reload(apply, &error), OK);
	put("a");
	ck_assert_int_eq(number("SELECT seq FROM records"), SEQ_MAX);
	ck_assert_int_eq(apply_it(j), ERR_UNAVAILABLE);
	job_free(j);
}
END_TEST

/** A fixed sequence of operations of all kinds. */
static void
apply_sequence(void)
{
	uint64_t random = 7;
	char id[16];

	for (unsigned i = 0; i < 500; i++) {
		struct job *j, *expired;

		random = random * UINT64_C(6364136223846793005) + 1;
		snprintf(id, sizeof(id), "%u", (unsigned)(random >> 40) % 20);
		j = new_job((random >> 33) % 3 > 0 ? OP_PUT : OP_DELETE, id);
		if (i % 100 == 99)
			j->ops[0].kind = OP_PRUNE;
		expired = i % 100 == 49 ? due_expired(due, NOW + i) : NULL;
		if (expired != NULL) {
			job_free(j);
			j = expired;
		}
		j->ops[0].now_ms = NOW + i;
		j->ops[0].keep = 5;
		if (j->ops[0].kind == OP_PUT && i % 7 == 0)
			j->ops[0].expires_at = NOW + i + 20;
		ck_assert_msg(apply_it(j) == OK, "%s", error.text);
		job_free(j);
	}
}

START_TEST(the_same_operations_give_the_same_store)
{
	char sql[256];

	apply_sequence();
	close_file();
	path[strlen(path) - 1] = 'c';
	open_file();
	apply_sequence();
	path[strlen(path) - 1] = 'b';
	snprintf(sql, sizeof(sql), "ATTACH '%s' AS first", path);
	ck_assert_int_eq(sql_exec(db, sql, &error), OK);
	ck_assert_int_gt(number("SELECT count(*) FROM main.records"), 5);
	ck_assert_int_gt(number("SELECT count(*) FROM main.history"), 5);
	for (unsigned i = 0; i < 4; i++) {
		static const char *const tables[] = {"records", "tombstones", "history", "meta"};

		snprintf(sql, sizeof(sql),
			"SELECT (SELECT count(*) FROM (SELECT * FROM main.%s EXCEPT SELECT * FROM "
			"first.%s)) + (SELECT count(*) FROM main.%s) - (SELECT count(*) FROM "
			"first.%s)",
			tables[i], tables[i], tables[i], tables[i]);
		ck_assert_msg(number(sql) == 0, "%s", tables[i]);
	}
}
END_TEST

START_TEST(maintenance_is_due_when_something_expires)
{
	struct maintain m = {.retention_ms = 1000, .tombstone_max = 2};
	struct job *j = new_job(OP_PUT, "a");

	maintain_init(&m, due, NOW, 500);
	ck_assert_ptr_null(maintain_next(&m, apply, NOW, 500));
	ck_assert_int_eq(maintain_wake_us(&m, apply, NOW, 500000), INT64_MAX);
	j->ops[0].expires_at = NOW + 40;
	ck_assert_int_eq(apply_it(j), OK);
	job_free(j);
	ck_assert_ptr_null(maintain_next(&m, apply, NOW, 500));
	ck_assert_int_eq(maintain_wake_us(&m, apply, NOW, 500000), 540000);
	j = maintain_next(&m, apply, NOW + 50, 550);
	ck_assert_ptr_nonnull(j);
	ck_assert_int_eq(m.work, MAINTAIN_EXPIRE);
	ck_assert_int_eq(m.expiry_lag_ms, 10);
	ck_assert_int_eq(apply_it(j), OK);
	maintain_done(&m, j, OK, 550);
	job_free(j);
	/* The tombstone that it left is looked at now and then every minute. */
	j = maintain_next(&m, apply, NOW + 60, 560);
	ck_assert_int_eq(j->ops[0].kind, OP_PRUNE);
	ck_assert_int_eq(apply_it(j), OK);
	ck_assert_int_eq(j->ops[0].seq, 0);
	maintain_done(&m, j, OK, 560);
	job_free(j);
	ck_assert_ptr_null(maintain_next(&m, apply, NOW + 70, 570));
	ck_assert_int_eq(maintain_wake_us(&m, apply, NOW + 70, 570000), 60570000);
	for (int i = 0; i < 2; i++) {
		put(i == 0 ? "x" : "y");
		del(i == 0 ? "x" : "y", NOW);
	}
	j = maintain_next(&m, apply, NOW + 80, 580); /* beyond the maximum: at once */
	ck_assert_ptr_nonnull(j);
	ck_assert_int_eq(apply_it(j), OK);
	ck_assert_int_eq(j->ops[0].seq, 1);
	job_free(j);
}
END_TEST

START_TEST(a_step_of_the_clock_pauses_maintenance)
{
	struct maintain m = {.retention_ms = 1000, .tombstone_max = 0};
	struct job *j = new_job(OP_PUT, "a");

	maintain_init(&m, due, NOW, 0);
	j->ops[0].expires_at = NOW + 10;
	ck_assert_int_eq(apply_it(j), OK);
	job_free(j);
	ck_assert_ptr_null(maintain_next(&m, apply, NOW + 3600000, 1000));
	ck_assert_ptr_null(maintain_next(&m, apply, NOW + 3600000 + 59000, 60000));
	ck_assert_int_eq(m.expiry_lag_ms, 3600000 + 59000 - 10);
	ck_assert_int_eq(maintain_wake_us(&m, apply, NOW + 3600000, 1000000), 61000000);
	j = maintain_next(&m, apply, NOW + 3600000 + 60000, 61000);
	ck_assert_ptr_nonnull(j);
	maintain_done(&m, j, ERR_IO_ERROR, 61000); /* a failure pauses too */
	job_free(j);
	ck_assert_ptr_null(maintain_next(&m, apply, NOW + 3600000 + 60001, 61001));
}
END_TEST

/** Opens the file again, with many records of which the oldest have expired; its pages cannot be
 * read any more, but for those that `sql` has read. */
static void
open_damaged(const char *sql)
{
	for (unsigned i = 0; i < 1000; i++) {
		char id[16];
		struct job *j;

		snprintf(id, sizeof(id), "%u", i);
		j = new_job(OP_PUT, id);
		j->ops[0].expires_at = i < 10 ? NOW + 1 : 0;
		ck_assert_int_eq(apply_it(j), OK);
		job_free(j);
	}
	put("gone");
	del("gone", NOW - 5000);
	number("PRAGMA wal_checkpoint(TRUNCATE)");
	close_file();
	open_file();
	number(sql);
	fault_arm(FAULT_READ, FAULT_DB, 0, 1000000, SQLITE_IOERR_READ);
}

/** Only a look each minute, and what can be done is done. */
START_TEST(what_cannot_be_read_does_not_expire)
{
	struct maintain m = {.retention_ms = 1000, .tombstone_max = 100};
	struct job *j;

	open_damaged("SELECT expires_at FROM records WHERE expires_at IS NOT NULL "
		     "ORDER BY expires_at LIMIT 1");
	maintain_init(&m, due, NOW + 1, 500);
	j = maintain_next(&m, apply, NOW + 1, 500);
	ck_assert_uint_gt(fault_hits(), 0);
	ck_assert_ptr_nonnull(j);
	ck_assert_int_eq(j->ops[0].kind, OP_PRUNE);
	j->ops[0].seq = 1;
	maintain_done(&m, j, OK, 500);
	job_free(j);
	ck_assert_ptr_null(maintain_next(&m, apply, NOW + 2, 501));
	ck_assert_int_eq(maintain_wake_us(&m, apply, NOW + 2, 501000), 60500000);
	fault_disarm();
	j = maintain_next(&m, apply, NOW + 60000, 60500);
	ck_assert_ptr_nonnull(j);
	ck_assert_uint_eq(j->ops_n, 10);
	maintain_done(&m, j, ERR_IO_ERROR, 60500); /* nor does a failure keep the rest */
	job_free(j);
	j = maintain_next(&m, apply, NOW + 60001, 60501);
	ck_assert_ptr_nonnull(j);
	ck_assert_int_eq(j->ops[0].kind, OP_PRUNE);
	job_free(j);
}
END_TEST

START_TEST(what_cannot_be_read_does_not_leave)
{
	struct conf_category c = {.named = {.pattern = {.text = SPAN("c")}}, .max_records = 5};
	struct name_pattern *v[] = {&c.named.pattern};

	conf.categories = (struct conf_tables){.v = v, .n = 1};
	open_damaged("SELECT count(*) FROM records WHERE category = 'c'");
	due_set_retention(due, retention_new(&conf));
	ck_assert_ptr_null(due_walk(due, apply, NOW, 500));
	ck_assert_uint_gt(fault_hits(), 0);
	ck_assert_int_gt(due_wake_ms(due), 500); /* it is over */
	fault_disarm();
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("apply");
	TCase *tc = tcase_create("apply");
	SRunner *runner;
	int failed;

	fault_install();
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_put_moves_the_record_to_a_new_seq);
	tcase_add_test(tc, a_rev_goes_on_after_a_tombstone);
	tcase_add_test(tc, modes_skip);
	tcase_add_test(tc, conditions);
	tcase_add_test(tc, expiry_deletes_the_oldest_first_and_in_bounds);
	tcase_add_test(tc, a_record_that_was_written_again_does_not_expire);
	tcase_add_test(tc, pruning_by_age_and_beyond_the_maximum);
	tcase_add_test(tc, a_rollback_takes_back_and_a_commit_is_a_floor);
	tcase_add_test(tc, a_count_that_was_told_since_the_mark_is_not_kept);
	tcase_add_test(tc, the_last_seq_of_all_is_the_end);
	tcase_add_test(tc, the_same_operations_give_the_same_store);
	tcase_add_test(tc, maintenance_is_due_when_something_expires);
	tcase_add_test(tc, a_step_of_the_clock_pauses_maintenance);
	tcase_add_test(tc, what_cannot_be_read_does_not_expire);
	tcase_add_test(tc, what_cannot_be_read_does_not_leave);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0;
}
