/*
 * The lobby without a store: who is let in, in which order, and who is told.
 */

#include <check.h>

#include "daemon/store/lobby.h"
#include "daemon/store/turn.h"

#define QUEUE_MAX 64
#define SHARE     (QUEUE_MAX / 8)
#define BYTES_MAX 10000

static struct lobby lobby;
static struct qlist inside; /* in the order in which they were let in */
static unsigned roomy;      /* how often somebody was told */

static void
on_enter(void *arg, struct job *j)
{
	(void)arg;
	qlist_append(&inside, &j->item);
}

static void
on_room(void *arg, struct store_client *c)
{
	(void)arg;
	ck_assert_uint_eq(c->parked.n, 0);
	roomy++;
}

static void
setup(void)
{
	qlist_init(&inside);
	roomy = 0;
	lobby_init(&lobby, QUEUE_MAX, BYTES_MAX,
		&(struct lobby_ops){.enter = on_enter, .room = on_room});
}

static void
submit(struct store_client *c, enum job_kind kind, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct job *j = job_new(kind, &(struct origin){.kind = ORIGIN_NONE}, 0, 0);

		j->item.nbytes = 1;
		lobby_submit(&lobby, c, j);
	}
}

/** The first n jobs inside come back. */
static void
finish(unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct job *j = (struct job *)(void *)qlist_shift(&inside);

		ck_assert_ptr_nonnull(j);
		if (lobby_returned(&lobby, j))
			job_free(j);
	}
	lobby_serve(&lobby);
}

/** The first n jobs inside come back undone, as readers hand them back. */
static void
put_off(unsigned n)
{
	struct qitem *it = inside.first;

	for (unsigned i = 0; i < n; i++, it = it->next)
		((struct job *)(void *)it)->is_put_off = true;
	finish(n);
}

START_TEST(a_lone_client_gets_the_whole_queue)
{
	struct store_client *c = client_new(&lobby, 1, false);

	submit(c, JOB_WRITE, QUEUE_MAX + 10);
	ck_assert_uint_eq(inside.n, QUEUE_MAX);
	ck_assert_uint_eq(c->parked.n, 10);
	finish(4);
	ck_assert_uint_eq(inside.n, QUEUE_MAX);
	ck_assert_uint_eq(roomy, 0);
	finish(6);
	ck_assert_uint_eq(roomy, 1);
	ck_assert(!lobby_is_idle(&lobby));
	finish(QUEUE_MAX);
	ck_assert(lobby_is_idle(&lobby));
	client_unref(c);
}
END_TEST

START_TEST(who_has_its_share_comes_behind_who_waits)
{
	struct store_client *greedy = client_new(&lobby, 1, false), *small[4];

	submit(greedy, JOB_WRITE, 3 * QUEUE_MAX);
	for (unsigned i = 0; i < 4; i++) {
		small[i] = client_new(&lobby, 2 + i, false);
		submit(small[i], JOB_WRITE, SHARE + 1);
	}
	ck_assert_uint_eq(inside.n, QUEUE_MAX); /* all of them greedy's */
	finish(4 * SHARE);
	ck_assert_uint_eq(greedy->queued[LANE_WRITES], QUEUE_MAX - 4 * SHARE);
	for (unsigned i = 0; i < 4; i++)
		ck_assert_uint_eq(small[i]->queued[LANE_WRITES], SHARE);
	finish(QUEUE_MAX - 4 * SHARE); /* greedy's last ones */
	for (unsigned i = 0; i < 4; i++)
		ck_assert_uint_eq(small[i]->parked.n, 0);
	ck_assert_uint_eq(roomy, 4);
	while (inside.n > 0)
		finish(inside.n);
	for (unsigned i = 0; i < 4; i++)
		client_unref(small[i]);
	client_unref(greedy);
}
END_TEST

START_TEST(waiting_clients_are_served_in_turn)
{
	struct store_client *c[3], *first = client_new(&lobby, 9, false);

	submit(first, JOB_WRITE, QUEUE_MAX);
	for (unsigned i = 0; i < 3; i++) {
		c[i] = client_new(&lobby, i, false);
		submit(c[i], JOB_WRITE, 4);
	}
	finish(6);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_uint_eq(c[i]->queued[LANE_WRITES], 2);
	while (inside.n > 0)
		finish(inside.n);
	for (unsigned i = 0; i < 3; i++)
		client_unref(c[i]);
	client_unref(first);
}
END_TEST

