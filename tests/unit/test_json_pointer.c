/*
 * JSON Pointers: RFC 6901's own examples, what is no pointer, and what names
 * nothing.
 */

#include <check.h>
#include <stdint.h>
#include <stdlib.h>

#include "common/json_pointer.h"

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

static struct json_value
parse(const char *text)
{
	struct json_fault fault;
	struct json_value value = {0};

	ck_assert_msg(json_check(span_of(text), JSON_DEPTH_MAX, &value, &fault) == OK, "%s", text);
	return value;
}

/** want NULL: the pointer names nothing. */
static void
assert_names(const char *document, struct span pointer, const char *want)
{
	struct json_pointer *p = NULL;
	struct json_value value = {0};
	struct error error = ERROR_NONE;
	bool is_there;

	ck_assert_msg(json_pointer_new(pointer, &p, &error) == OK, "%.*s: %s", SPAN_FMT(pointer),
		error.text);
	is_there = json_pointer_find(p, parse(document), &value);
	ck_assert_msg(is_there == (want != NULL), "%.*s", SPAN_FMT(pointer));
	if (is_there)
		ck_assert_msg(span_is(value.raw, want), "%.*s: %.*s", SPAN_FMT(pointer),
			SPAN_FMT(value.raw));
	free(p);
}

/* The document of section 5. */
static const char rfc[] = "{\"foo\":[\"bar\",\"baz\"],\"\":0,\"a/b\":1,\"c%d\":2,\"e^f\":3,"
			  "\"g|h\":4,\"i\\\\j\":5,\"k\\\"l\":6,\" \":7,\"m~n\":8}";

START_TEST(test_rfc_examples)
{
	static const struct {
		const char *pointer; /* as a JSON string, which section 5 shows them as */
		const char *want;
	} rows[] = {
		{"\"\"",        rfc                },
		{"\"/foo\"",    "[\"bar\",\"baz\"]"},
		{"\"/foo/0\"",  "\"bar\""          },
		{"\"/\"",       "0"                },
		{"\"/a~1b\"",   "1"                },
		{"\"/c%d\"",    "2"                },
		{"\"/e^f\"",    "3"                },
		{"\"/g|h\"",    "4"                },
		{"\"/i\\\\j\"", "5"                },
		{"\"/k\\\"l\"", "6"                },
		{"\"/ \"",      "7"                },
		{"\"/m~0n\"",   "8"                },
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char text[32];
		size_t n = json_string_decode(parse(rows[i].pointer).raw, text);

		assert_names(rfc, (struct span){text, n}, rows[i].want);
	}
}
END_TEST

START_TEST(test_places)
{
	static const char doc[] =
		"{\"a\":[10,[11,{\"x\":12}],\"s\"],\"01\":1,\"-\":2,\"\\u00e9\":3,"
		"\"~1\":4,\"n\\u0000l\":5,\"d\":6,\"d\":7,\"e\":{},\"0\":[[],8]}";

	assert_names(doc, SPAN("/a/1/1/x"), "12");
	assert_names(doc, SPAN("/a/2"), "\"s\"");
	assert_names(doc, SPAN("/a/3"), NULL);
	assert_names(doc, SPAN("/a/-"), NULL);
	assert_names(doc, SPAN("/a/00"), NULL);
	assert_names(doc, SPAN("/a/01"), NULL);
	assert_names(doc, SPAN("/a/+1"), NULL);
	assert_names(doc, SPAN("/a/"), NULL);
	assert_names(doc, SPAN("/a/18446744073709551616"), NULL);
	assert_names(doc, SPAN("/a/18446744073709551615"), NULL);
	assert_names(doc, SPAN("/01"), "1");
	assert_names(doc, SPAN("/-"), "2");
	assert_names(doc, SPAN("/\xc3\xa9"), "3");
	assert_names(doc, SPAN("/~01"), "4");
	assert_names(doc, SPAN("/n\0l"), "5");
	assert_names(doc, SPAN("/n"), NULL);
	assert_names(doc, SPAN("/d"), "7");
	assert_names(doc, SPAN("/d/"), NULL);
	assert_names(doc, SPAN("/e/x"), NULL);
	assert_names(doc, SPAN("/0/1"), "8");
	assert_names(doc, SPAN("/a/2/0"), NULL);
	assert_names("null", SPAN(""), "null");
	assert_names("null", SPAN("/"), NULL);
}
END_TEST

START_TEST(test_refusals)
{
	static const char *const rows[] = {
		"a", "a/b", "#/a", " /a", "/~", "/~2", "/a~", "/~/", "/a~b/c"};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct json_pointer *p = NULL;
		struct error error = ERROR_NONE;

		ck_assert_msg(
			json_pointer_new(span_of(rows[i]), &p, &error) == ERR_INVALID_ARGUMENT,
			"%s", rows[i]);
		ck_assert_ptr_null(p);
		ck_assert_ptr_nonnull(strstr(error.text, "JSON Pointer"));
	}
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {test_rfc_examples, test_places, test_refusals};
	Suite *suite = suite_create("json_pointer");
	TCase *tcase = tcase_create("json_pointer");
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
