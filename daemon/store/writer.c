/* The writer: see writer.h. */

#include "daemon/store/writer.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "daemon/base/histogram.h"
#include "daemon/store/answer.h"
#include "daemon/store/apply.h"
#include "daemon/store/chain.h"
#include "daemon/store/chores.h"
#include "daemon/store/maintain.h"
#include "daemon/store/pace.h"
#include "daemon/store/place.h"
#include "daemon/store/sql.h"
#include "daemon/store/wal.h"

/* A batch ends at any of these. */
#define BATCH_OPS   512
#define BATCH_BYTES (4u << 20)
#define BATCH_US    1500 /* the commit after it takes up to six times as long, on a large store */

/* How long the store's files may be gone before that is noticed when nobody writes. */
#define LOOK_US 10000000

enum statement {
	ST_BEGIN,
	ST_COMMIT,
	ST_ROLLBACK,
	ST_SAVEPOINT,
	ST_RETURN,
	ST_RELEASE,
	ST_DATA_VERSION,
	ST_FREE_PAGES,
	ST_COUNT
};

static const char *const texts[ST_COUNT] = {
	[ST_BEGIN] = "BEGIN IMMEDIATE",
	[ST_COMMIT] = "COMMIT",
	[ST_ROLLBACK] = "ROLLBACK",
	[ST_SAVEPOINT] = "SAVEPOINT job",
	[ST_RETURN] = "ROLLBACK TO job",
	[ST_RELEASE] = "RELEASE job",
	[ST_DATA_VERSION] = "PRAGMA data_version",
	[ST_FREE_PAGES] = "PRAGMA freelist_count",
};

struct writer {
	pthread_t thread;
	sqlite3 *db;
	sqlite3_stmt *st[ST_COUNT];
	struct apply *apply;
	struct due *due;
	_Atomic(struct retention *) retention; /* new rules: whoever takes them owns them */
	struct wal wal;
	struct place place;
	struct maintain maintain;
	struct pace pace;
	size_t ops_n; /* of the last batch */
	struct writer_queues queues;
	struct chores chores;
	int64_t batch_us; /* when the last batch ended (monotonic) */
	int64_t data_version;
	bool is_failing;      /* the last batch failed, and that was logged */
	bool has_seen_others; /* somebody else has committed, and that is not told yet */
	bool must_reload;     /* where the store stands then could not be read */
	bool is_displaced;    /* the store's files are gone from their place, and that was logged */
	_Atomic bool is_abandoned;
	_Atomic bool keeps_before;
	struct writer_figures figures;
	struct histogram commit_times;
};

/** The jobs of one transaction. */
struct batch {
	struct qlist jobs;
	size_t ops_n;
	size_t nbytes;
	int64_t start_us;
	bool is_single;
	bool has_begun;
	bool must_last;  /* its jobs are job_must_last(); else none is */
	bool is_unknown; /* the commit failed in a way that may still come true after a crash */
};

static void
note_commit(struct writer *w, int64_t us, size_t ops_n)
{
	struct writer_figures *f = &w->figures;

	histogram_count(&w->commit_times, us);
	f->commits++;
	f->writes += ops_n;
	w->ops_n = ops_n;
	f->last_seq = apply_last_seq(w->apply);
	f->pruned_to = apply_pruned_to(w->apply);
	f->tombstones = apply_tombstones(w->apply);
	f->evicted_for_others = (uint64_t)apply_evicted(w->apply);
}

void
writer_add_commit_times(const struct writer *w, struct json_out *o)
{
	histogram_add_json(&w->commit_times, o, "commit_ms");
}

struct pace *
writer_pace(struct writer *w)
{
	return &w->pace;
}

const struct writer_figures *
writer_figures(const struct writer *w)
{
	return &w->figures;
}

const struct wal_figures *
writer_log_figures(const struct writer *w)
{
	return &w->wal.figures;
}

static void
roll_back(struct writer *w)
{
	if (!sqlite3_get_autocommit(w->db))
		sql_run(w->st[ST_ROLLBACK]);
	apply_rolled_back(w->apply);
	w->figures.newest = w->figures.last_seq;
	w->figures.rollbacks++;
}

static enum err
run_ops(struct writer *w, struct job *j)
{
	enum err e = OK;

	for (size_t i = 0; i < j->ops_n && e == OK; i++) {
		e = apply_op(w->apply, &j->ops[i], &j->error);
		if (e != OK && j->is_many)
			error_wrap(&j->error, "record %zu", i);
	}
	return e;
}

