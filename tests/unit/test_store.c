/*
 * The store through its face: a real file, its threads, a real loop.
 *
 * threads: yes
 */

#include <check.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/unit/store_rig.h"

START_TEST(a_record_is_written_read_and_deleted)
{
	struct job *j = rig_put("sensor", "a", "{\"t\":21.50}");

	ck_assert_int_eq(j->result, OK);
	ck_says(j, "\"seq\":1,\"rev\":1,\"created\":true");
	ck_assert_ptr_nonnull(j->ops[0].change);
	job_free(j);
	j = rig_put("sensor", "a", "22");
	ck_says(j, "\"seq\":2,\"rev\":2,\"created\":false");
	job_free(j);
	j = rig_ask(rig_new_read(JOB_GET, "sensor", "a"));
	ck_says(j, "\"data\":22,\"rev\":2,\"seq\":2");
	job_free(j);
	j = rig_delete("sensor", "a");
	ck_says(j, "{\"deleted\":true,\"seq\":3}");
	job_free(j);
	j = rig_delete("sensor", "a");
	ck_says(j, "{\"deleted\":false}");
	job_free(j);
	j = rig_ask(rig_new_read(JOB_GET, "sensor", "a"));
	ck_assert_int_eq(j->result, ERR_NOT_FOUND);
	job_free(j);
	j = rig_put("sensor", "a", "23");
	ck_says(j, "\"seq\":4,\"rev\":3,\"created\":true");
	job_free(j);
}
END_TEST

static struct job *
next_backup(void)
{
	for (;;) {
		struct job *j = rig_next();

		if (j->kind == JOB_BACKUP)
			return j;
		job_free(j);
	}
}

static void
put_some(unsigned n)
{
	char id[32];

	for (unsigned i = 0; i < n; i++) {
		snprintf(id, sizeof(id), "r%u", i);
		rig_submit(rig_new_big_put("c", id, 10000));
	}
}

/** Beside writes; the second one is refused meanwhile. */
START_TEST(a_backup_is_made)
{
	char place[128];
	struct store_backup how = {.place = place, .fd = -1, .does_verify = true};
	struct error error = ERROR_NONE;
	int64_t done = -1, total = -1;
	struct job *j;

	snprintf(place, sizeof(place), "%s/copy", rig.folder);
	put_some(300);
	rig_run_for(300);
	ck_assert(!store_backup_progress(rig.store, &done, &total));
	ck_assert_int_eq(store_backup(rig.store, &how, &error), OK);
	ck_assert(store_backup_progress(rig.store, &done, &total));
	ck_assert_int_eq(store_backup(rig.store, &how, &error), ERR_UNAVAILABLE);
	ck_assert(!store_is_idle(rig.store));
	put_some(300);
	j = next_backup();
	ck_assert_msg(j->result == OK, "%s", j->error.text);
	ck_says(j, "\"records\":300,\"tombstones\":0");
	ck_says(j, "\"verified\":true");
	ck_assert(!store_backup_progress(rig.store, &done, &total));
	ck_assert_int_gt(total, 300 * 10000);
	ck_assert_int_eq(done, total);
	job_free(j);
}
END_TEST

START_TEST(a_backup_is_stopped)
{
	char place[128];
	struct store_backup how = {.place = place, .fd = -1, .does_verify = true};
	struct error error = ERROR_NONE;
	struct job *j;

	snprintf(place, sizeof(place), "%s/copy", rig.folder);
	put_some(300);
	rig_run_for(300);
	ck_assert_int_eq(store_backup(rig.store, &how, &error), OK);
	store_backup_stop(rig.store);
	j = next_backup();
	ck_assert_int_eq(j->result, ERR_UNAVAILABLE);
	ck_assert_str_eq(j->error.text, "the backup was stopped");
	job_free(j);
	ck_assert_int_ne(access(place, F_OK), 0);
	ck_assert_int_eq(store_backup(rig.store, &how, &error), OK);
	rig_close(); /* in the middle of it */
	ck_assert_int_ne(access(place, F_OK), 0);
	rig_open();
	snprintf(place, sizeof(place), "%s/none/copy", rig.folder);
	ck_assert_int_eq(store_backup(rig.store, &how, &error), OK);
	j = next_backup();
	ck_assert_int_eq(j->result, ERR_IO_ERROR);
	job_free(j);
}
END_TEST

