/*
 * The hub on a real store and loop, one property a test.
 *
 * threads: yes
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/hub_rig.h"

/** Subscribes to all of it. */
static unsigned
subscribe_all(struct reader *r, int64_t since)
{
	return reader_subscribe(r, rig_pattern("*", NULL), since, 0);
}

static void
check_all(const struct reader *r, unsigned number)
{
	struct pattern *all = rig_pattern("*", NULL);

	reader_check_state(r, number, all);
	free(all);
}

static void
put_some(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		rig_put(i % RIG_CATEGORIES, i % RIG_IDS, 20);
	rig_settle();
}

START_TEST(live_from_now)
{
	struct reader r;

	put_some(5);
	reader_init(&r, FRAMING_LINE);
	subscribe_all(&r, -1);
	ck_assert_uint_eq(r.queue_n, 0); /* the answer goes first */
	rig_turns(2);
	ck_assert_uint_eq(r.views[1].synced, 1);
	ck_assert_uint_eq(r.views[1].changes, 0);
	rig_put(0, 0, 10);
	rig_delete(0, 0);
	rig_settle();
	ck_assert_uint_eq(r.views[1].changes, 2);
	ck_assert_int_eq(r.views[1].position, rig.last_seq);
	reader_fini(&r);
}
END_TEST

START_TEST(a_little_behind_by_ring)
{
	struct reader r;

	put_some(30);
	rig_delete(0, 0);
	rig_settle();
	reader_init(&r, FRAMING_WEBSOCKET);
	subscribe_all(&r, 1);
	reader_catch_up(&r, 1);
	ck_assert_uint_eq(r.views[1].synced, 1);
	ck_assert_uint_eq(r.views[1].changes, 30);
	check_all(&r, 1);
	reader_fini(&r);
}
END_TEST

/** The ring tells what has been, also of records that are deleted by now; pages behind it do not
 * tell deletions up to the base. So a replay from 0 has nothing out of the ring before its base. */
START_TEST(from_zero_by_pages_as_long_as_the_base_is_ahead)
{
	struct reader r;

	rig_put(0, 0, 10);
	rig_put(1, 1, 700);
	rig_delete(0, 0);
	rig_put(2, 2, 10);
	rig_settle();
	rig.conf.websocket.send_queue = 1000; /* a replay stops at half of it */
	hub_reload(rig.hub, &rig.conf);
	reader_init(&r, FRAMING_LINE);
	reader_stick(&r);
	subscribe_all(&r, 0);
	while (r.queue_n == 0)
		rig_turns(1);
	rig_turns(2);
	rig.conf.hub.recent = 0;
	hub_reload(rig.hub, &rig.conf);
	reader_unstick(&r);
	reader_catch_up(&r, 1);
	check_all(&r, 1);
	reader_fini(&r);
}
END_TEST

static int64_t
pages_read(void)
{
	struct buf status;
	struct json_out o;
	const char *pages;
	int64_t n;

	buf_init(&status, SIZE_MAX);
	o = json_out_start(&status);
	json_begin_object(&o, NULL);
	hub_add_status(rig.hub, &o);
	json_end_object(&o);
	buf_add_char(&status, '\0');
	pages = strstr(status.p, "\"pages\":");
	ck_assert_ptr_nonnull(pages);
	n = strtoll(pages + strlen("\"pages\":"), NULL, 10);
	buf_fini(&status);
	return n;
}

/** What it has no room for is not read anew until it has drained. */
START_TEST(a_replay_that_is_stuck_reads_no_pages)
{
	struct reader r;
	int64_t pages;

	put_some(100);
	hub_replay_all(rig.hub);
	rig.conf.websocket.send_queue = 1000;
	hub_reload(rig.hub, &rig.conf);
	reader_init(&r, FRAMING_LINE);
	reader_stick(&r);
	subscribe_all(&r, 0);
	while (r.queue_n == 0)
		rig_turns(1);
	rig_settle();
	pages = pages_read();
	rig_turns(300);
	ck_assert_int_eq(pages_read(), pages);
	reader_unstick(&r);
	reader_catch_up(&r, 1);
	check_all(&r, 1);
	reader_fini(&r);
}
END_TEST

