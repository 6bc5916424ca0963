/*
 * Faults inside SQLite, and other people at the file: no false answer, no half
 * batch, nothing acknowledged lost, and recovery without a restart. The other
 * people are real sqlite3 processes.
 *
 * threads: in check-long
 */

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/fault_vfs.h"
#include "tests/unit/store_rig.h"

#define IDS       64
#define BIG_BYTES (100 << 10)

/* --- what was acknowledged --- */

/* The seq of each id's newest acknowledged put; 0: none. */
static int64_t acknowledged[IDS];

static void
put_all(unsigned first, unsigned n, size_t nbytes)
{
	for (unsigned i = first; i < first + n; i++) {
		char id[16];

		snprintf(id, sizeof(id), "%u", i);
		rig_submit(
			nbytes > 0 ? rig_new_big_put("c", id, nbytes) : rig_new_put("c", id, "1"));
	}
}

static unsigned
number_of(const struct op *op)
{
	char text[16];

	snprintf(text, sizeof(text), "%.*s", SPAN_FMT(op->id));
	return (unsigned)strtoul(text, NULL, 10);
}

/** Takes n answers to puts; returns how many were OK. The others must have this code and no
 * results, and say `why`. */
static unsigned
take_answers(unsigned n, enum err otherwise, const char *why)
{
	unsigned good = 0;

	for (unsigned i = 0; i < n; i++) {
		struct job *j = rig_next_own();

		if (j->result == OK) {
			acknowledged[number_of(&j->ops[0])] = j->ops[0].seq;
			good++;
		} else {
			ck_assert_int_eq(j->result, otherwise);
			ck_assert_ptr_null(j->ops[0].change);
			ck_assert_int_eq(j->ops[0].seq, 0);
			ck_assert_msg(strstr(j->error.text, why) != NULL, "%s", j->error.text);
		}
		job_free(j);
	}
	return good;
}

static int64_t
count_records(void)
{
	struct job *j = rig_ask(rig_new_read(JOB_COUNT, "", ""));
	int64_t n;

	ck_assert_msg(j->result == OK, "%s", j->error.text);
	n = strtoll(j->reply.p + strlen("{\"count\":"), NULL, 10);
	job_free(j);
	return n;
}

/** What was acknowledged is there, as told; nothing else is, unless others_n say so. */
static void
check_acknowledged(int64_t others_n)
{
	int64_t n = 0;

	for (unsigned i = 0; i < IDS; i++) {
		char id[16], seq[32];
		struct job *j;

		if (acknowledged[i] == 0)
			continue;
		n++;
		snprintf(id, sizeof(id), "%u", i);
		snprintf(seq, sizeof(seq), "\"seq\":%lld,\"created_at\"",
			(long long)acknowledged[i]);
		j = rig_ask(rig_new_read(JOB_GET, "c", id));
		ck_says(j, seq);
		job_free(j);
	}
	ck_assert_int_eq(count_records(), n + others_n);
}

/** The same again on the file itself and after a restart. */
static void
check_file(int64_t others_n)
{
	check_acknowledged(others_n);
	rig_close();
	rig_check_file();
	rig_open();
	check_acknowledged(others_n);
}

/* --- faults --- */

/** A cache so small that a batch is written to the log long before it is committed. */
static void
use_small_cache(void)
{
	rig_close();
	rig.conf.store.cache_bytes = 64 << 10;
	rig_open();
}

START_TEST(a_full_disk_in_the_middle_of_a_batch)
{
	use_small_cache();
	put_all(0, 5, BIG_BYTES);
	ck_assert_uint_eq(take_answers(5, OK, ""), 5);
	fault_arm(FAULT_WRITE, FAULT_LOG, 120, 1, SQLITE_FULL);
	put_all(0, 40, BIG_BYTES);
	/* Each was run once more; but one that was alone in its batch (a slow machine ends a batch
	 * early) has had its run. */
	ck_assert_uint_ge(take_answers(40, ERR_IO_ERROR, "full"), 39);
	ck_assert_uint_eq(fault_hits(), 1);
	ck_assert_int_eq(rig_status("rollbacks"), 1);
	check_file(0);
}
END_TEST

