/*
 * Conditions on data: what each operator means, in words of one pair of a
 * condition and a text each; what is refused, and how.
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/json_compare.h"
#include "common/where.h"
#include "common/xalloc.h"

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

static struct json_value
parse(struct span text)
{
	struct json_fault fault = {0};
	struct json_value value = {0};

	ck_assert_msg(json_check(text, JSON_DEPTH_MAX, &value, &fault) == OK, "%.*s: %s",
		SPAN_FMT(text), fault.what);
	return value;
}

static struct where *
condition(const char *text)
{
	struct error error = ERROR_NONE;
	struct where *w = NULL;

	ck_assert_msg(
		where_new(parse(span_of(text)), &w, &error) == OK, "%s: %s", text, error.text);
	return w;
}

static bool
matches(const char *text, const char *data)
{
	struct where *w = condition(text);
	bool does = where_matches(w, parse(span_of(data)).raw);

	free(w);
	return does;
}

struct row {
	const char *condition;
	const char *data;
	bool want;
};

static void
check_rows(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		ck_assert_msg(matches(rows[i].condition, rows[i].data) == rows[i].want,
			"%s of %s is not %d", rows[i].condition, rows[i].data, rows[i].want);
}

/* clang-format off */
START_TEST(test_equality)
{
	static const struct row rows[] = {
		{"{}",                                  "null",                       true},
		{"{\"\":1}",                            "1.0",                        true},
		{"{\"/a\":1}",                          "{\"a\":1}",                  true},
		{"{\"/a\":1}",                          "{\"a\":\"1\"}",              false},
		{"{\"/a\":1}",                          "{\"b\":1}",                  false},
		{"{\"/a\":1}",                          "[1]",                        false},
		{"{\"/a\":null}",                       "{\"a\":null}",               true},
		{"{\"/a\":null}",                       "{}",                         false},
		{"{\"/a\":true}",                       "{\"a\":true}",               true},
		{"{\"/a\":true}",                       "{\"a\":1}",                  false},
		{"{\"/a\":[1,\"x\"]}",                  "{\"a\":[1.0,\"\\u0078\"]}",  true},
		{"{\"/a\":[1,\"x\"]}",                  "{\"a\":[1]}",                false},
		{"{\"/a\":[]}",                         "{\"a\":[]}",                 true},
		{"{\"/a\":[]}",                         "{\"a\":{}}",                 false},
		{"{\"/a\":{\"=\":{\"x\":1,\"y\":[2]}}}", "{\"a\":{\"y\":[2],\"x\":1}}", true},
		{"{\"/a\":{\"=\":{\"x\":1,\"y\":2}}}",  "{\"a\":{\"x\":1,\"y\":2}}",  true},
		{"{\"/a\":{\"=\":{\"x\":1,\"y\":2}}}",  "{\"a\":{\"x\":1}}",          false},
		{"{\"/a\":{\"=\":{\"x\":1}}}",          "{\"a\":{\"x\":1,\"y\":2}}",  false},
		{"{\"/a\":{\"=\":{\"x\":1,\"y\":2}}}",  "{\"a\":{\"x\":1,\"x\":2}}",  false},
		{"{\"/a\":{\"=\":{\"x\":1}}}",          "{\"a\":{\"x\":1,\"x\":1}}",  false},
		{"{\"/a\":{\"!=\":1}}",                 "{\"a\":2}",                  true},
		{"{\"/a\":{\"!=\":1}}",                 "{\"a\":1e0}",                false},
		{"{\"/a\":{\"!=\":1}}",                 "{}",                         true},
		{"{\"/a\":{\"!=\":null}}",              "{}",                         true},
		{"{\"/a\":{\"!=\":null}}",              "{\"a\":null}",               false},
		{"{\"/a\":1,\"/b\":2}",                 "{\"b\":2,\"a\":1}",          true},
		{"{\"/a\":1,\"/b\":2}",                 "{\"b\":3,\"a\":1}",          false},
		{"{\"/a/0/b\":1}",                      "{\"a\":[{\"b\":1}]}",        true},
		{"{\"/a/0/b\":1}",                      "{\"a\":{\"0\":{\"b\":1}}}",  true},
		{"{\"/a/1\":7,\"/a/3\":9}",             "{\"a\":[6,7,8,9]}",          true},
		{"{\"/a/1\":7,\"/a/3\":9}",             "{\"a\":[6,7,8]}",            false},
		{"{\"/a\":2}",                          "{\"a\":1,\"a\":2}",          true},
		{"{\"/a\":1}",                          "{\"a\":1,\"a\":2}",          false},
		{"{\"/a/b\":1}",                        "{\"a\":{\"b\":1},\"a\":2}",  false},
		{"{\"/a/b\":{\"exists\":false}}",       "{\"a\":{\"b\":1},\"a\":2}",  true},
		{"{\"/\\u00e9\":\"\xc3\xa9\"}",         "{\"\xc3\xa9\":\"\\u00E9\"}", true},
		{"{\"/~0~1\":1}",                       "{\"~/\":1}",                 true},
		{"{\"/n\\u0000\":1}",                   "{\"n\\u0000\":1}",           true},
		{"{\"/n\\u0000\":1}",                   "{\"n\":1}",                  false},
	};

	check_rows(rows, COUNT_OF(rows));
}
END_TEST

