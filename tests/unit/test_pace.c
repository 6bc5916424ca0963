/*
 * How long the writer waits for those who follow the store.
 */

#include <check.h>

#include "daemon/store/pace.h"

static struct pace pace;

static void
setup(void)
{
	pace_init(&pace);
}

START_TEST(nobody_is_waited_for)
{
	ck_assert_int_eq(pace_wait_us(&pace, INT64_C(1) << 52, 512), 0);
}
END_TEST

START_TEST(the_further_behind_the_longer)
{
	int64_t before = 0;

	pace.mark = 1000;
	pace.allowed = 500;
	pace.slope = 1000;
	ck_assert_int_eq(pace_wait_us(&pace, 1000, 100), 0);
	ck_assert_int_eq(pace_wait_us(&pace, 1500, 100), 0);
	for (int64_t seq = 1600; seq <= 2500; seq += 100) {
		int64_t us = pace_wait_us(&pace, seq, 100);

		ck_assert_int_gt(us, before);
		before = us;
	}
	ck_assert_int_eq(pace_wait_us(&pace, 100000, 100), before);
}
END_TEST

START_TEST(a_large_batch_is_not_held_up_for_ever)
{
	pace.mark = 0;
	ck_assert_int_eq(pace_wait_us(&pace, 1000000, 1000000), 200000);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("pace");
	TCase *t = tcase_create("pace");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, NULL);
	tcase_add_test(t, nobody_is_waited_for);
	tcase_add_test(t, the_further_behind_the_longer);
	tcase_add_test(t, a_large_batch_is_not_held_up_for_ever);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed > 0;
}
