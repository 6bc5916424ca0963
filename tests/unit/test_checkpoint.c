/*
 * The law of checkpoints. Once as it is written, against a model of the log with
 * everything that can happen to it in any order; once with the real writer, the
 * real checkpointer and readers in the way, watched from below SQLite.
 *
 * threads: in check-long
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "daemon/store/checkpoint.h"
#include "tests/unit/fault_vfs.h"
#include "tests/unit/store_rig.h"

#define LIMIT (3 * CHECKPOINT_PAGES)
#define WALKS 300
#define STEPS 2000

/** The log as SQLite sees it, and the one request. */
struct model {
	struct checkpoint_law law;
	int64_t log_n;
	int64_t copied_n;
	bool is_lost; /* copies that SQLite counts are not on the disk */
	enum { NOTHING, POSTED, RUNNING, DONE } request;
	int64_t goal_n;   /* of the pass that runs: the log's end when it began */
	int64_t result_n; /* of the pass that is done */
	unsigned passes;
	unsigned restarts;
	unsigned failures;
	uint64_t random;
};

static uint64_t
roll(struct model *m, uint64_t below)
{
	m->random = m->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (m->random >> 33) % below;
}

/** A commit restarts a log that is wholly copied, unless readers are in it. */
static void
step_commit(struct model *m)
{
	int64_t pages = 1 + (int64_t)roll(m, 4) * (CHECKPOINT_PAGES / 2);

	if (m->log_n > 0 && m->copied_n == m->log_n && roll(m, 2) == 0) {
		ck_assert_msg(!m->is_lost, "a commit restarts a log that is needed");
		m->log_n = m->copied_n = 0;
	}
	m->log_n += pages;
	checkpoint_on_commit(&m->law, m->log_n);
}

static void
step_post(struct model *m)
{
	if (!checkpoint_may_post(&m->law))
		return;
	ck_assert_int_eq(m->request, NOTHING);
	checkpoint_on_post(&m->law);
	m->request = POSTED;
}

/** How far copying gets: to the goal, or to where the oldest reader is. When the sync fails, what
 * was copied is lost; SQLite counts it unless it was all of the log, which is its own sync. */
static int64_t
copy(struct model *m, int64_t goal_n)
{
	int64_t before_n = m->copied_n;

	if (before_n == m->log_n)
		return before_n;
	if (roll(m, 3) > 0)
		m->copied_n = goal_n;
	else
		m->copied_n += (int64_t)roll(m, (uint64_t)(goal_n - m->copied_n) + 1);
	if (roll(m, 4) > 0)
		return m->copied_n;
	m->failures++;
	m->is_lost = true;
	if (m->copied_n == m->log_n)
		m->copied_n = before_n;
	return CHECKPOINT_IN_DOUBT;
}

static void
step_pass(struct model *m)
{
	if (m->request == POSTED) {
		ck_assert_msg(m->copied_n < m->log_n, "a pass begins on a wholly copied log");
		m->goal_n = m->log_n;
		m->request = RUNNING;
	} else if (m->request == RUNNING) {
		m->result_n = copy(m, m->goal_n);
		m->request = DONE;
		m->passes++;
	}
}

static void
step_take(struct model *m)
{
	if (m->request != DONE)
		return;
	checkpoint_on_taken(&m->law, m->result_n);
	m->request = NOTHING;
}

static void
step_count_anew(struct model *m)
{
	if (!m->law.is_in_doubt)
		return;
	m->copied_n = 0;
	m->is_lost = false;
	checkpoint_on_counted_anew(&m->law);
}

/** The writer's own: it copies what is left, and then a reader may be in the way. */
static void
step_restart(struct model *m)
{
	if (!checkpoint_may_restart(&m->law, roll(m, 2) == 0))
		return;
	ck_assert_int_eq(m->request, NOTHING);
	if (roll(m, 2) == 0) {
		checkpoint_on_restart_failed(&m->law, copy(m, m->log_n));
		return;
	}
	ck_assert_msg(!m->is_lost, "a log that is needed is restarted");
	m->log_n = m->copied_n = 0;
	checkpoint_on_restarted(&m->law);
	m->restarts++;
}

