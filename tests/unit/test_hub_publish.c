/*
 * Publishing what was committed: what members of a group share, how often they are
 * written to, and what becomes of those that are slow.
 *
 * threads: yes
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"
#include "tests/unit/hub_rig.h"

/** Subscribes to all of it, live. */
static void
subscribe_all(struct reader *r)
{
	reader_subscribe(r, rig_pattern("*", NULL), -1, 0);
}

START_TEST(equal_patterns_share_frames)
{
	struct reader r[3];

	for (int i = 0; i < 3; i++) {
		reader_init(&r[i], FRAMING_LINE);
		if (i == 2) { /* its second subscription has another number */
			reader_subscribe(&r[i], rig_pattern("zzz", NULL), -1, 0);
		}
		reader_subscribe(&r[i], rig_pattern("a", "i0"), -1, 0);
	}
	rig_turns(2);
	rig_put(0, 0, 100);
	rig_settle();
	ck_assert_ptr_nonnull(r[0].last_change);
	ck_assert_ptr_eq(r[0].last_change, r[1].last_change);
	ck_assert_ptr_ne(r[0].last_change, r[2].last_change);
	ck_assert_ptr_eq(r[0].last_change->body, r[2].last_change->body);
	for (int i = 0; i < 3; i++)
		reader_fini(&r[i]);
}
END_TEST

/** A commit that many hear of does not keep the loop from its sockets until all have heard. */
START_TEST(many_peers_are_written_to_over_several_turns)
{
	static struct reader readers[100];
	struct change *c = change_new_delete(SPAN("a"), SPAN("i1"), 1, 1, 1);
	unsigned told = 0;

	for (unsigned i = 0; i < 100; i++) {
		reader_init(&readers[i], FRAMING_LINE);
		subscribe_all(&readers[i]);
	}
	rig_settle();
	hub_publish(rig.hub, &c, 1);
	while (told == 0) {
		rig_turns(0);
		for (unsigned i = 0; i < 100; i++)
			told += readers[i].views[1].changes;
	}
	ck_assert_uint_lt(told, 100);
	rig_settle();
	for (unsigned i = 0; i < 100; i++) {
		ck_assert_uint_eq(readers[i].views[1].changes, 1);
		reader_fini(&readers[i]);
	}
	change_unref(c);
}
END_TEST

static struct change *
new_change(int64_t seq, size_t data_n)
{
	char *data = xcalloc(1, data_n + 1);
	struct record r = {.category = SPAN("a"), .id = SPAN("i1"), .name = SPAN("n"), .seq = seq};
	struct change *c;

	memset(data, '7', data_n);
	r.data = (struct span){data, data_n};
	c = data_n > 0 ? change_new_put(&r) : change_new_delete(r.category, r.id, 1, seq, 1);
	free(data);
	return c;
}

/** Hands the hub n changes at once, as one commit would: deletions, but for puts of large_n bytes
 * at places that large_every divides. */
static void
publish_with(unsigned n, unsigned large_every, size_t large_n)
{
	struct change **changes = xnew_n(n, struct change *);

	for (unsigned i = 0; i < n; i++)
		changes[i] = new_change(
			hub_published(rig.hub) + i + 1, (i + 1) % large_every == 0 ? large_n : 0);
	hub_publish(rig.hub, changes, n);
	ck_assert(!hub_is_idle(rig.hub));
	rig_settle();
	for (unsigned i = 0; i < n; i++)
		change_unref(changes[i]);
	free(changes);
}

static void
publish(unsigned n)
{
	publish_with(n, n + 1, 0);
}

/** One flush a peer and turn, whatever the number of changes. */
START_TEST(flushes_once_a_turn)
{
	struct reader r;

	reader_init(&r, FRAMING_LINE);
	subscribe_all(&r);
	rig_turns(2);
	r.flushes = 0;
	publish(200);
	ck_assert_uint_eq(r.views[1].changes, 200);
	ck_assert_uint_le(r.flushes, 4);
	reader_fini(&r);
}
END_TEST

#define MEMBERS 4 /* of a group for which frames are joined */

static void
join_all(struct reader r[MEMBERS], enum framing framing)
{
	for (unsigned i = 0; i < MEMBERS; i++) {
		reader_init(&r[i], framing);
		subscribe_all(&r[i]);
	}
	rig_turns(2);
	for (unsigned i = 0; i < MEMBERS; i++)
		r[i].frames = 0;
}

static void
leave_all(struct reader r[MEMBERS])
{
	for (unsigned i = 0; i < MEMBERS; i++)
		reader_fini(&r[i]);
}