/** The ring is void: pages of the store, which has one row a record. */
START_TEST(from_zero_by_pages)
{
	struct reader r[3];

	put_some(100);
	rig_delete(1, 1);
	rig_settle();
	hub_replay_all(rig.hub);
	for (int i = 0; i < 3; i++) {
		reader_init(&r[i], i == 2 ? FRAMING_WEBSOCKET : FRAMING_LINE);
		subscribe_all(&r[i], 0);
		ck_assert_int_eq(r[i].views[1].base, rig.last_seq);
	}
	for (int i = 0; i < 3; i++) {
		reader_catch_up(&r[i], 1);
		ck_assert_uint_eq(r[i].views[1].changes, RIG_IDS - 1);
		check_all(&r[i], 1);
	}
	ck_assert_ptr_eq(r[0].last_change, r[1].last_change);
	for (int i = 0; i < 3; i++)
		reader_fini(&r[i]);
}
END_TEST

/** More than a page: the replay goes on behind the end of each. */
START_TEST(many_pages)
{
	struct reader r;

	rig.conf.hub.recent = 4;
	hub_reload(rig.hub, &rig.conf);
	put_some(20);
	rig_put(3, 11, 2 << 20);
	rig_put(2, 10, 1 << 20);
	put_some(7);
	reader_init(&r, FRAMING_LINE);
	subscribe_all(&r, 0);
	reader_catch_up(&r, 1);
	check_all(&r, 1);
	reader_fini(&r);
}
END_TEST

/** Live, `prev` is the pattern's match before, whoever was there to hear it. */
START_TEST(prev_is_the_match_before)
{
	struct reader r[2];
	int64_t match;

	reader_init(&r[0], FRAMING_LINE);
	reader_init(&r[1], FRAMING_LINE);
	reader_subscribe(&r[0], rig_pattern("a", NULL), -1, 0);
	rig_turns(2);
	rig_put(0, 0, 10);
	rig_settle();
	ck_assert_int_eq(r[0].views[1].prev, 0);
	match = rig.last_seq;
	rig_put(3, 0, 10);
	rig_settle();
	reader_subscribe(&r[1], rig_pattern("a", NULL), -1, 0);
	rig_turns(2);
	rig_put(0, 1, 10);
	rig_put(0, 2, 10);
	rig_put(0, 3, 10);
	rig_delete(0, 1);
	rig_settle();
	for (int i = 0; i < 2; i++) {
		ck_assert_uint_eq(r[i].views[1].changes, i == 0 ? 5 : 4);
		ck_assert_int_eq(r[i].views[1].position, match + 5);
		ck_assert_int_eq(r[i].views[1].prev, match + 4);
		reader_fini(&r[i]);
	}
}
END_TEST

/** Messages to topics, as many as a loop can take, do not keep changes from being told. */
START_TEST(topics_leave_room_for_changes)
{
	static struct reader listeners[100];
	struct change *c = change_new_delete(SPAN("a"), SPAN("i1"), 1, 1, 1);
	struct reader r;
	unsigned turns = 0;

	for (unsigned i = 0; i < 100; i++) {
		struct pattern *topic = rig_pattern("t", NULL);
		struct subscribed out;

		reader_init(&listeners[i], FRAMING_LINE);
		ck_assert_int_eq(
			hub_subscribe_topics(&listeners[i].subscriber, &topic, &out, NULL), OK);
	}
	reader_init(&r, FRAMING_LINE);
	subscribe_all(&r, -1);
	rig_settle();
	hub_publish(rig.hub, &c, 1);
	while (r.views[1].changes == 0) {
		ck_assert_uint_eq(hub_publish_topic(rig.hub, SPAN("t"), SPAN("1")), 100);
		rig_turns(0);
		ck_assert_uint_lt(++turns, 100);
	}
	rig_settle();
	for (unsigned i = 0; i < 100; i++)
		reader_fini(&listeners[i]);
	reader_fini(&r);
	change_unref(c);
}
END_TEST

static void
lag(struct reader *r)
{
	reader_stick(r);
	while (!r->subscriber.lagging)
		put_some(10);
}

