/*
 * Reading a damaged file: what is in a whole one, in one without its trees, in one
 * whose log was not copied, which of two rows counts, and hundreds of files with bits
 * flipped: never a crash, and what proves itself is right.
 */

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/xalloc.h"
#include "daemon/store/cells.h"
#include "daemon/store/migrate.h"
#include "daemon/store/salvage.h"
#include "daemon/store/sql.h"
#include "daemon/store/sum.h"

#define RECORDS_N 200
#define PAGE      4096

static char folder[64];
static char path[96];
static sqlite3 *into;
static struct findings findings;
static struct salvaged got;
static struct error error;

static void
run(sqlite3 *db, const char *sql)
{
	ck_assert_msg(
		sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK, "%s", sqlite3_errmsg(db));
}

static int64_t
ask(const char *sql)
{
	int64_t value = -1;

	ck_assert_msg(sql_query_int(into, sql, -1, &value, &error) == OK, "%s", error.text);
	return value;
}

/** A store of RECORDS_N records, some long, every tenth one deleted, each with its sum. */
static sqlite3 *
make(void)
{
	sqlite3 *db;

	ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
	ck_assert_int_eq(migrate_to(db, migrate_newest(), &error), OK);
	run(db, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200) "
		"INSERT INTO records (seq, category, id, name, data, rev, created_at, updated_at) "
		"SELECT i, 'c' || (i % 3), 'id' || i, 'name', '\"' || printf('%.*c', i * i % 9000, 'x')"
		" || '\"', 1, i, i FROM n WHERE i % 10 > 0");
	run(db, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20) "
		"INSERT INTO tombstones (seq, category, id, rev, deleted_at) "
		"SELECT 200 + i, 'c' || (i * 10 % 3), 'id' || (i * 10), 1, i FROM n");
	run(db, "UPDATE records SET sum = " SUM_RECORDS
		"; UPDATE tombstones SET sum = " SUM_TOMBSTONES);
	return db;
}

static void
setup(void)
{
	snprintf(folder, sizeof(folder), "/tmp/test_salvage.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/sysrt.db", folder);
	error = ERROR_NONE;
	into = NULL;
}

static void
teardown(void)
{
	char command[128];

	findings_fini(&findings);
	sqlite3_close(into);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	ck_assert_int_eq(system(command), 0);
}

static void
salvage(void)
{
	struct pages pages;

	findings_fini(&findings);
	sqlite3_close(into);
	ck_assert_int_eq(sqlite3_open(":memory:", &into), SQLITE_OK);
	ck_assert_int_eq(migrate_to(into, migrate_newest(), &error), OK);
	ck_assert_msg(pages_open(&pages, path, &error) == OK, "%s", error.text);
	ck_assert_msg(salvage_run(&pages, into, &got, &findings, &error) == OK, "%s", error.text);
	pages_close(&pages);
}

/** All of it in memory, to be written back damaged. */
static unsigned char *
load(size_t *n)
{
	FILE *f = fopen(path, "rb");
	unsigned char *bytes;
	struct stat st;

	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fstat(fileno(f), &st), 0);
	bytes = xcalloc(1, (size_t)st.st_size);
	*n = fread(bytes, 1, (size_t)st.st_size, f);
	ck_assert_int_eq((int64_t)*n, st.st_size);
	fclose(f);
	return bytes;
}

static void
save(const unsigned char *bytes, size_t n)
{
	FILE *f = fopen(path, "wb");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(bytes, 1, n, f), n);
	ck_assert_int_eq(fclose(f), 0);
}

static void
expect_all(void)
{
	ck_assert_int_eq(got.records, 180);
	ck_assert_int_eq(got.tombstones, 20);
	ck_assert_int_eq(got.doubtful, 0);
	ck_assert_int_eq(got.lost, 0);
	ck_assert_uint_eq(findings.total, 0);
	ck_assert_int_eq(ask("SELECT count(*) FROM records WHERE sum IS NOT " SUM_RECORDS), 0);
	ck_assert_int_eq(ask("SELECT sum(length(data)) FROM records"),
		ask("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200) "
		    "SELECT sum(2 + max(i * i % 9000, 1)) FROM n WHERE i % 10 > 0"));
	ck_assert_int_eq(ask("SELECT value FROM meta WHERE key = 'last_seq'"), 220);
}