/** Runs a job that can be refused half-way: a refusal undoes it alone. */
static enum err
run_in_savepoint(struct writer *w, struct job *j)
{
	struct apply_mark mark = apply_mark(w->apply);
	enum err e;

	if (sql_run(w->st[ST_SAVEPOINT]) != SQLITE_DONE)
		return sql_error(w->db, &j->error, "opening a savepoint");
	e = run_ops(w, j);
	if (apply_is_refusal(e)) {
		if (sql_run(w->st[ST_RETURN]) != SQLITE_DONE)
			return sql_error(w->db, &j->error, "rolling back to a savepoint");
		apply_return(w->apply, mark);
	} else if (e != OK) {
		return e;
	}
	if (sql_run(w->st[ST_RELEASE]) != SQLITE_DONE)
		return sql_error(w->db, &j->error, "releasing a savepoint");
	return e;
}

/** Runs a job inside the transaction. OK: it has its result, which may be a refusal. Otherwise the
 * transaction is lost. */
static enum err
run_job(struct writer *w, struct job *j)
{
	enum err e = chain_check(j, &j->error);

	if (e != OK) {
		job_fail(j, e, &j->error);
		return OK;
	}
	e = j->ops_n > 1 ? run_in_savepoint(w, j) : run_ops(w, j);
	j->result = e;
	if (apply_is_refusal(e)) {
		job_fail(j, e, &j->error);
		return OK;
	}
	return e;
}

/** When somebody else has committed since the last batch, where the store stands is read again.
 * Inside the transaction; what was seen is remembered until a commit of ours can be told after it.
 */
static enum err
look_for_others(struct writer *w, struct error *error)
{
	int64_t version = sql_int(w->st[ST_DATA_VERSION], 0, NULL);
	bool is_new = version != w->data_version;
	enum err e = OK;

	if (is_new || w->must_reload)
		e = apply_reload(w->apply, error);
	w->must_reload = e != OK;
	w->has_seen_others |= is_new;
	w->figures.free_bytes = sql_int(w->st[ST_FREE_PAGES], 0, NULL) * w->wal.page_bytes;
	w->data_version = version;
	return e;
}

/** Tells the loop that somebody else wrote: after the commit that saw it. */
static void
push_notice(struct writer *w, struct qlist *done)
{
	struct job *notice = job_new(JOB_NOTICE, &(struct origin){.kind = ORIGIN_NONE}, 0, 0);

	w->figures.foreign_commits++;
	log_warn("store", "another program wrote to the store, or restarted its log",
		F_INT("last_seq", apply_last_seq(w->apply)));
	if (notice == NULL)
		return;
	qlist_append(done, &notice->item);
	w->has_seen_others = false;
}

static enum err
begin(struct writer *w, bool must_last, struct error *error)
{
	enum err e = wal_sync_commits(&w->wal, must_last, error);

	if (e != OK)
		return e;
	if (sql_run(w->st[ST_BEGIN]) != SQLITE_DONE)
		return sql_error(w->db, error, "beginning a transaction");
	return look_for_others(w, error);
}

static enum err
commit(struct writer *w, struct batch *b, struct error *error)
{
	int rc;

	w->figures.newest = apply_last_seq(w->apply);
	rc = sql_run(w->st[ST_COMMIT]);
	if (rc == SQLITE_DONE) {
		apply_committed(w->apply);
		return OK;
	}
	b->is_unknown = (rc & 0xff) == SQLITE_IOERR;
	if (b->is_unknown && b->must_last)
		wal_doubt(&w->wal);
	return sql_error(w->db, error, "committing");
}

static void
fail_all(struct qlist *batch, enum err code, const struct error *error)
{
	for (struct qitem *it = batch->first; it != NULL; it = it->next)
		job_fail((struct job *)(void *)it, code, error);
}

static void
answer_all(struct qlist *batch)
{
	for (struct qitem *it = batch->first; it != NULL; it = it->next) {
		struct job *j = (struct job *)(void *)it;

		if (j->result == OK)
			answer_write(j);
	}
}

/** True while one more job belongs into the transaction. A job with many operations runs alone, one
 * that is chained waits for the outcome of those before it, and one that must last is not together
 * with others. */
