/*
 * A feed's writes on a real store: in order, bounded, and nothing lost when it fails.
 *
 * threads: yes
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "daemon/feed/writing.h"
#include "tests/unit/fault_vfs.h"
#include "tests/unit/store_rig.h"

#define FEED_ID 77

static struct conf *conf;
static struct writing *writing;
static struct heard {
	unsigned rooms;
	unsigned failed;
	unsigned mended;
	size_t committed;
	int64_t seq;
} heard;

static void
on_room(void *arg)
{
	((struct heard *)arg)->rooms++;
}

static void
on_committed(void *arg, size_t n, int64_t seq, int64_t came_us)
{
	struct heard *h = arg;

	ck_assert_int_gt(seq, h->seq);
	ck_assert_int_gt(came_us, 0);
	h->committed += n;
	h->seq = seq;
}

static void
on_failing(void *arg, const struct error *error)
{
	struct heard *h = arg;

	if (error != NULL)
		h->failed++;
	else
		h->mended++;
}

static const struct writing_ops ops = {on_room, on_committed, on_failing, &heard};

static void
begin(bool conflates)
{
	writing = writing_new(
		rig.loop, rig.store, &(struct writing_wish){conf, FEED_ID, conflates}, &ops);
}

static void
setup(void)
{
	rig_setup();
	conf = conf_new();
	heard = (struct heard){.seq = 0};
}

static void
teardown(void)
{
	writing_free(writing);
	rig_teardown();
	conf_free(conf);
}

/** Adds version `n` of a record, with so many bytes of data more. */
static enum err
add(const char *id, unsigned n, size_t more)
{
	struct error error = ERROR_NONE;
	struct feed_record r;
	struct buf data;
	enum err e;

	buf_init(&data, SIZE_MAX / 2);
	buf_addf(&data, "[%u,\"", n);
	for (size_t i = 0; i < more; i++)
		buf_add_char(&data, 'x');
	buf_add(&data, "\"]", 2);
	r = (struct feed_record){
		.category = SPAN("c"),
		.id = span_of(id),
		.name = span_of(id),
		.data = buf_span(&data),
		.now_ms = clock_wall_ms(),
		.at_ms = clock_wall_ms(),
		.came_us = clock_mono_us(),
	};
	e = writing_add(writing, &r, &error);
	buf_fini(&data);
	return e;
}

/** One job comes back. */
static void
take(void)
{
	struct job *j = rig_next_own();

	ck_assert_uint_eq(j->origin.peer, FEED_ID);
	writing_done(writing, &j);
	job_free(j);
}

static void
take_all(void)
{
	while (!writing_is_idle(writing))
		take();
}

/** The version of a record that is stored. */
static int64_t
stored(const char *id)
{
	char sql[128];

	snprintf(sql, sizeof(sql), "SELECT json_extract(data, '$[0]') FROM records WHERE id = '%s'",
		id);
	return rig_sql(sql);
}

START_TEST(in_order_and_two_jobs_at_a_time)
{
	char id[16];

	begin(false);
	ck_assert(writing_is_idle(writing));
	writing_flush(writing);
	for (unsigned i = 0; i < 5000; i++) {
		snprintf(id, sizeof(id), "i%u", i % 10);
		ck_assert_int_eq(add(id, i, 0), OK);
		if (i % 100 == 0)
			writing_flush(writing);
		ck_assert_int_le(rig_status("queue"), 2);
	}
	writing_flush(writing);
	take_all();
	ck_assert_uint_eq(heard.committed, 5000);
	ck_assert_int_eq(heard.seq, 5000);
	for (unsigned i = 0; i < 10; i++) {
		snprintf(id, sizeof(id), "i%u", i);
		ck_assert_int_eq(stored(id), 4990 + i);
	}
	ck_assert_int_eq(rig_sql("SELECT sum(rev) FROM records"), 5000);
}
END_TEST

