/*
 * The loop: deferred calls, timers, signals, watches; and the table of counters.
 */

#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "daemon/base/loop.h"
#include "daemon/base/stats.h"

static struct loop *loop;
static char trace[64];

static void
note(void *arg)
{
	strcat(trace, arg);
}

static void
stop(void *arg)
{
	(void)arg;
	loop_stop(loop);
}

static void
set_up(void)
{
	loop = loop_new();
	trace[0] = '\0';
}

static void
tear_down(void)
{
	loop_free(loop);
}

static char a[] = "a", b[] = "b", c[] = "c";

static void
defer_c_then_stop(void *arg)
{
	note(arg);
	loop_defer(loop, note, c);
	loop_defer(loop, stop, NULL);
}

START_TEST(deferred_calls_run_in_order_and_nested_ones_a_turn_later)
{
	loop_defer(loop, defer_c_then_stop, a);
	loop_defer(loop, note, b);
	loop_run(loop);
	ck_assert_str_eq(trace, "abc");
}
END_TEST

static void
forget_b(void *arg)
{
	note(arg);
	loop_undefer(loop, b);
}

START_TEST(deferred_calls_can_be_forgotten_even_by_one_of_them)
{
	loop_defer(loop, note, c);
	loop_defer(loop, forget_b, a);
	loop_defer(loop, note, b);
	loop_defer(loop, note, b);
	loop_defer(loop, stop, NULL);
	loop_undefer(loop, c);
	loop_run(loop);
	ck_assert_str_eq(trace, "a");
}
END_TEST

static struct loop_timer *timers[4]; /* first, second, never, last */

/** In one turn, in which it is one time for all. */
static void
start_timers(void *arg)
{
	(void)arg;
	loop_timer_start(timers[1], 20);
	loop_timer_start(timers[0], 10);
	loop_timer_start(timers[2], 5);
	loop_timer_stop(timers[2]);
	loop_timer_start(timers[3], 1);
	loop_timer_start(timers[3], 50); /* starting again moves it */
}

START_TEST(timers_fire_once_in_order_of_time_and_can_be_stopped)
{
	int64_t start_us = clock_mono_us();

	timers[0] = loop_timer_new(loop, note, a);
	timers[1] = loop_timer_new(loop, note, b);
	timers[2] = loop_timer_new(loop, note, c);
	timers[3] = loop_timer_new(loop, stop, NULL);
	loop_defer(loop, start_timers, NULL);
	loop_run(loop);
	ck_assert_str_eq(trace, "ab");
	ck_assert_int_ge(clock_mono_us() - start_us, 50000);
	for (unsigned i = 0; i < 4; i++)
		loop_timer_free(timers[i]);
	loop_timer_free(NULL);
}
END_TEST

static int64_t seen_now_ms[2];

static void
read_now_twice(void *arg)
{
	int64_t until_us = clock_mono_us() + 5000;

	(void)arg;
	seen_now_ms[0] = loop_now_ms(loop);
	while (clock_mono_us() < until_us)
		;
	seen_now_ms[1] = loop_now_ms(loop);
	loop_defer(loop, stop, NULL);
}

START_TEST(now_stands_still_within_a_turn)
{
	int64_t first_ms;

	loop_defer(loop, read_now_twice, NULL);
	loop_run(loop);
	ck_assert_int_eq(seen_now_ms[0], seen_now_ms[1]);
	first_ms = seen_now_ms[0];
	loop_defer(loop, read_now_twice, NULL);
	loop_run(loop);
	ck_assert_int_ge(seen_now_ms[0], first_ms + 5);
}
END_TEST

static void
on_signal(void *arg, int signo)
{
	ck_assert_int_eq(signo, SIGUSR1);
	note(arg);
	loop_stop(loop);
}

START_TEST(signals_are_events)
{
	loop_on_signal(loop, SIGUSR1, on_signal, a);
	raise(SIGUSR1);
	loop_run(loop);
	ck_assert_str_eq(trace, "a");
}
END_TEST

static int pipe_fds[2];

static void
read_one(void *arg)
{
	char byte;

	ck_assert_int_eq(read(pipe_fds[0], &byte, 1), 1);
	note(arg);
	if (byte == '!')
		loop_stop(loop);
}

START_TEST(watches_tell_as_long_as_something_can_be_read)
{
	struct loop_watch *w;

	ck_assert_int_eq(pipe(pipe_fds), 0);
	w = loop_watch_new(loop, pipe_fds[0], read_one, a);
	ck_assert_int_eq(write(pipe_fds[1], "xx!", 3), 3);
	loop_run(loop);
	ck_assert_str_eq(trace, "aaa");
	loop_watch_free(w);
	ck_assert_int_eq(write(pipe_fds[1], "x", 1), 1);
	loop_defer(loop, stop, NULL);
	loop_run(loop);
	ck_assert_str_eq(trace, "aaa");
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}
END_TEST

static unsigned unread;

static void
leave_it(void *arg)
{
	(void)arg;
	if (++unread == 1000)
		loop_stop(loop);
}

/** What can be read and is left for the next turn does not keep deferred calls from running. */
START_TEST(a_turn_ends_though_there_is_more_to_read)
{
	struct loop_watch *w;

	ck_assert_int_eq(pipe(pipe_fds), 0);
	w = loop_watch_new(loop, pipe_fds[0], leave_it, NULL);
	ck_assert_int_eq(write(pipe_fds[1], "x", 1), 1);
	loop_defer(loop, note, a);
	loop_defer(loop, stop, NULL);
	loop_run(loop);
	ck_assert_str_eq(trace, "a");
	ck_assert_uint_eq(unread, 1);
	loop_watch_free(w);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}
END_TEST

static int64_t
read_gauge(const void *arg)
{
	return *(const int *)arg;
}

START_TEST(counters_and_gauges_are_listed)
{
	struct stats *stats = stats_new();
	struct counter counter = {0};
	int depth = 3;
	struct json_out out;
	struct buf text;

	buf_init(&text, 1024);
	stats_add_counter(stats, "sysrt_test_total", &counter);
	stats_add_gauge(stats, "sysrt_test_depth", read_gauge, &depth);
	counter_add(&counter, 40);
	counter_add(&counter, 2);
	depth = -1;
	out = json_out_start(&text);
	json_begin_object(&out, NULL);
	stats_add_json(stats, &out);
	json_end_object(&out);
	ck_assert(span_is(buf_span(&text), "{\"sysrt_test_total\":42,\"sysrt_test_depth\":-1}"));
	buf_fini(&text);
	stats_free(stats);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("loop");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, deferred_calls_run_in_order_and_nested_ones_a_turn_later);
	tcase_add_test(t, deferred_calls_can_be_forgotten_even_by_one_of_them);
	tcase_add_test(t, timers_fire_once_in_order_of_time_and_can_be_stopped);
	tcase_add_test(t, now_stands_still_within_a_turn);
	tcase_add_test(t, signals_are_events);
	tcase_add_test(t, watches_tell_as_long_as_something_can_be_read);
	tcase_add_test(t, a_turn_ends_though_there_is_more_to_read);
	tcase_add_test(t, counters_and_gauges_are_listed);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
