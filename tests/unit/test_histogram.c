/*
 * Percentiles of durations: near the true ones, from above.
 */

#include <check.h>
#include <stdlib.h>

#include "daemon/base/histogram.h"

START_TEST(nothing_yet)
{
	struct histogram h = {.n = 0};

	ck_assert_double_eq(histogram_ms(&h, 2), 0);
	ck_assert_double_eq(histogram_ms(&h, 100), 0);
}
END_TEST

START_TEST(near_the_true_percentiles)
{
	struct histogram h = {.n = 0};
	double p50, p99;

	for (int us = 1; us <= 10000; us++)
		histogram_count(&h, us);
	p50 = histogram_ms(&h, 2);
	p99 = histogram_ms(&h, 100);
	ck_assert_double_ge(p50, 5.0);
	ck_assert_double_le(p50, 5.0 * 1.25);
	ck_assert_double_ge(p99, 9.9);
	ck_assert_double_le(p99, 9.9 * 1.25);
	ck_assert_int_eq(h.max_us, 10000);
}
END_TEST

START_TEST(one_in_a_hundred_is_slow)
{
	struct histogram h = {.n = 0};

	for (int i = 0; i < 100; i++)
		histogram_count(&h, i == 0 ? 1000000 : 1000);
	ck_assert_double_le(histogram_ms(&h, 100), 1.25);
	histogram_count(&h, 1000000);
	ck_assert_double_ge(histogram_ms(&h, 100), 1000);
}
END_TEST

START_TEST(beyond_all_slots)
{
	struct histogram h = {.n = 0};

	histogram_count(&h, -5);
	ck_assert_double_le(histogram_ms(&h, 2), 0.01);
	histogram_count(&h, INT64_MAX);
	histogram_count(&h, INT64_MAX);
	ck_assert_double_ge(histogram_ms(&h, 100), 1e6);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("histogram");
	TCase *all = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_test(all, nothing_yet);
	tcase_add_test(all, near_the_true_percentiles);
	tcase_add_test(all, one_in_a_hundred_is_slow);
	tcase_add_test(all, beyond_all_slots);
	suite_add_tcase(suite, all);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
