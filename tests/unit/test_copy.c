/*
 * A copy in steps beside writing on the same connection: what is committed between
 * two steps is in it, wherever it is in the file; and the names of backups.
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/xalloc.h"
#include "daemon/store/copy.h"
#include "daemon/store/folder.h"
#include "daemon/store/migrate.h"
#include "daemon/store/sql.h"
#include "daemon/store/verify.h"

#define ROWS INT64_C(20000)

static char folder[64], path[96], dest[96];
static struct conf conf;
static sqlite3 *db;
static struct copy *copy;
static struct error error;

static void
run(const char *sql)
{
	ck_assert_msg(
		sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK, "%s", sqlite3_errmsg(db));
}

static void
setup(void)
{
	snprintf(folder, sizeof(folder), "/tmp/test_copy.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/sysrt.db", folder);
	snprintf(dest, sizeof(dest), "%s/copy", folder);
	conf = (struct conf){.store = {.cache_bytes = 1 << 20}};
	error = ERROR_NONE;
	copy = NULL;
	ck_assert_msg(sql_open(path, SQL_WRITER, &conf, &db, &error) == OK, "%s", error.text);
	ck_assert_msg(migrate_to(db, migrate_newest(), &error) == OK, "%s", error.text);
	run("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)"
	    "INSERT INTO records (seq, category, id, name, data, rev, created_at, updated_at)"
	    " SELECT i, 'c', i, i, '\"' || hex(randomblob(100)) || '\"', 1, 1, 1 FROM n");
}

static void
teardown(void)
{
	char command[128];

	copy_close(copy);
	sql_close(db);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	ck_assert_int_eq(system(command), 0);
}

static void
begin(void)
{
	ck_assert_msg(copy_open(db, dest, &copy, &error) == OK, "%s", error.text);
}

/** The least that a step does. */
static enum err
step(void)
{
	return copy_step(copy, 0, 1, &error);
}

static void
end(void)
{
	copy_close(copy);
	copy = NULL;
}

/** It is a whole store with so much in it. */
static void
expect_copy(int64_t last_seq, int64_t records)
{
	struct verify found;

	ck_assert_msg(verify_file(dest, NULL, &found, &error) == OK, "%s", error.text);
	ck_assert_int_eq(found.last_seq, last_seq);
	ck_assert_int_eq(found.records, records);
}

START_TEST(all_at_once)
{
	begin();
	ck_assert_int_eq(copy_step(copy, INT64_MAX, INT64_MAX, &error), OK);
	ck_assert_int_eq(copy_done(copy), copy_total(copy));
	end();
	expect_copy(ROWS, ROWS);
}
END_TEST

START_TEST(a_step_ends_in_time_and_after_so_many_bytes)
{
	begin();
	ck_assert_int_eq(step(), PENDING);
	ck_assert_int_lt(copy_done(copy), copy_total(copy) / 4);
	ck_assert_int_eq(copy_step(copy, INT64_MAX, 1 << 20, &error), PENDING);
	ck_assert_int_ge(copy_done(copy), 1 << 20);
	ck_assert_int_lt(copy_done(copy), copy_total(copy) / 2);
}
END_TEST

/** Rows change that are copied already, and others that are not; the file grows and shrinks. */
START_TEST(it_holds_what_was_committed_between_its_steps)
{
	int64_t last = ROWS, records = ROWS;
	enum err e;

	begin();
	for (int i = 0; (e = step()) == PENDING; i++) {
		char *sql = xasprintf(
			"UPDATE records SET seq = %lld, rev = rev + 1 WHERE id = '%d';"
			"DELETE FROM records WHERE id = '%d';"
			"INSERT INTO records (seq, category, id, name, data, rev,"
			" created_at, updated_at) VALUES (%lld, 'n', '%d', '', 1, 1, 1, 1)",
			(long long)last + 1, 19000 - i, i + 1, (long long)last + 2, i);

		run(sql);
		free(sql);
		last += 2;
	}
	ck_assert_msg(e == OK, "%s", error.text);
	end();
	ck_assert_int_gt(last, ROWS + 20);
	expect_copy(last, records);
}
END_TEST

/** Checkpoints, also one that starts the log anew, meet nothing of it. */
START_TEST(a_step_leaves_nothing_open)
{
	begin();
	ck_assert_int_eq(step(), PENDING);
	ck_assert_int_eq(
		sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL),
		SQLITE_OK);
	run("UPDATE records SET rev = 2");
	ck_assert_int_eq(copy_step(copy, INT64_MAX, INT64_MAX, &error), OK);
	end();
	expect_copy(ROWS, ROWS);
}
END_TEST