static bool
has_room(const struct batch *b, const struct job *next)
{
	if (b->jobs.n == 0)
		return true;
	return !b->is_single && !next->is_chained && job_must_last(next) == b->must_last &&
	       b->ops_n + job_weight(next) <= BATCH_OPS &&
	       b->nbytes + next->item.nbytes <= BATCH_BYTES &&
	       clock_mono_us() - b->start_us < BATCH_US;
}

/** Runs jobs out of `waiting` until the batch is full; what was run is in b->jobs. */
static enum err
run_jobs(struct writer *w, struct qlist *waiting, struct batch *b, struct error *error)
{
	while (waiting->first != NULL) {
		struct job *j = (struct job *)(void *)waiting->first;
		enum err e;

		if (!has_room(b, j))
			break;
		qlist_append(&b->jobs, qlist_shift(waiting));
		b->nbytes += j->item.nbytes;
		e = run_job(w, j);
		b->ops_n += job_done(j);
		if (e != OK) {
			*error = j->error;
			return e;
		}
	}
	return OK;
}

/** One transaction of jobs out of `waiting`. On a failure nothing of it happened (or, after an I/O
 * error in the commit, nobody knows). */
static enum err
run_transaction(struct writer *w, struct qlist *waiting, struct batch *b, struct qlist *notices,
	struct error *error)
{
	enum err e;

	qlist_init(&b->jobs);
	b->must_last = job_must_last((const struct job *)(const void *)waiting->first);
	b->start_us = clock_mono_us();
	sql_begin_work();
	apply_keep_before(w->apply, w->keeps_before);
	e = begin(w, b->must_last, error);
	b->has_begun = e == OK;
	if (e == OK)
		e = run_jobs(w, waiting, b, error);
	if (e == OK)
		e = commit(w, b, error);
	if (e != OK) {
		roll_back(w);
		return e;
	}
	w->batch_us = clock_mono_us();
	note_commit(w, w->batch_us - b->start_us, b->ops_n);
	if (w->has_seen_others)
		push_notice(w, notices);
	return OK;
}

/** After a batch that failed: each of its jobs alone, so that one cannot take the others with it.
 * What the failed commit has left in the log may come true at a crash: is_unknown. */
static void
run_one_by_one(struct writer *w, struct qlist *jobs, bool is_unknown, struct qlist *done)
{
	while (jobs->first != NULL) {
		struct job *j = (struct job *)(void *)jobs->first;
		struct batch b = {.is_single = true};
		struct error error = ERROR_NONE;
		enum err e;

		job_drop_results(j);
		e = run_transaction(w, jobs, &b, done, &error);
		if (b.jobs.n == 0)
			qlist_append(&b.jobs, qlist_shift(jobs));
		if (e != OK && (is_unknown || b.is_unknown))
			error_wrap(&error, "the outcome of this write is unknown, read it back");
		if (e != OK)
			job_fail(j, e, &error);
		else if (j->result == OK)
			answer_write(j);
		chain_note(&b.jobs);
		qlist_splice(done, &b.jobs);
	}
}

/** Logs the first failure of a row of them, and its end. */
static void
note_failure(struct writer *w, const struct batch *b, const struct error *error)
{
	if (!w->is_failing)
		log_error("store", "a batch failed", F_INT("jobs", b->jobs.n), F_ERROR(error));
	w->is_failing = true;
}

static void
note_success(struct writer *w)
{
	if (w->is_failing)
		log_info("store", "writing works again");
	w->is_failing = false;
}

static void
run_batch(struct writer *w, struct qlist *waiting)
{
	struct error error = ERROR_NONE;
	struct batch b = {.is_single = false};
	struct qlist done;
	enum err e;

	qlist_init(&done);
	e = run_transaction(w, waiting, &b, &done, &error);
	if (e == OK) {
		note_success(w);
		answer_all(&b.jobs);
	} else {
		note_failure(w, &b, &error);
		if (b.jobs.n == 1 && b.is_unknown)
			error_wrap(&error, "the outcome of this write is unknown, read it back");
		if (!b.has_begun)
			fail_all(waiting, e, &error);
		else if (b.jobs.n == 1)
			fail_all(&b.jobs, e, &error);
		else
			run_one_by_one(w, &b.jobs, b.is_unknown, &done);
		if (!b.has_begun)
			qlist_splice(&b.jobs, waiting);
	}
	chain_note(&b.jobs);
	qlist_splice(&done, &b.jobs);
	queue_push(w->queues.out, &done);
}

