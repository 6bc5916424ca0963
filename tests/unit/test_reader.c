/*
 * Reading: listings, filters, cursors, pages of changes; and positions: which of
 * them are valid after a lost tail, a restored store, and pruning.
 *
 * threads: yes
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/store/read.h"
#include "daemon/store/sql.h"
#include "tests/unit/fault_vfs.h"
#include "tests/unit/store_rig.h"

/** Writes n records into each of the categories a, ab and b, in turns. */
static void
write_records(unsigned n)
{
	static const char *const categories[] = {"a", "ab", "b"};
	char id[16];

	for (unsigned i = 0; i < 3 * n; i++) {
		snprintf(id, sizeof(id), "k%03u", i);
		job_free(rig_put(categories[i % 3], id, "1"));
	}
}

static struct pattern *
pattern_of(const char *category, bool is_prefix, const char *id_prefix)
{
	struct term c = {span_of(category), is_prefix}, i = {span_of(id_prefix), true};

	return pattern_new(&c, 1, &i, id_prefix != NULL, NULL);
}

/** How often this text is in the reply. */
static unsigned
count_of(const struct job *j, const char *part)
{
	const char *p = j->reply.p, *end = p + j->reply.n;
	unsigned n = 0;

	while ((p = memmem(p, (size_t)(end - p), part, strlen(part))) != NULL) {
		n++;
		p++;
	}
	return n;
}

/** Copies the text between `before` and the next quote; false if `before` is not there. */
static bool
copy_member(const struct job *j, const char *before, char *out, size_t size)
{
	const char *p = memmem(j->reply.p, j->reply.n, before, strlen(before));

	if (p == NULL)
		return false;
	p += strlen(before);
	snprintf(out, size, "%.*s", (int)strcspn(p, "\""), p);
	return true;
}

static int64_t
number_at(const struct job *j, const char *before)
{
	const char *p = memmem(j->reply.p, j->reply.n, before, strlen(before));

	ck_assert_ptr_nonnull(p);
	return strtoll(p + strlen(before), NULL, 10);
}

/** Walks a listing by cursors; checks that it comes in order; how many records there were. */
static unsigned
walk(enum order order, struct pattern *pattern, unsigned limit)
{
	char cursor[600] = "";
	unsigned found = 0;
	int64_t last = order == ORDER_NEWEST ? INT64_MAX : 0;

	for (;;) {
		struct job *j = rig_new_read(JOB_LIST, "", "");
		bool is_done;

		j->read.pattern = pattern != NULL ? pattern_dup(pattern) : NULL;
		j->read.order = order;
		j->read.limit = limit;
		j->read.cursor = job_keep(j, span_of(cursor));
		j = rig_ask(j);
		ck_assert_msg(j->result == OK, "%s", j->error.text);
		ck_assert_uint_le(count_of(j, "\"updated_at\""), limit);
		found += count_of(j, "\"updated_at\"");
		if (order != ORDER_ID && count_of(j, "\"updated_at\"") > 0) {
			int64_t seq = number_at(j, "\"seq\":");

			ck_assert(order == ORDER_NEWEST ? seq < last : seq > last);
			last = seq;
		}
		is_done = !copy_member(j, "\"cursor\":\"", cursor, sizeof(cursor));
		job_free(j);
		if (is_done)
			break;
	}
	free(pattern);
	return found;
}

START_TEST(cursors_walk_through_everything_once)
{
	write_records(25);
	for (enum order order = ORDER_NEWEST; order <= ORDER_ID; order++) {
		for (unsigned limit = 1; limit <= 100; limit = limit * 3 + 1) {
			ck_assert_uint_eq(walk(order, NULL, limit), 75);
			ck_assert_uint_eq(walk(order, pattern_of("a", false, NULL), limit), 25);
			ck_assert_uint_eq(walk(order, pattern_of("a", true, NULL), limit), 50);
			ck_assert_uint_eq(walk(order, pattern_of("a", true, "k00"), limit), 7);
			ck_assert_uint_eq(walk(order, pattern_of("none", false, NULL), limit), 0);
		}
	}
}
END_TEST