START_TEST(test_order)
{
	static const struct row rows[] = {
		{"{\"/a\":{\">\":10}}",               "{\"a\":10.000000000000000000000000001}", true},
		{"{\"/a\":{\">\":10}}",               "{\"a\":10}",                    false},
		{"{\"/a\":{\">=\":10}}",              "{\"a\":1e1}",                   true},
		{"{\"/a\":{\"<\":10}}",               "{\"a\":9.999}",                 true},
		{"{\"/a\":{\"<=\":10}}",              "{\"a\":100e-1}",                true},
		{"{\"/a\":{\"<=\":10}}",              "{\"a\":11}",                    false},
		{"{\"/a\":{\">\":9007199254740992}}", "{\"a\":9007199254740993}",      true},
		{"{\"/a\":{\"<\":18446744073709551616}}", "{\"a\":18446744073709551615}", true},
		{"{\"/a\":{\"<\":-1}}",               "{\"a\":-1.5}",                  true},
		{"{\"/a\":{\"<\":-1}}",               "{\"a\":-0.5}",                  false},
		{"{\"/a\":{\">\":-1,\"<\":1}}",       "{\"a\":-0}",                    true},
		{"{\"/a\":{\">\":-1,\"<\":1}}",       "{\"a\":1}",                     false},
		{"{\"/a\":{\">\":0}}",                "{\"a\":1e-400}",                true},
		{"{\"/a\":{\">\":1e400}}",            "{\"a\":1e401}",                 true},
		{"{\"/a\":{\"=\":0}}",                "{\"a\":-0.0e7}",                true},
		{"{\"/a\":{\"=\":0.001}}",            "{\"a\":1E-3}",                  true},
		{"{\"/a\":{\"=\":1000}}",             "{\"a\":1E3}",                   true},
		{"{\"/a\":{\">\":10}}",               "{\"a\":\"11\"}",                false},
		{"{\"/a\":{\"<\":10}}",               "{}",                            false},
		{"{\"/a\":{\"<\":10}}",               "{\"a\":null}",                  false},
		{"{\"/a\":{\">\":\"b\"}}",            "{\"a\":\"ba\"}",                true},
		{"{\"/a\":{\">\":\"b\"}}",            "{\"a\":\"b\"}",                 false},
		{"{\"/a\":{\">\":\"Z\"}}",            "{\"a\":\"a\"}",                 true},
		{"{\"/a\":{\"<\":\"\\ud83d\\ude00\"}}", "{\"a\":\"\\uffff\"}",         true},
		{"{\"/a\":{\">\":\"\"}}",             "{\"a\":\"\\u0000\"}",           true},
		{"{\"/a\":{\"<\":\"\xc3\xa9\"}}",     "{\"a\":\"\\u00e8z\"}",          true},
		{"{\"/a\":{\"<\":\"2\"}}",            "{\"a\":1}",                     false},
		{"{\"/a\":{\"=\":\"\\ud800\"}}",      "{\"a\":\"\\uD800\"}",           true},
		{"{\"/a\":{\"<\":\"\\ue000\"}}",      "{\"a\":\"\\uD800\"}",           true},
	};

	check_rows(rows, COUNT_OF(rows));
}
END_TEST

