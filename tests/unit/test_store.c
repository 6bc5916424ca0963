/*
 * The store through its face: a real file, its threads, a real loop.
 *
 * links: common/err.c common/xalloc.c common/clock.c common/time.c common/buf.c common/log.c
 * links: common/json.c common/json_write.c daemon/base/frame.c daemon/base/loop.c
 * links: daemon/base/queue.c daemon/store/pattern.c daemon/store/change.c daemon/store/client.c
 * links: daemon/store/job.c daemon/store/answer.c daemon/store/sql.c daemon/store/migrate.c
 * links: daemon/store/apply.c daemon/store/maintain.c daemon/store/checkpoint.c
 * links: daemon/store/writer.c daemon/store/read.c daemon/store/read_list.c
 * links: daemon/store/read_changes.c daemon/store/reader.c daemon/store/lobby.c
 * links: daemon/store/file.c daemon/store/store.c common/wire/ws.c
 */

#include <check.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/xalloc.h"
#include "daemon/base/loop.h"
#include "daemon/store/store.h"

static char folder[64];
static char path[96];
static struct conf conf;
static struct loop *loop;
static struct store *store;
static struct store_client *client;
static struct qlist answers;
static unsigned wanted;

static void
on_done(void *arg, struct qlist *jobs)
{
	(void)arg;
	qlist_splice(&answers, jobs);
	if (answers.n >= wanted)
		loop_stop(loop);
}

static void
on_room(void *arg, struct store_client *c)
{
	(void)arg;
	(void)c;
}

static void
open_store(void)
{
	struct error error = ERROR_NONE;
	struct store_sink sink = {on_done, on_room, NULL};

	qlist_init(&answers);
	loop = loop_new();
	ck_assert_msg(store_open(loop, &conf, &sink, &store, &error) == OK, "%s", error.text);
	client = store_client_new(store, 1, false);
}

static void
close_store(void)
{
	store_client_close(client);
	store_close(store);
	loop_free(loop);
	loop = NULL;
}

static void
setup(void)
{
	snprintf(folder, sizeof(folder), "/tmp/test_store.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/sysrt.db", folder);
	memset(&conf, 0, sizeof(conf));
	conf.store.path = path;
	conf.store.durability = DURABILITY_NORMAL;
	conf.store.readers = 2;
	conf.store.queue = 256;
	conf.store.queue_bytes = 64 << 20;
	conf.store.max_record = 1 << 20;
	conf.store.tombstone_retention_ms = INT64_C(604800000);
	conf.store.tombstone_max = 1000000;
	conf.store.read_timeout_ms = 10000;
	conf.store.cache_bytes = 8 << 20;
	conf.store.wal_limit = 256 << 20;
	conf.store.wal_hard_limit = INT64_C(4) << 30;
	open_store();
}

static void
teardown(void)
{
	char command[128];

	close_store();
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	ck_assert_int_eq(system(command), 0);
}

/** Runs the loop until n answers are there. */
static void
run_for(unsigned n)
{
	wanted = n;
	while (answers.n < n)
		loop_run(loop);
}

static struct job *
next_answer(void)
{
	run_for(1);
	return (struct job *)(void *)qlist_shift(&answers);
}

static const struct origin asked = {
	.kind = ORIGIN_WEBSOCKET, .peer = 1, .id = {"1", 1}
};

static void
submit(struct job *j)
{
	struct error error = ERROR_NONE;

	ck_assert_int_eq(store_submit(store, client, &j, &error), PENDING);
	ck_assert_ptr_null(j);
}

static struct op *
set_op(struct job *j, size_t i, enum op_kind kind, const char *category, const char *id)
{
	struct op *op = &j->ops[i];

	op->kind = kind;
	op->category = job_keep(j, span_of(category));
	op->id = job_keep(j, span_of(id));
	op->name = op->id;
	op->now_ms = clock_wall_ms();
	return op;
}

static struct job *
new_put(const char *category, const char *id, const char *data)
{
	struct job *j = job_new(JOB_WRITE, &asked, 1, 1024);

	set_op(j, 0, OP_PUT, category, id)->data = job_keep(j, span_of(data));
	return j;
}

