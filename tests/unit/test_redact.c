/*
 * Leaving secrets out of texts, however they are written there.
 */

#include <check.h>
#include <stdlib.h>

#include "common/json.h"
#include "common/redact.h"

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

/** Secrets of the tests. */
static const struct span secrets[] = {SPAN("s3cr\"t/\303\251"), SPAN("abc"), SPAN("bcdef"),
	SPAN(""), SPAN("abcd"), SPAN("\n"), SPAN("\360\235\204\236")};

START_TEST(what_is_left)
{
	static const struct {
		const char *text;
		const char *want; /* NULL: there is none in it */
	} rows[] = {
		{"",					       NULL             },
		{"nothing here",				   NULL             },
		{"s3cr\"t/\303\251",                               "***"            },
		{"{\"k\":\"s3cr\\\"t/\303\251\"}",                 "{\"k\":\"***\"}"},
		{"{\"k\":\"\\u0073\\u0033cr\\u0022t\\/\\u00e9\"}", "{\"k\":\"***\"}"},
		{"{\"k\":\"\\u0073\\u0033CR\"}",                   NULL             },
		{"xabcx",					  "x***x"          },
		{"abcabc",					 "******"         },
		{"ab",					     NULL             },
		{"abcd",					   "***"            },
		{"abcdef",					 "***"            }, /* two of them, one in the other */
		{"abcdeg",					 "***eg"          },
		{"a\\u0062c",				      "***"            },
		{"a\\u006",					NULL             },
		{"a\\",					    NULL             },
		{"a\\nb",					  "a***b"          },
		{"\\ud834\\udd1e",                                 "***"            },
		{"\\ud834\\u0061",                                 NULL             },
		{"\\ud834\\uzzzz",                                 NULL             },
		{"\"\\\"s3cr\\\\\\\"t/\\u00e9\\\"\"",              "\"\\\"***\\\"\""},
		{"\\\\u005cu0061\\u0062c",                         "***"            },
		{"\\\\ud834\\u005cudd1e",                          "***"            },
		{"\\\\ud834\\\\",				  NULL             },
		{"\\\\",					   NULL             },
	};
	struct buf out;

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		bool found;

		buf_init(&out, 1000);
		found = redact_text(span_of(rows[i].text), secrets, COUNT_OF(secrets), false, &out);
		ck_assert_msg(found == (rows[i].want != NULL), "%s", rows[i].text);
		ck_assert_msg(span_eq(buf_span(&out), span_of(rows[i].want)), "%s: %.*s",
			rows[i].text, SPAN_FMT(buf_span(&out)));
		buf_fini(&out);
	}
}
END_TEST

/* What was cut off at the end of a text, however it was written there. */
START_TEST(half_of_one)
{
	static const struct span half[] = {SPAN("s3cr\"t \303\251x"), SPAN("abc")};
	static const struct {
		const char *text;
		const char *want; /* NULL: there is none in it */
	} rows[] = {
		{"",			       NULL        },
		{"no s3c",                         NULL        },
		{"a s3cr",                         "a ***"     },
		{"a s3cr\"t \303",                 "a ***"     },
		{"a s3cr b",                       NULL        },
		{"s3cr\"t \303\251x s3cr\"",       "*** ***"   },
		{"\"s3cr\\\"t",                    "\"***"     },
		{"\"s3cr\\",                       "\"***"     },
		{"\"\\u0073\\u0033\\u0063\\u0072", "\"***"     },
		{"\"s3cr\\u00",                    "\"***"     },
		{"\"{\\\"s3cr\\\\\\\"t",           "\"{\\\"***"},
		{"\"s3cr\\\"T",                    NULL        },
		{"ab",			     NULL        },
	};
	struct buf out;

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		bool found;

		buf_init(&out, 1000);
		found = redact_text(span_of(rows[i].text), half, COUNT_OF(half), true, &out);
		ck_assert_msg(found == (rows[i].want != NULL), "%s", rows[i].text);
		ck_assert_msg(span_eq(buf_span(&out), span_of(rows[i].want)), "%s: %.*s",
			rows[i].text, SPAN_FMT(buf_span(&out)));
		buf_fini(&out);
	}
}
END_TEST