START_TEST(control_clients_have_slots_of_their_own)
{
	struct store_client *c = client_new(&lobby, 1, false);
	struct store_client *control = client_new(&lobby, 2, true);

	submit(c, JOB_WRITE, QUEUE_MAX + 10);
	submit(control, JOB_WRITE, 3);
	ck_assert_uint_eq(inside.n, QUEUE_MAX + 3);
	ck_assert_uint_eq(control->parked.n, 0);
	submit(NULL, JOB_REPLAY, 1); /* the daemon's own is never parked */
	ck_assert_uint_eq(inside.n, QUEUE_MAX + 4);
	while (inside.n > 0)
		finish(inside.n);
	client_unref(c);
	client_unref(control);
}
END_TEST

START_TEST(no_kind_takes_the_room_of_another)
{
	struct store_client *c = client_new(&lobby, 1, false);
	struct store_client *other = client_new(&lobby, 2, false);

	submit(c, JOB_COUNT, QUEUE_MAX + 1);
	submit(other, JOB_WRITE, QUEUE_MAX + 1);
	submit(c, JOB_SEARCH, 1); /* behind what it asked for first */
	ck_assert_uint_eq(inside.n, 2 * QUEUE_MAX);
	ck_assert_uint_eq(c->parked.n, 2);
	ck_assert_uint_eq(other->parked.n, 1);
	finish(1);
	ck_assert_uint_eq(c->parked.n, 0);
	ck_assert_uint_eq(other->parked.n, 1);
	finish(QUEUE_MAX);
	ck_assert_uint_eq(other->parked.n, 0);
	while (inside.n > 0)
		finish(inside.n);
	ck_assert(lobby_is_idle(&lobby));
	client_unref(c);
	client_unref(other);
}
END_TEST

/** What is inside goes to a thread, and comes to lie in the order in which that does it. */
static void
hand_over(struct queue *q)
{
	struct qlist waiting;

	qlist_init(&waiting);
	queue_push(q, &inside);
	turn_take(q, &waiting);
	qlist_splice(&inside, &waiting);
}

/** Fails unless the next jobs inside are of these clients (by number), or more. */
static void
expect_next(const char *clients)
{
	const struct qitem *it = inside.first;

	for (const char *c = clients; *c != '\0'; c++, it = it->next) {
		ck_assert_ptr_nonnull(it);
		ck_assert_msg(
			((const struct job *)(const void *)it)->client->id == (uint64_t)(*c - '0'),
			"%s", c);
	}
}

START_TEST(reads_of_different_clients_are_done_in_turn)
{
	struct store_client *c[4];
	struct queue *q = queue_new();

	for (unsigned i = 0; i < 4; i++)
		c[i] = client_new(&lobby, i, false);
	submit(c[0], JOB_COUNT, 20);
	submit(c[1], JOB_LIST, 3);
	hand_over(q);
	expect_next("0101010000");
	finish(8);
	submit(c[2], JOB_COUNT, 2);
	submit(c[3], JOB_GET, 5); /* these cost little */
	hand_over(q);
	expect_next("33333202000");
	finish(5);
	put_off(1);
	submit(c[1], JOB_COUNT, 3);
	lobby_go_on(&lobby); /* what was put off does not count */
	hand_over(q);
	expect_next("1022101000");
	finish(inside.n);
	submit(c[1], JOB_COUNT, 2); /* what was done long ago does not either */
	submit(c[2], JOB_COUNT, 2);
	hand_over(q);
	expect_next("1212");
	finish(inside.n);
	for (unsigned i = 0; i < 4; i++)
		client_unref(c[i]);
	queue_free(q);
}
END_TEST

START_TEST(bytes_count_but_an_empty_queue_takes_one_of_any_size)
{
	struct store_client *c = client_new(&lobby, 1, false);

	for (unsigned i = 0; i < 2; i++) {
		struct job *j = job_new(JOB_WRITE, &(struct origin){.kind = ORIGIN_NONE}, 0, 0);

		j->item.nbytes = 2 * BYTES_MAX;
		lobby_submit(&lobby, c, j);
	}
	ck_assert_uint_eq(inside.n, 1);
	finish(1);
	ck_assert_uint_eq(inside.n, 1);
	ck_assert_uint_eq(roomy, 1);
	finish(1);
	client_unref(c);
}
END_TEST

START_TEST(a_read_waits_for_the_writes_before_it)
{
	struct store_client *c = client_new(&lobby, 1, false);
	struct store_client *other = client_new(&lobby, 2, false);

	submit(c, JOB_WRITE, 2);
	submit(c, JOB_GET, 1);
	submit(c, JOB_WRITE, 1);
	submit(other, JOB_GET, 1);
	ck_assert_uint_eq(inside.n, 4); /* all but the held one */
	finish(1);
	ck_assert_uint_eq(inside.n, 3);
	finish(1);
	ck_assert_uint_eq(inside.n, 3); /* it is in */
	ck_assert_uint_eq(c->held.n, 0);
	finish(3);
	ck_assert(lobby_is_idle(&lobby));
	client_unref(c);
	client_unref(other);
}
END_TEST