/** Fails while the store's files are not where they were: what is written then would be lost. */
static enum err
check_place(struct writer *w, struct error *error)
{
	enum err e = place_check(&w->place, error);

	if (e != OK && !w->is_displaced)
		log_error("store", "nothing is written", F_ERROR(error));
	else if (e == OK && w->is_displaced)
		log_info("store", "the store's files are back");
	w->is_displaced = e != OK;
	return e;
}

static enum err
may_write(struct writer *w, struct error *error)
{
	enum err e;

	if (w->is_abandoned)
		return error_set(
			error, ERR_UNAVAILABLE, "the daemon is shutting down; this was not done");
	e = wal_check(&w->wal, error);
	return e == OK ? check_place(w, error) : e;
}

/** One batch of what waits, or a refusal of all of it. */
static void
run_some(struct writer *w, struct qlist *waiting)
{
	struct error error = ERROR_NONE;
	enum err e = may_write(w, &error);

	if (e == OK) {
		run_batch(w, waiting);
	} else {
		fail_all(waiting, e, &error);
		chain_note(waiting);
		queue_push(w->queues.out, waiting);
	}
}

/** Counts what a piece of maintenance did; true if there are changes to tell. */
static bool
note_maintenance(struct writer *w, const struct job *j)
{
	struct writer_figures *f = &w->figures;
	uint64_t changes_n = 0, dropped = 0;

	for (size_t i = 0; i < j->ops_n; i++) {
		changes_n += j->ops[i].change != NULL;
		dropped += j->ops[i].change == NULL ? (uint64_t)j->ops[i].seq : 0;
	}
	switch (w->maintain.work) {
	case MAINTAIN_EXPIRE:
		f->expired += changes_n;
		break;
	case MAINTAIN_PRUNE:
		f->pruned += dropped;
		break;
	case MAINTAIN_EVICT:
		f->evicted += changes_n;
		break;
	case MAINTAIN_TRIM:
		f->trimmed += dropped;
		break;
	}
	return changes_n > 0;
}

/** Runs one piece of maintenance as a job of the daemon's own; true if there is more to do. */
static bool
run_maintenance(struct writer *w)
{
	struct job *j;
	struct error error = ERROR_NONE;
	struct batch b = {.is_single = true};
	struct qlist one, notices;
	enum err e;

	w->maintain.prune_upto = w->pace.mark;
	j = maintain_next(&w->maintain, w->apply, clock_wall_ms(), clock_mono_ms());
	w->figures.expiry_lag_ms = w->maintain.expiry_lag_ms;
	if (j == NULL)
		return false;
	qlist_init(&one);
	qlist_init(&notices);
	qlist_append(&one, &j->item);
	e = run_transaction(w, &one, &b, &notices, &error);
	if (e == OK && j->result != OK) { /* the record has changed since it was looked at */
		e = j->result;
		error = j->error;
	}
	if (e != OK)
		log_warn("store", "expiring, pruning or trimming failed", F_ERROR(&error));
	maintain_done(&w->maintain, j, e, clock_mono_ms());
	if (e == OK && note_maintenance(w, j))
		qlist_append(&notices, &j->item);
	else
		job_free(j);
	queue_push(w->queues.out, &notices);
	return e == OK;
}

/** What the writer does by itself; true if there is more to do. */
static bool
look_after_store(struct writer *w, bool has_looked)
{
	struct retention *rules = atomic_exchange(&w->retention, NULL);
	struct error error = ERROR_NONE;

	if (rules != NULL)
		due_set_retention(w->due, rules);

	if (!has_looked)
		check_place(w, &error);
	return !w->is_displaced && run_maintenance(w);
}

/** When there is something to do without being asked (monotonic). */
static int64_t
wake_us(struct writer *w)
{
	int64_t now = clock_mono_us();
	int64_t look = now + LOOK_US;
	int64_t until = maintain_wake_us(&w->maintain, w->apply, clock_wall_ms(), now);

	until = chores_wake_us(&w->chores, now, w->is_displaced || until > look ? look : until);
	return wal_wake_us(&w->wal, now, until);
}

/** Takes what has come; long work is put aside. */
static void
take_jobs(struct writer *w, struct qlist *waiting)
{
	struct qlist fresh;
	struct qitem *it;

	qlist_init(&fresh);
	queue_take(w->queues.in, &fresh);
	while ((it = qlist_shift(&fresh)) != NULL) {
		if (!chores_take(&w->chores, (struct job *)(void *)it))
			qlist_append(waiting, it);
	}
}