START_TEST(full_until_some_is_written)
{
	unsigned n = 0, rooms;

	begin(false);
	while (!writing_is_full(writing)) {
		ck_assert_int_eq(add("a", ++n, 10000), OK);
		writing_flush(writing);
	}
	ck_assert_uint_gt(n, 50);
	ck_assert_uint_lt(n, 1000);
	ck_assert_int_eq(add("a", ++n, 10000), OK); /* that was under way is not lost */
	rooms = heard.rooms;
	while (writing_is_full(writing))
		take();
	ck_assert_uint_gt(heard.rooms, rooms);
	take_all();
	ck_assert_uint_eq(heard.committed, n);
	ck_assert_int_eq(stored("a"), n);
}
END_TEST

/** Small records cost more than their texts: what is gathered counts as what it takes. */
START_TEST(full_of_small_ones)
{
	unsigned n = 0;

	begin(false);
	while (!writing_is_full(writing)) {
		ck_assert_int_eq(add("a", ++n, 0), OK);
		writing_flush(writing);
	}
	ck_assert_uint_gt(n, 4000);
	ck_assert_uint_lt(n, 3 * (1 << 20) / sizeof(struct op));
	take_all();
	ck_assert_uint_eq(heard.committed, n);
}
END_TEST

START_TEST(conflating_keeps_the_newest)
{
	char id[16];
	unsigned n = 20000;

	begin(true);
	for (unsigned i = 0; i < n; i++) {
		snprintf(id, sizeof(id), "i%u", i % 20);
		ck_assert_int_eq(add(id, i, 500), OK);
		writing_flush(writing);
		ck_assert(!writing_is_full(writing));
	}
	ck_assert_uint_gt(writing_conflated(writing), n / 2);
	take_all();
	ck_assert_uint_eq(heard.committed + writing_conflated(writing), n);
	for (unsigned i = 0; i < 20; i++) {
		snprintf(id, sizeof(id), "i%u", i);
		ck_assert_int_eq(stored(id), n - 20 + i);
	}
}
END_TEST

START_TEST(conflating_is_bounded_too)
{
	char id[16];
	unsigned n = 0;

	begin(true);
	while (!writing_is_full(writing)) {
		snprintf(id, sizeof(id), "i%u", ++n);
		ck_assert_int_eq(add(id, n, 20000), OK);
	}
	ck_assert_uint_gt(n, 400);
	ck_assert_uint_lt(n, 700);
	writing_flush(writing);
	take_all();
	ck_assert_uint_eq(heard.committed, n);
}
END_TEST

/** While the disk fails nothing is lost, and nothing is written out of order; then all is. */
START_TEST(a_failure_is_outlived)
{
	begin(false);
	ck_assert_int_eq(add("a", 1, 0), OK);
	writing_flush(writing);
	take_all();
	fault_arm(FAULT_WRITE, FAULT_LOG, 0, 1000000, SQLITE_FULL);
	ck_assert_int_eq(add("a", 2, 0), OK);
	writing_flush(writing);
	ck_assert_int_eq(add("a", 3, 0), OK);
	take();
	ck_assert_uint_eq(heard.failed, 1);
	ck_assert(writing_is_full(writing));
	ck_assert_int_eq(add("a", 4, 0), OK);
	take(); /* it was tried again */
	ck_assert_uint_eq(heard.failed, 1);
	fault_disarm();
	take_all();
	ck_assert_uint_eq(heard.mended, 1);
	ck_assert(!writing_is_full(writing));
	ck_assert_uint_eq(heard.committed, 4);
	ck_assert_int_eq(stored("a"), 4);
	ck_assert_int_eq(rig_sql("SELECT rev FROM records"), 4);
}
END_TEST