START_TEST(a_whole_file)
{
	sqlite3_close(make());
	salvage();
	expect_all();
}
END_TEST

/** Neither the head of the file nor any page above the leaves is left. */
START_TEST(without_its_trees)
{
	unsigned char *bytes;
	size_t n;

	sqlite3_close(make());
	bytes = load(&n);
	memset(bytes, 0, PAGE);
	for (size_t at = PAGE; at < n; at += PAGE)
		if (bytes[at] == PAGE_TABLE || bytes[at] == PAGE_INDEX)
			memset(bytes + at, 0xff, PAGE);
	save(bytes, n);
	free(bytes);
	salvage();
	expect_all();
}
END_TEST

/** A leaf whose first byte has flipped is tried all the same. */
START_TEST(without_the_types_of_its_leaves)
{
	unsigned char *bytes;
	size_t n;

	sqlite3_close(make());
	bytes = load(&n);
	for (size_t at = PAGE; at < n; at += PAGE)
		if (bytes[at] == PAGE_TABLE_LEAF)
			bytes[at] = 0x8d;
	save(bytes, n);
	free(bytes);
	salvage();
	expect_all();
}
END_TEST

START_TEST(what_the_log_has_counts)
{
	sqlite3 *db = make();
	int64_t records;

	run(db, "PRAGMA journal_mode = WAL");
	run(db, "UPDATE records SET data = '1'; UPDATE records SET sum = " SUM_RECORDS);
	run(db, "BEGIN; DELETE FROM records");
	salvage(); /* what is not committed is not there */
	records = ask("SELECT count(*) FROM records WHERE data = '1'");
	run(db, "ROLLBACK");
	sqlite3_close(db);
	ck_assert_int_eq(records, 180);
	ck_assert_int_eq(got.doubtful + got.lost, 0);
}
END_TEST

START_TEST(a_log_that_cannot_be_opened_is_no_log_that_is_not_there)
{
	char *log = xasprintf("%s-wal", path);
	struct pages pages;

	sqlite3_close(make());
	ck_assert_int_eq(symlink(log, log), 0); /* to itself */
	ck_assert_int_eq(pages_open(&pages, path, &error), ERR_IO_ERROR);
	ck_assert_msg(strstr(error.text, log) != NULL, "%s", error.text);
	unlink(log);
	free(log);
}
END_TEST

START_TEST(rows_without_sums_are_doubtful)
{
	sqlite3 *db = make();

	run(db, "UPDATE records SET data = '{' WHERE seq = 1");
	run(db, "UPDATE records SET data = '2', sum = NULL WHERE seq = 2");
	run(db, "UPDATE records SET id = x'00', sum = 1 WHERE seq = 3");
	run(db, "UPDATE records SET id = char(10), sum = 1 WHERE seq = 4");
	sqlite3_close(db);
	salvage();
	ck_assert_int_eq(got.records, 178);
	ck_assert_int_eq(got.doubtful, 2);
	ck_assert_int_eq(ask("SELECT data = '\"{\"' FROM records WHERE seq = 1"), 1);
	ck_assert_int_eq(ask("SELECT data = '2' FROM records WHERE seq = 2"), 1);
	ck_assert_int_eq(ask("SELECT count(*) FROM records WHERE sum IS NOT " SUM_RECORDS), 0);
}
END_TEST

/** Two tables' worth of rows for the same keys: an old page that is still there. */
START_TEST(the_newest_that_proves_itself_counts)
{
	sqlite3 *db = make();

	run(db, "CREATE TABLE old AS SELECT * FROM records; DROP TABLE old"); /* more pages */
	run(db, "CREATE TABLE stale (seq INTEGER PRIMARY KEY, category, id, name, data, rev, "
		"created_at, updated_at, expires_at, sum)");
	run(db, "INSERT INTO stale SELECT seq + 1000, category, id, name, '\"new\"', rev + 1, "
		"created_at, updated_at, expires_at, 0 FROM records WHERE seq < 3");
	run(db, "UPDATE stale SET sum = " SUM_RECORDS " WHERE seq = 1001");
	sqlite3_close(db);
	salvage();
	ck_assert_int_eq(got.records, 180);
	ck_assert_int_eq(ask("SELECT data = '\"new\"' FROM records WHERE seq = 1001"), 1);
	ck_assert_int_eq(ask("SELECT count(*) FROM records WHERE seq = 1"), 0);
	ck_assert_int_eq(ask("SELECT count(*) FROM records WHERE seq = 2"), 1);
	ck_assert_int_eq(ask("SELECT count(*) FROM records WHERE seq = 1002"), 0);
}
END_TEST