START_TEST(a_disk_that_stays_full_and_is_cleared)
{
	use_small_cache();
	put_all(0, 5, BIG_BYTES);
	ck_assert_uint_eq(take_answers(5, OK, ""), 5);
	fault_arm(FAULT_WRITE, FAULT_LOG, 120, 1000000, SQLITE_FULL);
	put_all(0, 40, BIG_BYTES);
	ck_assert_uint_lt(take_answers(40, ERR_IO_ERROR, "full"), 40);
	ck_assert_uint_gt(fault_hits(), 1);
	check_acknowledged(0); /* reads go on */
	fault_disarm();
	put_all(0, 40, 0);
	ck_assert_uint_eq(take_answers(40, OK, ""), 40);
	check_file(0);
}
END_TEST

START_TEST(many_are_all_or_nothing_on_a_full_disk)
{
	struct job *j = rig_new_write(300);
	char id[16];

	put_all(0, 1, 0);
	take_answers(1, OK, "");
	j->is_many = true;
	for (unsigned i = 0; i < 300; i++) {
		snprintf(id, sizeof(id), "m%u", i);
		rig_set_op(j, i, OP_PUT, "many", id)->data = SPAN("1");
	}
	fault_arm(FAULT_WRITE, FAULT_LOG, 3, 1000000, SQLITE_FULL);
	j = rig_ask(j);
	ck_assert_int_eq(j->result, ERR_IO_ERROR);
	job_free(j);
	fault_disarm();
	check_file(0);
}
END_TEST

static void
submit_chained(const char *id)
{
	struct job *j = rig_new_put("c", id, "1");

	j->is_chained = true;
	rig_submit(j);
}

static void
submit_conflict(const char *id)
{
	struct job *j = rig_new_put("c", id, "1");

	j->ops[0].if_seq = 99;
	rig_submit(j);
}

static void
expect(enum err result)
{
	struct job *j = rig_next_own();

	ck_assert_msg(j->result == result, "%d: %s", j->result, j->error.text);
	if (result == ERR_UNAVAILABLE)
		ck_assert(strstr(j->error.text, "chained") != NULL);
	job_free(j);
}

/** Also where a batch is run once more: what counts is how the write before it ended, not how it
 * went at first, nor how one behind it did. */
START_TEST(what_is_chained_to_a_failed_write_is_not_done)
{
	put_all(0, 1, 0);
	take_answers(1, OK, "");
	fault_arm(FAULT_WRITE, FAULT_LOG, 0, 1, SQLITE_FULL);
	put_all(1, 1, 0);
	submit_chained("2");
	submit_chained("3");
	put_all(4, 1, 0);
	submit_chained("5");
	expect(ERR_IO_ERROR);
	expect(ERR_UNAVAILABLE);
	expect(ERR_UNAVAILABLE);
	expect(OK);
	expect(OK);
	fault_arm(FAULT_WRITE, FAULT_LOG, 0, 1, SQLITE_FULL);
	submit_chained("6");
	submit_conflict("7");
	submit_chained("8");
	expect(OK);
	expect(ERR_CONFLICT);
	expect(ERR_UNAVAILABLE);
	ck_assert_uint_eq(fault_hits(), 1);
	fault_disarm();
	ck_assert_int_eq(count_records(), 4);
}
END_TEST

START_TEST(a_sync_that_fails_is_an_unknown_outcome)
{
	rig_close();
	rig.conf.store.durability = DURABILITY_FULL;
	rig_open();
	put_all(0, 1, 0);
	ck_assert_uint_eq(take_answers(1, OK, ""), 1);
	fault_arm(FAULT_SYNC, FAULT_LOG, 0, 1, SQLITE_IOERR_FSYNC);
	put_all(1, 1, 0);
	ck_assert_uint_eq(take_answers(1, ERR_IO_ERROR, "unknown"), 0);
	ck_assert_uint_eq(fault_hits(), 1);
	check_acknowledged(0);
	put_all(2, 1, 0);
	ck_assert_uint_eq(take_answers(1, OK, ""), 1);
	ck_assert_int_eq(acknowledged[2], 2);
	check_file(0);
}
END_TEST