/** What is chained to it fails with it, and both are written in their order. */
START_TEST(a_failure_takes_the_next_with_it)
{
	unsigned n = 0;

	begin(false);
	fault_arm(FAULT_WRITE, FAULT_LOG, 0, 1000000, SQLITE_FULL);
	while (!writing_is_full(writing)) {
		ck_assert_int_eq(add("a", ++n, 5000), OK);
		writing_flush(writing);
	}
	ck_assert_int_eq(rig_status("queue"), 2);
	take();
	take();
	ck_assert_int_eq(rig_status("queue"), 0); /* it waits */
	ck_assert_uint_eq(heard.failed, 1);
	ck_assert_uint_eq(heard.committed, 0);
	take(); /* one alone is tried again */
	ck_assert_int_eq(rig_status("queue"), 0);
	fault_disarm();
	take_all();
	ck_assert_uint_eq(heard.mended, 1);
	ck_assert_uint_eq(heard.committed, n);
	ck_assert_int_eq(heard.seq, n);
	ck_assert_int_eq(stored("a"), n);
}
END_TEST

START_TEST(in_a_hurry_all_goes_at_once)
{
	char id[16];

	begin(true);
	for (unsigned i = 0; i < 3000; i++) {
		snprintf(id, sizeof(id), "i%u", i);
		ck_assert_int_eq(add(id, i, 1000), OK);
	}
	writing_hurry(writing);
	take_all();
	ck_assert_uint_eq(heard.committed, 3000);
}
END_TEST

START_TEST(in_a_hurry_what_fails_is_given_up)
{
	begin(false);
	fault_arm(FAULT_WRITE, FAULT_LOG, 0, 1000000, SQLITE_FULL);
	ck_assert_int_eq(add("a", 1, 0), OK);
	writing_flush(writing);
	take();
	writing_hurry(writing);
	take_all();
	fault_disarm();
	ck_assert_uint_eq(heard.committed, 0);
	store_refuse(rig.store);
	ck_assert_int_eq(add("a", 2, 0), OK);
	writing_flush(writing);
	ck_assert(writing_is_idle(writing));
}
END_TEST

START_TEST(too_large_is_refused)
{
	begin(false);
	ck_assert_int_eq(add("a", 1, 1 << 20), ERR_LIMIT_EXCEEDED);
	ck_assert_int_eq(add("b", 1, (1 << 20) - 100), OK);
	ck_assert_int_eq(add("c", 1, 1 << 20), ERR_LIMIT_EXCEEDED);
	writing_flush(writing);
	take_all();
	ck_assert_uint_eq(heard.committed, 1);
}
END_TEST

/** Whose feed is gone: what the store has is written. */
START_TEST(freed_in_between)
{
	struct job *j;

	begin(false);
	ck_assert_int_eq(add("a", 1, 0), OK);
	writing_flush(writing);
	ck_assert_int_eq(add("a", 2, 0), OK);
	writing_free(writing);
	writing = NULL;
	j = rig_next_own();
	ck_assert_int_eq(j->result, OK);
	job_free(j);
	ck_assert_int_eq(stored("a"), 1);
}
END_TEST

static void
add_tests(TCase *tc)
{
	tcase_add_test(tc, in_order_and_two_jobs_at_a_time);
	tcase_add_test(tc, full_until_some_is_written);
	tcase_add_test(tc, full_of_small_ones);
	tcase_add_test(tc, conflating_keeps_the_newest);
	tcase_add_test(tc, conflating_is_bounded_too);
	tcase_add_test(tc, a_failure_is_outlived);
	tcase_add_test(tc, a_failure_takes_the_next_with_it);
	tcase_add_test(tc, in_a_hurry_all_goes_at_once);
	tcase_add_test(tc, in_a_hurry_what_fails_is_given_up);
	tcase_add_test(tc, too_large_is_refused);
	tcase_add_test(tc, freed_in_between);
}

int
main(void)
{
	Suite *suite = suite_create("writing");
	TCase *tc = tcase_create("writing");
	SRunner *runner = srunner_create(suite);
	int failed;

	fault_install();
	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	add_tests(tc);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
