/*
 * Migrations on real SQLite: up, down, and every store that has to be refused and
 * must then be as it was.
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/xalloc.h"
#include "daemon/store/migrate.h"

static sqlite3 *db;
static struct error error;

static void
setup(void)
{
	error = ERROR_NONE;
	ck_assert_int_eq(sqlite3_open(":memory:", &db), SQLITE_OK);
}

static void
teardown(void)
{
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK); /* no statement was left behind */
}

static void
run(const char *sql)
{
	ck_assert_msg(
		sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK, "%s", sqlite3_errmsg(db));
}

/** The first column of the first row as a text to free. */
static char *
ask(const char *sql)
{
	sqlite3_stmt *st;
	char *text;

	ck_assert_int_eq(sqlite3_prepare_v2(db, sql, -1, &st, NULL), SQLITE_OK);
	ck_assert_int_eq(sqlite3_step(st), SQLITE_ROW);
	text = xstrdup((const char *)sqlite3_column_text(st, 0));
	sqlite3_finalize(st);
	return text;
}

static void
expect_answer(const char *sql, const char *expected)
{
	char *text = ask(sql);

	ck_assert_str_eq(text, expected);
	free(text);
}

/** All that is in the file, but for the rows of the store's own tables. */
static char *
picture(void)
{
	char *schema = ask("SELECT coalesce(group_concat(type || name || coalesce(sql, '')), '-')"
			   " FROM (SELECT * FROM sqlite_schema ORDER BY name)");
	char *application = ask("PRAGMA application_id");
	char *both = xasprintf("%s %s", application, schema);

	free(schema);
	free(application);
	return both;
}

/** The move must fail with this code and these words, and leave everything as it was. */
static void
expect_refusal(int version, enum err code, const char *words)
{
	char *before = picture(), *after;

	ck_assert_int_eq(migrate_to(db, version, &error), code);
	ck_assert_msg(strstr(error.text, words) != NULL, "%s", error.text);
	ck_assert(sqlite3_get_autocommit(db));
	after = picture();
	ck_assert_str_eq(before, after);
	free(before);
	free(after);
}

static void
expect_version(int expected)
{
	int version = -1;

	ck_assert_int_eq(migrate_version(db, &version, &error), OK);
	ck_assert_int_eq(version, expected);
}

static void
migrate_up(void)
{
	ck_assert_msg(migrate_to(db, migrate_newest(), &error) == OK, "%s", error.text);
}

START_TEST(an_empty_file_becomes_a_store)
{
	expect_version(0);
	expect_answer("SELECT count(*) FROM sqlite_schema", "0"); /* asking changes nothing */
	clock_shift_wall(INT64_C(1000000) - clock_wall_ms());
	migrate_up();
	expect_version(migrate_newest());
	expect_answer("PRAGMA application_id", "1937339250");
	expect_answer("SELECT count(*) FROM records", "0");
	expect_answer("SELECT value FROM meta WHERE key = 'last_seq'", "0");
	expect_answer(
		"SELECT name || length(checksum) FROM migrations WHERE version = 1", "records64");
	expect_answer("SELECT applied_at / 10000 FROM migrations WHERE version = 1", "100");
}
END_TEST

START_TEST(a_second_time_does_nothing)
{
	char *before, *after;

	migrate_up();
	run("INSERT INTO records (seq, category, id, name, data, rev, created_at, updated_at)"
	    " VALUES (7, 'c', 'i', 'n', '1', 1, 1, 1)");
	before = picture();
	migrate_up();
	after = picture();
	ck_assert_str_eq(before, after);
	expect_answer("SELECT seq FROM records", "7");
	free(before);
	free(after);
}
END_TEST

START_TEST(down_and_up_again)
{
	char *first, *again;

	migrate_up();
	first = picture();
	ck_assert_int_eq(migrate_to(db, 0, &error), OK);
	expect_version(0);
	expect_answer("SELECT group_concat(name) FROM sqlite_schema", "migrations");
	expect_answer("SELECT count(*) FROM migrations", "0");
	migrate_up();
	again = picture();
	ck_assert_str_eq(first, again);
	free(first);
	free(again);
}
END_TEST

START_TEST(every_version_is_reached_from_every_other)
{
	for (int from = 0; from <= migrate_newest(); from++) {
		for (int to = 0; to <= migrate_newest(); to++) {
			ck_assert_int_eq(migrate_to(db, from, &error), OK);
			ck_assert_int_eq(migrate_to(db, to, &error), OK);
			expect_version(to);
		}
	}
}
END_TEST

START_TEST(versions_that_do_not_exist)
{
	char words[64];

	expect_refusal(-1, ERR_INVALID_ARGUMENT, "there is no version -1");
	snprintf(words, sizeof(words), "the newest is %d", migrate_newest());
	expect_refusal(migrate_newest() + 1, ERR_INVALID_ARGUMENT, words);
	expect_version(0);
}
END_TEST