START_TEST(members_of_a_group_get_one_frame_for_many_changes)
{
	struct reader r[MEMBERS];

	join_all(r, _i == 0 ? FRAMING_LINE : FRAMING_WEBSOCKET);
	rig_put(0, 0, 10);
	rig_put(0, 1, 10000); /* it is not worth a copy, and the other stands alone */
	rig_settle();
	publish(40);
	for (unsigned i = 0; i < MEMBERS; i++) {
		ck_assert_uint_eq(r[i].views[1].changes, 42);
		ck_assert_uint_eq(r[i].frames, 3);
		ck_assert_ptr_eq(r[i].last_change, r[0].last_change);
	}
	leave_all(r);
}
END_TEST

/** Who has no room for all of them gets as many as it has room for. */
START_TEST(a_run_that_does_not_fit_is_told_in_part)
{
	struct reader r[MEMBERS];
	size_t one;

	rig.conf.websocket.send_queue = 4096;
	hub_reload(rig.hub, &rig.conf);
	join_all(r, FRAMING_LINE);
	reader_stick(&r[2]);
	publish(1);
	one = r[2].unsent;
	publish((unsigned)(4096 / one)); /* fits but for what waits already */
	ck_assert(r[2].subscriber.lagging);
	ck_assert_uint_le(r[2].unsent, 4096);
	ck_assert_uint_gt(r[2].unsent, 4096 - 2 * one);
	reader_unstick(&r[2]);
	reader_catch_up(&r[2], 1);
	for (unsigned i = 0; i < MEMBERS; i++) {
		ck_assert_uint_eq(r[i].views[1].changes, 1 + (unsigned)(4096 / one));
		ck_assert_uint_eq(r[i].views[1].lagged, i == 2);
	}
	leave_all(r);
}
END_TEST

/** It takes the run, and has no room for what follows: it goes on behind the run. */
START_TEST(a_run_is_told_and_what_follows_is_not)
{
	struct reader r[MEMBERS];
	size_t taken;

	rig.conf.websocket.send_queue = 4096;
	hub_reload(rig.hub, &rig.conf);
	join_all(r, FRAMING_LINE);
	/* A second group, that begins with nothing of it. */
	for (unsigned i = 0; i < MEMBERS; i++)
		reader_subscribe(&r[i], rig_pattern("a", NULL), -1, 0);
	rig_turns(2);
	reader_stick(&r[1]);
	taken = r[1].frames;
	publish_with(10, 10, 4000);
	ck_assert(r[1].subscriber.lagging);
	ck_assert_uint_eq(r[1].frames - taken, 1);
	reader_unstick(&r[1]);
	for (unsigned number = 1; number <= 2; number++) {
		reader_catch_up(&r[1], number);
		for (unsigned i = 0; i < MEMBERS; i++)
			ck_assert_uint_eq(r[i].views[number].changes, 10);
		ck_assert_uint_eq(r[1].views[number].lagged, 1);
	}
	leave_all(r);
}
END_TEST

/** Large frames stand between runs, and a run ends when it is long. */
START_TEST(runs_and_frames_in_turn)
{
	struct reader r[MEMBERS];

	join_all(r, _i == 0 ? FRAMING_LINE : FRAMING_WEBSOCKET);
	publish_with(50, 7, 3000); /* seven large ones, and what is before, between and behind */
	for (unsigned i = 0; i < MEMBERS; i++) {
		ck_assert_uint_eq(r[i].views[1].changes, 50);
		ck_assert_uint_eq(r[i].frames, 7 + 7 + 1);
		r[i].frames = 0;
	}
	publish_with(60, 1, 1500);
	for (unsigned i = 0; i < MEMBERS; i++) {
		ck_assert_uint_eq(r[i].views[1].changes, 110);
		ck_assert_uint_ge(r[i].frames, 3);
		ck_assert_uint_le(r[i].frames, 4);
	}
	leave_all(r);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("hub_publish");
	TCase *tc = tcase_create("hub_publish");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, rig_setup, rig_teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, equal_patterns_share_frames);
	tcase_add_test(tc, many_peers_are_written_to_over_several_turns);
	tcase_add_test(tc, flushes_once_a_turn);
	tcase_add_loop_test(tc, members_of_a_group_get_one_frame_for_many_changes, 0, 2);
	tcase_add_test(tc, a_run_that_does_not_fit_is_told_in_part);
	tcase_add_test(tc, a_run_is_told_and_what_follows_is_not);
	tcase_add_loop_test(tc, runs_and_frames_in_turn, 0, 2);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0;
}
