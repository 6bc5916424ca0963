/*
 * Scopes: what is one and what is not, what they cover, and that printing and
 * reading give the same.
 */

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/guard/scope.h"

static struct scopes *
scopes_of(const char *text)
{
	struct scopes *s = scopes_new("a test");
	struct error error = ERROR_NONE;

	ck_assert_msg(
		scopes_add(s, span_of(text), SCOPE_ALL, &error) == OK, "%s: %s", text, error.text);
	return s;
}

static void
expect_text(const struct scopes *s, const char *expected)
{
	struct buf out;

	buf_init(&out, 1 << 16);
	scopes_add_text(s, &out);
	buf_add_char(&out, '\0');
	ck_assert_str_eq(out.p, expected);
	buf_fini(&out);
}

START_TEST(scopes_are_printed_as_they_are_read)
{
	static const char *const cases[][2] = {
		{"read",                        "read"                       },
		{"read:*",                      "read"                       },
		{"write:ticker",                "write:ticker"               },
		{"read:ticker,sensor.*",        "read:ticker,sensor.*"       },
		{"publish:alerts read:a admin", "read:a publish:alerts admin"},
		{"read:a  read:b ",             "read:a,b"                   },
		{"read:a,* write:x",            "read write:x"               },
		{"read:a/b-c_D.9*",             "read:a/b-c_D.9*"            },
		{"admin publish write read",    "read write publish admin"   },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct scopes *s = scopes_of(cases[i][0]);

		expect_text(s, cases[i][1]);
		scopes_unref(s);
	}
}
END_TEST

START_TEST(what_is_no_scope_is_refused)
{
	static const struct {
		const char *text;
		const char *why;
	} cases[] = {
		{"",          "a scope is missing"					     },
		{"  ",        "a scope is missing"					     },
		{"reed",      "\"reed\" is none of: read, write, publish, admin, secrets"      },
		{"Read",      "\"Read\" is none of: read, write, publish, admin, secrets"      },
		{":a",        "\"\" is none of: read, write, publish, admin, secrets"          },
		{"read:",     "the name of a scope must have 1 to 128 bytes"                   },
		{"read:a,",   "the name of a scope must have 1 to 128 bytes"                   },
		{"read:,a",   "the name of a scope must have 1 to 128 bytes"                   },
		{"read:$own", "the name of a scope: names that start with $ are reserved"      },
		{"read:-a",   "the name of a scope must not start with '.', '-' or '/'"        },
		{"read:a*b",
                 "the name of a scope: only A-Z a-z 0-9 . _ / - are allowed, byte 2 is another"},
		{"read:a:b",
                 "the name of a scope: only A-Z a-z 0-9 . _ / - are allowed, byte 2 is another"},
		{"read:a\tb",
                 "the name of a scope: only A-Z a-z 0-9 . _ / - are allowed, byte 2 is another"},
		{"admin:a",   "admin is for the daemon as a whole: no names follow it"         },
		{"admin:*",   "admin is for the daemon as a whole: no names follow it"         },
		{"read reed", "\"reed\" is none of: read, write, publish, admin, secrets"      },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct scopes *s = scopes_new("a test");
		struct error error = ERROR_NONE;

		ck_assert_msg(scopes_add(s, span_of(cases[i].text), SCOPE_ALL, &error) ==
				      ERR_INVALID_ARGUMENT,
			"%s", cases[i].text);
		ck_assert_str_eq(error.text, cases[i].why);
		scopes_unref(s);
	}
}
END_TEST

START_TEST(only_verbs_that_are_allowed_are_taken)
{
	struct scopes *s = scopes_new("a test");
	struct error error = ERROR_NONE;

	ck_assert_int_eq(
		scopes_add(s, SPAN("read admin"), SCOPE_DATA, &error), ERR_INVALID_ARGUMENT);
	ck_assert_str_eq(error.text, "\"admin\" is none of: read, write, publish");
	scopes_unref(s);
}
END_TEST

START_TEST(there_may_be_so_many_names)
{
	struct scopes *s = scopes_new("a test");
	struct error error = ERROR_NONE;

	for (int i = 0; i < SCOPE_TERMS_MAX; i++)
		ck_assert_int_eq(scopes_add(s, SPAN("read:a"), SCOPE_ALL, &error), OK);
	ck_assert_int_eq(scopes_add(s, SPAN("read:*"), SCOPE_ALL, &error), OK);
	ck_assert_int_eq(scopes_add(s, SPAN("read:a"), SCOPE_ALL, &error), ERR_LIMIT_EXCEEDED);
	scopes_unref(s);
}
END_TEST