static void
step_want(struct model *m)
{
	m->law.wants_all = roll(m, 8) == 0;
}

/* No pass begins on a log that is wholly copied, and none is restarted that is needed. */
START_TEST(the_law_holds_in_any_order)
{
	static void (*const steps[])(struct model *) = {step_commit, step_commit, step_post,
		step_pass, step_take, step_count_anew, step_want, step_restart};

	for (unsigned walk = 0; walk < WALKS; walk++) {
		struct model m = {.random = walk, .law.limit_n = LIMIT};

		for (unsigned i = 0; i < STEPS; i++)
			steps[roll(&m, i % 200 < 100 ? 7 : 8)](&m);
		ck_assert_msg(m.passes > 10 && m.restarts > 3 && m.failures > 3,
			"walk %u: %u passes, %u restarts, %u failures", walk, m.passes, m.restarts,
			m.failures);
	}
}
END_TEST

START_TEST(one_request_at_most)
{
	struct checkpoint_law law = {.limit_n = 100 * CHECKPOINT_PAGES};

	ck_assert(!checkpoint_may_post(&law));
	checkpoint_on_commit(&law, CHECKPOINT_PAGES - 1);
	ck_assert(!checkpoint_may_post(&law)); /* not worth it */
	checkpoint_on_commit(&law, CHECKPOINT_PAGES);
	ck_assert(checkpoint_may_post(&law));
	ck_assert(!checkpoint_on_post(&law)); /* far from the limit: no sync */
	checkpoint_on_commit(&law, 3 * CHECKPOINT_PAGES);
	ck_assert(!checkpoint_may_post(&law));
	checkpoint_on_taken(&law, CHECKPOINT_PAGES);
	ck_assert(!checkpoint_may_post(&law)); /* no commit since */
	checkpoint_on_commit(&law, 3 * CHECKPOINT_PAGES + 1);
	ck_assert(checkpoint_may_post(&law));
}
END_TEST

START_TEST(a_pass_that_a_reader_cut_short_is_not_repeated_at_once)
{
	struct checkpoint_law law = {.limit_n = 100 * CHECKPOINT_PAGES};

	checkpoint_on_commit(&law, 4 * CHECKPOINT_PAGES);
	checkpoint_on_post(&law);
	checkpoint_on_taken(&law, 10);
	checkpoint_on_commit(&law, 4 * CHECKPOINT_PAGES + 1);
	ck_assert(!checkpoint_may_post(&law));
	checkpoint_on_commit(&law, 5 * CHECKPOINT_PAGES);
	ck_assert(checkpoint_may_post(&law));
}
END_TEST

START_TEST(near_the_limit_passes_are_synced_and_at_it_short)
{
	struct checkpoint_law law = {.limit_n = 8 * CHECKPOINT_PAGES};

	checkpoint_on_commit(&law, 6 * CHECKPOINT_PAGES);
	ck_assert(checkpoint_on_post(&law));
	checkpoint_on_taken(&law, law.log_n);
	checkpoint_on_commit(&law, law.log_n + CHECKPOINT_PAGES - 1);
	ck_assert(!checkpoint_may_post(&law));
	checkpoint_on_commit(&law, law.limit_n);
	ck_assert(checkpoint_on_post(&law));
	checkpoint_on_taken(&law, law.log_n);
	checkpoint_on_commit(&law, law.log_n + CHECKPOINT_LAST_PAGES - 1);
	ck_assert(!checkpoint_may_post(&law));
	checkpoint_on_commit(&law, law.log_n + 1);
	ck_assert(checkpoint_may_post(&law));
}
END_TEST