START_TEST(of_a_client_that_is_gone_the_writes_still_run)
{
	struct store_client *c = client_new(&lobby, 1, false);

	submit(c, JOB_WRITE, QUEUE_MAX);
	submit(c, JOB_GET, 5);
	submit(c, JOB_WRITE, 5);
	lobby_leave(&lobby, c);
	client_unref(c);
	ck_assert_uint_eq(lobby.parked_n, 5);
	while (inside.n > 0)
		finish(inside.n);
	ck_assert_uint_eq(roomy, 0);
	ck_assert(lobby_is_idle(&lobby));
}
END_TEST

START_TEST(what_was_put_off_goes_in_again_after_the_answers)
{
	struct store_client *c = client_new(&lobby, 1, false);

	submit(c, JOB_GET, 3);
	put_off(2);
	ck_assert_uint_eq(c->put_off.n, 2);
	ck_assert_uint_eq(inside.n, 1);
	lobby_go_on(&lobby);
	ck_assert_uint_eq(c->put_off.n, 0);
	ck_assert_uint_eq(inside.n, 3);
	ck_assert_uint_eq(lobby_inside(&lobby), 3);
	finish(3);
	ck_assert(lobby_is_idle(&lobby));
	client_unref(c);
}
END_TEST

START_TEST(reads_of_a_choked_client_wait_until_it_takes_answers)
{
	struct store_client *c = client_new(&lobby, 1, false);
	struct store_client *other = client_new(&lobby, 2, false);

	submit(c, JOB_GET, 2);
	submit(other, JOB_GET, 1);
	lobby_choke(&lobby, c, true);
	put_off(2);
	lobby_go_on(&lobby);
	ck_assert_uint_eq(inside.n, 1); /* the other's */
	finish(1);
	lobby_choke(&lobby, c, false);
	ck_assert_uint_eq(inside.n, 2);
	put_off(2);
	lobby_leave(&lobby, c);
	lobby_go_on(&lobby);
	ck_assert_uint_eq(inside.n, 0);
	client_unref(c);
	client_unref(other);
}
END_TEST

START_TEST(at_the_end_nothing_is_put_off)
{
	struct store_client *c = client_new(&lobby, 1, false);
	struct qlist out;

	qlist_init(&out);
	submit(c, JOB_GET, 3);
	lobby_choke(&lobby, c, true);
	put_off(2);
	lobby_go_on(&lobby);
	lobby_end(&lobby, &out);
	ck_assert_uint_eq(out.n, 2);
	while (out.n > 0)
		job_free((struct job *)(void *)qlist_shift(&out));
	put_off(1); /* handed on: finish() frees it */
	ck_assert_uint_eq(c->put_off.n, 0);
	ck_assert(lobby_is_idle(&lobby));
	client_unref(c);
}
END_TEST

START_TEST(reads_of_a_client_that_is_gone_are_dropped_when_they_come_back_undone)
{
	struct store_client *c = client_new(&lobby, 1, false);

	submit(c, JOB_GET, 2);
	ck_assert(!c->is_choked);
	lobby_leave(&lobby, c);
	ck_assert(c->is_choked); /* they come back undone */
	client_unref(c);
	put_off(2);
	lobby_go_on(&lobby);
	ck_assert_uint_eq(inside.n, 0);
	ck_assert(lobby_is_idle(&lobby));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("lobby");
	TCase *tc = tcase_create("lobby");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, a_lone_client_gets_the_whole_queue);
	tcase_add_test(tc, who_has_its_share_comes_behind_who_waits);
	tcase_add_test(tc, waiting_clients_are_served_in_turn);
	tcase_add_test(tc, control_clients_have_slots_of_their_own);
	tcase_add_test(tc, no_kind_takes_the_room_of_another);
	tcase_add_test(tc, reads_of_different_clients_are_done_in_turn);
	tcase_add_test(tc, bytes_count_but_an_empty_queue_takes_one_of_any_size);
	tcase_add_test(tc, a_read_waits_for_the_writes_before_it);
	tcase_add_test(tc, of_a_client_that_is_gone_the_writes_still_run);
	tcase_add_test(tc, what_was_put_off_goes_in_again_after_the_answers);
	tcase_add_test(tc, reads_of_a_choked_client_wait_until_it_takes_answers);
	tcase_add_test(tc, at_the_end_nothing_is_put_off);
	tcase_add_test(tc, reads_of_a_client_that_is_gone_are_dropped_when_they_come_back_undone);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0;
}