START_TEST(test_other_operators)
{
	static const struct row rows[] = {
		{"{\"/a\":{\"in\":[1,\"x\",null,[2]]}}", "{\"a\":1.0}",                true},
		{"{\"/a\":{\"in\":[1,\"x\",null,[2]]}}", "{\"a\":\"\\u0078\"}",        true},
		{"{\"/a\":{\"in\":[1,\"x\",null,[2]]}}", "{\"a\":[2]}",                true},
		{"{\"/a\":{\"in\":[1,\"x\",null,[2]]}}", "{\"a\":2}",                  false},
		{"{\"/a\":{\"in\":[1,\"x\",null,[2]]}}", "{\"a\":null}",               true},
		{"{\"/a\":{\"in\":[1,\"x\",null,[2]]}}", "{}",                         false},
		{"{\"/a\":{\"in\":[]}}",                 "{\"a\":1}",                  false},
		{"{\"/a\":{\"contains\":\"x\"}}",        "{\"a\":[\"y\",\"x\"]}",      true},
		{"{\"/a\":{\"contains\":\"x\"}}",        "{\"a\":[\"yx\"]}",           false},
		{"{\"/a\":{\"contains\":\"x\"}}",        "{\"a\":\"yxy\"}",            true},
		{"{\"/a\":{\"contains\":\"x\"}}",        "{\"a\":\"y\\u0078y\"}",      true},
		{"{\"/a\":{\"contains\":\"x\"}}",        "{\"a\":{\"x\":1}}",          false},
		{"{\"/a\":{\"contains\":\"x\"}}",        "{}",                         false},
		{"{\"/a\":{\"contains\":\"\"}}",         "{\"a\":\"\"}",               true},
		{"{\"/a\":{\"contains\":1}}",            "{\"a\":[0,10e-1]}",          true},
		{"{\"/a\":{\"contains\":1}}",            "{\"a\":\"1\"}",              false},
		{"{\"/a\":{\"contains\":{\"k\":[1]}}}",  "{\"a\":[{\"k\":[1]}]}",      true},
		{"{\"/a\":{\"contains\":\"aab\"}}",      "{\"a\":\"a\\u0061ab\"}",     true},
		{"{\"/a\":{\"contains\":\"aabaaa\"}}",   "{\"a\":\"\\naabaabaaa\"}",   true},
		{"{\"/a\":{\"contains\":\"aabaaa\"}}",   "{\"a\":\"\\naabaabaa\"}",    false},
		{"{\"/a\":{\"contains\":\"a\\u0000b\"}}", "{\"a\":\"xa\\u0000b\"}",    true},
		{"{\"/a\":{\"contains\":\"\\ud83d\"}}",  "{\"a\":\"\\ud83d\\ude00\"}", false},
		{"{\"/a\":{\"prefix\":\"ab\"}}",         "{\"a\":\"abc\"}",            true},
		{"{\"/a\":{\"prefix\":\"ab\"}}",         "{\"a\":\"\\u0061bc\"}",      true},
		{"{\"/a\":{\"prefix\":\"ab\"}}",         "{\"a\":\"a\"}",              false},
		{"{\"/a\":{\"prefix\":\"ab\"}}",         "{\"a\":\"\\u0061\"}",        false},
		{"{\"/a\":{\"prefix\":\"ab\"}}",         "{\"a\":[\"ab\"]}",           false},
		{"{\"/a\":{\"prefix\":\"\"}}",           "{\"a\":1}",                  false},
		{"{\"/a\":{\"exists\":true}}",           "{\"a\":null}",               true},
		{"{\"/a\":{\"exists\":true}}",           "{\"b\":null}",               false},
		{"{\"/a\":{\"exists\":false}}",          "{\"b\":null}",               true},
		{"{\"/a\":{\"exists\":false}}",          "{\"a\":null}",               false},
		{"{\"/a/-\":{\"exists\":false}}",        "{\"a\":[1]}",                true},
		{"{\"/a/01\":{\"exists\":true}}",        "{\"a\":[1,2]}",              false},
	};

	check_rows(rows, COUNT_OF(rows));
}
END_TEST