static unsigned
below(unsigned n)
{
	return (unsigned)rand() % n;
}

/** How somebody may write a text in a string of JSON. */
static void
add_some_way(struct buf *out, struct span text)
{
	for (size_t i = 0; i < text.n; i++) {
		bool has_to = text.p[i] == '"' || text.p[i] == '\\' || text.p[i] == '\n';

		if (text.p[i] == '\n' && below(2) == 0)
			buf_addf(out, "\\n");
		else if (has_to && text.p[i] != '\n' && below(2) == 0)
			buf_addf(out, "\\%c", text.p[i]);
		else if (has_to || below(4) == 0)
			buf_addf(out, "\\u%04x", (unsigned char)text.p[i]);
		else
			buf_add_char(out, text.p[i]);
	}
}

/* Any text in any way of writing it is found, in JSON, and in JSON that is in JSON; and what is
 * around it is as it was. */
START_TEST(any_escapes)
{
	static const char *const some[] = {"k", "pass\"word", "\\\\", "a\\u0041",
		"0123456789abcdef", "x\ny", "\\n\"\\", "u0041n"};

	for (int round = 0; round < 4000; round++) {
		struct span secret = span_of(some[round % COUNT_OF(some)]);
		int depth = round % 4;
		struct buf text, next, out;

		buf_init(&text, 10000);
		buf_init(&next, 10000);
		buf_init(&out, 10000);
		buf_add_span(&text, secret);
		for (int i = 0; i < depth; i++) {
			buf_reset(&next);
			add_some_way(&next, buf_span(&text));
			buf_reset(&text);
			buf_add_span(&text, buf_span(&next));
		}
		buf_reset(&next);
		buf_addf(&next, "[7,\"%.*s\",8]", SPAN_FMT(buf_span(&text)));
		ck_assert_msg(redact_text(buf_span(&next), &secret, 1, false, &out), "%.*s",
			SPAN_FMT(buf_span(&next)));
		ck_assert_msg(span_is(buf_span(&out), "[7,\"***\",8]"), "%d: %.*s: %.*s", depth,
			SPAN_FMT(buf_span(&next)), SPAN_FMT(buf_span(&out)));
		buf_fini(&text);
		buf_fini(&next);
		buf_fini(&out);
	}
}
END_TEST

/* An object that says a secret back as a text of JSON stays JSON. */
START_TEST(what_is_around_stays_sound)
{
	static const struct span ends_so = SPAN("a\\");
	static const char *const texts[][2] = {
		{"{\"e\":\"{\\\"k\\\":\\\"a\\\\\\\\\\\"}\"}",
                 "{\"e\":\"{\\\"k\\\":\\\"***\\\"}\"}"                              },
		{"{\"e\":\"a\\\\\"}",                         "{\"e\":\"***\"}"     },
		{"{\"e\":\"'a\\\\\\\"\"}",                    "{\"e\":\"'***\\\"\"}"},
	};
	struct json_value value;
	struct json_fault fault;
	struct buf out;

	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		buf_init(&out, 1000);
		ck_assert(json_check(span_of(texts[i][0]), 10, &value, &fault) == OK);
		ck_assert(redact_text(span_of(texts[i][0]), &ends_so, 1, false, &out));
		ck_assert_msg(span_is(buf_span(&out), texts[i][1]), "%s: %.*s", texts[i][0],
			SPAN_FMT(buf_span(&out)));
		ck_assert(json_check(buf_span(&out), 10, &value, &fault) == OK);
		buf_fini(&out);
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("redact");
	TCase *tcase = tcase_create("redact");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(tcase, what_is_left);
	tcase_add_test(tcase, half_of_one);
	tcase_add_test(tcase, any_escapes);
	tcase_add_test(tcase, what_is_around_stays_sound);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
