/*
 * JSON: the kept texts are accepted (y_) or refused (n_) as their names say, what
 * is wrong is told with its place, and every token comes back as it was.
 */

#include <check.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/json.h"
#include "common/xalloc.h"

#define CORPUS        "tests/fuzz/corpus/json/"
#define COUNT_OF(a)   (sizeof(a) / sizeof((a)[0]))
#define TEXT_MAX_SIZE ((size_t)1 << 20)

static struct json_value
check(struct span text)
{
	struct json_fault fault = {0};
	struct json_value value = {0};

	ck_assert_msg(json_check(text, JSON_DEPTH_MAX, &value, &fault) == OK, "%.*s: %s at %zu",
		(int)(text.n < 100 ? text.n : 100), text.p, fault.what, fault.offset);
	return value;
}

static void
assert_fault(const char *text, size_t offset, const char *what)
{
	struct json_fault fault = {0};
	struct json_value value;

	ck_assert_msg(json_check(span_of(text), JSON_DEPTH_MAX, &value, &fault) == ERR_PARSE_ERROR,
		"accepted: %s", text);
	ck_assert_msg(fault.offset == offset && strcmp(fault.what, what) == 0, "%s: %s at %zu",
		text, fault.what, fault.offset);
}

static void
assert_compact(const char *text, const char *want)
{
	struct buf out;

	buf_init(&out, TEXT_MAX_SIZE);
	json_compact(check(span_of(text)), &out);
	ck_assert_msg(span_is(buf_span(&out), want), "%.*s", SPAN_FMT(buf_span(&out)));
	buf_fini(&out);
}

static struct span
read_text(const char *name)
{
	char *path = xasprintf(CORPUS "%s", name);
	FILE *f = fopen(path, "rb");
	char *text = (char *)malloc(TEXT_MAX_SIZE);
	struct span s = {text, 0};

	ck_assert_msg(f != NULL, "%s", path);
	s.n = fread(text, 1, TEXT_MAX_SIZE, f);
	ck_assert_uint_lt(s.n, TEXT_MAX_SIZE);
	fclose(f);
	free(path);
	s.p = (char *)realloc(text, s.n > 0 ? s.n : 1);
	return s;
}

/* What stays open in RFC 8259 (i_) is open to us too, but is answered one way or the other. */
START_TEST(test_kept_texts)
{
	DIR *dir = opendir(CORPUS);
	unsigned counts[2] = {0};
	struct dirent *entry;

	ck_assert_msg(dir != NULL, CORPUS " is not there: run from the top of the tree");
	while ((entry = readdir(dir)) != NULL) {
		struct json_fault fault = {0};
		struct json_value value;
		struct span text;
		bool is_good;

		if (entry->d_name[0] == '.' || entry->d_name[1] != '_')
			continue;
		text = read_text(entry->d_name);
		is_good = json_check(text, JSON_DEPTH_MAX, &value, &fault) == OK;
		if (entry->d_name[0] != 'i')
			ck_assert_msg(is_good == (entry->d_name[0] == 'y'), "%s", entry->d_name);
		if (!is_good)
			ck_assert(fault.offset <= text.n && fault.what != NULL);
		counts[is_good]++;
		free((void *)(uintptr_t)text.p);
	}
	closedir(dir);
	ck_assert_uint_gt(counts[true], 70);
	ck_assert_uint_gt(counts[false], 150);
}
END_TEST