START_TEST(test_combinations)
{
	static const struct row rows[] = {
		{"{\"or\":[{\"/a\":1},{\"/b\":2}]}",                "{\"b\":2}",         true},
		{"{\"or\":[{\"/a\":1},{\"/b\":2}]}",                "{\"a\":2}",         false},
		{"{\"and\":[{\"/a\":1},{\"/b\":2}]}",               "{\"a\":1,\"b\":2}", true},
		{"{\"and\":[{\"/a\":1},{\"/b\":2}]}",               "{\"a\":1}",         false},
		{"{\"not\":{\"/a\":1}}",                            "{\"a\":2}",         true},
		{"{\"not\":{\"/a\":{\"<\":1}}}",                    "{}",                true},
		{"{\"not\":{\"/a\":{\"!=\":1}}}",                   "{}",                false},
		{"{\"not\":{}}",                                    "1",                 false},
		{"{\"not\":{\"/a\":1,\"/b\":2}}",                   "{\"a\":1}",         true},
		{"{\"/c\":3,\"or\":[{\"/a\":1},{\"not\":{\"/b\":2}}]}", "{\"c\":3}",     true},
		{"{\"/c\":3,\"or\":[{\"/a\":1},{\"not\":{\"/b\":2}}]}", "{\"c\":3,\"b\":2}", false},
		{"{\"or\":[{\"and\":[{\"/a\":1},{\"/a\":2}]},{}]}", "{}",                true},
		{"{\"/or\":1}",                                     "{\"or\":1}",        true},
	};

	check_rows(rows, COUNT_OF(rows));
}
END_TEST

START_TEST(test_refusals)
{
	static const struct {
		const char *condition;
		const char *want;
	} rows[] = {
		{"1",                                  "must be an object such as {\"/price\": {\">\": 10}}"},
		{"{\"a\":1}",                          "a: not a JSON Pointer (\"/name\"), nor one of: and or not"},
		{"{\"/a~\":1}",                        "/a~: in a JSON Pointer '~' is written ~0, and '/' in a name ~1"},
		{"{\"/a\":{}}",                        "/a: no operator is given (known: = != < <= > >= in contains prefix exists)"},
		{"{\"/a\":{\"gt\":1}}",                "/a: there is no operator \"gt\" (known: = != < <= > >= in contains prefix exists; "
		                                       "an object to be equal to is written {\"=\": {...}})"},
		{"{\"/a\":{\">\":null}}",              "/a: >: must be followed by a number or a string"},
		{"{\"/a\":{\"in\":1}}",                "/a: in: must be followed by an array"},
		{"{\"/a\":{\"prefix\":1}}",            "/a: prefix: must be followed by a string"},
		{"{\"/a\":{\"exists\":1}}",            "/a: exists: must be followed by true or false"},
		{"{\"/a\":1,\"/a\":2}",                "/a: \"/a\" is given twice"},
		{"{\"/a\":{\">\":1,\"\\u003e\":2}}",   "/a: >: \">\" is given twice"},
		{"{\"/a\":{\"=\":{\"x\":1,\"x\":1}}}", "/a: =: \"x\" is given twice"},
		{"{\"or\":{\"/a\":1}}",                "or: must be followed by an array of conditions"},
		{"{\"and\":[]}",                       "and: must not be empty"},
		{"{\"or\":[{},{\"not\":[]}]}",         "or: condition 1: not: must be an object such as {\"/price\": {\">\": 10}}"},
		{"{\"\":{\"<\":true}}",                "\"\": <: must be followed by a number or a string"},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct error error = ERROR_NONE;
		struct where *w = NULL;

		ck_assert_int_eq(where_new(parse(span_of(rows[i].condition)), &w, &error),
			ERR_INVALID_ARGUMENT);
		ck_assert_ptr_null(w);
		ck_assert_str_eq(error.text, rows[i].want);
	}
}
END_TEST
/* clang-format on */

/** What is repeated: its number stands between two texts. */
struct repeated {
	const char *before;
	const char *part;
	const char *part_end;
	const char *after;
	unsigned most;
	const char *want;
};

