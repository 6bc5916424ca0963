/*
 * Whether a file is a whole store: one that is, and each way in which it is not.
 */

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/store/migrate.h"
#include "daemon/store/sql.h"
#include "daemon/store/verify.h"

static char path[] = "/tmp/test_verify.XXXXXX";
static struct error error;
static struct verify found;

static void
run(const char *sql)
{
	sqlite3 *db;

	ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
	ck_assert_msg(
		sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK, "%s", sqlite3_errmsg(db));
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

static void
setup(void)
{
	sqlite3 *db;
	int fd;

	memset(path + sizeof(path) - 7, 'X', 6);
	fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	close(fd);
	error = ERROR_NONE;
	found = (struct verify){.version = -1};
	ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
	ck_assert_int_eq(migrate_to(db, migrate_newest(), &error), OK);
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
	run("INSERT INTO epochs (epoch, first_seq) VALUES ('one', 1), ('two', 5), ('three', 5);"
	    "INSERT INTO records (seq, category, id, name, data, rev, created_at, updated_at)"
	    " VALUES (3, 'c', 'a', 'a', '1', 1, 1, 1), (9, 'c', 'b', 'b', '2', 2, 1, 1);"
	    "INSERT INTO tombstones (seq, category, id, rev, deleted_at) VALUES (4, 'c', 'x', 1, 1);"
	    "UPDATE meta SET value = 2 WHERE key = 'pruned_to'");
}

static void
teardown(void)
{
	char beside[sizeof(path) + 4];

	unlink(path);
	snprintf(beside, sizeof(beside), "%s-wal", path);
	unlink(beside);
	snprintf(beside, sizeof(beside), "%s-shm", path);
	unlink(beside);
}

static enum err
verify(void)
{
	return verify_file(path, NULL, &found, &error);
}

/** It must be refused with these words, and nothing told of it. */
static void
expect_fault(const char *words)
{
	ck_assert_int_eq(verify(), ERR_DATABASE_ERROR);
	ck_assert_msg(strstr(error.text, words) != NULL, "%s", error.text);
	ck_assert_int_eq(found.version, -1);
}

static void
expect_fault_after(const char *sql, const char *words)
{
	run(sql);
	expect_fault(words);
}

static void
overwrite(off_t at, const char *bytes)
{
	int fd = open(path, O_WRONLY);

	ck_assert_int_eq(pwrite(fd, bytes, strlen(bytes), at), (ssize_t)strlen(bytes));
	close(fd);
}

START_TEST(a_whole_store)
{
	struct buf line;

	ck_assert_msg(verify() == OK, "%s", error.text);
	ck_assert_int_eq(found.version, migrate_newest());
	ck_assert_int_gt(found.nbytes, 4096);
	found.version = 1;
	found.nbytes = 4096;
	ck_assert_int_eq(found.doubtful, 7); /* the rows that are written here have no sums */
	found.doubtful = 0;
	buf_init(&line, 1000);
	verify_add_line(&found, &line);
	ck_assert_msg(span_is(buf_span(&line), "epoch=three seq=9 pruned_to=2 records=2 "
					       "tombstones=1 tokens=0 schema=1 bytes=4096"),
		"%.*s", SPAN_FMT(buf_span(&line)));
	buf_fini(&line);
}
END_TEST

START_TEST(an_empty_store)
{
	run("DELETE FROM records; DELETE FROM tombstones; DELETE FROM epochs;"
	    "UPDATE meta SET value = 0");
	ck_assert_msg(verify() == OK, "%s", error.text);
	ck_assert_int_eq(found.last_seq, 0);
	ck_assert_str_eq(found.epoch, "");
}
END_TEST

START_TEST(a_store_in_wal_mode)
{
	run("PRAGMA journal_mode = WAL; UPDATE records SET rev = 7");
	ck_assert_msg(verify() == OK, "%s", error.text);
}
END_TEST

START_TEST(no_store)
{
	run("PRAGMA application_id = 5");
	expect_fault("of another program");
	ck_assert_int_eq(truncate(path, 0), 0);
	expect_fault("there is no store in it");
	overwrite(0, "This is a letter to my aunt, and it is longer than a header has to be. "
		     "It has to be longer than a page's least size too, or so I have been told.");
	expect_fault("file is not a database");
	unlink(path);
	ck_assert_int_eq(verify(), ERR_IO_ERROR);
	ck_assert_ptr_nonnull(strstr(error.text, "unable to open database file"));
}
END_TEST

START_TEST(a_newer_store)
{
	run("INSERT INTO migrations VALUES (99, 'future', 'abc', 1)");
	expect_fault("from a newer sysrt");
}
END_TEST

/** All of the last page, which holds rows or an index. */
START_TEST(damaged_pages)
{
	char *garbage = malloc(4097);
	struct stat st;

	memset(garbage, 'g', 4096);
	garbage[4096] = '\0';
	run("CREATE TABLE more AS SELECT * FROM records");
	ck_assert_int_eq(stat(path, &st), 0);
	overwrite(st.st_size - 4096, garbage);
	expect_fault("the file is damaged: ");
	free(garbage);
}
END_TEST

START_TEST(an_index_that_lacks_a_row)
{
	run("PRAGMA writable_schema = ON;"
	    "UPDATE sqlite_schema SET sql = 'CREATE INDEX records_by_category ON records (id)'"
	    " WHERE name = 'records_by_category'");
	expect_fault("the file is damaged: ");
}
END_TEST

START_TEST(seqs_that_cannot_be)
{
	expect_fault_after("UPDATE records SET seq = 0 WHERE seq = 3", "1 records with a seq");
	expect_fault_after("UPDATE records SET seq = 1 << 53 WHERE seq = 0", "a seq");
	expect_fault_after("UPDATE records SET seq = 3, rev = 0 WHERE seq > 9", "or a rev");
	expect_fault_after("UPDATE records SET rev = 1; UPDATE tombstones SET seq = -1",
		"1 tombstones with a seq that cannot be");
	expect_fault_after(
		"UPDATE tombstones SET seq = 9", "1 seqs given to a record and a tombstone");
	expect_fault_after(
		"UPDATE tombstones SET seq = 2, id = 'a'", "1 records that have a tombstone too");
	expect_fault_after(
		"UPDATE tombstones SET id = 'x'; INSERT INTO epochs (epoch, first_seq) VALUES ('four', 4)",
		"1 epochs that begin before the one before them");
	expect_fault_after("DELETE FROM epochs WHERE epoch = 'four';"
			   "UPDATE meta SET value = 10 WHERE key = 'pruned_to'",
		"deletions forgotten that never were");
	run("UPDATE meta SET value = 9 WHERE key = 'pruned_to'");
	ck_assert_msg(verify() == OK, "%s", error.text);
}
END_TEST

START_TEST(it_can_be_stopped)
{
	_Atomic bool stop = true;

	run("WITH RECURSIVE n(i) AS (SELECT 10 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)"
	    "INSERT INTO records (seq, category, id, name, data, rev, created_at,"
	    " updated_at) SELECT i, 'c', i, i, i, 1, 1, 1 FROM n");
	ck_assert_int_eq(verify_file(path, &stop, &found, &error), ERR_UNAVAILABLE);
	ck_assert_str_eq(error.text, "stopped while checking the file");
	stop = false;
	ck_assert_int_eq(verify_file(path, &stop, &found, &error), OK);
	ck_assert_int_eq(found.records, 2 + 20000 - 9);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("verify");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_whole_store);
	tcase_add_test(t, an_empty_store);
	tcase_add_test(t, a_store_in_wal_mode);
	tcase_add_test(t, no_store);
	tcase_add_test(t, a_newer_store);
	tcase_add_test(t, damaged_pages);
	tcase_add_test(t, an_index_that_lacks_a_row);
	tcase_add_test(t, seqs_that_cannot_be);
	tcase_add_test(t, it_can_be_stopped);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