START_TEST(what_is_rolled_back_is_not_in_it)
{
	begin();
	ck_assert_int_eq(copy_step(copy, INT64_MAX, 1 << 20, &error), PENDING);
	run("PRAGMA cache_size = 10; BEGIN; UPDATE records SET rev = 5; ROLLBACK");
	ck_assert_int_eq(copy_step(copy, INT64_MAX, INT64_MAX, &error), OK);
	end();
	expect_copy(ROWS, ROWS);
	sql_close(db);
	ck_assert_int_eq(sql_open_plain(dest, &db, &error), OK);
	run("SELECT CASE WHEN max(rev) > 1 THEN abs(-9223372036854775807 - 1) END FROM records");
}
END_TEST

START_TEST(another_program_writes_meanwhile)
{
	sqlite3 *other;

	begin();
	ck_assert_int_eq(copy_step(copy, INT64_MAX, 1 << 20, &error), PENDING);
	ck_assert_int_eq(sqlite3_open(path, &other), SQLITE_OK);
	ck_assert_int_eq(
		sqlite3_exec(other, "DELETE FROM records WHERE seq > 100", NULL, NULL, NULL),
		SQLITE_OK);
	ck_assert_int_eq(sqlite3_close(other), SQLITE_OK);
	ck_assert_int_eq(copy_step(copy, INT64_MAX, INT64_MAX, &error), OK);
	end();
	expect_copy(100, 100);
}
END_TEST

START_TEST(places_that_cannot_be_written)
{
	snprintf(dest, sizeof(dest), "%s/none/copy", folder);
	ck_assert_int_eq(copy_open(db, dest, &copy, &error), ERR_IO_ERROR);
	ck_assert_ptr_null(copy);
	ck_assert_msg(strstr(error.text, "making the copy: ") == error.text, "%s", error.text);
	snprintf(dest, sizeof(dest), "%s", folder);
	ck_assert_int_eq(copy_open(db, dest, &copy, &error), ERR_IO_ERROR);
	ck_assert_msg(strstr(error.text, "removing ") == error.text, "%s", error.text);
}
END_TEST

/* The folder. */

static void
make(const char *name)
{
	char *file = xasprintf("%s/%s", folder, name);
	FILE *f = fopen(file, "w");

	ck_assert_ptr_nonnull(f);
	fclose(f);
	free(file);
}

static bool
is_there(const char *name)
{
	char *file = xasprintf("%s/%s", folder, name);
	bool is = access(file, F_OK) == 0;

	free(file);
	return is;
}

#define MS INT64_C(1795907730123)

START_TEST(names)
{
	char *name = folder_path("/srv/backup", MS);

	ck_assert_str_eq(name, "/srv/backup/sysrt-20261128T231530.123Z.db");
	free(name);
	ck_assert_int_eq(folder_newest("/nowhere"), INT64_MIN);
	ck_assert_int_eq(folder_newest(folder), INT64_MIN);
	make("sysrt-20261128T231530.122Z.db");
	make("sysrt-20261128T231530.123Z.db");
	make("sysrt-20261128T231530.124Z.db.tmp");
	make("sysrt-20261328T231530.124Z.db");
	make("sysrt-99991128T231530.12xZ.db");
	make("zysrt-20271128T231530.124Z.db");
	ck_assert_int_eq(folder_newest(folder), MS);
}
END_TEST

START_TEST(old_ones_go)
{
	char *stays = xasprintf("%s/sysrt-20250101T000000.000Z.db", folder);

	make("sysrt-20250101T000000.000Z.db");
	make("sysrt-20260101T000000.000Z.db");
	make("sysrt-20260102T000000.000Z.db");
	make("sysrt-20260103T000000.000Z.db");
	make("sysrt-20260103T000000.000Z.db.tmp");
	make("sysrt-mine.db");
	ck_assert_uint_eq(folder_trim(folder, INT64_MAX, NULL), 0);
	ck_assert(!is_there("sysrt-20260103T000000.000Z.db.tmp"));
	/* The newest is the one with the oldest name: the clock was set. */
	ck_assert_uint_eq(folder_trim(folder, 2, stays), 2);
	ck_assert(is_there("sysrt-20250101T000000.000Z.db"));
	ck_assert(!is_there("sysrt-20260101T000000.000Z.db"));
	ck_assert(!is_there("sysrt-20260102T000000.000Z.db"));
	ck_assert(is_there("sysrt-20260103T000000.000Z.db"));
	ck_assert(is_there("sysrt-mine.db"));
	ck_assert(is_there("sysrt.db"));
	ck_assert_uint_eq(folder_trim("/nowhere", 1, NULL), 0);
	free(stays);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("copy");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, all_at_once);
	tcase_add_test(t, a_step_ends_in_time_and_after_so_many_bytes);
	tcase_add_test(t, it_holds_what_was_committed_between_its_steps);
	tcase_add_test(t, a_step_leaves_nothing_open);
	tcase_add_test(t, what_is_rolled_back_is_not_in_it);
	tcase_add_test(t, another_program_writes_meanwhile);
	tcase_add_test(t, places_that_cannot_be_written);
	tcase_add_test(t, names);
	tcase_add_test(t, old_ones_go);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