static enum err
repeat(const struct repeated *r, unsigned n, struct error *error)
{
	struct where *w = NULL;
	struct buf text;
	enum err e;

	buf_init(&text, SIZE_MAX / 2);
	buf_add_span(&text, span_of(r->before));
	for (unsigned i = 0; i < n; i++)
		buf_addf(&text, "%s%s%u%s", i > 0 ? "," : "", r->part, i, r->part_end);
	buf_add_span(&text, span_of(r->after));
	*error = ERROR_NONE;
	e = where_new(parse(buf_span(&text)), &w, error);
	if (e == OK)
		ck_assert_uint_gt(where_size(w), where_text(w).n);
	free(w);
	buf_fini(&text);
	return e;
}

START_TEST(test_bounds)
{
	static const struct repeated rows[] = {
		{"{",                 "\"/",    "\":1",              "}",   WHERE_TERMS_MAX,            "operators"},
		{"{\"/a\":{\"in\":[", "",       "",                  "]}}", WHERE_VALUES_MAX - 1,
                 "values to compare with"									  },
		{"{\"or\":[",         "{\"/a/", "/b/c/d/e/f/g\":1}", "]}",  (WHERE_PLACES_MAX - 2) / 7,
                 "names in its pointers"									   },
	};
	struct error error;

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		ck_assert_msg(repeat(&rows[i], rows[i].most, &error) == OK, "%s", error.text);
		ck_assert_int_eq(repeat(&rows[i], rows[i].most + 1, &error), ERR_LIMIT_EXCEEDED);
		ck_assert_msg(strstr(error.text, rows[i].want) != NULL, "%s", error.text);
	}
}
END_TEST

/* In no order; one is the beginning of another; keys may have escapes. */
static const struct {
	const char *pointer;
	const char *key;
} names[] = {
	{"m",		"m"             },
	{"",		 ""              },
	{"ma",	       "m\\u0061"      },
	{"zz",	       "\\u007az"      },
	{"a",		"\\u0061"       },
	{"ab",	       "ab"            },
	{"\xc3\xa9",         "\\u00e9"       },
	{"e\xc3\xa9",        "e\xc3\xa9"     },
	{"\xf0\x9f\x98\x80", "\\ud83d\\ude00"},
	{"\xef\xbf\xbd",     "\xef\xbf\xbd"  },
	{"~1",	       "\\/"           },
	{"7",		"7"             },
	{"07",	       "07"            },
	{"Z",		"Z"             },
};

/** The condition that each of the names below the place is 1. */
static void
add_names(struct buf *text, const char *place)
{
	for (size_t i = 0; i < COUNT_OF(names); i++)
		buf_addf(text, "%s\"%s/%s\":1", text->n > 1 ? "," : "", place, names[i].pointer);
}

/** Their members, and some that are near; one has another value. */
static void
add_members(struct buf *text, size_t but)
{
	for (size_t i = 0; i < COUNT_OF(names); i++)
		buf_addf(text, "%s\"%s\":%d",
			i > 0 ? ",\"mb\":2,\"a\\u0000\":2,\"\\u006d\\u0062\":2," : "", names[i].key,
			i == but ? 2 : 1);
}

/** Names are found whatever their number, on each level. */
START_TEST(test_many_names)
{
	struct error error = ERROR_NONE;
	struct where *w = NULL;
	struct buf text, data;

	buf_init(&text, 1 << 16);
	buf_add_char(&text, '{');
	add_names(&text, "/m/a");
	add_names(&text, "/x");
	add_names(&text, "/m/c");
	buf_add_char(&text, '}');
	ck_assert_int_eq(where_new(parse(buf_span(&text)), &w, &error), OK);
	for (size_t i = 0; i <= 3 * COUNT_OF(names); i++) {
		size_t level = i / COUNT_OF(names), but = i % COUNT_OF(names);

		buf_init(&data, 1 << 16);
		buf_add_span(&data, SPAN("{\"x\":{"));
		add_members(&data, level == 0 ? but : SIZE_MAX);
		buf_add_span(&data, SPAN("},\"m\":{\"c\":{"));
		add_members(&data, level == 1 ? but : SIZE_MAX);
		buf_add_span(&data, SPAN("},\"b\":{},\"a\":{"));
		add_members(&data, level == 2 ? but : SIZE_MAX);
		buf_add_span(&data, SPAN("}}}"));
		ck_assert_msg(where_matches(w, parse(buf_span(&data)).raw) == (level == 3),
			"%zu: %.*s", i, SPAN_FMT(buf_span(&data)));
		buf_fini(&data);
	}
	free(w);
	buf_fini(&text);
}
END_TEST

