/*
 * Limits that are reached: each is counted under its own name, and told now and then.
 */

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/bounds.h"

static struct stats *stats;
static struct bounds *bounds;

static void
set_up(void)
{
	stats = stats_new();
	bounds = bounds_new(stats);
}

static void
tear_down(void)
{
	bounds_free(bounds);
	stats_free(stats);
}

/** The counters hold this. */
static void
expect_counted(const char *part)
{
	struct buf out;
	struct json_out o;

	buf_init(&out, 1 << 16);
	o = json_out_start(&out);
	json_begin_object(&o, NULL);
	stats_add_json(stats, &o);
	json_end_object(&o);
	ck_assert_msg(memmem(out.p, out.n, part, strlen(part)) != NULL, "%.*s", (int)out.n, out.p);
	buf_fini(&out);
}

START_TEST(test_a_line_now_and_then)
{
	uint64_t times;

	ck_assert(bounds_count(bounds, BOUND_HEADER, 5, &times));
	ck_assert_uint_eq(times, 1);
	for (int i = 0; i < 41; i++)
		ck_assert(!bounds_count(bounds, BOUND_HEADER, 10004, &times));
	ck_assert(bounds_count(bounds, BOUND_MESSAGE, 10004, &times));
	ck_assert(bounds_count(bounds, BOUND_HEADER, 10005, &times));
	ck_assert_uint_eq(times, 42);
	expect_counted("\"sysrt_limits_max_header_total\":43,");
	expect_counted("\"sysrt_limits_max_message_total\":1,");
}
END_TEST

START_TEST(test_by_name)
{
	bounds_reach_name(bounds, NULL, 0, 1);
	bounds_reach_name(bounds, "session", 0, 1);
	bounds_reach_name(bounds, "hub.max_topics", 0, 1);
	bounds_reach_name(bounds, "hub.max_topics", 0, 0);
	expect_counted("\"sysrt_limits_max_topics_total\":2,");
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("bounds");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, test_a_line_now_and_then);
	tcase_add_test(t, test_by_name);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
