/*
 * Subscriptions with a condition, on a real store and loop: what is put, what
 * leaves, and when nothing is said.
 *
 * threads: yes
 */

#include <check.h>
#include <stdlib.h>

#include "tests/unit/hub_rig.h"

/** An odd record that becomes even leaves; one that was even is not told of. */
START_TEST(live_with_a_condition)
{
	struct pattern *odd = rig_odd_pattern("*", NULL);
	struct reader r;

	reader_init(&r, FRAMING_LINE);
	reader_subscribe(&r, rig_odd_pattern("*", NULL), -1, 0);
	rig_turns(2);
	rig_put(0, 0, 11); /* put */
	rig_put(0, 1, 10);
	rig_put(0, 0, 20); /* leave */
	rig_put(0, 0, 10);
	rig_put(0, 1, 21); /* put */
	rig_delete(0, 0);
	rig_delete(0, 1);  /* delete */
	rig_put(0, 1, 11); /* put: what is deleted is not there before */
	rig_put(1, 1, 10);
	rig_settle();
	ck_assert_uint_eq(r.views[1].changes, 5);
	ck_assert_uint_eq(r.views[1].leaves, 1);
	ck_assert_int_eq(r.views[1].prev, 7);
	reader_check_state(&r, 1, odd);
	subscriber_beat(&r.subscriber);
	rig_turns(2);
	ck_assert_int_eq(r.views[1].position, rig.last_seq);
	reader_fini(&r);
	free(odd);
}
END_TEST

/** What is behind the position and even leaves, whether it comes out of the ring or by pages;
 * before the base of a replay from 0 it does not. */
START_TEST(replay_with_a_condition)
{
	struct pattern *odd = rig_odd_pattern("*", NULL);
	struct reader r[3];

	for (unsigned i = 0; i < 4; i++)
		rig_put(0, i, 10 + i);
	rig_settle();
	for (unsigned i = 0; i < 3; i++) {
		reader_init(&r[i], FRAMING_LINE);
		reader_subscribe(&r[i], rig_odd_pattern("*", NULL), i == 0 ? 0 : 1, 0);
		if (i == 1) {
			rig_settle();
			rig.conf.hub.recent = 0;
			hub_reload(rig.hub, &rig.conf);
		}
		reader_catch_up(&r[i], 1);
		ck_assert_uint_eq(r[i].views[1].synced, 1);
		ck_assert_uint_eq(r[i].views[1].leaves, i == 0 ? 0 : 1);
		reader_check_state(&r[i], 1, odd);
	}
	rig_put(0, 1, 10);
	rig_put(0, 1, 12);
	rig_settle();
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_uint_eq(r[i].views[1].leaves, i == 0 ? 1 : 2);
		reader_check_state(&r[i], 1, odd);
		reader_fini(&r[i]);
	}
	free(odd);
}
END_TEST

/** A record that moved on behind the end of a page, twice and even both times, was not told as long
 * as the page was: the client, who believes that it is odd, has to hear that it left. */
START_TEST(what_moved_on_behind_a_page_leaves)
{
	struct pattern *odd = rig_odd_pattern("*", NULL);
	struct reader r;

	rig_put(0, 0, 11);
	for (unsigned i = 1; i < RIG_IDS; i++)
		rig_put(0, i, 301);
	rig_settle();
	reader_init(&r, FRAMING_LINE);
	reader_subscribe(&r, rig_odd_pattern("*", NULL), 0, 0);
	reader_catch_up(&r, 1);
	reader_stick(&r);
	rig.conf.websocket.send_queue = 1000;
	rig.conf.hub.recent = 0;
	hub_reload(rig.hub, &rig.conf);
	for (unsigned i = 1; i < RIG_IDS; i++)
		rig_put(0, i, 303);
	rig_put(0, 0, 10); /* behind what the first pages tell */
	rig_settle();
	reader_unstick(&r);
	rig_put(0, 0, 12); /* and once more while they are told */
	rig_turns(1);
	rig.conf.hub.recent = 1000;
	hub_reload(rig.hub, &rig.conf);
	for (unsigned i = 0; i < 20; i++) {
		rig_put(0, 0, 14);
		rig_turns(i % 3);
	}
	reader_catch_up(&r, 1);
	reader_check_state(&r, 1, odd);
	reader_fini(&r);
	free(odd);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("hub_where");
	TCase *tc = tcase_create("hub_where");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, rig_setup, rig_teardown);
	tcase_add_test(tc, live_with_a_condition);
	tcase_add_test(tc, replay_with_a_condition);
	tcase_add_test(tc, what_moved_on_behind_a_page_leaves);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