START_TEST(a_walk_misses_nothing_that_is_written_meanwhile)
{
	char cursor[64];
	struct job *j;

	write_records(10);
	j = rig_new_read(JOB_LIST, "", "");
	j->read.order = ORDER_OLDEST;
	j->read.limit = 10;
	j = rig_ask(j);
	ck_assert(copy_member(j, "\"cursor\":\"", cursor, sizeof(cursor)));
	ck_assert_str_eq(cursor, "o:10");
	job_free(j);
	job_free(rig_put("a", "k000", "2")); /* moves from behind the cursor to the end */
	j = rig_new_read(JOB_LIST, "", "");
	j->read.order = ORDER_OLDEST;
	j->read.cursor = job_keep(j, span_of(cursor));
	j = rig_ask(j);
	ck_assert_uint_eq(count_of(j, "\"updated_at\""), 21);
	ck_says(j, "\"id\":\"k000\"");
	ck_says(j, "\"rev\":2,\"seq\":31,");
	job_free(j);
}
END_TEST

/** How many records a listing with this filter has. */
static unsigned
filtered(enum name_match match, const char *name, int64_t after, int64_t before)
{
	struct job *j = rig_new_read(JOB_LIST, "", "");
	unsigned n;

	j->read.name_match = match;
	j->read.name = job_keep(j, span_of(name));
	j->read.updated_after = after;
	j->read.updated_before = before;
	j = rig_ask(j);
	ck_assert_msg(j->result == OK, "%s", j->error.text);
	n = count_of(j, "\"updated_at\"");
	job_free(j);
	return n;
}

START_TEST(filters)
{
	static const char *const names[] = {"Alpha one", "beta ONE", "100%", "a_c", "gamma"};

	for (unsigned i = 0; i < 5; i++) {
		struct job *j = rig_new_put("c", names[i], "1");

		j->ops[0].now_ms = 1000 + i;
		job_free(rig_ask(j));
	}
	ck_assert_uint_eq(filtered(NAME_ANY, "", INT64_MIN, INT64_MAX), 5);
	ck_assert_uint_eq(filtered(NAME_SUBSTRING, "one", INT64_MIN, INT64_MAX), 2);
	ck_assert_uint_eq(filtered(NAME_SUBSTRING, "%", INT64_MIN, INT64_MAX), 1);
	ck_assert_uint_eq(filtered(NAME_LIKE, "%one", INT64_MIN, INT64_MAX), 2);
	ck_assert_uint_eq(filtered(NAME_LIKE, "a%", INT64_MIN, INT64_MAX), 2);
	ck_assert_uint_eq(filtered(NAME_LIKE, "a\\_c", INT64_MIN, INT64_MAX), 1);
	ck_assert_uint_eq(filtered(NAME_LIKE, "a_c", INT64_MIN, INT64_MAX), 1);
	ck_assert_uint_eq(filtered(NAME_LIKE, "one", INT64_MIN, INT64_MAX), 0);
	ck_assert_uint_eq(filtered(NAME_ANY, "", 1001, INT64_MAX), 3);
	ck_assert_uint_eq(filtered(NAME_ANY, "", INT64_MIN, 1001), 1);
	ck_assert_uint_eq(filtered(NAME_ANY, "", 1000, 1002), 1);
}
END_TEST

START_TEST(offset_and_counts)
{
	struct job *j;

	write_records(10);
	j = rig_new_read(JOB_LIST, "ab", "");
	j->read.offset = 7;
	j = rig_ask(j);
	ck_assert_uint_eq(count_of(j, "\"updated_at\""), 3);
	ck_says(j, "\"seq\":30}");
	job_free(j);
	j = rig_new_read(JOB_COUNT, "", "");
	j->read.pattern = pattern_of("a", true, "k00");
	j = rig_ask(j);
	ck_says(j, "{\"count\":7,\"epoch\":");
	job_free(j);
	j = rig_ask(rig_new_read(JOB_CATEGORIES, "", ""));
	ck_says(j, "[{\"category\":\"a\",\"count\":10},{\"category\":\"ab\",\"count\":10},"
		   "{\"category\":\"b\",\"count\":10}]");
	job_free(j);
}
END_TEST

/** A page that no pause of this process has cut short: it ends at its time too. */
static struct job *
list_within_its_time(void)
{
	for (unsigned i = 0;; i++) {
		struct job *j = rig_ask(rig_new_read(JOB_LIST, "", ""));

		if (i == 100 || count_of(j, "\"updated_at\"") > 2)
			return j;
		job_free(j);
	}
}

