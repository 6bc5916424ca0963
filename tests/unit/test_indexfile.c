/*
 * The file of the search index: which one can be gone on with, and which is begun anew.
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/search/indexcheck.h"
#include "daemon/search/indexfile.h"
#include "daemon/store/migrate.h"
#include "daemon/store/sql.h"

static struct error error;

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

int
main(void)
{
	Suite *s = suite_create("indexfile");
	TCase *t = tcase_create("indexfile");
	SRunner *r;
	int failed;

	tcase_add_test(t, what_it_has_seen_is_the_history_of_the_store);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
