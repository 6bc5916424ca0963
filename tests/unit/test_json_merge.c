/*
 * Merge patches: RFC 7396's own examples, what stays as it was, keys that are
 * there twice, and the bound of the result.
 */

#include <check.h>
#include <stdlib.h>

#include "common/json_merge.h"

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

static struct json_value
parse(const char *text)
{
	struct json_fault fault;
	struct json_value value = {0};

	ck_assert_msg(json_check(span_of(text), JSON_DEPTH_MAX, &value, &fault) == OK, "%s", text);
	return value;
}

struct row {
	const char *target;
	const char *patch;
	const char *want;
};

static void
check_rows(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct buf out;

		buf_init(&out, 10000);
		ck_assert(json_merge_patch(parse(rows[i].target), parse(rows[i].patch), &out));
		ck_assert_msg(span_is(buf_span(&out), rows[i].want), "%s with %s is %.*s",
			rows[i].target, rows[i].patch, SPAN_FMT(buf_span(&out)));
		buf_fini(&out);
	}
}

/* clang-format off */
START_TEST(test_rfc_examples)
{
	static const struct row rows[] = {
		{"{\"a\":\"b\"}",         "{\"a\":\"c\"}",                "{\"a\":\"c\"}"},
		{"{\"a\":\"b\"}",         "{\"b\":\"c\"}",                "{\"a\":\"b\",\"b\":\"c\"}"},
		{"{\"a\":\"b\"}",         "{\"a\":null}",                 "{}"},
		{"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}",             "{\"b\":\"c\"}"},
		{"{\"a\":[\"b\"]}",       "{\"a\":\"c\"}",                "{\"a\":\"c\"}"},
		{"{\"a\":\"c\"}",         "{\"a\":[\"b\"]}",              "{\"a\":[\"b\"]}"},
		{"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}"},
		{"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}",                "{\"a\":[1]}"},
		{"[\"a\",\"b\"]",         "[\"c\",\"d\"]",                "[\"c\",\"d\"]"},
		{"{\"a\":\"b\"}",         "[\"c\"]",                      "[\"c\"]"},
		{"{\"a\":\"foo\"}",       "null",                         "null"},
		{"{\"a\":\"foo\"}",       "\"bar\"",                      "\"bar\""},
		{"{\"e\":null}",          "{\"a\":1}",                    "{\"e\":null,\"a\":1}"},
		{"[1,2]",                 "{\"a\":\"b\",\"c\":null}",     "{\"a\":\"b\"}"},
		{"{}",                    "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"},
		/* Of section 3. */
		{"{\"title\":\"Goodbye!\",\"author\":{\"givenName\":\"John\",\"familyName\":\"Doe\"},"
		 "\"tags\":[\"example\",\"sample\"],\"content\":\"This will be unchanged\"}",
		 "{\"title\":\"Hello!\",\"phoneNumber\":\"+01-123-456-7890\",\"author\":{\"familyName\":null},"
		 "\"tags\":[\"example\"]}",
		 "{\"title\":\"Hello!\",\"author\":{\"givenName\":\"John\"},\"tags\":[\"example\"],"
		 "\"content\":\"This will be unchanged\",\"phoneNumber\":\"+01-123-456-7890\"}"},
	};

	check_rows(rows, COUNT_OF(rows));
}
END_TEST

START_TEST(test_what_is_kept)
{
	static const struct row rows[] = {
		{"{ \"a\" : 1.50, \"b\":12345678901234567890,\"c\":\"\\u0041\" }", "{\"b\":1E2 }",
		 "{\"a\":1.50,\"b\":1E2,\"c\":\"\\u0041\"}"},
		{"{\"\\u0061\":1,\"b\":2}",       "{\"a\":3}",          "{\"\\u0061\":3,\"b\":2}"},
		{"{\"a\":1,\"b\":2,\"a\":{\"x\":1}}", "{\"a\":{\"y\":2}}", "{\"a\":{\"x\":1,\"y\":2},\"b\":2}"},
		{"{\"a\":1,\"b\":2,\"a\":3}",     "{\"a\":null}",       "{\"b\":2}"},
		{"{\"a\":1}",                     "{\"a\":2,\"a\":3}",  "{\"a\":3}"},
		{"{\"a\":1}",                     "{\"b\":2,\"b\":null}", "{\"a\":1}"},
		{"{}",                            "{\"z\":1,\"y\":2,\"x\":{\"w\":null}}", "{\"z\":1,\"y\":2,\"x\":{}}"},
		{"{\"a\":[1 , 2]}",               "{}",                 "{\"a\":[1,2]}"},
	};

	check_rows(rows, COUNT_OF(rows));
}
END_TEST
/* clang-format on */

START_TEST(test_bound)
{
	struct buf out;

	buf_init(&out, 13);
	ck_assert(json_merge_patch(parse("{\"a\":1}"), parse("{\"b\":2}"), &out));
	ck_assert(!out.failed);
	buf_reset(&out);
	ck_assert(json_merge_patch(parse("{\"a\":1}"), parse("{\"b\":22}"), &out));
	ck_assert(out.failed);
	buf_fini(&out);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {test_rfc_examples, test_what_is_kept, test_bound};
	Suite *suite = suite_create("json_merge");
	TCase *tcase = tcase_create("json_merge");
	SRunner *runner = srunner_create(suite);
	int failed;

	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_test(tcase, tests[i]);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