static struct job *
put(const char *category, const char *id, const char *data)
{
	submit(new_put(category, id, data));
	return next_answer();
}

static struct job *
run_delete(const char *category, const char *id)
{
	struct job *j = job_new(JOB_WRITE, &asked, 1, 1024);

	set_op(j, 0, OP_DELETE, category, id);
	submit(j);
	return next_answer();
}

static struct job *
new_read(enum job_kind kind, const char *category, const char *id)
{
	struct job *j = job_new(kind, &asked, 0, 1024);
	struct term term = {span_of(category), false};

	j->read.category = job_keep(j, span_of(category));
	j->read.id = job_keep(j, span_of(id));
	j->read.limit = 100;
	if (category[0] != '\0')
		j->read.pattern = pattern_new(&term, 1, NULL, 0);
	return j;
}

static struct job *
read_one(enum job_kind kind, const char *category, const char *id)
{
	submit(new_read(kind, category, id));
	return next_answer();
}

static bool
says(const struct job *j, const char *part)
{
	return memmem(j->reply.p, j->reply.n, part, strlen(part)) != NULL;
}

#define ck_says(j, part)                                                                           \
	ck_assert_msg(says(j, part), "no %s in %.*s (%s)", part, (int)(j)->reply.n, (j)->reply.p,  \
		(j)->error.text)

START_TEST(a_record_is_written_read_and_deleted)
{
	struct job *j = put("sensor", "a", "{\"t\":21.50}");

	ck_assert_int_eq(j->result, OK);
	ck_says(j, "\"seq\":1,\"rev\":1,\"created\":true");
	ck_assert_ptr_nonnull(j->ops[0].change);
	job_free(j);
	j = put("sensor", "a", "22");
	ck_says(j, "\"seq\":2,\"rev\":2,\"created\":false");
	job_free(j);
	j = read_one(JOB_GET, "sensor", "a");
	ck_says(j, "\"data\":22,\"rev\":2,\"seq\":2");
	job_free(j);
	j = run_delete("sensor", "a");
	ck_says(j, "{\"deleted\":true,\"seq\":3}");
	job_free(j);
	j = run_delete("sensor", "a");
	ck_says(j, "{\"deleted\":false}");
	job_free(j);
	j = read_one(JOB_GET, "sensor", "a");
	ck_assert_int_eq(j->result, ERR_NOT_FOUND);
	job_free(j);
	j = put("sensor", "a", "23");
	ck_says(j, "\"seq\":4,\"rev\":3,\"created\":true");
	job_free(j);
}
END_TEST

START_TEST(if_seq_is_a_condition)
{
	struct job *j = new_put("c", "x", "1");

	j->ops[0].if_seq = 0;
	submit(j);
	j = next_answer();
	ck_assert_int_eq(j->result, OK);
	job_free(j);
	j = new_put("c", "x", "2");
	j->ops[0].if_seq = 0;
	submit(j);
	j = next_answer();
	ck_assert_int_eq(j->result, ERR_CONFLICT);
	ck_assert_int_eq(j->error.seq, 1);
	job_free(j);
	j = new_put("c", "x", "2");
	j->ops[0].if_seq = 1;
	submit(j);
	j = next_answer();
	ck_assert_int_eq(j->result, OK);
	job_free(j);
	ck_assert_int_eq(store_last_seq(store), 2);
}
END_TEST

START_TEST(put_many_is_all_or_nothing)
{
	struct job *j = job_new(JOB_WRITE, &asked, 3, 1024);

	j->is_many = true;
	for (int i = 0; i < 3; i++)
		set_op(j, (size_t)i, OP_PUT, "c",
			i == 0   ? "a"
			: i == 1 ? "b"
				 : "d")
			->data = SPAN("1");
	j->ops[2].if_seq = 7;
	submit(j);
	j = next_answer();
	ck_assert_int_eq(j->result, ERR_CONFLICT);
	ck_assert_ptr_nonnull(strstr(j->error.text, "record 2"));
	job_free(j);
	j = read_one(JOB_COUNT, "", "");
	ck_says(j, "{\"count\":0");
	job_free(j);
	ck_assert_int_eq(store_last_seq(store), 0);
	job_free(put("c", "a", "1"));
	ck_assert_int_eq(store_last_seq(store), 1);
}
END_TEST