START_TEST(syncs_that_go_on_failing_leave_a_batch_unknown)
{
	rig_close();
	rig.conf.store.durability = DURABILITY_FULL;
	rig_open();
	fault_arm(FAULT_SYNC, FAULT_LOG, 0, 1000000, SQLITE_IOERR_FSYNC);
	put_all(0, 20, 0);
	ck_assert_uint_eq(take_answers(20, ERR_IO_ERROR, "unknown"), 0);
	fault_disarm();
	put_all(20, 20, 0);
	ck_assert_uint_eq(take_answers(20, OK, ""), 20);
	check_file(0);
}
END_TEST

START_TEST(a_checkpoint_that_cannot_sync_is_made_up_for)
{
	rig.conf.store.wal_limit = 24 << 20;
	store_reload(rig.store, &rig.conf);
	fault_arm(FAULT_SYNC, FAULT_DB, 0, 2, SQLITE_IOERR_FSYNC);
	while (fault_hits() < 2 || rig_status("log_restarts") == 0) {
		put_all(0, 40, BIG_BYTES);
		ck_assert_uint_eq(take_answers(40, OK, ""), 40);
	}
	check_file(0);
}
END_TEST

START_TEST(a_log_that_cannot_be_copied)
{
	unsigned good = 40;
	bool has_said_why = false;

	rig.conf.store.wal_limit = 4 << 20;
	rig.conf.store.wal_hard_limit = 8 << 20;
	store_reload(rig.store, &rig.conf);
	fault_arm(FAULT_SYNC, FAULT_DB, 0, 1000000, SQLITE_IOERR_FSYNC);
	for (unsigned round = 0; round < 10 && good == 40; round++) {
		put_all(0, 40, BIG_BYTES);
		good = take_answers(40, ERR_UNAVAILABLE, "wal_hard_limit");
	}
	ck_assert_uint_lt(good, 40);
	while (!has_said_why) {
		struct job *j = rig_put("c", "0", "1");

		ck_assert_int_eq(j->result, ERR_UNAVAILABLE);
		has_said_why = strstr(j->error.text, "disk I/O error") != NULL;
		job_free(j);
	}
	check_acknowledged(0);
	fault_disarm();
	while (rig_status("log_bytes") >= rig.conf.store.wal_limit)
		usleep(1000);
	put_all(0, 40, BIG_BYTES);
	ck_assert_uint_eq(take_answers(40, OK, ""), 40);
	check_file(0);
}
END_TEST

/** The batch that sees somebody else's commit fails: the next one tells of it. */
START_TEST(somebody_elses_write_is_told_after_a_failure_too)
{
	bool is_told = false;

	put_all(0, 1, 0);
	ck_assert_uint_eq(take_answers(1, OK, ""), 1);
	ck_assert_int_eq(
		rig_sql(STRANGERS_RECORD "VALUES (50, 'c', 'z', 'z', '1', 1, 1, 1) RETURNING seq"),
		50);
	fault_arm(FAULT_WRITE, FAULT_LOG, 0, 1, SQLITE_FULL);
	put_all(1, 1, 0);
	ck_assert_uint_eq(take_answers(1, ERR_IO_ERROR, "full"), 0);
	ck_assert_uint_eq(fault_hits(), 1);
	put_all(1, 1, 0);
	for (unsigned answers = 0; answers == 0;) {
		struct job *j = rig_next();

		is_told |= j->kind == JOB_NOTICE;
		answers += j->kind == JOB_WRITE;
		if (j->kind == JOB_WRITE)
			ck_assert_int_eq(j->ops[0].seq, 51);
		job_free(j);
	}
	ck_assert(is_told);
}
END_TEST