START_TEST(a_store_from_a_newer_version)
{
	char words[96];

	migrate_up();
	run("INSERT INTO migrations VALUES (99, 'future', 'abc', 1)");
	snprintf(words, sizeof(words),
		"from a newer sysrt (its schema is version 99, this program knows %d)",
		migrate_newest());
	expect_refusal(migrate_newest(), ERR_DATABASE_ERROR, words);
	expect_refusal(0, ERR_DATABASE_ERROR, "newer");
	run("DELETE FROM migrations WHERE version = 99");
	migrate_up();
}
END_TEST

START_TEST(a_migration_that_was_changed)
{
	migrate_up();
	run("UPDATE migrations SET checksum = replace(checksum, substr(checksum, 1, 1), 'x')");
	expect_refusal(migrate_newest(), ERR_DATABASE_ERROR, "not the one that this program knows");
	expect_refusal(0, ERR_DATABASE_ERROR, "not the one that this program knows");
	run("UPDATE migrations SET checksum = x'00'");
	expect_refusal(0, ERR_DATABASE_ERROR, "not the one that this program knows");
}
END_TEST

START_TEST(a_damaged_list)
{
	migrate_up();
	run("UPDATE migrations SET version = 0 WHERE version = 1");
	expect_refusal(1, ERR_DATABASE_ERROR, "damaged at version 0");
	run("UPDATE migrations SET version = -1 WHERE version = 0");
	expect_refusal(1, ERR_DATABASE_ERROR, "damaged at version -1");
	run("UPDATE migrations SET version = 4294967297 WHERE version = -1");
	expect_refusal(1, ERR_DATABASE_ERROR, "newer");
	run("DROP TABLE migrations");
	expect_refusal(1, ERR_DATABASE_ERROR, "no such table: migrations");
}
END_TEST

START_TEST(a_file_of_another_program)
{
	run("CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)");
	expect_refusal(1, ERR_DATABASE_ERROR, "of another program");
	run("DROP TABLE theirs; PRAGMA application_id = 5");
	expect_refusal(1, ERR_DATABASE_ERROR, "of another program");
	run("PRAGMA application_id = 0");
	migrate_up();
}
END_TEST

/** The last statements of the migration fail when the first ones have done their work. */
START_TEST(up_fails_half_way)
{
	ck_assert_int_eq(migrate_to(db, 0, &error), OK);
	run("CREATE TABLE meta (x)");
	expect_refusal(1, ERR_DATABASE_ERROR,
		"migration 0001_records up: running a statement: table meta already exists");
	expect_version(0);
	run("DROP TABLE meta");
	migrate_up();
}
END_TEST

START_TEST(down_fails_half_way)
{
	migrate_up();
	run("INSERT INTO meta (key, value) VALUES ('mine', 5); DROP TABLE records");
	expect_refusal(0, ERR_DATABASE_ERROR, "records");
	expect_version(migrate_newest());
	expect_answer("SELECT value FROM meta WHERE key = 'mine'", "5");
}
END_TEST

START_TEST(one_that_is_busy)
{
	sqlite3 *other;
	char path[] = "/tmp/test_migrate.XXXXXX";
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
	ck_assert_int_eq(sqlite3_open(path, &other), SQLITE_OK);
	ck_assert_int_eq(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	ck_assert_int_eq(migrate_to(db, 1, &error), ERR_UNAVAILABLE);
	sqlite3_close(other);
	migrate_up();
	expect_version(migrate_newest());
	close(fd);
	unlink(path);
}
END_TEST

/** The list must begin with this. */
static void
expect_list(const char *expected)
{
	struct json_out o;
	struct buf out;

	buf_init(&out, SIZE_MAX / 2);
	o = json_out_start(&out);
	ck_assert_int_eq(migrate_add_list(db, &o, &error), OK);
	ck_assert_msg(span_has_prefix(buf_span(&out), span_of(expected)), "%.*s",
		SPAN_FMT(buf_span(&out)));
	buf_fini(&out);
}

START_TEST(the_list)
{
	struct json_out o;
	struct buf out;

	expect_list("[{\"version\":1,\"name\":\"records\",\"applied\":false}");
	migrate_up();
	expect_list("[{\"version\":1,\"name\":\"records\",\"applied\":true}");
	run("UPDATE migrations SET checksum = ''");
	buf_init(&out, SIZE_MAX / 2);
	o = json_out_start(&out);
	ck_assert_int_eq(migrate_add_list(db, &o, &error), ERR_DATABASE_ERROR);
	ck_assert_uint_eq(out.n, 0);
	buf_fini(&out);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("migrate");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, an_empty_file_becomes_a_store);
	tcase_add_test(t, a_second_time_does_nothing);
	tcase_add_test(t, down_and_up_again);
	tcase_add_test(t, every_version_is_reached_from_every_other);
	tcase_add_test(t, versions_that_do_not_exist);
	tcase_add_test(t, a_store_from_a_newer_version);
	tcase_add_test(t, a_migration_that_was_changed);
	tcase_add_test(t, a_damaged_list);
	tcase_add_test(t, a_file_of_another_program);
	tcase_add_test(t, up_fails_half_way);
	tcase_add_test(t, down_fails_half_way);
	tcase_add_test(t, one_that_is_busy);
	tcase_add_test(t, the_list);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