START_TEST(a_read_sees_the_writes_before_it)
{
	for (int i = 0; i < 200; i++) {
		char id[16];

		snprintf(id, sizeof(id), "r%d", i);
		submit(new_put("c", id, "1"));
		submit(new_read(JOB_GET, "c", id));
	}
	run_for(400);
	for (int i = 0; i < 400; i++) {
		struct job *j = (struct job *)(void *)qlist_shift(&answers);

		ck_assert_msg(j->result == OK, "%s", j->error.text);
		job_free(j);
	}
}
END_TEST

START_TEST(changes_come_in_order_with_tombstones)
{
	struct job *j;

	job_free(put("a", "1", "1"));
	job_free(put("b", "1", "1"));
	job_free(put("a", "2", "1"));
	job_free(run_delete("a", "1"));
	j = new_read(JOB_CHANGES, "a", "");
	j->read.since = 1;
	submit(j);
	j = next_answer();
	ck_says(j, "[{\"seq\":3,\"op\":\"put\"");
	ck_says(j, "{\"seq\":4,\"op\":\"delete\"");
	ck_says(j, "\"seq\":4,\"more\":false");
	job_free(j);
	j = new_read(JOB_CHANGES, "a", "");
	submit(j);
	j = next_answer();
	ck_assert(!says(j, "delete"));
	job_free(j);
}
END_TEST

START_TEST(listings_go_on_by_cursor)
{
	struct job *j;
	char id[16];

	for (int i = 0; i < 25; i++) {
		snprintf(id, sizeof(id), "k%02d", i);
		job_free(put("c", id, "1"));
	}
	j = new_read(JOB_LIST, "c", "");
	j->read.limit = 10;
	j->read.order = ORDER_ID;
	submit(j);
	j = next_answer();
	ck_says(j, "\"cursor\":\"i:c:k09\"");
	job_free(j);
	j = new_read(JOB_LIST, "c", "");
	j->read.limit = 10;
	j->read.order = ORDER_ID;
	j->read.cursor = SPAN("i:c:k19");
	submit(j);
	j = next_answer();
	ck_says(j, "k24");
	ck_assert(!says(j, "cursor"));
	job_free(j);
	j = new_read(JOB_LIST, "c", "");
	j->read.cursor = SPAN("i:c:k19");
	submit(j);
	j = next_answer();
	ck_assert_int_eq(j->result, ERR_INVALID_ARGUMENT);
	job_free(j);
}
END_TEST

START_TEST(positions_are_judged_by_epoch)
{
	struct error error = ERROR_NONE;
	char first[64];

	job_free(put("c", "a", "1"));
	job_free(put("c", "b", "1"));
	snprintf(first, sizeof(first), "%s", store_epoch(store));
	ck_assert_int_eq(store_check_position(store, span_of(first), 2, 0, &error), OK);
	ck_assert_int_eq(
		store_check_position(store, span_of(first), 3, 0, &error), ERR_RESYNC_REQUIRED);
	ck_assert_int_eq(store_check_position(store, SPAN(""), 2, 0, &error), ERR_INVALID_ARGUMENT);
	close_store();
	open_store();
	job_free(put("c", "c", "1"));
	ck_assert_int_eq(store_check_position(store, span_of(first), 2, 0, &error), OK);
	ck_assert_int_eq(
		store_check_position(store, span_of(first), 3, 0, &error), ERR_RESYNC_REQUIRED);
	ck_assert_int_eq(
		store_check_position(store, span_of(store_epoch(store)), 3, 0, &error), OK);
	ck_assert_int_eq(
		store_check_position(store, SPAN("nope"), 1, 0, &error), ERR_RESYNC_REQUIRED);
}
END_TEST

