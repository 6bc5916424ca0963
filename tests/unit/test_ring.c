/*
 * The ring of recent changes against a plain array.
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/hub/ring.h"

#define NO_LIMIT (SIZE_MAX / 2)

static struct change *
change_of(int64_t seq)
{
	return change_new_delete(SPAN("c"), SPAN("id"), 1, seq, 1000);
}

static void
push(struct ring *r, int64_t seq)
{
	struct change *c = change_of(seq);

	ring_push(r, c);
	change_unref(c);
}

START_TEST(empty_ring_is_whole_above_its_floor)
{
	struct ring r;

	ring_init(&r, 4, NO_LIMIT, 10);
	ck_assert(ring_has_all_after(&r, 10));
	ck_assert(!ring_has_all_after(&r, 9));
	ck_assert_uint_eq(ring_place_after(&r, 10), 0);
	ring_fini(&r);
}
END_TEST

START_TEST(oldest_leaves_and_raises_the_floor)
{
	struct ring r;

	ring_init(&r, 3, NO_LIMIT, 0);
	for (int64_t seq = 2; seq <= 10; seq += 2)
		push(&r, seq);
	ck_assert_uint_eq(r.n, 3);
	ck_assert_int_eq(r.floor, 4);
	ck_assert_int_eq(ring_at(&r, 0)->seq, 6);
	ck_assert_int_eq(ring_at(&r, 2)->seq, 10);
	ck_assert(ring_has_all_after(&r, 5));
	ck_assert(!ring_has_all_after(&r, 3));
	ck_assert_uint_eq(ring_place_after(&r, 4), 0);
	ck_assert_uint_eq(ring_place_after(&r, 6), 1);
	ck_assert_uint_eq(ring_place_after(&r, 7), 1);
	ck_assert_uint_eq(ring_place_after(&r, 10), 3);
	ring_fini(&r);
}
END_TEST

START_TEST(bytes_are_bounded)
{
	struct ring r;

	ring_init(&r, 1000, 2000, 0);
	for (int64_t seq = 1; seq <= 100; seq++) {
		push(&r, seq);
		ck_assert_uint_le(r.nbytes, 2000);
	}
	ck_assert_uint_gt(r.n, 1);
	ck_assert_int_eq(r.floor + (int64_t)r.n, 100);
	ring_fini(&r);
}
END_TEST

START_TEST(a_change_bigger_than_the_ring_empties_it)
{
	struct ring r;

	ring_init(&r, 10, NO_LIMIT, 0);
	push(&r, 1);
	r.max_bytes = 8;
	push(&r, 2);
	ck_assert_uint_eq(r.n, 0);
	ck_assert_uint_eq(r.nbytes, 0);
	ck_assert_int_eq(r.floor, 2);
	ring_fini(&r);
	ring_init(&r, 0, NO_LIMIT, 0);
	push(&r, 5);
	ck_assert_int_eq(r.floor, 5);
	ring_fini(&r);
}
END_TEST

/** Pushes, resizes and voids at random; what is there is compared with the seqs that should be. */
START_TEST(random_use)
{
	int64_t seqs[4096], floor = 0, seq = 0;
	size_t first = 0, n = 0, cap = 8;
	struct ring r;

	srand(7);
	ring_init(&r, cap, NO_LIMIT, 0);
	while (n < 4096) {
		int dice = rand() % 100;

		if (dice == 0) {
			cap = (size_t)(rand() % 40);
			ring_resize(&r, cap, NO_LIMIT);
		} else if (dice == 1) {
			floor = seq;
			first = n;
			ring_void(&r, floor);
		} else {
			seq += 1 + rand() % 3;
			seqs[n++] = seq;
			push(&r, seq);
		}
		for (; n - first > cap; first++)
			floor = seqs[first];
		ck_assert_uint_eq(r.n, n - first);
		ck_assert_int_eq(r.floor, floor);
		for (size_t i = first; i < n; i++) {
			ck_assert_int_eq(ring_at(&r, i - first)->seq, seqs[i]);
			ck_assert_uint_eq(ring_place_after(&r, seqs[i]), i - first + 1);
			ck_assert_uint_eq(ring_place_after(&r, seqs[i] - 1), i - first);
		}
	}
	ring_fini(&r);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("ring");
	TCase *tc = tcase_create("ring");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(tc, empty_ring_is_whole_above_its_floor);
	tcase_add_test(tc, oldest_leaves_and_raises_the_floor);
	tcase_add_test(tc, bytes_are_bounded);
	tcase_add_test(tc, a_change_bigger_than_the_ring_empties_it);
	tcase_add_test(tc, random_use);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