START_TEST(a_read_that_fails_is_said)
{
	put_all(0, 40, BIG_BYTES);
	ck_assert_uint_eq(take_answers(40, OK, ""), 40);
	fault_arm(FAULT_READ, FAULT_LOG, 0, 1000000, SQLITE_IOERR_READ);
	for (unsigned i = 0; i < 40; i++) {
		char id[16];
		struct job *j;

		snprintf(id, sizeof(id), "%u", i);
		j = rig_ask(rig_new_read(JOB_GET, "c", id));
		ck_assert(j->result == OK || j->result == ERR_IO_ERROR);
		job_free(j);
	}
	ck_assert_uint_gt(fault_hits(), 0);
	fault_disarm();
	check_file(0);
}
END_TEST

/* --- power cuts --- */

/** Fails unless this store has what was acknowledged; a write whose outcome is unknown may be there
 * too. */
static void
check_is_on(sqlite3 *db)
{
	sqlite3_stmt *st;

	ck_assert_int_eq(sqlite3_prepare_v2(db,
				 "SELECT coalesce(max(seq), 0) FROM records WHERE id = ?1 || ''",
				 -1, &st, NULL),
		SQLITE_OK);
	for (unsigned i = 0; i < IDS; i++) {
		sqlite3_bind_int(st, 1, (int)i);
		ck_assert_int_eq(sqlite3_step(st), SQLITE_ROW);
		ck_assert_int_ge(sqlite3_column_int64(st, 0), acknowledged[i]);
		sqlite3_reset(st);
	}
	sqlite3_finalize(st);
}

/** Judges what the disk would have if the power failed now, or when the database file was last
 * about to be synced: a store that is whole. If it is synced, all that was acknowledged, too. */
static void
check_disk(bool is_synced)
{
	char path[sizeof(rig.path)];
	sqlite3 *db;

	snprintf(path, sizeof(path), "%s", rig.path);
	snprintf(rig.path, sizeof(rig.path), "%s/disk.db", rig.folder);
	if (disk_save_before_sync(rig.path))
		rig_check_file();
	disk_save(rig.path);
	ck_assert_int_eq(sqlite3_open(rig.path, &db), SQLITE_OK);
	if (is_synced)
		check_is_on(db);
	rig_check_file();
	sqlite3_close(db);
	snprintf(rig.path, sizeof(rig.path), "%s", path);
}

static sqlite3 *
new_reader(void)
{
	sqlite3 *reader;

	ck_assert_int_eq(sqlite3_open(rig.path, &reader), SQLITE_OK);
	ck_assert_int_eq(
		sqlite3_exec(reader, "BEGIN; SELECT count(*) FROM records", NULL, NULL, NULL),
		SQLITE_OK);
	return reader;
}

static void
put_and_check_disk(unsigned first, enum durability durability)
{
	put_all(first, IDS / 2, BIG_BYTES);
	take_answers(IDS / 2, ERR_IO_ERROR, "unknown");
	check_disk(durability == DURABILITY_FULL);
}

/* The kernel forgets what it could not write and says so once: pages that an earlier pass copied
 * can be among it. With a reader in the way, passes copy a part. */
START_TEST(what_a_failed_sync_has_dropped_is_written_again)
{
	enum durability durability = _i % 2 == 0 ? DURABILITY_FULL : DURABILITY_NORMAL;
	enum fault_file file = _i / 2 % 2 == 0 ? FAULT_DB : FAULT_LOG;
	sqlite3 *reader;

	rig_close();
	rig.conf.store.durability = durability;
	rig.conf.store.wal_limit = 8 << 20;
	disk_begin(rig.path, (uint64_t)_i);
	rig_open();
	fault_arm(FAULT_SYNC, file, 0, 2, SQLITE_IOERR_FSYNC);
	put_and_check_disk(IDS / 2, durability);
	reader = new_reader();
	for (unsigned i = 0; i < 6 && fault_hits() < 2; i++)
		put_and_check_disk(0, durability);
	ck_assert_uint_gt(fault_hits(), 0);
	sqlite3_close(reader);
	for (unsigned i = 0; i < 6; i++) /* enough for the log to be restarted */
		put_and_check_disk(0, durability);
	put_all(0, IDS, 0);
	ck_assert_uint_eq(take_answers(IDS, OK, ""), IDS);
	rig_close();
	check_disk(true);
	rig_open();
	check_file(0);
}
END_TEST

/* --- other people at the file --- */