START_TEST(a_page_ends_at_its_bytes)
{
	struct job *j;

	for (unsigned i = 0; i < 8; i++) {
		char id[16];

		snprintf(id, sizeof(id), "%u", i);
		job_free(rig_ask(rig_new_big_put("c", id, i == 0 ? 3 << 20 : 400 << 10)));
	}
	j = rig_new_read(JOB_CHANGES, "", "");
	j = rig_ask(j);
	ck_assert_uint_eq(count_of(j, "\"op\""), 1); /* one is always there */
	ck_assert_int_eq(number_at(j, "],\"seq\":"), 1);
	ck_says(j, "\"more\":true");
	job_free(j);
	j = list_within_its_time();
	ck_assert_uint_eq(count_of(j, "\"updated_at\""), 3);
	ck_says(j, "\"cursor\":\"n:6\"");
	job_free(j);
}
END_TEST

START_TEST(a_read_has_a_deadline)
{
	struct job *j;

	write_records(700);
	j = rig_new_read(JOB_COUNT, "", "");
	j->read.pattern = pattern_of("a", true, "k");
	j->deadline_us = 1;
	j = rig_ask(j);
	ck_assert_int_eq(j->result, ERR_TIMEOUT);
	job_free(j);
	j = rig_ask(rig_new_read(JOB_COUNT, "", ""));
	ck_says(j, "{\"count\":2100,");
	job_free(j);
}
END_TEST

/** A page for the hub. */
static struct job *
replay(const char *category, int64_t since, int64_t base, unsigned limit)
{
	struct job *j = rig_new_read(JOB_REPLAY, category, "");

	j->read.since = since;
	j->read.base = base;
	j->read.limit = limit;
	return rig_ask(j);
}

START_TEST(pages_of_changes_are_the_tables_merged)
{
	int64_t position = 0, last = 0;
	unsigned n = 0;
	char id[16];

	write_records(30);
	for (unsigned i = 0; i < 90; i += 4) {
		snprintf(id, sizeof(id), "k%03u", i);
		job_free(rig_delete(i % 3 == 0 ? "a" : i % 3 == 1 ? "ab" : "b", id));
	}
	for (bool at_head = false; !at_head;) {
		struct job *j = replay("", position, -1, 7);

		ck_assert_int_eq(j->result, OK);
		for (size_t i = 0; i < j->page.n; i++) {
			ck_assert_int_gt(j->page.changes[i]->seq, last);
			last = j->page.changes[i]->seq;
		}
		n += (unsigned)j->page.n;
		ck_assert_int_ge(j->page.end, last);
		at_head = j->page.at_head;
		position = j->page.end;
		job_free(j);
	}
	ck_assert_int_eq(n, rig_sql("SELECT (SELECT count(*) FROM records) + "
				    "(SELECT count(*) FROM tombstones)"));
	ck_assert_int_eq(position, store_last_seq(rig.store));
}
END_TEST

START_TEST(a_page_ends_at_what_was_looked_at)
{
	struct job *j;

	write_records(10);
	j = replay("none", 3, 0, 5);
	ck_assert_uint_eq(j->page.n, 0);
	ck_assert(j->page.at_head);
	ck_assert_int_eq(j->page.end, 30);
	job_free(j);
	j = replay("b", 0, 0, 3);
	ck_assert_uint_eq(j->page.n, 3);
	ck_assert(!j->page.at_head);
	ck_assert_int_eq(j->page.end, 9);
	job_free(j);
}
END_TEST

START_TEST(a_replay_from_0_skips_the_tombstones_up_to_its_base)
{
	struct job *j;

	write_records(2);                  /* 1 to 6 */
	job_free(rig_delete("a", "k000")); /* 7 */
	j = replay("", 0, 7, 2);
	ck_assert_uint_eq(j->page.n, 2);
	ck_assert_int_eq(j->page.end, 3);
	job_free(j);
	job_free(rig_delete("ab", "k001")); /* 8: was told, must be taken back */
	j = replay("", 3, 7, 100);
	ck_assert_uint_eq(j->page.n, 4);
	ck_assert_int_eq(j->page.changes[3]->op, CHANGE_DELETE);
	ck_assert_int_eq(j->page.changes[3]->seq, 8);
	job_free(j);
}
END_TEST

