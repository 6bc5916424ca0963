/*
 * Templates of a mapping: what they come to, in rows; what is refused, and in which
 * words; what has no text.
 */

#include <check.h>
#include <stdlib.h>

#include "common/xalloc.h"
#include "daemon/base/template.h"

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

static const char message[] =
	"{\"channel\":\"tick\",\"items\":[{\"id\":\"a\\u00e9\\\"\",\"n\":12.50,\"big\":"
	"123456789012345678901234567890,\"t\":true,\"f\":false,\"null\":null,\"list\":[1,\"x\"],"
	"\"object\":{\"a/b\":\"slash\",\"m~n\":\"tilde\",\"\":\"empty\"},\"e\":\"\","
	"\"half\":\"\\ud800\"}]}";

static struct json_members item, whole;
static struct template_input in = {&item, &whole};

static void
setup(void)
{
	struct json_value value;
	struct json_fault fault;
	struct json_walk w;

	ck_assert(json_check(SPAN(message), JSON_DEPTH_MAX, &value, &fault) == OK);
	json_members_start(&whole, value);
	ck_assert(json_members_find(&whole, SPAN("items"), &value));
	w = json_walk_start(value);
	ck_assert(json_array_next(&w, &value));
	json_members_start(&item, value);
}

static struct template *
compile(const char *text)
{
	struct error error = ERROR_NONE;
	struct template *t = NULL;

	ck_assert_msg(template_new(span_of(text), &t, &error) == OK, "%s: %s", text, error.text);
	return t;
}

START_TEST(what_they_come_to)
{
	static const struct {
		const char *text;
		const char *want;
	} rows[] = {
		{"",				       ""			      },
		{"text",				   "text"                          },
		{"{/id}",				  "a\303\251\""                   },
		{"{/n}",				   "12.50"                         },
		{"{/big}",				 "123456789012345678901234567890"},
		{"{/t} {/f}",			      "true false"                    },
		{"x{/n}y{/n}{/n}z",                        "x12.50y12.5012.50z"            },
		{"{/list/0}-{/list/1}",                    "1-x"                           },
		{"{/object/a~1b}{/object/m~0n}{/object/}", "slashtildeempty"               },
		{"{/e}",				   ""			      },
		{"{$/channel}.{/n}",                       "tick.12.50"                    },
		{"{$/items/0/t}",                          "true"                          },
		{"{{{/n}}}",			       "{12.50}"                       },
		{"{{/n}}",				 "{/n}"                          },
		{"a}}b{{c",				"a}b{c"                         },
	};
	struct template_fault fault;
	struct buf out;

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct template *t = compile(rows[i].text);

		buf_init(&out, 1000);
		buf_add_char(&out, '>');
		ck_assert_msg(template_fill(t, &in, &out, &fault), "%s", rows[i].text);
		buf_consume(&out, 1);
		ck_assert_msg(span_is(buf_span(&out), rows[i].want), "%s: %.*s", rows[i].text,
			SPAN_FMT(buf_span(&out)));
		buf_fini(&out);
		template_free(t);
	}
}
END_TEST

START_TEST(what_has_no_text)
{
	static const struct {
		const char *text;
		const char *place;
		const char *what;
	} rows[] = {
		{"a{/nothing}",   "/nothing", "is not there"                                 },
		{"{/n}{/list/2}", "/list/2",  "is not there"                                 },
		{"{/n/x}",        "/n/x",     "is not there"                                 },
		{"{/null}",       "/null",    "is null"                                      },
		{"{/list}",       "/list",    "is an array"                                  },
		{"{/object}",     "/object",  "is an object"                                 },
		{"{}",            "",         "is an object"                                 },
		{"{$}",           "$",        "is an object"                                 },
		{"{$/id}",        "$/id",     "is not there"                                 },
		{"{/half}",       "/half",    "is no text: half of a surrogate pair is in it"},
	};
	struct template_fault fault;
	struct buf out;

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct template *t = compile(rows[i].text);

		buf_init(&out, 1000);
		buf_add_span(&out, SPAN("before"));
		ck_assert(!template_fill(t, &in, &out, &fault));
		ck_assert(span_is(buf_span(&out), "before"));
		ck_assert_msg(span_is(fault.place, rows[i].place), "%s", rows[i].text);
		ck_assert_str_eq(fault.what, rows[i].what);
		buf_fini(&out);
		template_free(t);
	}
}
END_TEST

