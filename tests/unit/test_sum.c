/*
 * The sums of rows: what is kept in stores must stay what it is, the SQL function and
 * the C functions agree, and no two rows that differ are taken for one.
 */

#include <check.h>
#include <stdlib.h>

#include "daemon/store/sum.h"

static sqlite3 *db;

static void
setup(void)
{
	ck_assert_int_eq(sqlite3_open(":memory:", &db), SQLITE_OK);
	ck_assert_int_eq(sum_add_function(db, NULL), OK);
}

static void
teardown(void)
{
	sqlite3_close(db);
}

static int64_t
ask(const char *expression)
{
	sqlite3_stmt *st;
	char *sql = sqlite3_mprintf("SELECT %s", expression);
	int64_t value;

	ck_assert_msg(sqlite3_prepare_v2(db, sql, -1, &st, NULL) == SQLITE_OK, "%s: %s", sql,
		sqlite3_errmsg(db));
	ck_assert_int_eq(sqlite3_step(st), SQLITE_ROW);
	ck_assert_int_eq(sqlite3_column_type(st, 0), SQLITE_INTEGER);
	value = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	sqlite3_free(sql);
	return value;
}

static const struct record one = {
	.seq = 7,
	.category = {"general",   sizeof("general") - 1  },
	.id = {"a",         sizeof("a") - 1        },
	.name = {"A",         sizeof("A") - 1        },
	.data = {"{\"b\":1}", sizeof("{\"b\":1}") - 1},
	.rev = 2,
	.created_at = 1700000000000,
	.updated_at = 1700000000001,
};

START_TEST(c_and_sql_agree)
{
	struct record r = one;
	struct sum s = sum_of_record(&r);

	ck_assert_int_eq(sum_end(&s),
		ask("row_sum('records', 7, 'general', 'a', 'A', '{\"b\":1}', 2, 1700000000000, "
		    "1700000000001, NULL)"));
	sum_set_life(&s, 3, 5);
	ck_assert_int_eq(sum_end(&s),
		ask("row_sum('records', 7, 'general', 'a', 'A', '{\"b\":1}', 3, 5, 1700000000001, "
		    "NULL)"));
	r.expires_at = 9;
	s = sum_of_record(&r);
	ck_assert_int_eq(sum_end(&s),
		ask("row_sum('records', 7, 'general', 'a', 'A', '{\"b\":1}', 2, 1700000000000, "
		    "1700000000001, 9)"));
	ck_assert_int_eq(sum_of_tombstone(8, SPAN("general"), SPAN("b"), 4, 5),
		ask("row_sum('tombstones', 8, 'general', 'b', 4, 5)"));
}
END_TEST

/** They are in stores. */
START_TEST(sums_stay_what_they_are)
{
	struct sum s = sum_of_record(&one);

	ck_assert_int_eq(sum_end(&s), INT64_C(-3096916963305816503));
	ck_assert_int_eq(ask("row_sum('epochs', 'ab', 3)"), INT64_C(-2209165668406947369));
}
END_TEST

START_TEST(what_differs_has_another_sum)
{
	static const char *const rows[] = {
		"row_sum('t')",
		"row_sum('u')",
		"row_sum('t', NULL)",
		"row_sum('t', NULL, NULL)",
		"row_sum('t', 0)",
		"row_sum('t', 0.0)",
		"row_sum('t', '0')",
		"row_sum('t', x'30')",
		"row_sum('t', '')",
		"row_sum('t', x'')",
		"row_sum('t', 'ab', 'c')",
		"row_sum('t', 'a', 'bc')",
		"row_sum('t', 'abc', '')",
		"row_sum('t', 'abc')",
		"row_sum('t', 'abb')",
		"row_sum('t', 1, 2)",
		"row_sum('t', 2, 1)",
		"row_sum('t', -1)",
		"row_sum('t', 1 << 56)",
	};
	const unsigned n = sizeof(rows) / sizeof(rows[0]);

	for (unsigned i = 0; i < n; i++)
		for (unsigned j = 0; j < n; j++)
			ck_assert_msg((ask(rows[i]) == ask(rows[j])) == (i == j), "%s %s", rows[i],
				rows[j]);
}
END_TEST

START_TEST(too_many_columns_are_refused)
{
	sqlite3_stmt *st;

	ck_assert_int_eq(ask("row_sum(1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,"
			     "24) IS NOT NULL"),
		1);
	ck_assert_int_eq(sqlite3_prepare_v2(db,
				 "SELECT row_sum(1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,"
				 "20,21,22,23,24,25)",
				 -1, &st, NULL),
		SQLITE_OK);
	ck_assert_int_eq(sqlite3_step(st), SQLITE_ERROR);
	sqlite3_finalize(st);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("sum");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, c_and_sql_agree);
	tcase_add_test(t, sums_stay_what_they_are);
	tcase_add_test(t, what_differs_has_another_sum);
	tcase_add_test(t, too_many_columns_are_refused);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