START_TEST(test_faults)
{
	static const struct {
		const char *text;
		size_t offset;
		const char *what;
	} rows[] = {
		{"",            0, "the text ends too early"                   },
		{" \n",         2, "the text ends too early"                   },
		{"[1,",         3, "the text ends too early"                   },
		{"{\"a",        3, "the text ends too early"                   },
		{"tru",         3, "the text ends too early"                   },
		{"-",           1, "the text ends too early"                   },
		{"x",           0, "expected a value"                          },
		{"[1,]",        3, "expected a value"                          },
		{"trux",        3, "expected a value"                          },
		{"{1:2}",       1, "expected a key in double quotes"           },
		{"{\"a\":1,}",  7, "expected a key in double quotes"           },
		{"{\"a\" 1}",   5, "expected a colon"                          },
		{"[1 2]",       3, "expected a comma or ]"                     },
		{"[1}",         2, "expected a comma or ]"                     },
		{"{\"a\":1]",   6, "expected a comma or }"                     },
		{"1 2",         2, "expected the end of the text"              },
		{"01",          1, "a number with a leading zero"              },
		{"-x",          1, "expected a digit"                          },
		{"1.x",         2, "expected a digit"                          },
		{"1e+x",        3, "expected a digit"                          },
		{"[\"a\x01\"]", 3, "control character in a string"             },
		{"[\"a\xff\"]", 3, "invalid UTF-8"                             },
		{"[\"a\\x\"]",  4, "unknown escape in a string"                },
		{"\"\\u00g0\"", 5, "expected four hexadecimal digits after \\u"},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++)
		assert_fault(rows[i].text, rows[i].offset, rows[i].what);
}
END_TEST

START_TEST(test_depth)
{
	static char text[200000];
	struct json_fault fault;
	struct json_value value;

	memset(text, '[', 100000);
	memset(text + 100000, ']', 100000);
	ck_assert_int_eq(json_check((struct span){text, sizeof(text)}, 1000000, &value, &fault),
		ERR_PARSE_ERROR);
	ck_assert_uint_eq(fault.offset, JSON_DEPTH_MAX);
	ck_assert_str_eq(fault.what, "nested too deeply");
	check((struct span){text + 100000 - JSON_DEPTH_MAX, 2 * JSON_DEPTH_MAX});
	ck_assert_int_eq(json_check(SPAN("[[1]]"), 2, &value, &fault), OK);
	ck_assert_int_eq(json_check(SPAN("[[[]]]"), 2, &value, &fault), ERR_PARSE_ERROR);
	ck_assert_uint_eq(fault.offset, 2);
	ck_assert_int_eq(json_check(SPAN("1"), 0, &value, &fault), OK);
	ck_assert_int_eq(json_check(SPAN("[]"), 0, &value, &fault), ERR_PARSE_ERROR);
}
END_TEST

START_TEST(test_depth_of_a_value)
{
	static const char *const texts[] = {"1", "\"[[\"", "[]", "{\"{[\":\"\\\"[\"}",
		"[[],{\"a\":[ ]},[]]", "[[1],[[[\"]\"]]],2]"};
	static const size_t depths[] = {0, 0, 1, 1, 3, 4};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		ck_assert_uint_eq(json_depth(check(span_of(texts[i]))), depths[i]);
}
END_TEST

START_TEST(test_values)
{
	static const struct {
		const char *text;
		enum json_type type;
		const char *raw;
	} rows[] = {
		{" null ",      JSON_NULL,   "null"     },
		{"true",        JSON_TRUE,   "true"     },
		{"\nfalse",     JSON_FALSE,  "false"    },
		{" -1.50e+7\t", JSON_NUMBER, "-1.50e+7" },
		{"\"a\\\"\" ",  JSON_STRING, "\"a\\\"\""},
		{" [ 1 ] ",     JSON_ARRAY,  "[ 1 ]"    },
		{" { } ",       JSON_OBJECT, "{ }"      },
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct json_value value = check(span_of(rows[i].text));

		ck_assert_int_eq(value.type, rows[i].type);
		ck_assert(span_is(value.raw, rows[i].raw));
	}
}
END_TEST