static enum err
nest(unsigned depth, struct error *error)
{
	struct where *w = NULL;
	struct buf text;
	enum err e;

	buf_init(&text, SIZE_MAX / 2);
	for (unsigned i = 1; i < depth; i++)
		buf_add_span(&text, SPAN("{\"not\":"));
	buf_add_span(&text, SPAN("{}"));
	for (unsigned i = 1; i < depth; i++)
		buf_add_char(&text, '}');
	e = where_new(parse(buf_span(&text)), &w, error);
	free(w);
	buf_fini(&text);
	return e;
}

START_TEST(test_depth_and_size)
{
	static char text[WHERE_BYTES_MAX + 2];
	struct error error = ERROR_NONE;
	struct where *w = NULL;
	int n = snprintf(text, sizeof(text), "{\"/a\":\"");

	ck_assert_int_eq(nest(WHERE_DEPTH_MAX, &error), OK);
	ck_assert_int_eq(nest(WHERE_DEPTH_MAX + 1, &error), ERR_LIMIT_EXCEEDED);
	ck_assert_ptr_nonnull(strstr(error.text, "conditions within each other"));

	memset(text + n, 'x', WHERE_BYTES_MAX - 2 - (size_t)n);
	memcpy(text + WHERE_BYTES_MAX - 2, "\"}", 3);
	ck_assert_int_eq(where_new(parse(span_of(text)), &w, &error), OK);
	free(w);
	memcpy(text + WHERE_BYTES_MAX - 2, "y\"}", 4);
	ck_assert_int_eq(where_new(parse(span_of(text)), &w, &error), ERR_LIMIT_EXCEEDED);
	ck_assert_str_eq(error.text, "a condition has at most 16384 bytes, this has 16385");
}
END_TEST

#define MEMBERS 30000

static struct json_value
object_with(struct buf *text, bool is_backwards)
{
	buf_init(text, (size_t)1 << 20);
	for (unsigned i = 0; i < MEMBERS; i++)
		buf_addf(
			text, "%s\"%u\":1", i == 0 ? "{" : ",", is_backwards ? MEMBERS - 1 - i : i);
	buf_add_char(text, '}');
	return parse(buf_span(text));
}

/** If each were looked for among all others, it would take longer than a test may. */
START_TEST(test_many_members_in_another_order)
{
	struct buf a, b;
	struct json_value x = object_with(&a, false), y = object_with(&b, true);

	ck_assert(json_equal(x, y));
	b.p[b.n - 2] = '2';
	ck_assert(!json_equal(x, y));
	buf_fini(&a);
	buf_fini(&b);
}
END_TEST

/* A condition goes into patterns and to other threads as a copy of its bytes. */
START_TEST(test_a_copy_is_the_same)
{
	static const char text[] =
		"{ \"/a\" : { \"contains\" : \"\\u0061b\" , \"prefix\":\"x\" },\"/b/2\":[1, 2]}";
	struct where *w = condition(text);
	struct where *copy = xcalloc(1, where_size(w));

	memcpy(copy, w, where_size(w));
	free(w);
	ck_assert(span_is(where_text(copy),
		"{\"/a\":{\"contains\":\"\\u0061b\",\"prefix\":\"x\"},\"/b/2\":[1,2]}"));
	ck_assert(where_matches(copy, SPAN("{\"a\":\"x\\nab\",\"b\":[0,0,[1,2.0]]}")));
	ck_assert(!where_matches(copy, SPAN("{\"a\":\"x\\na\",\"b\":[0,0,[1,2.0]]}")));
	free(copy);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {test_equality, test_order, test_other_operators,
		test_combinations, test_refusals, test_bounds, test_many_names, test_depth_and_size,
		test_many_members_in_another_order, test_a_copy_is_the_same};
	Suite *suite = suite_create("where");
	TCase *tcase = tcase_create("where");
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
