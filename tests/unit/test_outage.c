/*
 * Outages: who is told that a feed is down, when, and that a peer without room
 * learns how things stand once it has drained.
 *
 * threads: yes
 */

#include <check.h>
#include <stdlib.h>

#include "daemon/hub/outage.h"
#include "tests/unit/hub_rig.h"

static struct outage *
outage_of(const char *feed, const char *name, bool is_prefix)
{
	return outage_new(
		rig.hub, &(struct outage_of){
				 .feed = span_of(feed), .names = {span_of(name), is_prefix}
        });
}

START_TEST(those_that_it_meets_are_told)
{
	static const struct {
		const char *pattern;
		const char *names;
		bool is_prefix;
		bool meets;
	} cases[] = {
		{"a",   "a",   false, true },
		{"a",   "b",   false, false},
		{"a*",  "abc", false, true },
		{"ab*", "a",   false, false},
		{"abc", "a",   true,  true },
		{"a",   "ab",  true,  false},
		{"a*",  "ab",  true,  true },
		{"ab*", "a",   true,  true },
		{"a*",  "b",   true,  false},
		{"*",   "b",   false, true },
		{"b",   "",    true,  true },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct outage *o = outage_of("f", cases[i].names, cases[i].is_prefix);
		struct reader r;
		struct view *v = &r.views[1];

		reader_init(&r, i % 2 == 0 ? FRAMING_LINE : FRAMING_WEBSOCKET);
		reader_subscribe(&r, rig_pattern(cases[i].pattern, NULL), -1, 0);
		rig_turns(2);
		outage_begin(o, 1700000000000);
		ck_assert(outage_has_begun(o));
		outage_begin(o, 1800000000000); /* it stays as it is */
		rig_turns(2);
		ck_assert_uint_eq(v->stale, cases[i].meets);
		ck_assert_int_eq(v->stale_since, cases[i].meets ? 1700000000000 : 0);
		outage_end(o);
		outage_end(o);
		rig_turns(2);
		ck_assert_uint_eq(v->fresh, cases[i].meets);
		outage_free(o);
		reader_fini(&r);
	}
}
END_TEST

/** Behind the answer, which is what was not sent yet when subscribing is done, and before what the
 * replay tells. */
START_TEST(a_new_subscription_is_told_what_lasts)
{
	struct outage *o = outage_of("f", "a", true), *other = outage_of("g", "a", true);
	struct reader r;

	rig_put(0, 0, 10);
	rig_settle();
	outage_begin(o, 1700000000000);
	outage_begin(other, 1700000000000);
	outage_end(other);
	reader_init(&r, FRAMING_LINE);
	reader_subscribe(&r, rig_pattern("a", NULL), 0, 0);
	reader_subscribe(&r, rig_pattern("b", NULL), -1, 0);
	ck_assert_uint_eq(r.queue_n, 0);
	reader_catch_up(&r, 1);
	ck_assert_uint_eq(r.views[1].changes, 1);
	ck_assert_uint_eq(r.views[1].stale, 1);
	ck_assert_uint_eq(r.views[1].fresh, 0);
	ck_assert_uint_eq(r.views[1].before_stale, 0);
	ck_assert_uint_eq(r.views[2].stale, 0);
	outage_free(o); /* that ends it */
	rig_turns(2);
	ck_assert_uint_eq(r.views[1].fresh, 1);
	outage_free(other);
	reader_fini(&r);
}
END_TEST

START_TEST(one_that_ends_before_its_turn_tells_nobody_of_it)
{
	struct outage *o = outage_of("f", "a", false);
	struct reader r;

	outage_begin(o, 1700000000000);
	reader_init(&r, FRAMING_LINE);
	reader_subscribe(&r, rig_pattern("a", NULL), -1, 0);
	reader_fini(&r); /* it is gone before it was told */
	reader_init(&r, FRAMING_LINE);
	reader_subscribe(&r, rig_pattern("a", NULL), -1, 0);
	outage_end(o);
	rig_turns(2);
	ck_assert_uint_eq(r.views[1].stale, 0);
	ck_assert_int_eq(r.views[1].stale_since, 0);
	outage_free(o);
	reader_fini(&r);
}
END_TEST