START_TEST(a_restart_waits_until_little_is_left)
{
	struct checkpoint_law law = {.limit_n = LIMIT};

	ck_assert(!checkpoint_may_restart(&law, true)); /* there is nothing */
	checkpoint_on_commit(&law, LIMIT - 1);
	ck_assert(!checkpoint_may_restart(&law, true));
	checkpoint_on_commit(&law, LIMIT);
	ck_assert(!checkpoint_may_restart(&law, false));
	ck_assert(checkpoint_may_restart(&law, true)); /* nobody waits */
	checkpoint_on_post(&law);
	ck_assert(!checkpoint_may_restart(&law, true)); /* a pass is out */
	checkpoint_on_commit(&law, LIMIT + RESTART_PAGES + 1);
	checkpoint_on_taken(&law, LIMIT);
	ck_assert(!checkpoint_may_restart(&law, false));
	checkpoint_on_commit(&law, LIMIT + 2 * RESTART_PAGES);
	checkpoint_on_post(&law);
	checkpoint_on_taken(&law, LIMIT + RESTART_PAGES);
	ck_assert(checkpoint_may_restart(&law, false));
	checkpoint_on_commit(&law, LIMIT + 3 * RESTART_PAGES);
	checkpoint_on_post(&law);
	checkpoint_on_taken(&law, CHECKPOINT_IN_WAY); /* not copied */
	ck_assert(!checkpoint_may_restart(&law, false));
	checkpoint_on_commit(&law, 2 * LIMIT);
	ck_assert(checkpoint_may_restart(&law, false)); /* it must be */
}
END_TEST

/* Where somebody waits until the file has all of the log. */
START_TEST(all_of_it_is_copied_when_somebody_waits_for_that)
{
	struct checkpoint_law law = {.limit_n = LIMIT, .wants_all = true};

	ck_assert(!checkpoint_may_post(&law)); /* there is nothing */
	ck_assert(!checkpoint_may_restart(&law, true));
	checkpoint_on_commit(&law, 1);
	ck_assert(!checkpoint_may_restart(&law, true)); /* a pass first */
	ck_assert(checkpoint_on_post(&law));            /* which syncs */
	checkpoint_on_taken(&law, 0);                   /* a reader was in the way */
	ck_assert(!checkpoint_may_post(&law));
	ck_assert(checkpoint_may_restart(&law, true));
	checkpoint_on_restart_failed(&law, 0);
	checkpoint_on_commit(&law, 2);
	ck_assert(checkpoint_on_post(&law));
	checkpoint_on_commit(&law, RESTART_PAGES + 3);
	checkpoint_on_taken(&law, 2);
	ck_assert(!checkpoint_may_restart(&law, false)); /* too much came meanwhile */
	checkpoint_on_commit(&law, RESTART_PAGES + 4);
	ck_assert(checkpoint_on_post(&law));
	checkpoint_on_taken(&law, 5);
	ck_assert(checkpoint_may_restart(&law, false));
	law.wants_all = false;
	ck_assert(!checkpoint_may_restart(&law, true));
}
END_TEST

START_TEST(a_restart_that_failed_counts_as_a_pass)
{
	struct checkpoint_law law = {.limit_n = 2 * CHECKPOINT_PAGES};

	checkpoint_on_commit(&law, 2 * CHECKPOINT_PAGES);
	checkpoint_on_restart_failed(&law, CHECKPOINT_IN_WAY);
	ck_assert(!checkpoint_may_post(&law));
	checkpoint_on_commit(&law, 2 * CHECKPOINT_PAGES + 1);
	ck_assert(checkpoint_may_post(&law));
	checkpoint_on_restart_failed(&law, 2 * CHECKPOINT_PAGES + 1);
	checkpoint_on_commit(&law, 2 * CHECKPOINT_PAGES + 2);
	ck_assert(!checkpoint_may_post(&law)); /* one page to copy */
	checkpoint_on_restarted(&law);
	ck_assert(!checkpoint_may_restart(&law, true));
	checkpoint_on_commit(&law, CHECKPOINT_PAGES);
	ck_assert(checkpoint_may_post(&law));
}
END_TEST