/** A little of the long jobs; true if there is more to do at once. */
static bool
do_chores(struct writer *w)
{
	struct error error = ERROR_NONE;
	bool writes = chores_write(&w->chores);
	bool may_write_now = !writes || may_write(w, &error) == OK;
	bool has_more = chores_run(&w->chores, may_write_now ? NULL : &error, w->batch_us);

	if (writes)
		w->figures.free_bytes = sql_int(w->st[ST_FREE_PAGES], 0, NULL) * w->wal.page_bytes;
	return has_more;
}

static void *
run(void *arg)
{
	struct writer *w = arg;
	struct qlist waiting;

	qlist_init(&waiting);
	for (;;) {
		bool is_last = queue_is_closed(w->queues.in), has_jobs, has_more;

		take_jobs(w, &waiting);
		has_jobs = waiting.n > 0;
		if (is_last && !has_jobs && chores_are_done(&w->chores))
			break;
		if (has_jobs)
			run_some(w, &waiting);
		wal_look_after(&w->wal, waiting.n == 0 && queue_length(w->queues.in) == 0);
		if (!is_last && has_jobs && !w->is_abandoned)
			pace_keep(&w->pace, w->figures.last_seq, w->ops_n);
		has_more = do_chores(w);
		if (!is_last && !look_after_store(w, has_jobs) && waiting.n == 0 && !has_more)
			queue_wait(w->queues.in, wake_us(w));
	}
	return NULL;
}

static enum err
open_connection(struct writer *w, const char *path, const struct conf *conf, struct error *error)
{
	enum err e = writeback_open(&w->wal.file, path, error);

	if (e == OK)
		e = sql_open(path, SQL_WRITER, conf, &w->db, error);
	for (int i = 0; i < ST_COUNT && e == OK; i++)
		e = sql_prepare(w->db, texts[i], &w->st[i], error);
	if (e == OK)
		e = apply_new(w->db, &w->apply, error);
	if (e == OK)
		e = due_new(w->db, &w->due, error);
	if (e == OK)
		e = place_init(&w->place, w->db, error);
	if (e == OK)
		w->data_version = sql_int(w->st[ST_DATA_VERSION], 0, NULL);
	return e;
}

static void
close_connection(struct writer *w)
{
	apply_free(w->apply);
	due_free(w->due);
	retention_free(atomic_exchange(&w->retention, NULL));
	for (int i = 0; i < ST_COUNT; i++)
		sqlite3_finalize(w->st[i]);
	sql_close(w->db);
	writeback_close(&w->wal.file);
}

void
writer_reload(struct writer *w, const struct conf *conf)
{
	wal_reload(&w->wal, conf);
	maintain_reload(&w->maintain, conf);
	retention_free(atomic_exchange(&w->retention, retention_new(conf)));
}

enum err
writer_start(const char *path, const struct conf *conf, const struct writer_queues *queues,
	struct writer **result, struct error *error)
{
	struct writer *w = xnew(struct writer);
	enum err e = open_connection(w, path, conf, error);

	if (e == OK)
		e = wal_start(&w->wal, w->db, path, conf, error);
	if (e != OK) {
		close_connection(w);
		free(w);
		return e;
	}
	w->queues = *queues;
	w->chores = (struct chores){
		.db = w->db, .wal = &w->wal, .backups = queues->backups, .out = queues->out};
	pace_init(&w->pace);
	maintain_init(&w->maintain, w->due, clock_wall_ms(), clock_mono_ms());
	writer_reload(w, conf);
	apply_committed(w->apply);
	w->figures.last_seq = w->figures.newest = apply_last_seq(w->apply);
	w->figures.pruned_to = apply_pruned_to(w->apply);
	w->figures.tombstones = apply_tombstones(w->apply);
	w->figures.free_bytes = sql_int(w->st[ST_FREE_PAGES], 0, NULL) * w->wal.page_bytes;
	must(pthread_create(&w->thread, NULL, run, w) == 0);
	pthread_setname_np(w->thread, "writer");
	*result = w;
	return OK;
}

void
writer_keep_before(struct writer *w, bool keeps)
{
	w->keeps_before = keeps;
}

void
writer_abandon(struct writer *w)
{
	w->is_abandoned = true;
}

void
writer_stop(struct writer *w)
{
	if (w == NULL)
		return;
	pthread_join(w->thread, NULL);
	chores_fini(&w->chores);
	wal_stop(&w->wal);
	close_connection(w);
	free(w);
}