static void
move(const char *from, const char *to)
{
	char names[2][sizeof(rig.path) + 16];

	snprintf(names[0], sizeof(names[0]), "%s%s", rig.path, from);
	snprintf(names[1], sizeof(names[1]), "%s%s", rig.path, to);
	ck_assert_int_eq(rename(names[0], names[1]), 0);
}

/* SQLite would go on with what nobody finds again. */
START_TEST(files_that_are_moved_away)
{
	static const char *const endings[] = {"", "-wal"};
	char away[16];

	for (unsigned i = 0; i < 2; i++) {
		put_all(0, 10, 0);
		ck_assert_uint_eq(take_answers(10, OK, ""), 10);
		snprintf(away, sizeof(away), "%s.away", endings[i]);
		move(endings[i], away);
		put_all(0, 10, 0);
		ck_assert_uint_eq(take_answers(10, ERR_UNAVAILABLE, "put it back"), 0);
		check_acknowledged(0); /* reads go on */
		move(away, endings[i]);
		put_all(10, 10, 0);
		ck_assert_uint_eq(take_answers(10, OK, ""), 10);
	}
	check_file(0);
}
END_TEST

START_TEST(a_file_that_is_replaced)
{
	char command[2 * sizeof(rig.path) + 32];

	put_all(0, 10, 0);
	take_answers(10, OK, "");
	move("", ".mine");
	snprintf(command, sizeof(command), "cp %s.mine %s", rig.path, rig.path);
	ck_assert_int_eq(system(command), 0);
	put_all(0, 10, 0);
	ck_assert_uint_eq(take_answers(10, ERR_UNAVAILABLE, "another file is there"), 0);
	move(".mine", "");
	put_all(0, 10, 0);
	ck_assert_uint_eq(take_answers(10, OK, ""), 10);
	check_file(0);
}
END_TEST

/** A sqlite3 process on the store. */
struct other {
	pid_t pid;
	FILE *to;
	FILE *from;
};

