/*
 * The rows of feeds: set, set again, dropped, read; what does not prove itself is left
 * out; a damaged file gives back those that do, of two with one name the newer.
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/log.h"
#include "common/xalloc.h"
#include "daemon/store/apply.h"
#include "daemon/store/check.h"
#include "daemon/store/feedrow.h"
#include "daemon/store/migrate.h"
#include "daemon/store/salvage.h"
#include "daemon/store/sql.h"
#include "daemon/store/sum.h"
#include "daemon/store/verify.h"

#define NOW INT64_C(1700000000000)

static char folder[64];
static char path[96];
static struct conf conf;
static sqlite3 *db;
static struct apply *apply;
static struct error error;

static void
open_file(void)
{
	ck_assert_msg(sql_open(path, SQL_WRITER, &conf, &db, &error) == OK, "%s", error.text);
	ck_assert_msg(migrate_to(db, migrate_newest(), &error) == OK, "%s", error.text);
	ck_assert_msg(apply_new(db, &apply, &error) == OK, "%s", error.text);
}

static void
close_file(void)
{
	apply_free(apply);
	sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	sql_close(db);
}

static void
setup(void)
{
	snprintf(folder, sizeof(folder), "/tmp/test_feedrow.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/sysrt.db", folder);
	conf = (struct conf){.store = {.cache_bytes = 1 << 20}};
	error = ERROR_NONE;
	open_file();
}

static void
teardown(void)
{
	char command[128];

	close_file();
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	ck_assert_int_eq(system(command), 0);
}

static enum err
set(const char *name, const char *definition, int64_t if_seq, int64_t now_ms, struct op *out)
{
	*out = (struct op){.kind = OP_FEED_SET,
		.name = span_of(name),
		.data = span_of(definition),
		.if_seq = if_seq,
		.now_ms = now_ms};
	return apply_op(apply, out, &error);
}

static enum err
drop(const char *name)
{
	struct op op = {.kind = OP_FEED_DROP, .name = span_of(name), .if_seq = -1};

	return apply_op(apply, &op, &error);
}

static struct feedrow_list
read_all(void)
{
	struct feedrow_list list;

	ck_assert_msg(feedrows_read(path, &list, &error) == OK, "%s", error.text);
	return list;
}

static void
expect_row(const struct feedrow *row, const char *name, const char *definition, int64_t version,
	int64_t created_at, int64_t updated_at)
{
	ck_assert_str_eq(row->name, name);
	ck_assert_str_eq(row->definition, definition);
	ck_assert_int_eq(row->version, version);
	ck_assert_int_eq(row->created_at, created_at);
	ck_assert_int_eq(row->updated_at, updated_at);
}

START_TEST(set_and_dropped)
{
	struct feedrow_list list;
	struct op op;

	ck_assert_int_eq(set("b", "{\"url\":\"1\"}", 0, NOW, &op), OK);
	ck_assert(op.created && op.rev == 1);
	ck_assert_int_eq(set("a", "{}", -1, NOW + 1, &op), OK);
	ck_assert_int_eq(set("b", "{\"url\":\"2\"}", 0, NOW + 2, &op), ERR_CONFLICT);
	ck_assert_str_eq(error.text, "there is a feed of the name b already");
	ck_assert_int_eq(set("b", "{\"url\":\"2\"}", -1, NOW + 2, &op), OK);
	ck_assert(!op.created && op.rev == 2);
	close_file();
	open_file();
	list = read_all();
	ck_assert_uint_eq(list.n, 2);
	expect_row(&list.v[0], "a", "{}", 1, NOW + 1, NOW + 1);
	expect_row(&list.v[1], "b", "{\"url\":\"2\"}", 2, NOW, NOW + 2);
	feedrow_list_fini(&list);
	ck_assert_int_eq(drop("b"), OK);
	ck_assert_int_eq(drop("b"), ERR_NOT_FOUND);
	ck_assert_str_eq(error.text, "there is no feed of the name b");
	list = read_all();
	ck_assert_uint_eq(list.n, 1);
	feedrow_list_fini(&list);
	ck_assert_int_eq(apply_last_seq(apply), 0);
}
END_TEST

START_TEST(no_row_that_does_not_prove_itself)
{
	struct feedrow_list list;
	struct verify v;
	struct check *c;
	struct op op;
	bool more = true;

	ck_assert_int_eq(set("a", "{}", -1, NOW, &op), OK);
	ck_assert_int_eq(set("b", "{}", -1, NOW, &op), OK);
	ck_assert_int_eq(
		sql_exec(db, "UPDATE feeds SET definition = '{ }' WHERE name = 'a'", &error), OK);
	list = read_all();
	ck_assert_uint_eq(list.n, 1);
	ck_assert_str_eq(list.v[0].name, "b");
	feedrow_list_fini(&list);
	ck_assert_int_eq(check_new(db, true, &c, &error), OK);
	while (more)
		ck_assert_int_eq(check_step(c, &more, &error), OK);
	ck_assert_uint_eq(check_findings(c)->total, 1);
	ck_assert_str_eq(check_findings(c)->v[0].text,
		"feeds a (row 1): written by another program, or damaged");
	check_free(c);
	close_file();
	ck_assert_int_eq(verify_file(path, NULL, &v, &error), OK);
	ck_assert_int_eq(v.doubtful, 1);
	open_file();
}
END_TEST

/** Fills a new store with what is in the file; returns it. */
static sqlite3 *
salvage(struct salvaged *got, struct findings *findings)
{
	struct pages pages;
	sqlite3 *into;

	ck_assert_int_eq(sqlite3_open(":memory:", &into), SQLITE_OK);
	ck_assert_int_eq(migrate_to(into, migrate_newest(), &error), OK);
	ck_assert_msg(pages_open(&pages, path, &error) == OK, "%s", error.text);
	ck_assert_msg(salvage_run(&pages, into, got, findings, &error) == OK, "%s", error.text);
	pages_close(&pages);
	return into;
}

START_TEST(out_of_a_damaged_file)
{
	struct findings findings = {.n = 0};
	struct salvaged got;
	int64_t version = 0;
	sqlite3 *into;
	struct op op;

	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(set("a", "{\"n\":\"of a\"}", -1, NOW + i, &op), OK);
	ck_assert_int_eq(set("b", "{\"n\":\"of b\"}", -1, NOW, &op), OK);
	ck_assert_int_eq(set("c", "{\"n\":\"of c\"}", -1, NOW, &op), OK);
	ck_assert_int_eq(
		sql_exec(db, "UPDATE feeds SET definition = '{\"n\":\"to d\"}' WHERE name = 'c'",
			&error),
		OK);
	close_file();
	into = salvage(&got, &findings);
	open_file();
	ck_assert_int_eq(got.feeds, 2);
	ck_assert_int_eq(got.lost, 1);
	ck_assert_uint_eq(findings.total, 1);
	ck_assert_str_eq(findings.v[0].text, "feed c (row 5): lost: it does not prove itself");
	ck_assert_int_eq(sql_query_int(into, "SELECT version FROM feeds WHERE name = 'a'", 0,
				 &version, &error),
		OK);
	ck_assert_int_eq(version, 3);
	findings_fini(&findings);
	sqlite3_close(into);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("feedrow");
	TCase *tcase = tcase_create("feedrow");
	SRunner *runner = srunner_create(suite);
	int failed;

	must(log_set_filter(SPAN("error"), NULL) == OK);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, set_and_dropped);
	tcase_add_test(tcase, no_row_that_does_not_prove_itself);
	tcase_add_test(tcase, out_of_a_damaged_file);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