START_TEST(what_is_refused)
{
	static const struct {
		const char *text;
		const char *words;
	} rows[] = {
		{"{",       "the { at byte 1 has no } (a brace itself is written {{)"           },
		{"ab{/x",   "the { at byte 3 has no } (a brace itself is written {{)"           },
		{"ab}",     "the } at byte 3 has no { (a brace itself is written }})"           },
		{"{{}",     "the } at byte 3 has no { (a brace itself is written }})"           },
		{"{a}",     "the place at byte 1: a JSON Pointer is empty or starts with '/'"   },
		{"x{$a}",   "the place at byte 2: a JSON Pointer is empty or starts with '/'"   },
		{"{/a~2}",  "the place at byte 1: in a JSON Pointer '~' is written ~0, and '/' in a "
			   "name ~1"                                  },
		{"{/a{/b}", "there is a { in the place at byte 1 (a brace itself is written {{)"},
	};
	struct error error;
	struct template *t = NULL;

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		error = ERROR_NONE;
		ck_assert_int_eq(
			template_new(span_of(rows[i].text), &t, &error), ERR_INVALID_ARGUMENT);
		ck_assert_str_eq(error.text, rows[i].words);
	}
}
END_TEST

START_TEST(bounds)
{
	char *text = xcalloc(1, TEMPLATE_BYTES_MAX + 2);
	struct error error = ERROR_NONE;
	struct template *t = NULL;

	memset(text, 'x', TEMPLATE_BYTES_MAX + 1);
	ck_assert_int_eq(template_new(span_of(text), &t, &error), ERR_INVALID_ARGUMENT);
	ck_assert_str_eq(error.text, "a template has at most 4000 bytes");
	text[TEMPLATE_BYTES_MAX] = '\0';
	t = compile(text);
	template_free(t);
	for (size_t i = 0; i <= TEMPLATE_PARTS_MAX; i++)
		memcpy(text + 2 * i, "{}", 3);
	ck_assert_int_eq(template_new(span_of(text), &t, &error), ERR_INVALID_ARGUMENT);
	ck_assert_str_eq(error.text, "a template has at most 64 places and texts");
	text[2 * TEMPLATE_PARTS_MAX] = '\0';
	t = compile(text);
	template_free(t);
	free(text);
}
END_TEST

/* A buffer that is full fails; the template is none the wiser. */
START_TEST(a_buffer_that_is_full)
{
	struct template *t = compile("{/big}{/n}");
	struct template_fault fault;
	struct buf out;

	buf_init(&out, 10);
	ck_assert(template_fill(t, &in, &out, &fault));
	ck_assert(out.failed);
	buf_fini(&out);
	template_free(t);
}
END_TEST

START_TEST(one_place_alone)
{
	static const struct {
		const char *text;
		const char *want; /* NULL: it is not one place */
	} rows[] = {
		{"{/n}",        "12.50"    },
		{"{/list}",     "[1,\"x\"]"},
		{"{/null}",     "null"     },
		{"{$/channel}", "\"tick\"" },
		{"{/list/1}",   "\"x\""    },
		{"",            NULL       },
		{"n",           NULL       },
		{" {/n}",       NULL       },
		{"{/n}{/n}",    NULL       },
	};
	struct template_fault fault;
	struct json_value value;

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct template *t = compile(rows[i].text);

		ck_assert_int_eq(template_is_place(t), rows[i].want != NULL);
		if (rows[i].want != NULL) {
			ck_assert(template_find(t, &in, &value, &fault));
			ck_assert_msg(span_is(value.raw, rows[i].want), "%s", rows[i].text);
		}
		template_free(t);
	}
}
END_TEST

START_TEST(how_they_begin)
{
	static const struct {
		const char *text;
		const char *want;
		bool is_all;
	} rows[] = {
		{"",            "",        true },
		{"trades",      "trades",  true },
		{"trades.{/x}", "trades.", false},
		{"{/x}.trades", "",        false},
		{"a{{b",        "a{b",     true },
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct template *t = compile(rows[i].text);
		bool is_all;

		ck_assert(span_is(template_beginning(t, &is_all), rows[i].want));
		ck_assert_int_eq(is_all, rows[i].is_all);
		template_free(t);
	}
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {what_they_come_to, what_has_no_text, what_is_refused, bounds,
		a_buffer_that_is_full, one_place_alone, how_they_begin};
	Suite *suite = suite_create("template");
	TCase *tcase = tcase_create("template");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tcase, setup, NULL);
	for (size_t i = 0; i < COUNT_OF(tests); i++)
		tcase_add_test(tcase, tests[i]);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