START_TEST(slow_reader_is_bounded_and_converges)
{
	struct reader slow, quick;

	rig.conf.websocket.send_queue = 4096;
	hub_reload(rig.hub, &rig.conf);
	reader_init(&slow, FRAMING_LINE);
	reader_init(&quick, FRAMING_LINE);
	subscribe_all(&slow, -1);
	subscribe_all(&quick, -1);
	rig_turns(2);
	lag(&slow);
	put_some(3000); /* far beyond the ring */
	rig_delete(1, 1);
	rig_settle();
	ck_assert_uint_le(slow.most_unsent, 4096);
	ck_assert_uint_gt(slow.most_unsent, 3000);
	ck_assert_int_eq(quick.views[1].position, rig.last_seq);
	reader_unstick(&slow);
	reader_catch_up(&slow, 1);
	ck_assert_uint_eq(slow.views[1].lagged, 1);
	ck_assert_uint_eq(slow.views[1].synced, 2);
	ck_assert_uint_lt(slow.views[1].changes, 200); /* conflated */
	check_all(&slow, 1);
	check_all(&quick, 1);
	reader_fini(&slow);
	reader_fini(&quick);
}
END_TEST

/** While the ring has them, nothing is conflated. */
START_TEST(short_lag_loses_nothing)
{
	struct reader r;

	rig.conf.websocket.send_queue = 4096;
	hub_reload(rig.hub, &rig.conf);
	reader_init(&r, FRAMING_LINE);
	subscribe_all(&r, 0);
	rig_turns(2);
	lag(&r);
	put_some(100);
	reader_unstick(&r);
	reader_catch_up(&r, 1);
	ck_assert_uint_eq(r.views[1].changes, (unsigned)rig.last_seq);
	ck_assert_uint_eq(r.views[1].lagged, 1);
	reader_fini(&r);
}
END_TEST

START_TEST(empty_queue_takes_a_message_of_any_size)
{
	struct reader r;

	rig.conf.websocket.send_queue = 1024;
	hub_reload(rig.hub, &rig.conf);
	reader_init(&r, FRAMING_LINE);
	subscribe_all(&r, -1);
	rig_turns(2);
	reader_stick(&r);
	rig_put(0, 0, 100000);
	rig_settle();
	ck_assert(!r.subscriber.lagging);
	ck_assert_uint_gt(r.unsent, 100000);
	rig_put(0, 1, 10);
	rig_settle();
	ck_assert(r.subscriber.lagging);
	ck_assert_uint_lt(r.unsent, 102000);
	reader_unstick(&r);
	reader_catch_up(&r, 1);
	ck_assert_uint_eq(r.views[1].changes, 2);
	reader_fini(&r);
}
END_TEST

/** Two subscriptions of a session hear the same change; the queue is full between the two. */
START_TEST(each_subscription_is_frozen_where_it_is)
{
	struct reader r;

	rig.conf.websocket.send_queue = 1500;
	hub_reload(rig.hub, &rig.conf);
	reader_init(&r, FRAMING_LINE);
	for (int i = 0; i < 2; i++)
		subscribe_all(&r, 0);
	for (int i = 0; i < 2; i++)
		reader_subscribe(&r, rig_pattern("a*", NULL), 0, 0);
	rig_turns(3);
	for (unsigned round = 0; round < 40; round++) {
		lag(&r);
		reader_unstick(&r);
		for (unsigned number = 1; number <= 4; number++)
			reader_catch_up(&r, number);
	}
	check_all(&r, 1);
	check_all(&r, 2);
	reader_fini(&r);
}
END_TEST

START_TEST(broken_off_replay_resumes_with_its_base)
{
	struct reader r;
	int64_t since, base;
	struct view view;

	put_some(40);
	for (unsigned i = 0; i < 6; i++)
		rig_delete(i % RIG_CATEGORIES, i);
	rig_settle();
	hub_replay_all(rig.hub);
	rig.conf.websocket.send_queue = 1000; /* a replay stops at half of it */
	hub_reload(rig.hub, &rig.conf);
	reader_init(&r, FRAMING_LINE);
	subscribe_all(&r, 0);
	reader_stick(&r);
	rig_turns(50);
	while (r.queue_n == 0)
		rig_turns(1);
	reader_unstick(&r);
	view = r.views[1];
	since = view.position;
	base = view.base;
	ck_assert_int_lt(since, rig.last_seq);
	reader_fini(&r);
	rig_prune(); /* up to the base: it never saw what was deleted */
	rig_delete(0, 8);
	rig_settle();
	reader_init(&r, FRAMING_LINE);
	r.views[1].state = view.state;
	reader_subscribe(&r, rig_pattern("*", NULL), since, base);
	reader_catch_up(&r, 1);
	ck_assert_int_eq(r.views[1].resync, -1);
	check_all(&r, 1);
	reader_fini(&r);
}
END_TEST

