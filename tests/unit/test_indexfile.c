/*
 * The file of the search index: which one can be gone on with, and which is begun anew.
 */

#include <check.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <unistd.h>

#include "common/xalloc.h"
#include "daemon/search/indexcheck.h"
#include "daemon/search/indexfile.h"
#include "daemon/store/migrate.h"
#include "daemon/store/sql.h"

#define KINDS "words *\n"

static char folder[64];
static char *path;
static struct conf conf;
static struct error error;

static void
setup(void)
{
	snprintf(folder, sizeof(folder), "/tmp/test_indexfile.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	path = xasprintf("%s/sysrt.db.search", folder);
	conf = (struct conf){.store = {.cache_bytes = 1 << 20}};
	error = ERROR_NONE;
}

static void
teardown(void)
{
	indexfile_remove_file(path);
	rmdir(folder);
	free(path);
}

static struct indexfile *
open_index(void)
{
	struct indexfile *x;

	ck_assert_msg(indexfile_open(path, KINDS, &conf, &x, &error) == OK, "%s", error.text);
	return x;
}

/** Its mark is 7. */
static void
make_index(void)
{
	struct indexfile *x = open_index();

	ck_assert_int_eq(indexfile_begin(x, &error), OK);
	ck_assert_int_eq(indexfile_commit(x, 7, 7, "one", &error), OK);
	indexfile_close(x);
}

/** A store that has run twice: to 100, and then on to 150. */
static sqlite3 *
make_store(int64_t pruned_to)
{
	char sql[256];
	sqlite3 *db;

	ck_assert_int_eq(sqlite3_open(":memory:", &db), SQLITE_OK);
	ck_assert_int_eq(migrate_to(db, migrate_newest(), &error), OK);
	snprintf(sql, sizeof(sql),
		"INSERT INTO epochs (epoch, first_seq) VALUES ('one', 1), ('two', 101);"
		"INSERT INTO tombstones (seq, category, id, rev, deleted_at)"
		" VALUES (150, 'c', 'x', 1, 1);"
		"UPDATE meta SET value = %d WHERE key = 'pruned_to'",
		(int)pruned_to);
	ck_assert_msg(sql_exec(db, sql, &error) == OK, "%s", error.text);
	return db;
}

START_TEST(what_it_has_seen_is_the_history_of_the_store)
{
	static const struct {
		struct index_place place;
		int64_t pruned_to;
		bool fits;
	} cases[] = {
		{{0, 0, 0, ""},           150, true },
		{{80, 0, 0, "one"},       80,  true }, /* of a version that wrote only these */
		{{80, 0, 0, "one"},       81,  false},
		{{100, 50, 100, "one"},   100, true },
		{{101, 50, 101, "one"},   0,   false}, /* what came then is lost */
		{{80, 50, 120, "one"},    0,   false}, /* likewise, and it may have been of before 80 */
		{{120, 50, 150, "two"},   120, true },
		{{120, 50, 151, "two"},   0,   false},
		{{80, 90, 100, "one"},    90,  true }, /* half made: no entry is of what was deleted */
		{{80, 90, 100, "one"},    91,  false},
		{{80, 50, 100, "theirs"}, 0,   false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		sqlite3 *store = make_store(cases[i].pruned_to);
		bool fits;

		ck_assert_int_eq(indexcheck_fits(store, &cases[i].place, &fits, &error), OK);
		ck_assert_msg(fits == cases[i].fits, "case %zu", i);
		sql_close(store);
	}
}
END_TEST

START_TEST(one_that_cannot_be_opened_now_stays)
{
	struct indexfile *x;
	sqlite3 *other;

	make_index();
	ck_assert_int_eq(sqlite3_open(path, &other), SQLITE_OK);
	ck_assert_int_eq(sql_exec(other, "BEGIN IMMEDIATE", &error), OK);
	ck_assert_int_eq(indexfile_open(path, KINDS, &conf, &x, &error), ERR_UNAVAILABLE);
	ck_assert_int_eq(sql_exec(other, "COMMIT", &error), OK);
	sql_close(other);
	x = open_index();
	ck_assert_int_eq(indexfile_mark(x), 7);
	indexfile_close(x);
}
END_TEST

START_TEST(one_of_another_kind_is_begun_anew)
{
	struct indexfile *x;

	make_index();
	ck_assert_int_eq(indexfile_open(path, "trigram *\n", &conf, &x, &error), OK);
	ck_assert_int_eq(indexfile_mark(x), 0);
	indexfile_close(x);
}
END_TEST

/** What another program reads of it. */
static bool
is_whole(void)
{
	sqlite3 *db;
	bool is;

	ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
	is = indexfile_is_whole(db);
	sql_close(db);
	return is;
}

/** As where only parts of /proc are mounted. False: this process may not do that. */
static bool
hide_boot(void)
{
	return unshare(CLONE_NEWNS) == 0 &&
	       mount("none", "/", "", MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount("/dev/null", "/proc/sys/kernel/random/boot_id", "", MS_BIND, NULL) == 0;
}

START_TEST(while_it_is_open_it_is_whole_in_this_run_of_the_machine)
{
	struct indexfile *x = open_index();

	ck_assert(is_whole());
	if (hide_boot()) {
		ck_assert(!is_whole());
		indexfile_close(x);
		ck_assert(is_whole());
		x = open_index();
		ck_assert(!is_whole());
	}
	indexfile_close(x);
	ck_assert(is_whole());
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("indexfile");
	TCase *t = tcase_create("indexfile");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, what_it_has_seen_is_the_history_of_the_store);
	tcase_add_test(t, one_that_cannot_be_opened_now_stays);
	tcase_add_test(t, one_of_another_kind_is_begun_anew);
	tcase_add_test(t, while_it_is_open_it_is_whole_in_this_run_of_the_machine);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