/** Adds to the byte that stands so far before the text. */
static void
change_before(const char *text, size_t before, int by)
{
	unsigned char *bytes, *at;
	size_t n;

	bytes = load(&n);
	at = memmem(bytes, n, text, strlen(text));
	ck_assert_ptr_nonnull(at);
	at[-(ptrdiff_t)before] = (unsigned char)(at[-(ptrdiff_t)before] + by);
	save(bytes, n);
	free(bytes);
}

/** The length that a row says it has is damaged: its columns' lengths tell the right one. */
START_TEST(a_length_that_is_wrong)
{
	sqlite3_close(make());
	change_before("c2id5name", 13, 1); /* before the rowid, the head's length and ten types */
	salvage();
	expect_all();
	change_before("c2id5name", 13, 20);
	salvage();
	expect_all();
}
END_TEST

/** A bit of a text's type, which makes it a blob; and of the file's head, as if something else lay
 * at the end of each page. */
START_TEST(a_bit_in_a_head)
{
	sqlite3_close(make());
	change_before("c2id5name", 9, -1);
	salvage();
	expect_all();
	change_before("\x40\x20\x20", 1, 16);
	salvage();
	expect_all();
}
END_TEST

/** A bit that has the last type go on behind the head. */
START_TEST(a_type_without_an_end)
{
	sqlite3_close(make());
	change_before("c2id5name", 1, 0x80);
	salvage();
	expect_all();
}
END_TEST

/** The type of its last column, the sum, is damaged: what stands before it is still there. */
START_TEST(a_type_that_is_wrong)
{
	sqlite3_close(make());
	change_before("c2id77name", 1, -1);
	salvage();
	ck_assert_int_eq(got.records, 180);
	ck_assert_int_eq(got.doubtful, 1);
	ck_assert_int_eq(got.lost, 0);
	ck_assert_int_eq(ask("SELECT length(data) FROM records WHERE seq = 77"), 5931);
	change_before("c2id5name", 6, 40); /* of its data: longer than the row is */
	salvage();
	ck_assert_int_eq(got.records, 179);
	ck_assert_int_ge(got.lost, 1);
}
END_TEST

/** What is salvaged and proves itself is what was written, whatever has flipped. */
START_TEST(bits_that_flip)
{
	const unsigned tries = getenv("SYSRT_LONG") != NULL ? 3000 : 60;
	unsigned char *bytes;
	uint64_t random = 88172645463325252;
	size_t n;

	sqlite3_close(make());
	bytes = load(&n);
	for (unsigned i = 0; i < tries; i++) {
		unsigned char *broken = xcalloc(1, n);

		memcpy(broken, bytes, n);
		for (unsigned k = 0; k < 1 + i % 60; k++) {
			random = random * UINT64_C(6364136223846793005) + 1;
			broken[(random >> 20) % n] ^= (unsigned char)(1u << (random >> 60 & 7));
		}
		save(broken, n);
		free(broken);
		salvage();
		ck_assert_int_gt(got.records, 100);
		ck_assert_int_eq(
			ask("SELECT count(*) FROM records WHERE sum IS NOT " SUM_RECORDS), 0);
		ck_assert_int_le(ask("SELECT count(*) FROM records WHERE length(data) <> "
				     "2 + max(seq * seq % 9000, 1)"),
			got.doubtful);
	}
	free(bytes);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("salvage");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, getenv("SYSRT_LONG") != NULL ? 600 : 20);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_whole_file);
	tcase_add_test(t, without_its_trees);
	tcase_add_test(t, without_the_types_of_its_leaves);
	tcase_add_test(t, what_the_log_has_counts);
	tcase_add_test(t, a_log_that_cannot_be_opened_is_no_log_that_is_not_there);
	tcase_add_test(t, rows_without_sums_are_doubtful);
	tcase_add_test(t, the_newest_that_proves_itself_counts);
	tcase_add_test(t, a_length_that_is_wrong);
	tcase_add_test(t, a_bit_in_a_head);
	tcase_add_test(t, a_type_without_an_end);
	tcase_add_test(t, a_type_that_is_wrong);
	tcase_add_test(t, bits_that_flip);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