START_TEST(test_walk_object)
{
	static const char *const want[][2] = {
		{"\"a\"",      "1"                 },
		{"\"}\\\"{\"", "[ \"]\", {} ]"     },
		{"\"\"",       "{\"x\":{\"y\":[]}}"},
		{"\"a\"",      "\"\\\\\""          },
		{"\"n\"",      "null"              },
	};
	struct json_walk w = json_walk_start(check(SPAN(
		"{ \"a\" : 1 , \"}\\\"{\":[ \"]\", {} ]\n,\"\":{\"x\":{\"y\":[]}},\"a\":\"\\\\\",\"n\":null }")));
	struct json_value value;
	struct span key;
	size_t n = 0;

	for (; json_object_next(&w, &key, &value); n++) {
		ck_assert(n < COUNT_OF(want));
		ck_assert(span_is(key, want[n][0]));
		ck_assert(span_is(value.raw, want[n][1]));
	}
	ck_assert_uint_eq(n, COUNT_OF(want));
	ck_assert(!json_object_next(&w, &key, &value));
}
END_TEST

START_TEST(test_walk_array)
{
	static const char *const want[] = {"1", "\"a,]\"", "[]", "[[2 ] ]", "{}", "true", "-0.5e1"};
	static const char *const empty[] = {"[]", "[ ]", "{}", "{ }", "1", "\"\"", "null"};
	struct json_walk w =
		json_walk_start(check(SPAN("[1 , \"a,]\",[],[[2 ] ],{} ,true,-0.5e1\n]")));
	struct json_value value;
	size_t n = 0;

	for (; json_array_next(&w, &value); n++) {
		ck_assert(n < COUNT_OF(want));
		ck_assert(span_is(value.raw, want[n]));
	}
	ck_assert_uint_eq(n, COUNT_OF(want));
	for (size_t i = 0; i < COUNT_OF(empty); i++) {
		w = json_walk_start(check(span_of(empty[i])));
		ck_assert(!json_array_next(&w, &value));
	}
	w = json_walk_start((struct json_value){0});
	ck_assert(!json_array_next(&w, &value));
}
END_TEST

START_TEST(test_decode)
{
	static const struct {
		struct span raw;
		struct span want;
	} rows[] = {
		{SPAN("\"\""),					   SPAN("")                     },
		{SPAN("\"plain\""),				      SPAN("plain")                },
		{SPAN("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""),                 SPAN("\"\\/\b\f\n\r\t")      },
		{SPAN("\"a\\u0000b\""),                                  SPAN("a\0b")                 },
		{SPAN("\"\\u0041\\u00e9\\u20AC\""),                      SPAN("A\xc3\xa9\xe2\x82\xac")},
		{SPAN("\"\\u007f\\u0080\\u07ff\\u0800\\uffff\""),
                 SPAN("\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf")                                 },
		{SPAN("\"\\ud83d\\uDE00\\ud800\\udc00\\udbff\\udfff\""),
                 SPAN("\xf0\x9f\x98\x80\xf0\x90\x80\x80\xf4\x8f\xbf\xbf")                             },
	};
	static const struct span lone[] = {SPAN("\"\\ud800\""), SPAN("\"\\udc00\""),
		SPAN("\"\\ud800x\""), SPAN("\"\\ud800\\n\""), SPAN("\"\\ud800\\u0041\""),
		SPAN("\"\\ud800\\ud800\\udc00\""), SPAN("\"a\\udfff\\udc00\"")};
	char out[100];

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		size_t n = json_string_decode(check(rows[i].raw).raw, out);

		ck_assert(span_eq((struct span){out, n}, rows[i].want));
	}
	for (size_t i = 0; i < COUNT_OF(lone); i++)
		ck_assert_uint_eq(json_string_decode(check(lone[i]).raw, out), SIZE_MAX);
	ck_assert(json_string_is_plain(SPAN("\"abc\"")));
	ck_assert(!json_string_is_plain(SPAN("\"a\\u0062c\"")));
}
END_TEST