START_TEST(expired_records_are_deleted_as_changes)
{
	struct job *j = new_put("c", "a", "1");

	j->ops[0].expires_at = j->ops[0].now_ms + 50;
	submit(j);
	job_free(next_answer());
	j = next_answer();
	ck_assert_int_eq(j->ops[0].kind, OP_EXPIRE);
	ck_assert_uint_eq(j->changes_n, 1);
	ck_assert_int_eq(j->changes[0]->op, CHANGE_DELETE);
	ck_assert_int_eq(j->changes[0]->seq, 2);
	job_free(j);
}
END_TEST

START_TEST(pruned_positions_need_a_resync)
{
	struct error error = ERROR_NONE;

	conf.store.tombstone_max = 0;
	store_reload(store, &conf);
	job_free(put("c", "a", "1"));
	job_free(run_delete("c", "a"));
	while (store_pruned_to(store) != 2)
		job_free(put("c", "b", "1"));
	ck_assert_int_eq(store_check_position(store, span_of(store_epoch(store)), 1, 0, &error),
		ERR_RESYNC_REQUIRED);
	ck_assert_int_eq(
		store_check_position(store, span_of(store_epoch(store)), 2, 0, &error), OK);
	close_store();
	open_store();
	ck_assert_int_ge(store_last_seq(store), 3);
}
END_TEST

START_TEST(somebody_elses_write_is_noticed)
{
	sqlite3 *other;
	struct job *j;

	job_free(put("c", "a", "1"));
	ck_assert_int_eq(sqlite3_open(path, &other), SQLITE_OK);
	ck_assert_int_eq(
		sqlite3_exec(other,
			"INSERT INTO records VALUES (50, 'c', 'z', 'z', '1', 1, 1, 1, NULL)", NULL,
			NULL, NULL),
		SQLITE_OK);
	sqlite3_close(other);
	submit(new_put("c", "b", "1"));
	run_for(2);
	j = (struct job *)(void *)qlist_shift(&answers);
	ck_assert_int_eq(j->kind, JOB_NOTICE);
	job_free(j);
	j = (struct job *)(void *)qlist_shift(&answers);
	ck_says(j, "\"seq\":51");
	job_free(j);
}
END_TEST

START_TEST(a_second_daemon_is_kept_off)
{
	struct error error = ERROR_NONE;
	struct store_sink sink = {on_done, on_room, NULL};
	struct store *second = NULL;

	ck_assert_int_eq(store_open(loop, &conf, &sink, &second, &error), ERR_UNAVAILABLE);
	ck_assert_ptr_nonnull(strstr(error.text, "another sysrtd"));
}
END_TEST

START_TEST(the_tail_warms_a_ring)
{
	struct error error = ERROR_NONE;
	struct change **changes;
	int64_t floor;
	char id[16];
	size_t n;

	for (int i = 0; i < 20; i++) {
		snprintf(id, sizeof(id), "k%d", i);
		job_free(put("c", id, "1"));
	}
	job_free(run_delete("c", "k3"));
	ck_assert_int_eq(store_read_tail(store, 5, 1 << 20, &changes, &n, &floor, &error), OK);
	ck_assert_uint_eq(n, 5);
	ck_assert_int_eq(floor, 16);
	ck_assert_int_eq(changes[0]->seq, 17);
	ck_assert_int_eq(changes[4]->op, CHANGE_DELETE);
	for (size_t i = 0; i < n; i++)
		change_unref(changes[i]);
	free(changes);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("store");
	TCase *tc = tcase_create("store");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, a_record_is_written_read_and_deleted);
	tcase_add_test(tc, if_seq_is_a_condition);
	tcase_add_test(tc, put_many_is_all_or_nothing);
	tcase_add_test(tc, a_read_sees_the_writes_before_it);
	tcase_add_test(tc, changes_come_in_order_with_tombstones);
	tcase_add_test(tc, listings_go_on_by_cursor);
	tcase_add_test(tc, positions_are_judged_by_epoch);
	tcase_add_test(tc, expired_records_are_deleted_as_changes);
	tcase_add_test(tc, pruned_positions_need_a_resync);
	tcase_add_test(tc, somebody_elses_write_is_noticed);
	tcase_add_test(tc, a_second_daemon_is_kept_off);
	tcase_add_test(tc, the_tail_warms_a_ring);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0;
}
