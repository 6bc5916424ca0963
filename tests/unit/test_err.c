/*
 * Errors: the table of codes, and texts that keep their context and their room.
 */

#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "common/err.h"
#include "common/utf8.h"

START_TEST(test_table)
{
	static const struct {
		enum err code;
		const char *name;
		int rpc_code;
		int exit_status;
	} rows[] = {
		{OK,                    "OK",                0,      0},
		{PENDING,               "PENDING",           0,      0},
		{ERR_PARSE_ERROR,       "PARSE_ERROR",       -32700, 1},
		{ERR_INVALID_REQUEST,   "INVALID_REQUEST",   -32600, 1},
		{ERR_METHOD_NOT_FOUND,  "METHOD_NOT_FOUND",  -32601, 1},
		{ERR_INVALID_ARGUMENT,  "INVALID_ARGUMENT",  -32602, 1},
		{ERR_NOT_FOUND,         "NOT_FOUND",         -32001, 4},
		{ERR_CONFLICT,          "CONFLICT",          -32002, 7},
		{ERR_RESYNC_REQUIRED,   "RESYNC_REQUIRED",   -32003, 1},
		{ERR_UNAUTHENTICATED,   "UNAUTHENTICATED",   -32004, 6},
		{ERR_PERMISSION_DENIED, "PERMISSION_DENIED", -32005, 6},
		{ERR_RATE_LIMITED,      "RATE_LIMITED",      -32006, 8},
		{ERR_LIMIT_EXCEEDED,    "LIMIT_EXCEEDED",    -32007, 1},
		{ERR_TIMEOUT,           "TIMEOUT",           -32008, 5},
		{ERR_UNAVAILABLE,       "UNAVAILABLE",       -32009, 8},
		{ERR_VAULT_LOCKED,      "VAULT_LOCKED",      -32010, 1},
		{ERR_DATABASE_ERROR,    "DATABASE_ERROR",    -32011, 1},
		{ERR_IO_ERROR,          "IO_ERROR",          -32012, 1},
		{ERR_CONFIG_ERROR,      "CONFIG_ERROR",      -32013, 1},
		{ERR_INTERNAL_ERROR,    "INTERNAL_ERROR",    -32603, 1},
	};

	ck_assert_uint_eq(sizeof(rows) / sizeof(rows[0]), ERR_COUNT);
	for (size_t i = 0; i < ERR_COUNT; i++) {
		const struct err_info *info = err_info(rows[i].code);

		ck_assert_uint_eq(rows[i].code, i);
		ck_assert_str_eq(info->name, rows[i].name);
		ck_assert_int_eq(info->rpc_code, rows[i].rpc_code);
		ck_assert_int_eq(info->exit_status, rows[i].exit_status);
		ck_assert_int_ge(info->http_status, i <= PENDING ? 200 : 400);
		ck_assert_int_lt(info->http_status, i <= PENDING ? 300 : 600);
		if (i > PENDING)
			ck_assert_uint_eq(err_by_name(span_of(info->name)), i);
	}
}
END_TEST

START_TEST(test_unknown_names)
{
	ck_assert_int_eq(err_by_name(SPAN("OF_TOMORROW")), ERR_INTERNAL_ERROR);
	ck_assert_int_eq(err_by_name(SPAN("OK")), ERR_INTERNAL_ERROR);
	ck_assert_int_eq(err_by_name(SPAN("CONFLIC")), ERR_INTERNAL_ERROR);
	ck_assert_int_eq(err_by_name(SPAN("conflict")), ERR_INTERNAL_ERROR);
	ck_assert_int_eq(err_by_name((struct span){0}), ERR_INTERNAL_ERROR);
}
END_TEST

START_TEST(test_set)
{
	struct error error = ERROR_NONE;

	ck_assert_int_eq(error.code, OK);
	ck_assert_int_eq(error.seq, -1);
	error.seq = 7;
	ck_assert_int_eq(
		error_set(&error, ERR_NOT_FOUND, "no record %s/%d", "a", 5), ERR_NOT_FOUND);
	ck_assert_int_eq(error.code, ERR_NOT_FOUND);
	ck_assert_int_eq(error.seq, -1);
	ck_assert_str_eq(error.text, "no record a/5");
	ck_assert_int_eq(error_set(NULL, ERR_TIMEOUT, "%d", 1), ERR_TIMEOUT);
	error_set(&error, ERR_CONFLICT, "again: %s", error.text);
	ck_assert_str_eq(error.text, "again: no record a/5");
}
END_TEST

START_TEST(test_set_errno)
{
	struct error error = ERROR_NONE;

	ck_assert_int_eq(
		error_set_errno(&error, ERR_IO_ERROR, ENOENT, "opening %s", "f"), ERR_IO_ERROR);
	ck_assert_str_eq(error.text, "opening f: No such file or directory");
	ck_assert_int_eq(error_set_errno(NULL, ERR_IO_ERROR, EIO, "x"), ERR_IO_ERROR);
}
END_TEST

START_TEST(test_wrap)
{
	struct error error = ERROR_NONE;

	error_set(&error, ERR_CONFLICT, "seq is 5");
	error.seq = 5;
	ck_assert_int_eq(error_wrap(&error, "writing %s", "a/b"), ERR_CONFLICT);
	ck_assert_int_eq(error_wrap(&error, "record.put"), ERR_CONFLICT);
	ck_assert_str_eq(error.text, "record.put: writing a/b: seq is 5");
	ck_assert_int_eq(error.seq, 5);
	ck_assert_int_eq(error_wrap(NULL, "x"), ERR_INTERNAL_ERROR);
}
END_TEST

START_TEST(test_long_texts)
{
	char text[2 * ERROR_TEXT_MAX];
	struct error error = ERROR_NONE;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	error_set(&error, ERR_IO_ERROR, "%s", text);
	ck_assert_uint_eq(strlen(error.text), ERROR_TEXT_MAX - 1);
	error_wrap(&error, "context");
	ck_assert_uint_eq(strlen(error.text), ERROR_TEXT_MAX - 1);
	ck_assert(span_has_prefix(span_of(error.text), SPAN("context: xxx")));
	error_set_errno(&error, ERR_IO_ERROR, EIO, "%s", text);
	ck_assert_uint_eq(strlen(error.text), ERROR_TEXT_MAX - 1);
}
END_TEST

/* Wherever the end falls in a character of two, three or four bytes, none is cut through. */
START_TEST(test_cut_at_a_character)
{
	static const char *const characters[] = {"\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};

	for (size_t c = 0; c < 3; c++) {
		for (int shift = 0; shift < 4; shift++) {
			char text[2 * ERROR_TEXT_MAX] = "xxx";
			struct error error = ERROR_NONE;
			const char *end;

			text[shift] = '\0';
			for (size_t n = strlen(text); n + 5 < sizeof(text);
				n += strlen(characters[c]))
				strcpy(text + n, characters[c]);
			error_set(&error, ERR_IO_ERROR, "%s", text);
			end = error.text + strlen(error.text);
			ck_assert_int_gt(end - error.text, ERROR_TEXT_MAX - 5);
			for (const char *p = error.text; p < end; p += utf8_next(p, end))
				ck_assert_uint_ne(utf8_next(p, end), 0);
		}
	}
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {test_table, test_unknown_names, test_set, test_set_errno,
		test_wrap, test_long_texts, test_cut_at_a_character};
	Suite *suite = suite_create("err");
	TCase *tcase = tcase_create("err");
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