START_TEST(names_are_covered_or_not)
{
	static const struct {
		const char *scopes;
		enum scope verb;
		const char *name;
		bool is_prefix;
		bool covers;
	} cases[] = {
		{"read",              SCOPE_READ,    "a",        false, true },
		{"read",              SCOPE_READ,    "",         true,  true },
		{"read",              SCOPE_WRITE,   "a",        false, false},
		{"admin",             SCOPE_READ,    "a",        false, false},
		{"admin",             SCOPE_ADMIN,   "",         true,  true },
		{"read:a",            SCOPE_READ,    "a",        false, true },
		{"read:a",            SCOPE_READ,    "ab",       false, false},
		{"read:a",            SCOPE_READ,    "a",        true,  false},
		{"read:a",            SCOPE_READ,    "",         true,  false},
		{"read:a",            SCOPE_WRITE,   "a",        false, false},
		{"read:sensor.*",     SCOPE_READ,    "sensor.",  false, true },
		{"read:sensor.*",     SCOPE_READ,    "sensor.1", false, true },
		{"read:sensor.*",     SCOPE_READ,    "sensor.1", true,  true },
		{"read:sensor.*",     SCOPE_READ,    "sensor.",  true,  true },
		{"read:sensor.*",     SCOPE_READ,    "sensor",   true,  false},
		{"read:sensor.*",     SCOPE_READ,    "sensor",   false, false},
		{"read:a,b write:c*", SCOPE_READ,    "b",        false, true },
		{"read:a,b write:c*", SCOPE_READ,    "c",        false, false},
		{"read:a,b write:c*", SCOPE_WRITE,   "cc",       true,  true },
		{"publish:a",         SCOPE_PUBLISH, "A",        false, false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct scopes *s = scopes_of(cases[i].scopes);

		ck_assert_msg(scopes_cover(s, cases[i].verb, span_of(cases[i].name),
				      cases[i].is_prefix) == cases[i].covers,
			"%zu", i);
		scopes_unref(s);
	}
	ck_assert(!scopes_cover(NULL, SCOPE_READ, SPAN("a"), false));
}
END_TEST

START_TEST(scopes_contain_others_or_not)
{
	static const struct {
		const char *all;
		const char *part;
		bool contains;
	} cases[] = {
		{"read",       "read",           true },
		{"read",       "read:a,b*",      true },
		{"read:a,b*",  "read:b,bc*,a",   true },
		{"read:a,b*",  "read",           false},
		{"read:a",     "read:a write:a", false},
		{"read:a",     "read:a*",        false},
		{"read write", "read:a admin",   false},
		{"admin read", "admin",          true },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct scopes *all = scopes_of(cases[i].all), *part = scopes_of(cases[i].part);

		ck_assert_msg(scopes_contain(all, part, NULL) == cases[i].contains, "%zu", i);
		scopes_unref(all);
		scopes_unref(part);
	}
}
END_TEST

START_TEST(they_know_their_verbs_and_names)
{
	struct scopes *s = scopes_of("read:a,b* publish");
	struct span name;
	size_t at = 0;
	bool is_prefix;

	ck_assert_uint_eq(scopes_verbs(s), SCOPE_READ | SCOPE_PUBLISH);
	ck_assert_str_eq(scopes_source(s), "a test");
	ck_assert(scopes_next(s, SCOPE_READ, &at, &name, &is_prefix));
	ck_assert(span_is(name, "a") && !is_prefix);
	ck_assert(scopes_next(s, SCOPE_READ, &at, &name, &is_prefix));
	ck_assert(span_is(name, "b") && is_prefix);
	ck_assert(!scopes_next(s, SCOPE_READ, &at, &name, &is_prefix));
	scopes_add_all(s, SCOPE_READ | SCOPE_ADMIN);
	expect_text(s, "read publish admin");
	scopes_unref(s);
	ck_assert_uint_eq(scopes_verbs(NULL), 0);
}
END_TEST

START_TEST(they_are_counted)
{
	struct scopes *s = scopes_of("read");

	ck_assert_ptr_eq(scopes_ref(s), s);
	scopes_unref(s);
	ck_assert(scopes_cover(s, SCOPE_READ, SPAN("a"), false));
	scopes_unref(s);
	scopes_unref(scopes_ref(NULL));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("scope");
	TCase *tcase = tcase_create("scope");
	SRunner *runner;
	int failed;

	tcase_add_test(tcase, scopes_are_printed_as_they_are_read);
	tcase_add_test(tcase, what_is_no_scope_is_refused);
	tcase_add_test(tcase, only_verbs_that_are_allowed_are_taken);
	tcase_add_test(tcase, there_may_be_so_many_names);
	tcase_add_test(tcase, names_are_covered_or_not);
	tcase_add_test(tcase, scopes_contain_others_or_not);
	tcase_add_test(tcase, they_know_their_verbs_and_names);
	tcase_add_test(tcase, they_are_counted);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
