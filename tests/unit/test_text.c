/*
 * The text of a record: what of its data is in it, that values are parted by what
 * neither data nor a name can hold, and that it is cut at a character.
 */

#include <check.h>
#include <stdlib.h>

#include "common/utf8.h"
#include "daemon/search/text.h"

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))
#define ANY_SIZE    1024
#define S           " " TEXT_SEPARATOR " "

static void
assert_text(const char *data, const char *want)
{
	struct buf out;

	buf_init(&out, ANY_SIZE);
	ck_assert(text_add_data(&out, span_of(data)));
	ck_assert_msg(span_is(buf_span(&out), want), "%s: %.*s", data, SPAN_FMT(buf_span(&out)));
	buf_fini(&out);
}

START_TEST(strings_and_numbers_are_its_text)
{
	static const char *const cases[][2] = {
		{"\"one two\"",                          "one two"                   },
		{"12.50",				"12.50"                     },
		{"-1e400",			       "-1e400"                    },
		{"null",				 ""                          },
		{"[true,false,null,{},[]]",              ""                          },
		{"{\"key\":\"value\"}",                  "value"                     },
		{"{\"a\":[1,\"x\",null,{\"b\":\"y\"}]}", "1" S "x" S "y"             },
		{"[\"\",\"a\",\"\",\"b\",\"\"]",         "a" S "b"                   },
		{"\"\\u00fc\\n\\ud83d\\ude00\\\"\"",     "\u00fc\n\360\237\230\200\""},
		{"\"a\\u0000b\\ud800c\"",                "a\ufffdb\ufffdc"           },
		{"[\"a\\ue000b\",\"\ue000\ue001\"]",     "a\ufffdb" S "\ufffd\ue001" },
		{"not JSON",			     ""                          },
		{"",				     ""			  },
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_text(cases[i][0], cases[i][1]);
}
END_TEST

START_TEST(it_is_cut_at_a_character)
{
	static const char data[] = "[\"\u00fc\u00fc\",\"\u00fc\",1234]";
	static const char whole[] = "\u00fc\u00fc" S "\u00fc" S "1234";
	size_t n = sizeof(whole) - 1;

	for (size_t max = 1; max <= n + 2; max++) {
		struct buf out;
		bool is_whole;

		buf_init(&out, max);
		is_whole = text_add_data(&out, span_of(data));
		ck_assert(is_whole == (out.n == n) || max < n + 2);
		ck_assert(!is_whole || out.n == n);
		ck_assert(out.n <= max && (out.n == 0 || memcmp(out.p, whole, out.n) == 0));
		ck_assert_uint_eq(out.n > 0 ? utf8_cut(out.p, out.n) : 0, out.n);
		buf_fini(&out);
	}
}
END_TEST

START_TEST(a_name_is_itself)
{
	struct buf out;

	buf_init(&out, 9);
	ck_assert(text_add_name(&out, SPAN("a\ue000\u00fc z")));
	ck_assert(span_is(buf_span(&out), "a\ufffd\u00fc z"));
	buf_reset(&out);
	ck_assert(!text_add_name(&out, SPAN("12345678\u00fc")));
	ck_assert(span_is(buf_span(&out), "12345678"));
	buf_reset(&out);
	ck_assert(text_add_name(&out, SPAN("")) && out.n == 0);
	buf_fini(&out);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("text");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(t, strings_and_numbers_are_its_text);
	tcase_add_test(t, it_is_cut_at_a_character);
	tcase_add_test(t, a_name_is_itself);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