START_TEST(behind_the_pruning)
{
	struct position from = {.base = 0};
	struct error error = ERROR_NONE;
	struct subscribed got;
	struct pattern *p;
	struct reader r;
	int64_t since;

	rig.conf.websocket.send_queue = 2000;
	hub_reload(rig.hub, &rig.conf);
	reader_init(&r, FRAMING_LINE);
	subscribe_all(&r, -1);
	rig_turns(2);
	lag(&r);
	since = r.views[1].position;
	put_some(2000);
	rig_delete(0, 0);
	rig_settle();
	rig_prune();
	rig_put(1, 1, 10);
	rig_settle();
	hub_replay_all(rig.hub);
	reader_unstick(&r);
	reader_catch_up(&r, 1);
	ck_assert_int_eq(r.views[1].resync, rig.last_seq - 1);
	ck_assert_uint_eq(r.subscriber.subscriptions_n, 0);
	from.epoch = span_of(store_epoch(rig.store));
	from.since = since + 1;
	p = rig_pattern("*", NULL);
	ck_assert_int_eq(
		hub_subscribe(&r.subscriber, &p, &from, &got, &error), ERR_RESYNC_REQUIRED);
	ck_assert_int_eq(error.seq, rig.last_seq - 1);
	ck_assert_ptr_nonnull(p);
	free(p);
	reader_fini(&r);
}
END_TEST

START_TEST(progress_tells_the_position)
{
	struct reader r;

	reader_init(&r, FRAMING_LINE);
	reader_subscribe(&r, rig_pattern("nothing", NULL), -1, 0);
	rig_turns(2);
	put_some(10);
	ck_assert_int_eq(r.views[1].position, 0);
	subscriber_beat(&r.subscriber);
	rig_turns(2);
	ck_assert_uint_eq(r.views[1].progress, 1);
	ck_assert_int_eq(r.views[1].position, rig.last_seq);
	reader_fini(&r);
}
END_TEST

START_TEST(topics_are_told_or_counted)
{
	struct reader a, b;

	rig.conf.websocket.send_queue = 1000;
	hub_reload(rig.hub, &rig.conf);
	reader_init(&a, FRAMING_LINE);
	reader_init(&b, FRAMING_WEBSOCKET);
	reader_subscribe_topics(&a, rig_pattern("news*", NULL));
	reader_subscribe_topics(&b, rig_pattern("news.x", NULL));
	ck_assert_uint_eq(hub_publish_topic(rig.hub, SPAN("news.x"), SPAN("{ \"a\" :\n1}")), 2);
	ck_assert_uint_eq(hub_publish_topic(rig.hub, SPAN("news.y"), SPAN("2")), 1);
	ck_assert_uint_eq(hub_publish_topic(rig.hub, SPAN("other"), SPAN("3")), 0);
	rig_turns(2);
	ck_assert_uint_eq(a.views[1].messages, 2);
	ck_assert_uint_eq(b.views[1].messages, 1);
	reader_stick(&a);
	for (unsigned i = 0; i < 100; i++)
		hub_publish_topic(rig.hub, SPAN("news.x"), SPAN("\"some text\""));
	ck_assert(a.subscriber.lagging);
	ck_assert_uint_eq(b.views[1].messages + b.queue_n, 101);
	reader_unstick(&a);
	rig_turns(2);
	ck_assert_uint_eq(a.views[1].lagged, 1);
	ck_assert_uint_eq(a.views[1].messages + a.views[1].dropped, 102);
	ck_assert_uint_eq(hub_publish_topic(rig.hub, SPAN("news.x"), SPAN("1")), 2);
	reader_fini(&a);
	reader_fini(&b);
}
END_TEST