START_TEST(if_seq_is_a_condition)
{
	struct job *j = rig_new_put("c", "x", "1");

	j->ops[0].if_seq = 0;
	rig_submit(j);
	j = rig_next();
	ck_assert_int_eq(j->result, OK);
	job_free(j);
	j = rig_new_put("c", "x", "2");
	j->ops[0].if_seq = 0;
	rig_submit(j);
	j = rig_next();
	ck_assert_int_eq(j->result, ERR_CONFLICT);
	ck_assert_int_eq(j->error.seq, 1);
	job_free(j);
	j = rig_new_put("c", "x", "2");
	j->ops[0].if_seq = 1;
	rig_submit(j);
	j = rig_next();
	ck_assert_int_eq(j->result, OK);
	job_free(j);
	ck_assert_int_eq(store_last_seq(rig.store), 2);
}
END_TEST

START_TEST(put_many_is_all_or_nothing)
{
	struct job *j = rig_new_write(3);

	j->is_many = true;
	for (int i = 0; i < 3; i++)
		rig_set_op(j, (size_t)i, OP_PUT, "c",
			i == 0   ? "a"
			: i == 1 ? "b"
				 : "d")
			->data = SPAN("1");
	j->ops[2].if_seq = 7;
	rig_submit(j);
	j = rig_next();
	ck_assert_int_eq(j->result, ERR_CONFLICT);
	ck_assert_ptr_nonnull(strstr(j->error.text, "record 2"));
	job_free(j);
	j = rig_ask(rig_new_read(JOB_COUNT, "", ""));
	ck_says(j, "{\"count\":0");
	job_free(j);
	ck_assert_int_eq(store_last_seq(rig.store), 0);
	job_free(rig_put("c", "a", "1"));
	ck_assert_int_eq(store_last_seq(rig.store), 1);
}
END_TEST

static struct job *
new_sweep(const char *condition, unsigned limit)
{
	struct job *j = rig_new_write(1);
	struct op *op = rig_set_op(j, 0, OP_DELETE_WHERE, "c", "");
	struct error error = ERROR_NONE;
	struct json_value value;
	struct json_fault fault;
	struct where *where = NULL;

	ck_assert_int_eq(json_check(span_of(condition), JSON_DEPTH_MAX, &value, &fault), OK);
	ck_assert_msg(where_new(value, &where, &error) == OK, "%s", error.text);
	op->sweep = sweep_new(where, 0);
	op->limit = limit;
	free(where);
	return j;
}

START_TEST(what_meets_a_condition_is_deleted_among_other_writes)
{
	static const char *const wanted[] = {"\"seq\":1,", "\"seq\":2,",
		"{\"deleted\":1,\"seq\":3,\"cursor\":\"1\"}", "\"seq\":4,",
		"{\"deleted\":2,\"seq\":6}", "{\"deleted\":0}"};
	static const size_t changes_n[] = {0, 0, 1, 0, 2, 0};
	struct job *j;

	rig_submit(rig_new_put("c", "a", "1"));
	rig_submit(rig_new_put("c", "b", "1"));
	rig_submit(new_sweep("{\"\":1}", 1));
	rig_submit(rig_new_put("c", "a", "1"));
	rig_submit(new_sweep("{\"\":1}", SWEEP_DELETES));
	rig_submit(new_sweep("{\"\":1}", SWEEP_DELETES));
	rig_run_for(6);
	for (int i = 0; i < 6; i++) {
		j = rig_next();
		ck_assert_int_eq(j->result, OK);
		ck_says(j, wanted[i]);
		if (j->ops[0].sweep != NULL)
			ck_assert_uint_eq(j->ops[0].sweep->n, changes_n[i]);
		job_free(j);
	}
	ck_assert_int_eq(rig_sql("SELECT count(*) FROM tombstones"), 2);
	rig_check_file();
}
END_TEST