START_TEST(test_string_is)
{
	ck_assert(json_string_is(SPAN("\"method\""), "method"));
	ck_assert(json_string_is(SPAN("\"\""), ""));
	ck_assert(json_string_is(SPAN("\"\\u006dethod\""), "method"));
	ck_assert(json_string_is(SPAN("\"metho\\u0064\""), "method"));
	ck_assert(json_string_is(SPAN("\"\\ud83d\\ude00\""), "\xf0\x9f\x98\x80"));
	ck_assert(!json_string_is(SPAN("\"method\""), "metho"));
	ck_assert(!json_string_is(SPAN("\"metho\""), "method"));
	ck_assert(!json_string_is(SPAN("\"metho\\u0064s\""), "method"));
	ck_assert(!json_string_is(SPAN("\"\\u006detho\""), "method"));
	ck_assert(!json_string_is(SPAN("\"\\u0000\""), ""));
	ck_assert(!json_string_is(SPAN("\"a\\u0000\""), "a"));
	ck_assert(!json_string_is(SPAN("\"\\ud800\""), "x"));
}
END_TEST

START_TEST(test_text_for_people)
{
	char out[8];

	json_string_text(SPAN("\"abc\""), out, sizeof(out));
	ck_assert_str_eq(out, "abc");
	json_string_text(SPAN("\"abcdefghijk\""), out, sizeof(out));
	ck_assert_str_eq(out, "abcdefg");
	json_string_text(SPAN("\"abcde\xe2\x82\xac\""), out, sizeof(out));
	ck_assert_str_eq(out, "abcde");
	json_string_text(SPAN("\"a\\u0000b\\ud800\""), out, sizeof(out));
	ck_assert_str_eq(out, "a\xef\xbf\xbd"
			      "b");
	json_string_text(SPAN("\"abc\""), out, 1);
	ck_assert_str_eq(out, "");
}
END_TEST

START_TEST(test_integers)
{
	static const struct {
		const char *text;
		int64_t value;
	} good[] = {
		{"0",					   0			},
		{"-0",					  0			},
		{"0.000",				       0                        },
		{"0e99999999999999999999999",                   0                        },
		{"-0.0e-5",				     0                        },
		{"12",					  12                       },
		{"-3",					  -3                       },
		{"1e3",					 1000                     },
		{"1.0",					 1                        },
		{"1.50e1",				      15                       },
		{"1200e-2",				     12                       },
		{"0.001e3",				     1                        },
		{"123.4560e+3",				 123456                   },
		{"9223372036854775807",                         INT64_MAX                },
		{"-9223372036854775808",                        INT64_MIN                },
		{"9.223372036854775807E18",                     INT64_MAX                },
		{"922337203685477580700000000000000000000e-20", INT64_MAX                },
		{"1.0000000000000000000000000000000000000000",  1                        },
		{"9007199254740993",                            INT64_C(9007199254740993)},
	};
	static const char *const bad[] = {"0.5", "1e-1", "1.01", "9223372036854775808",
		"-9223372036854775809", "1e19", "18446744073709551616", "1e400", "1e-400",
		"1e99999999999999999999999", "12345678901234567890123", "-1.5",
		"1.00000000000000000000000000000000000001"};
	int64_t value;

	for (size_t i = 0; i < COUNT_OF(good); i++) {
		value = 77;
		ck_assert_msg(json_number_int64(span_of(good[i].text), &value), "%s", good[i].text);
		ck_assert_int_eq(value, good[i].value);
	}
	value = 77;
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		ck_assert_msg(!json_number_int64(span_of(bad[i]), &value), "%s", bad[i]);
	ck_assert_int_eq(value, 77);
}
END_TEST

START_TEST(test_compact)
{
	assert_compact(" { \"a b\" :\t[ 1 ,\r\n2.50 , \" x\\\" \" ] }\n",
		"{\"a b\":[1,2.50,\" x\\\" \"]}");
	assert_compact("[\"\\u0000\",\"\\ud800\",18446744073709551615 , 1E+02]",
		"[\"\\u0000\",\"\\ud800\",18446744073709551615,1E+02]");
	assert_compact(" 7 ", "7");
	assert_compact("\" \"", "\" \"");
}
END_TEST