static struct other
other_start(void)
{
	struct other o;
	int in[2], out[2];

	ck_assert_int_eq(pipe2(in, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
	o.pid = fork();
	if (o.pid == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		execlp("sqlite3", "sqlite3", "-batch", rig.path, (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	o.to = fdopen(in[1], "w");
	o.from = fdopen(out[0], "r");
	return o;
}

/** Has it run this, and waits until it has. */
static void
other_run(struct other *o, const char *sql)
{
	char line[256] = "";

	fprintf(o->to, "%s;\nSELECT 'done' || 1;\n", sql);
	fflush(o->to);
	while (strcmp(line, "done1\n") != 0)
		ck_assert_ptr_nonnull(fgets(line, sizeof(line), o->from));
}

static void
other_stop(struct other *o)
{
	fclose(o->to);
	fclose(o->from);
	ck_assert_int_eq(waitpid(o->pid, NULL, 0), o->pid);
}

START_TEST(a_writer_that_holds_the_lock)
{
	struct other o = other_start();

	put_all(0, 1, 0);
	take_answers(1, OK, "");
	other_run(&o, "BEGIN IMMEDIATE; " STRANGERS_RECORD
		      "VALUES (100, 'c', 'theirs', 'theirs', '1', 1, 1, 1)");
	put_all(1, 20, 0);
	ck_assert_uint_eq(take_answers(20, ERR_UNAVAILABLE, "locked"), 0);
	check_acknowledged(0);
	other_run(&o, "COMMIT");
	put_all(1, 20, 0);
	ck_assert_uint_eq(take_answers(20, OK, ""), 20);
	ck_assert_int_gt(acknowledged[1], 100);
	ck_assert_int_eq(rig_status("foreign_commits"), 1);
	other_stop(&o);
	check_file(1);
}
END_TEST

START_TEST(a_writer_between_every_two_batches)
{
	struct other o = other_start();

	for (unsigned i = 0; i < 30; i++) {
		other_run(&o, STRANGERS_RECORD
			"SELECT max(seq) + 3, 'o', 'id' || max(seq), 'x', '1', 1, 1, 1"
			" FROM (SELECT max(seq) AS seq FROM records UNION SELECT 0)");
		put_all(i, 1, 0);
		ck_assert_uint_eq(take_answers(1, OK, ""), 1);
	}
	ck_assert_int_eq(rig_status("foreign_commits"), 30);
	other_stop(&o);
	check_file(30);
}
END_TEST

START_TEST(a_reader_that_holds_the_log)
{
	struct other o = other_start();
	unsigned good = 40;

	rig.conf.store.wal_limit = 4 << 20;
	rig.conf.store.wal_hard_limit = 8 << 20;
	store_reload(rig.store, &rig.conf);
	put_all(0, 1, 0);
	take_answers(1, OK, "");
	other_run(&o, "BEGIN; SELECT count(*) FROM records");
	for (unsigned round = 0; round < 10 && good == 40; round++) {
		put_all(0, 40, BIG_BYTES);
		good = take_answers(40, ERR_UNAVAILABLE, "wal_hard_limit");
	}
	ck_assert_uint_lt(good, 40);
	ck_assert_int_le(rig_status("log_bytes"), 16 << 20);
	check_acknowledged(0);
	other_run(&o, "COMMIT");
	while (rig_status("log_bytes") >= rig.conf.store.wal_limit)
		usleep(1000);
	put_all(0, 40, BIG_BYTES);
	ck_assert_uint_eq(take_answers(40, OK, ""), 40);
	other_stop(&o);
	check_file(0);
}
END_TEST

START_TEST(somebody_who_checkpoints)
{
	static const char *const ways[] = {"PASSIVE", "FULL", "RESTART", "TRUNCATE"};
	struct other o = other_start();
	char sql[64];

	for (unsigned i = 0; i < 40; i++) {
		put_all(0, 20, 4096);
		snprintf(sql, sizeof(sql), "PRAGMA wal_checkpoint(%s)", ways[i % 4]);
		other_run(&o, sql);
		ck_assert_uint_eq(take_answers(20, OK, ""), 20);
	}
	other_stop(&o);
	check_file(0);
}
END_TEST

static void
setup(void)
{
	memset(acknowledged, 0, sizeof(acknowledged));
	rig_setup();
}

static void
teardown(void)
{
	fault_disarm();
	rig_teardown();
	disk_end();
}

int
main(void)
{
	Suite *suite = suite_create("fault");
	TCase *faults = tcase_create("faults"), *others = tcase_create("others");
	SRunner *runner;
	int failed;

	fault_install();
	tcase_add_checked_fixture(faults, setup, teardown);
	tcase_add_checked_fixture(others, setup, teardown);
	tcase_set_timeout(faults, 60);
	tcase_set_timeout(others, 60);
	tcase_add_test(faults, a_full_disk_in_the_middle_of_a_batch);
	tcase_add_test(faults, a_disk_that_stays_full_and_is_cleared);
	tcase_add_test(faults, many_are_all_or_nothing_on_a_full_disk);
	tcase_add_test(faults, what_is_chained_to_a_failed_write_is_not_done);
	tcase_add_test(faults, a_sync_that_fails_is_an_unknown_outcome);
	tcase_add_test(faults, syncs_that_go_on_failing_leave_a_batch_unknown);
	tcase_add_test(faults, a_checkpoint_that_cannot_sync_is_made_up_for);
	tcase_add_test(faults, a_log_that_cannot_be_copied);
	tcase_add_test(faults, somebody_elses_write_is_told_after_a_failure_too);
	tcase_add_test(faults, a_read_that_fails_is_said);
	tcase_add_loop_test(faults, what_a_failed_sync_has_dropped_is_written_again, 0,
		getenv("SYSRT_LONG") != NULL ? 4 : 1);
	tcase_add_test(others, files_that_are_moved_away);
	tcase_add_test(others, a_file_that_is_replaced);
	tcase_add_test(others, a_writer_that_holds_the_lock);
	tcase_add_test(others, a_writer_between_every_two_batches);
	tcase_add_test(others, a_reader_that_holds_the_log);
	tcase_add_test(others, somebody_who_checkpoints);
	suite_add_tcase(suite, faults);
	suite_add_tcase(suite, others);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0;
}