START_TEST(a_read_sees_the_writes_before_it)
{
	for (int i = 0; i < 200; i++) {
		char id[16];

		snprintf(id, sizeof(id), "r%d", i);
		rig_submit(rig_new_put("c", id, "1"));
		rig_submit(rig_new_read(JOB_GET, "c", id));
	}
	rig_run_for(400);
	for (int i = 0; i < 400; i++) {
		struct job *j = (struct job *)(void *)qlist_shift(&rig.answers);

		ck_assert_msg(j->result == OK, "%s", j->error.text);
		job_free(j);
	}
}
END_TEST

START_TEST(changes_come_in_order_with_tombstones)
{
	struct job *j;

	job_free(rig_put("a", "1", "1"));
	job_free(rig_put("b", "1", "1"));
	job_free(rig_put("a", "2", "1"));
	job_free(rig_delete("a", "1"));
	j = rig_new_read(JOB_CHANGES, "a", "");
	j->read.since = 1;
	rig_submit(j);
	j = rig_next();
	ck_says(j, "[{\"seq\":3,\"op\":\"put\"");
	ck_says(j, "{\"seq\":4,\"op\":\"delete\"");
	ck_says(j, "\"seq\":4,\"more\":false");
	job_free(j);
	j = rig_new_read(JOB_CHANGES, "a", "");
	rig_submit(j);
	j = rig_next();
	ck_assert(!rig_says(j, "delete"));
	job_free(j);
}
END_TEST

START_TEST(listings_go_on_by_cursor)
{
	struct job *j;
	char id[16];

	for (int i = 0; i < 25; i++) {
		snprintf(id, sizeof(id), "k%02d", i);
		job_free(rig_put("c", id, "1"));
	}
	j = rig_new_read(JOB_LIST, "c", "");
	j->read.limit = 10;
	j->read.order = ORDER_ID;
	rig_submit(j);
	j = rig_next();
	ck_says(j, "\"cursor\":\"i:c:k09\"");
	job_free(j);
	j = rig_new_read(JOB_LIST, "c", "");
	j->read.limit = 10;
	j->read.order = ORDER_ID;
	j->read.cursor = SPAN("i:c:k19");
	rig_submit(j);
	j = rig_next();
	ck_says(j, "k24");
	ck_assert(!rig_says(j, "cursor"));
	job_free(j);
	j = rig_new_read(JOB_LIST, "c", "");
	j->read.cursor = SPAN("i:c:k19");
	rig_submit(j);
	j = rig_next();
	ck_assert_int_eq(j->result, ERR_INVALID_ARGUMENT);
	job_free(j);
}
END_TEST

START_TEST(positions_are_judged_by_epoch)
{
	struct error error = ERROR_NONE;
	char first[64];

	job_free(rig_put("c", "a", "1"));
	job_free(rig_put("c", "b", "1"));
	snprintf(first, sizeof(first), "%s", store_epoch(rig.store));
	ck_assert_int_eq(store_check_position(rig.store, span_of(first), 2, 0, &error), OK);
	ck_assert_int_eq(
		store_check_position(rig.store, span_of(first), 3, 0, &error), ERR_RESYNC_REQUIRED);
	ck_assert_int_eq(
		store_check_position(rig.store, SPAN(""), 2, 0, &error), ERR_INVALID_ARGUMENT);
	rig_close();
	rig_open();
	job_free(rig_put("c", "c", "1"));
	ck_assert_int_eq(store_check_position(rig.store, span_of(first), 2, 0, &error), OK);
	ck_assert_int_eq(
		store_check_position(rig.store, span_of(first), 3, 0, &error), ERR_RESYNC_REQUIRED);
	ck_assert_int_eq(
		store_check_position(rig.store, span_of(store_epoch(rig.store)), 3, 0, &error), OK);
	ck_assert_int_eq(
		store_check_position(rig.store, SPAN("nope"), 1, 0, &error), ERR_RESYNC_REQUIRED);
}
END_TEST