START_TEST(test_add_string)
{
	static const struct {
		struct span text;
		const char *want;
	} rows[] = {
		{{NULL, 0},				    "\"\""							    },
		{SPAN("abcdefgh12345"),                        "\"abcdefgh12345\""                                               },
		{SPAN("\"\\/"),				"\"\\\"\\\\/\""						   },
		{SPAN("\b\f\n\r\t"),                           "\"\\b\\f\\n\\r\\t\""                                             },
		{SPAN("a\0b\x1f\x7f"),                         "\"a\\u0000b\\u001f\x7f\""                                        },
		{SPAN("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"),
                 "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""								      },
		{SPAN("a\xff\xe2\x82z\xed\xa0\x80\xc3"),       "\"a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz"
							 "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
							 "\xef\xbf\xbd\""},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct buf out;

		buf_init(&out, 1000);
		json_add_string(&out, rows[i].text);
		ck_assert_msg(
			span_is(buf_span(&out), rows[i].want), "%.*s", SPAN_FMT(buf_span(&out)));
		check(buf_span(&out));
		buf_fini(&out);
	}
}
END_TEST

START_TEST(test_writer)
{
	struct json_out o;
	struct buf out;

	buf_init(&out, 1000);
	o = json_out_start(&out);
	json_begin_object(&o, NULL);
	json_put_str(&o, "s\"", "x\n");
	json_put_int(&o, "i", INT64_MIN);
	json_begin_array(&o, "a");
	json_put_bool(&o, NULL, true);
	json_put_bool(&o, NULL, false);
	json_begin_object(&o, NULL);
	json_end_object(&o);
	json_begin_array(&o, NULL);
	json_end_array(&o);
	json_put_null(&o, NULL);
	json_end_array(&o);
	json_put_raw(&o, "r", SPAN("[1]"));
	json_put_string(&o, "t", SPAN("y\0"));
	json_end_object(&o);
	ck_assert(span_is(buf_span(&out),
		"{\"s\\\"\":\"x\\n\",\"i\":-9223372036854775808,\"a\":[true,false,{},[],null],"
		"\"r\":[1],\"t\":\"y\\u0000\"}"));
	check(buf_span(&out));
	buf_fini(&out);
}
END_TEST

START_TEST(test_doubles)
{
	static const struct {
		double value;
		const char *want;
	} rows[] = {
		{0,		      "0"                      },
		{0.1,                    "0.1"                    },
		{-1.5,                   "-1.5"                   },
		{1e15,                   "1e+15"                  },
		{123456789,              "123456789"              },
		{1.0 / 3,                "0.3333333333333333"     },
		{1e300,                  "1e+300"                 },
		{5e-324,                 "5e-324"                 },
		{1.7976931348623157e308, "1.7976931348623157e+308"},
		{NAN,                    "null"                   },
		{INFINITY,               "null"                   },
		{-INFINITY,              "null"                   },
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct json_out o;
		struct buf out;

		buf_init(&out, 100);
		o = json_out_start(&out);
		json_put_double(&o, NULL, rows[i].value);
		ck_assert_msg(
			span_is(buf_span(&out), rows[i].want), "%.*s", SPAN_FMT(buf_span(&out)));
		check(buf_span(&out));
		buf_fini(&out);
	}
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {test_kept_texts, test_faults, test_depth,
		test_depth_of_a_value, test_values, test_walk_object, test_walk_array, test_decode,
		test_string_is, test_text_for_people, test_integers, test_compact, test_add_string,
		test_writer, test_doubles};
	Suite *suite = suite_create("json");
	TCase *tcase = tcase_create("json");
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
