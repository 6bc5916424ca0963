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
		found = redact_text(span_of(rows[i].text), secrets, COUNT_OF(secrets), &out);
		ck_assert_msg(found == (rows[i].want != NULL), "%s", rows[i].text);
		ck_assert_msg(span_eq(buf_span(&out), span_of(rows[i].want)), "%s: %.*s",
			rows[i].text, SPAN_FMT(buf_span(&out)));
		buf_fini(&out);
	}
}
END_TEST

/** How somebody may write a text in JSON. */
static void
add_some_way(struct buf *out, const char *text, unsigned *random)
{
	for (; *text != '\0'; text++) {
		*random = *random * 1103515245 + 12345;
		if (*text == '"' || *text == '\\' || (*random >> 16) % 3 == 0)
			buf_addf(out, "\\u%04x", (unsigned char)*text);
		else
			buf_add_char(out, *text);
	}
}

/** The same again, so often. */
static void
add_nested(struct buf *out, const char *text, unsigned depth, unsigned *random)
{
	struct buf once;

	if (depth == 1) {
		add_some_way(out, text, random);
		return;
	}
	buf_init(&once, 100000);
	add_some_way(&once, text, random);
	buf_add_char(&once, '\0');
	add_nested(out, once.p, depth - 1, random);
	buf_fini(&once);
}

/* Any text in any way of writing it is found. */
START_TEST(any_escapes)
{
	static const char *const some[] = {
		"k", "pass\"word", "\\\\", "a\\u0041", "0123456789abcdef"};
	unsigned random = 1;

	for (int round = 0; round < 1000; round++) {
		const char *secret = some[round % COUNT_OF(some)];
		struct span span = span_of(secret);
		struct buf text, out;

		buf_init(&text, 100000);
		buf_init(&out, 1000);
		buf_add_span(&text, SPAN("{\"--\":\""));
		add_nested(&text, secret, 1 + (unsigned)round % 3, &random);
		buf_add_span(&text, SPAN("\"}"));
		ck_assert_msg(redact_text(buf_span(&text), &span, 1, &out), "%.*s",
			SPAN_FMT(buf_span(&text)));
		ck_assert_msg(span_is(buf_span(&out), "{\"--\":\"***\"}"), "%.*s",
			SPAN_FMT(buf_span(&out)));
		buf_fini(&text);
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
	tcase_add_test(tcase, any_escapes);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