START_TEST(expired_records_are_deleted_as_changes)
{
	struct job *j = rig_new_put("c", "a", "1");

	j->ops[0].expires_at = j->ops[0].now_ms + 50;
	rig_submit(j);
	job_free(rig_next());
	j = rig_next();
	ck_assert_uint_eq(j->ops_n, 1);
	ck_assert_int_eq(j->ops[0].change->op, CHANGE_DELETE);
	ck_assert_int_eq(j->ops[0].change->seq, 2);
	job_free(j);
}
END_TEST

START_TEST(pruned_positions_need_a_resync)
{
	struct error error = ERROR_NONE;
	int64_t last;

	rig.conf.store.tombstone_max = 0;
	store_reload(rig.store, &rig.conf);
	job_free(rig_put("c", "a", "1"));
	job_free(rig_delete("c", "a"));
	do
		job_free(rig_put("c", "b", "1"));
	while (store_pruned_to(rig.store) != 2);
	ck_assert_int_eq(
		store_check_position(rig.store, span_of(store_epoch(rig.store)), 1, 0, &error),
		ERR_RESYNC_REQUIRED);
	ck_assert_int_eq(
		store_check_position(rig.store, span_of(store_epoch(rig.store)), 2, 0, &error), OK);
	/* The newest seq may have been that of the tombstone which is gone: it is not used again.
	 */
	last = store_last_seq(rig.store);
	rig_close();
	rig_open();
	ck_assert_int_eq(store_last_seq(rig.store), last);
}
END_TEST

START_TEST(somebody_elses_write_is_noticed)
{
	sqlite3 *other;
	struct job *j;

	job_free(rig_put("c", "a", "1"));
	ck_assert_int_eq(sqlite3_open(rig.path, &other), SQLITE_OK);
	ck_assert_int_eq(
		sqlite3_exec(other, STRANGERS_RECORD "VALUES (50, 'c', 'z', 'z', '1', 1, 1, 1)",
			NULL, NULL, NULL),
		SQLITE_OK);
	sqlite3_close(other);
	rig_submit(rig_new_put("c", "b", "1"));
	rig_run_for(2);
	j = (struct job *)(void *)qlist_shift(&rig.answers);
	ck_assert_int_eq(j->kind, JOB_NOTICE);
	job_free(j);
	j = (struct job *)(void *)qlist_shift(&rig.answers);
	ck_says(j, "\"seq\":51");
	job_free(j);
}
END_TEST

START_TEST(a_second_daemon_is_kept_off)
{
	struct error error = ERROR_NONE;
	struct store_sink sink = {NULL, NULL, NULL};
	struct store *second = NULL;

	ck_assert_int_eq(store_open(rig.loop, &rig.conf, &sink, &second, &error), ERR_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(error.text, "another sysrtd"));
}
END_TEST

START_TEST(the_tail_warms_a_ring)
{
	struct error error = ERROR_NONE;
	struct tail t = {.max_n = 5, .max_bytes = 1 << 20};
	char id[16];

	for (int i = 0; i < 20; i++) {
		snprintf(id, sizeof(id), "k%d", i);
		job_free(rig_put("c", id, "1"));
	}
	job_free(rig_delete("c", "k3"));
	ck_assert_int_eq(store_read_tail(rig.store, &t, &error), OK);
	ck_assert_uint_eq(t.n, 5);
	ck_assert_int_eq(t.floor, 16);
	ck_assert_int_eq(t.seq, 21);
	ck_assert_int_eq(t.changes[0]->seq, 17);
	ck_assert_int_eq(t.changes[4]->op, CHANGE_DELETE);
	tail_fini(&t);
}
END_TEST

