/* The table of counters, gauges and families, as it is shown. */

#include <check.h>
#include <stdlib.h>

#include "daemon/base/stats.h"

static const struct thing {
	const char *name;
	double size;
} things[] = {
	{"a",   1   },
        {"b/c", -2.5}
};

static const void *
next_thing(const void *arg, const void *item, struct span *name)
{
	const struct thing *t = item != NULL ? (const struct thing *)item + 1 : things;

	if (t == things + *(const int *)arg)
		return NULL;
	*name = span_of(t->name);
	return t;
}

static double
read_size(const void *item)
{
	return ((const struct thing *)item)->size;
}

static int64_t
read_gauge(const void *arg)
{
	return *(const int *)arg;
}

static void
check_text(const struct stats *s, const char *expected)
{
	struct buf text;
	struct json_out o;

	buf_init(&text, 4096);
	o = json_out_start(&text);
	json_begin_object(&o, NULL);
	stats_add_json(s, &o);
	json_end_object(&o);
	ck_assert_int_eq(text.n, strlen(expected));
	ck_assert_mem_eq(text.p, expected, text.n);
	buf_fini(&text);
}

START_TEST(all_in_order)
{
	struct stats *s = stats_new();
	struct counter counter = {0};
	int n = 0;
	struct stats_kind kind = {"thing", next_thing, &n};

	check_text(s, "{}");
	stats_add_counter(s, "sysrt_c_total", &counter);
	stats_add_family(s, "sysrt_size", &kind, read_size);
	stats_add_gauge(s, "sysrt_n", read_gauge, &n);
	counter_add(&counter, 5);
	check_text(s, "{\"sysrt_c_total\":5,\"sysrt_n\":0}");
	n = 2;
	check_text(s, "{\"sysrt_c_total\":5,\"sysrt_size{thing=\\\"a\\\"}\":1,"
		      "\"sysrt_size{thing=\\\"b/c\\\"}\":-2.5,\"sysrt_n\":2}");
	stats_free(s);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("stats");
	TCase *tc = tcase_create("stats");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(tc, all_in_order);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