static enum err
judge(const char *epoch, int64_t since, int64_t base)
{
	struct error error = ERROR_NONE;

	return store_check_position(rig.store, span_of(epoch), since, base, &error);
}

START_TEST(a_cold_replay_that_broke_off_goes_on_as_long_as_its_base)
{
	struct job *j;
	char epoch[64];

	write_records(2);
	job_free(rig_delete("a", "k000")); /* 7 */
	snprintf(epoch, sizeof(epoch), "%s", store_epoch(rig.store));
	rig.conf.store.tombstone_max = 0;
	store_reload(rig.store, &rig.conf);
	while (store_pruned_to(rig.store) < 7)
		job_free(rig_put("b", "x", "1"));
	ck_assert_int_eq(judge(epoch, 3, 7), OK);
	ck_assert_int_eq(judge(epoch, 3, 6), ERR_RESYNC_REQUIRED);
	ck_assert_int_eq(judge(epoch, 3, 0), ERR_RESYNC_REQUIRED);
	ck_assert_int_eq(judge(epoch, 0, 0), OK);
	j = replay("", 3, 7, 100);
	ck_assert_int_eq(j->result, OK);
	job_free(j);
	/* Pruning during the replay: each page looks for itself. */
	job_free(rig_delete("b", "x"));
	while (store_pruned_to(rig.store) <= 7)
		job_free(rig_put("b", "y", "1"));
	j = replay("", 3, 7, 100);
	ck_assert_int_eq(j->result, ERR_RESYNC_REQUIRED);
	ck_assert_int_eq(j->error.seq, store_pruned_to(rig.store));
	job_free(j);
	ck_assert_int_eq(judge(epoch, 3, 7), ERR_RESYNC_REQUIRED);
	ck_assert_int_eq(judge(epoch, store_pruned_to(rig.store), 0), OK);
}
END_TEST

START_TEST(a_poller_may_say_any_base_at_0)
{
	struct job *j;

	write_records(2);
	job_free(rig_delete("a", "k000"));
	j = rig_new_read(JOB_CHANGES, "", "");
	j->read.base = 1000;
	j->read.limit = 2;
	j = rig_ask(j);
	ck_assert_int_eq(number_at(j, "\"base\":"), 7);
	job_free(j);
	ck_assert_int_eq(judge("unknown", 0, 1000), OK);
	ck_assert_int_eq(judge(store_epoch(rig.store), 1, 1000), ERR_RESYNC_REQUIRED);
}
END_TEST

/** Copies the store and its log away, or the copies back. The store is closed or nobody writes. */
static void
copy_store(bool is_back)
{
	const char *from = is_back ? ".copy" : "", *to = is_back ? "" : ".copy";
	char command[600];

	snprintf(command, sizeof(command), "cd %s && cp sysrt.db%s sysrt.db%s && cp %s %s",
		rig.folder, from, to, is_back ? "log.copy sysrt.db-wal" : "sysrt.db-wal log.copy",
		is_back ? "&& rm -f sysrt.db-shm" : "");
	ck_assert_int_eq(system(command), 0);
}

START_TEST(a_lost_tail_ends_the_old_history)
{
	char first[64], second[64];

	write_records(2); /* 1 to 6 */
	snprintf(first, sizeof(first), "%s", store_epoch(rig.store));
	rig_close();
	rig_open();
	snprintf(second, sizeof(second), "%s", store_epoch(rig.store));
	job_free(rig_put("a", "x", "1")); /* 7 */
	copy_store(false);
	write_records(4); /* 8 to 19 */
	ck_assert_int_eq(judge(second, 10, 0), OK);
	rig_close();
	copy_store(true); /* what was not synced is gone */
	rig_open();
	ck_assert_int_eq(store_last_seq(rig.store), 7);
	job_free(rig_put("a", "new", "1")); /* 8 again, but not the same */
	ck_assert_int_eq(judge(first, 6, 0), OK);
	ck_assert_int_eq(judge(first, 7, 0), ERR_RESYNC_REQUIRED);
	ck_assert_int_eq(judge(second, 7, 0), OK);
	ck_assert_int_eq(judge(second, 8, 0), ERR_RESYNC_REQUIRED);
	ck_assert_int_eq(judge(second, 7, 8), ERR_RESYNC_REQUIRED);
	ck_assert_int_eq(judge(store_epoch(rig.store), 8, 0), OK);
	ck_assert_int_eq(judge(store_epoch(rig.store), 9, 0), ERR_RESYNC_REQUIRED);
}
END_TEST