/** Records that expire one after the other, four in a millisecond; their tombstones go at once. */
static void
put_expiring(size_t n)
{
	struct job *j = rig_new_write(n);
	char id[32];

	j->is_many = true;
	for (size_t i = 0; i < n; i++) {
		snprintf(id, sizeof(id), "k%zu", i);
		rig_set_op(j, i, OP_PUT, "c", id)->expires_at = clock_wall_ms() + (int64_t)i / 4;
		j->ops[i].data = SPAN("1");
	}
	rig.conf.store.tombstone_max = 0;
	store_reload(rig.store, &rig.conf);
	j = rig_ask(j);
	ck_assert_int_eq(j->result, OK);
	job_free(j);
}

/* The writer expires and prunes from its first moment on. */
START_TEST(the_tail_is_one_moment_of_a_store_that_is_at_work)
{
	struct error error = ERROR_NONE;
	unsigned ahead = 0;

	put_expiring(4000);
	do {
		struct tail t = {.max_n = 20, .max_bytes = 1 << 20};

		ck_assert_msg(store_read_tail(rig.store, &t, &error) == OK, "%s", error.text);
		ahead += store_last_seq(rig.store) > t.seq;
		for (size_t i = 0; i < t.n; i++) {
			ck_assert_int_gt(
				t.changes[i]->seq, i > 0 ? t.changes[i - 1]->seq : t.floor);
			ck_assert_int_le(t.changes[i]->seq, t.seq);
		}
		tail_fini(&t);
	} while (store_pruned_to(rig.store) < 8000);
	ck_assert_uint_gt(ahead, 0);
}
END_TEST

/** Asks for n counts of all records as somebody who goes at once; how many of them were made. */
static unsigned
ask_and_go(unsigned n)
{
	struct store_client *c = store_client_new(rig.store, 2, false);
	unsigned made = 0;

	for (unsigned i = 0; i < n; i++) {
		struct job *j = rig_new_read(JOB_COUNT, "c", "");

		ck_assert_int_eq(store_submit(rig.store, c, &j, NULL), PENDING);
	}
	store_client_close(c);
	while (!store_is_idle(rig.store)) {
		struct job *j = rig_ask(rig_new_read(JOB_GET, "c", "k0"));

		made += j->kind == JOB_COUNT;
		job_free(j);
	}
	while (rig.answers.n > 0) {
		struct job *j = (struct job *)(void *)qlist_shift(&rig.answers);

		made += j->kind == JOB_COUNT;
		job_free(j);
	}
	return made;
}

START_TEST(reads_of_a_client_that_is_gone_are_not_done)
{
	struct job *j = rig_new_write(4000);
	unsigned tries = 1;
	char id[16];

	j->is_many = true;
	for (size_t i = 0; i < 4000; i++) {
		snprintf(id, sizeof(id), "k%zu", i);
		rig_set_op(j, i, OP_PUT, "c", id)->data = SPAN("1");
	}
	job_free(rig_ask(j));
	while (ask_and_go(100) == 100) /* unless this process was paused for as long as they take */
		ck_assert_uint_lt(tries++, 20);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("store");
	TCase *tc = tcase_create("store");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, rig_setup, rig_teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, a_record_is_written_read_and_deleted);
	tcase_add_test(tc, a_backup_is_made);
	tcase_add_test(tc, a_backup_is_stopped);
	tcase_add_test(tc, if_seq_is_a_condition);
	tcase_add_test(tc, put_many_is_all_or_nothing);
	tcase_add_test(tc, what_meets_a_condition_is_deleted_among_other_writes);
	tcase_add_test(tc, a_read_sees_the_writes_before_it);
	tcase_add_test(tc, reads_of_a_client_that_is_gone_are_not_done);
	tcase_add_test(tc, changes_come_in_order_with_tombstones);
	tcase_add_test(tc, listings_go_on_by_cursor);
	tcase_add_test(tc, positions_are_judged_by_epoch);
	tcase_add_test(tc, expired_records_are_deleted_as_changes);
	tcase_add_test(tc, pruned_positions_need_a_resync);
	tcase_add_test(tc, somebody_elses_write_is_noticed);
	tcase_add_test(tc, a_second_daemon_is_kept_off);
	tcase_add_test(tc, the_tail_warms_a_ring);
	tcase_add_test(tc, the_tail_is_one_moment_of_a_store_that_is_at_work);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0;
}