START_TEST(topics_have_their_own)
{
	struct outage *o = outage_new(
		rig.hub, &(struct outage_of){
				 .feed = SPAN("f"), .names = {SPAN("a"), false},
                                      .is_topic = true
        });
	struct reader r;

	reader_init(&r, FRAMING_LINE);
	reader_subscribe(&r, rig_pattern("a", NULL), -1, 0);
	reader_subscribe_topics(&r, rig_pattern("a*", NULL));
	outage_begin(o, 1);
	rig_turns(2);
	ck_assert_uint_eq(r.views[1].stale, 0);
	ck_assert_uint_eq(r.views[2].stale, 1);
	outage_free(o);
	rig_turns(2);
	ck_assert_uint_eq(r.views[2].fresh, 1);
	reader_fini(&r);
}
END_TEST

/** However often it changes meanwhile, nothing is queued for a peer that lags, and in the end it
 * knows how things are. */
START_TEST(who_lags_learns_how_it_is_afterwards)
{
	struct outage *o = outage_of("f", "a", true), *other = outage_of("g", "a", false);
	struct reader r;
	size_t unsent;

	rig.conf.websocket.send_queue = 4096;
	hub_reload(rig.hub, &rig.conf);
	reader_init(&r, FRAMING_LINE);
	reader_subscribe(&r, rig_pattern("a", NULL), -1, 0);
	rig_turns(2);
	outage_begin(o, 1700000000000);
	rig_turns(2);
	reader_stick(&r);
	rig_put(0, 0, 3000);
	rig_settle();
	for (int i = 1; i <= 100; i++) {
		outage_end(o);
		outage_begin(o, i);
		outage_begin(other, i);
		outage_end(other);
		rig_turns(1);
	}
	unsent = r.unsent;
	ck_assert_uint_le(unsent, 4096);
	outage_end(o);
	outage_begin(other, 77);
	rig_turns(2);
	ck_assert_uint_eq(r.unsent, unsent);
	reader_unstick(&r);
	reader_catch_up(&r, 1);
	rig_turns(2);
	ck_assert_uint_eq(r.views[1].lagged, 1);
	ck_assert_int_eq(r.views[1].stale_since, 77);
	ck_assert_uint_ge(r.views[1].fresh, 1);
	outage_free(o);
	outage_free(other);
	reader_fini(&r);
}
END_TEST

/** It is freed while a peer lags, and another one begins under the same name. */
START_TEST(who_lags_hears_of_the_end_of_one_that_is_gone)
{
	struct outage *o = outage_of("f", "a", true), *next;
	struct reader r;

	rig.conf.websocket.send_queue = 4096;
	hub_reload(rig.hub, &rig.conf);
	reader_init(&r, FRAMING_LINE);
	reader_subscribe(&r, rig_pattern("a", NULL), -1, 0);
	rig_turns(2);
	outage_begin(o, 5);
	rig_turns(2);
	reader_stick(&r);
	rig_put(0, 0, 3000);
	rig_put(0, 0, 3000);
	rig_settle();
	ck_assert(r.subscriber.lagging);
	outage_free(o);
	rig_turns(2);
	ck_assert_uint_eq(r.views[1].fresh, 0);
	reader_unstick(&r);
	reader_catch_up(&r, 1);
	rig_turns(2);
	ck_assert_uint_eq(r.views[1].stale, 1);
	ck_assert_uint_eq(r.views[1].fresh, 1);
	/* The same, and the peer goes without having heard of it. */
	next = outage_of("f", "a", true);
	outage_begin(next, 6);
	rig_turns(2);
	reader_stick(&r);
	rig_put(0, 0, 3000);
	rig_put(0, 0, 3000);
	rig_settle();
	outage_free(next);
	reader_fini(&r);
}
END_TEST

START_TEST(what_one_is_of)
{
	struct outage_of of =
				 {
					 .feed = SPAN("f"), .names = {SPAN("a"), true}
        },
			 other = of;
	struct outage *o = outage_new(rig.hub, &of);

	ck_assert(outage_is_of(o, &of));
	other.names.is_prefix = false;
	ck_assert(!outage_is_of(o, &other));
	other = of;
	other.names.text = SPAN("b");
	ck_assert(!outage_is_of(o, &other));
	other = of;
	other.is_topic = true;
	ck_assert(!outage_is_of(o, &other));
	outage_free(o);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("outage");
	TCase *tc = tcase_create("outage");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, rig_setup, rig_teardown);
	tcase_add_test(tc, those_that_it_meets_are_told);
	tcase_add_test(tc, a_new_subscription_is_told_what_lasts);
	tcase_add_test(tc, one_that_ends_before_its_turn_tells_nobody_of_it);
	tcase_add_test(tc, topics_have_their_own);
	tcase_add_test(tc, who_lags_learns_how_it_is_afterwards);
	tcase_add_test(tc, who_lags_hears_of_the_end_of_one_that_is_gone);
	tcase_add_test(tc, what_one_is_of);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