START_TEST(limits_and_unsubscribe)
{
	struct position from = {.since = -1};
	struct error error = ERROR_NONE;
	struct term *many = calloc(5000, sizeof(*many));
	char(*texts)[16] = calloc(5000, sizeof(*texts));
	struct subscribed got;
	struct pattern *p;
	struct reader r;

	rig.conf.websocket.max_subscriptions = 2;
	hub_reload(rig.hub, &rig.conf);
	reader_init(&r, FRAMING_LINE);
	subscribe_all(&r, -1);
	subscribe_all(&r, -1);
	p = rig_pattern("*", NULL);
	ck_assert_int_eq(hub_subscribe(&r.subscriber, &p, &from, &got, &error), ERR_LIMIT_EXCEEDED);
	ck_assert_int_eq(hub_subscribe_topics(&r.subscriber, &p, &got, &error), ERR_LIMIT_EXCEEDED);
	ck_assert_int_eq(hub_unsubscribe(&r.subscriber, 1, &error), OK);
	ck_assert_int_eq(hub_unsubscribe(&r.subscriber, 1, &error), ERR_NOT_FOUND);
	ck_assert_int_eq(hub_subscribe(&r.subscriber, &p, &from, &got, &error), OK);
	ck_assert_uint_eq(got.number, 3); /* numbers are not used again */
	ck_assert_int_eq(hub_unsubscribe(&r.subscriber, 3, &error), OK);
	for (unsigned i = 0; i < 5000; i++) {
		snprintf(texts[i], sizeof(texts[i]), "c%u", i);
		many[i].text = span_of(texts[i]);
	}
	p = pattern_new(many, 5000, NULL, 0, NULL);
	ck_assert_int_eq(hub_subscribe(&r.subscriber, &p, &from, &got, &error), ERR_LIMIT_EXCEEDED);
	free(p);
	free(many);
	free(texts);
	reader_fini(&r);
}
END_TEST

/** The ring is warmed from the store's tail: a short replay needs no page. */
START_TEST(warm_after_a_start)
{
	struct error error = ERROR_NONE;
	struct reader r;

	put_some(50);
	hub_free(rig.hub);
	rig.hub = hub_new(rig.loop, rig.store, &rig.conf);
	ck_assert_int_eq(hub_warm(rig.hub, &error), OK);
	ck_assert_int_eq(hub_published(rig.hub), rig.last_seq);
	reader_init(&r, FRAMING_LINE);
	subscribe_all(&r, rig.last_seq - 5);
	while (r.views[1].synced == 0)
		rig_turns(0);
	ck_assert_int_eq(pages_read(), 0);
	reader_fini(&r);
}
END_TEST

static void
add_tests(TCase *tc)
{
	tcase_add_test(tc, live_from_now);
	tcase_add_test(tc, a_little_behind_by_ring);
	tcase_add_test(tc, from_zero_by_pages_as_long_as_the_base_is_ahead);
	tcase_add_test(tc, a_replay_that_is_stuck_reads_no_pages);
	tcase_add_test(tc, from_zero_by_pages);
	tcase_add_test(tc, many_pages);
	tcase_add_test(tc, prev_is_the_match_before);
	tcase_add_test(tc, topics_leave_room_for_changes);
	tcase_add_test(tc, slow_reader_is_bounded_and_converges);
	tcase_add_test(tc, short_lag_loses_nothing);
	tcase_add_test(tc, empty_queue_takes_a_message_of_any_size);
	tcase_add_test(tc, each_subscription_is_frozen_where_it_is);
	tcase_add_test(tc, broken_off_replay_resumes_with_its_base);
	tcase_add_test(tc, behind_the_pruning);
	tcase_add_test(tc, progress_tells_the_position);
	tcase_add_test(tc, topics_are_told_or_counted);
	tcase_add_test(tc, limits_and_unsubscribe);
	tcase_add_test(tc, warm_after_a_start);
}

int
main(void)
{
	Suite *suite = suite_create("hub");
	TCase *tc = tcase_create("hub");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, rig_setup, rig_teardown);
	add_tests(tc);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