START_TEST(a_restored_store_is_another_history_from_the_backup_on)
{
	char epochs[3][64];

	for (unsigned i = 0; i < 3; i++) {
		write_records(1); /* 1 to 3, 4 to 6, 7 to 9 */
		snprintf(epochs[i], sizeof(epochs[i]), "%s", store_epoch(rig.store));
		rig_close();
		if (i == 1)
			copy_store(false);
		rig_open();
	}
	ck_assert_int_eq(judge(epochs[0], 3, 0), OK);
	ck_assert_int_eq(judge(epochs[2], 9, 0), OK);
	rig_close();
	copy_store(true);
	rig_open();
	write_records(5);
	ck_assert_int_eq(judge(epochs[0], 3, 0), OK);
	ck_assert_int_eq(judge(epochs[0], 4, 0), ERR_RESYNC_REQUIRED);
	ck_assert_int_eq(judge(epochs[1], 6, 0), OK);
	ck_assert_int_eq(judge(epochs[1], 7, 0), ERR_RESYNC_REQUIRED);
	ck_assert_int_eq(judge(epochs[2], 8, 0), ERR_RESYNC_REQUIRED);
	ck_assert_int_eq(judge(epochs[1], 5, 7), ERR_RESYNC_REQUIRED);
}
END_TEST

/** SQLite ends it with the statement that failed: what follows must not be told of the old one. */
START_TEST(after_an_io_error_there_is_a_new_snapshot)
{
	struct error error = ERROR_NONE;
	struct read *read;
	struct job *j;
	sqlite3 *db;

	write_records(200);
	fault_install();
	ck_assert_int_eq(sql_open(rig.path, SQL_READER, &rig.conf, &db, &error), OK);
	ck_assert_int_eq(read_new(db, "x", &read, &error), OK);
	ck_assert_int_eq(read_begin(read, &error), OK);
	fault_arm(FAULT_READ, FAULT_LOG, 0, 1000000, SQLITE_IOERR_READ);
	j = rig_new_read(JOB_GET, "a", "k000");
	read_run(read, j);
	ck_assert_int_eq(j->result, ERR_IO_ERROR);
	job_free(j);
	j = rig_new_read(JOB_GET, "a", "k000"); /* nor can a new one be opened */
	read_run(read, j);
	ck_assert_int_eq(j->result, ERR_IO_ERROR);
	job_free(j);
	fault_disarm();
	job_free(rig_put("a", "k000", "2"));
	j = rig_new_read(JOB_GET, "a", "k000");
	read_run(read, j);
	ck_says(j, "\"data\":2,\"rev\":2,\"seq\":601,");
	ck_says(j, "\"epoch\":\"x\",\"seq\":601}");
	job_free(j);
	read_end(read);
	read_free(read);
	sql_close(db);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("reader");
	TCase *tc = tcase_create("reader");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, rig_setup, rig_teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, cursors_walk_through_everything_once);
	tcase_add_test(tc, a_walk_misses_nothing_that_is_written_meanwhile);
	tcase_add_test(tc, filters);
	tcase_add_test(tc, offset_and_counts);
	tcase_add_test(tc, a_page_ends_at_its_bytes);
	tcase_add_test(tc, a_read_has_a_deadline);
	tcase_add_test(tc, pages_of_changes_are_the_tables_merged);
	tcase_add_test(tc, a_page_ends_at_what_was_looked_at);
	tcase_add_test(tc, a_replay_from_0_skips_the_tombstones_up_to_its_base);
	tcase_add_test(tc, a_cold_replay_that_broke_off_goes_on_as_long_as_its_base);
	tcase_add_test(tc, a_poller_may_say_any_base_at_0);
	tcase_add_test(tc, a_lost_tail_ends_the_old_history);
	tcase_add_test(tc, a_restored_store_is_another_history_from_the_backup_on);
	tcase_add_test(tc, after_an_io_error_there_is_a_new_snapshot);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0;
}
