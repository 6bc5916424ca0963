/*
 * The members of an object against going through it each time, with few and with more
 * than are kept.
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/json_pointer.h"

static struct json_members m;

static struct json_value
start(struct span text)
{
	struct json_value value;
	struct json_fault fault;

	ck_assert(json_check(text, JSON_DEPTH_MAX, &value, &fault) == OK);
	json_members_start(&m, value);
	return value;
}

START_TEST(the_last_of_its_name)
{
	struct json_value value;

	start(SPAN("{\"a\":1,\"\\u0061\":2,\"b\":{\"a\":3},\"\":4}"));
	ck_assert(json_members_find(&m, SPAN("a"), &value) && span_is(value.raw, "2"));
	ck_assert(json_members_find(&m, SPAN("b"), &value) && span_is(value.raw, "{\"a\":3}"));
	ck_assert(json_members_find(&m, SPAN(""), &value) && span_is(value.raw, "4"));
	ck_assert(!json_members_find(&m, SPAN("c"), &value));
	start(SPAN("[1]"));
	ck_assert(!json_members_find(&m, SPAN("0"), &value));
	start(SPAN("{}"));
	ck_assert(!json_members_find(&m, SPAN("a"), &value));
}
END_TEST

/** An object of n members, some of which have the same name. */
static void
make(struct buf *out, int n)
{
	buf_reset(out);
	buf_add_char(out, '{');
	for (int i = 0; i < n; i++)
		buf_addf(out, "%s\"%s%d\":{\"x\":%d}", i > 0 ? " , " : "", i % 3 ? "k" : "\\u006b",
			i * 7 % 50, i);
	buf_add_char(out, '}');
}

START_TEST(as_if_gone_through_each_time)
{
	struct buf text;

	buf_init(&text, 1 << 20);
	for (int n = 0; n < 3 * JSON_MEMBERS_MAX; n++) {
		struct json_value root, one, other;

		make(&text, n);
		root = start(buf_span(&text));
		for (int i = 0; i < 60; i++) {
			struct json_pointer *p = NULL;
			char name[20];
			bool is_there;

			snprintf(name, sizeof(name), "/k%d%s", i, i % 2 ? "/x" : "");
			ck_assert(json_pointer_new(span_of(name), &p, NULL) == OK);
			is_there = json_pointer_find(p, root, &one);
			ck_assert_int_eq(json_pointer_find_in(p, &m, &other), is_there);
			ck_assert(!is_there || one.raw.p == other.raw.p);
			free(p);
		}
	}
	buf_fini(&text);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("json_members");
	TCase *tcase = tcase_create("json_members");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(tcase, the_last_of_its_name);
	tcase_add_test(tcase, as_if_gone_through_each_time);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