START_TEST(a_sync_that_failed_is_counted_anew)
{
	struct checkpoint_law law = {.limit_n = LIMIT};

	checkpoint_on_commit(&law, LIMIT);
	checkpoint_on_post(&law);
	checkpoint_on_taken(&law, CHECKPOINT_IN_DOUBT);
	checkpoint_on_commit(&law, 3 * LIMIT);
	ck_assert(!checkpoint_may_post(&law));
	ck_assert(!checkpoint_may_restart(&law, true));
	checkpoint_on_counted_anew(&law);
	ck_assert(checkpoint_may_post(&law));
	ck_assert(checkpoint_may_restart(&law, true));
	checkpoint_on_restart_failed(&law, CHECKPOINT_IN_DOUBT);
	ck_assert(!checkpoint_may_restart(&law, true));
}
END_TEST

/** Fills the log by n puts of a quarter MiB, each read back. */
static void
fill(unsigned n)
{
	char id[16];

	for (unsigned i = 0; i < n; i++) {
		struct job *j;

		snprintf(id, sizeof(id), "r%u", i % 7);
		rig_submit(rig_new_big_put("c", id, 256 << 10));
		rig_submit(rig_new_read(JOB_COUNT, "", ""));
		for (unsigned k = 0; k < 2; k++) {
			j = rig_next();
			ck_assert_msg(j->result == OK, "%s", j->error.text);
			job_free(j);
		}
	}
}

START_TEST(the_threads_keep_the_law)
{
	sqlite3 *reader;

	rig.conf.store.wal_limit = 24 << 20;
	store_reload(rig.store, &rig.conf);
	ck_assert_int_eq(sqlite3_open(rig.path, &reader), SQLITE_OK);
	for (unsigned round = 0; round < 4; round++) {
		fill(60);
		ck_assert_int_eq(sqlite3_exec(reader, "BEGIN; SELECT count(*) FROM records", NULL,
					 NULL, NULL),
			SQLITE_OK);
		fill(120);
		ck_assert_int_eq(sqlite3_exec(reader, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
	}
	sqlite3_close(reader);
	ck_assert_uint_gt(fault_passes(), 3);
	ck_assert_uint_eq(fault_passes_on_copied_log(), 0);
	/* With nobody in the way any more the log is restarted, though nobody writes. */
	while (rig_status("log_bytes") >= rig.conf.store.wal_limit)
		usleep(1000);
	ck_assert_int_gt(rig_status("log_restarts"), 0);
	rig_close();
	ck_assert_int_eq(rig_sql("SELECT count(*) FROM records"), 7);
	rig_check_file();
	rig_open();
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("checkpoint");
	TCase *law = tcase_create("law"), *threads = tcase_create("threads");
	SRunner *runner;
	int failed;

	fault_install();
	tcase_add_test(law, the_law_holds_in_any_order);
	tcase_add_test(law, one_request_at_most);
	tcase_add_test(law, a_pass_that_a_reader_cut_short_is_not_repeated_at_once);
	tcase_add_test(law, near_the_limit_passes_are_synced_and_at_it_short);
	tcase_add_test(law, a_restart_waits_until_little_is_left);
	tcase_add_test(law, all_of_it_is_copied_when_somebody_waits_for_that);
	tcase_add_test(law, a_restart_that_failed_counts_as_a_pass);
	tcase_add_test(law, a_sync_that_failed_is_counted_anew);
	tcase_add_checked_fixture(threads, rig_setup, rig_teardown);
	tcase_set_timeout(threads, 60);
	tcase_add_test(threads, the_threads_keep_the_law);
	suite_add_tcase(suite, law);
	suite_add_tcase(suite, threads);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0;
}
