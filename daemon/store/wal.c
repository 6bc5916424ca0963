/* The log's care: see wal.h. */

#include "daemon/store/wal.h"

#include "common/clock.h"
#include "common/log.h"
#include "daemon/store/sql.h"

/* A restart that a reader was in the way of is tried again after this. */
#define AGAIN_US 200000

static int
on_grown(void *arg, sqlite3 *db, const char *name, int pages)
{
	struct wal *w = arg;

	(void)db;
	(void)name;
	checkpoint_on_commit(&w->law, pages);
	w->figures.nbytes = pages * w->page_bytes;
	return SQLITE_OK;
}

enum err
wal_start(
	struct wal *w, sqlite3 *db, const char *path, const struct conf *conf, struct error *error)
{
	enum err e = sql_query_int(db, "PRAGMA page_size", 4096, &w->page_bytes, error);

	if (e == OK)
		e = checkpointer_start(path, conf, &w->file, &w->checkpointer, error);
	if (e != OK)
		return e;
	w->db = db;
	w->is_log_synced = w->syncs_commits = conf->store.durability == DURABILITY_FULL;
	wal_reload(w, conf);
	sqlite3_wal_hook(db, on_grown, w);
	return OK;
}

void
wal_reload(struct wal *w, const struct conf *conf)
{
	w->limit = conf->store.wal_limit;
	w->hard_limit = conf->store.wal_hard_limit;
}

enum err
wal_sync_commits(struct wal *w, bool must_last, struct error *error)
{
	bool does_sync = must_last || w->is_log_synced;
	enum err e;

	if (does_sync == w->syncs_commits)
		return OK;
	e = sql_exec(w->db, does_sync ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL",
		error);
	if (e == OK)
		w->syncs_commits = does_sync;
	return e;
}

void
wal_doubt(struct wal *w)
{
	w->law.is_in_doubt |= !w->is_log_synced;
}

enum err
wal_check(const struct wal *w, struct error *error)
{
	int64_t nbytes = w->figures.nbytes;
	const char *why = "it is being copied, try again";

	if (nbytes <= w->hard_limit)
		return OK;
	if ((w->why & 0xff) == SQLITE_BUSY)
		why = "a program that reads the store for long keeps it from shrinking";
	else if (w->why != SQLITE_OK)
		why = sqlite3_errstr(w->why);
	return error_set(error, ERR_UNAVAILABLE,
		"the write-ahead log has reached %lld bytes (store.wal_hard_limit): %s",
		(long long)nbytes, why);
}

static void
note_failure(struct wal *w, const char *what, int rc)
{
	if (w->again_us == 0)
		log_warn("store", what, F_INT("log_bytes", w->figures.nbytes),
			F_STR("why", sqlite3_errstr(rc)));
	w->why = rc;
	w->again_us = clock_mono_us() + AGAIN_US;
}

/** Starts the log anew without waiting for readers: one that is in the way makes it fail. */
static void
restart(struct wal *w)
{
	int64_t copied_n;
	int rc;

	sqlite3_busy_timeout(w->db, 0);
	copied_n = checkpoint_run(w->db, SQLITE_CHECKPOINT_RESTART, &rc);
	sqlite3_busy_timeout(w->db, SQL_BUSY_TIMEOUT_MS);
	if (rc == SQLITE_OK) {
		checkpoint_on_restarted(&w->law);
		w->figures.restarts++;
		w->figures.nbytes = 0;
		w->again_us = 0;
		w->why = SQLITE_OK;
		return;
	}
	checkpoint_on_restart_failed(&w->law, copied_n);
	note_failure(w, "the log cannot be restarted yet", rc);
}

/** After a sync that failed. */
static void
count_anew(struct wal *w)
{
	int rc = checkpoint_count_anew(w->db, w->is_log_synced);

	if (rc == SQLITE_OK)
		checkpoint_on_counted_anew(&w->law);
	else
		note_failure(w, "the log cannot be counted anew yet", rc);
}

/** At the hard limit writes are refused: so it is restarted there in any case. */
static int64_t
limit_of(const struct wal *w)
{
	return w->limit < w->hard_limit ? w->limit : w->hard_limit;
}

void
wal_look_after(struct wal *w, bool is_idle)
{
	int64_t copied_n;

	w->law.limit_n = limit_of(w) / w->page_bytes;
	if (w->law.is_out && checkpointer_take(w->checkpointer, &copied_n)) {
		checkpoint_on_taken(&w->law, copied_n);
		w->figures.checkpoints++;
		if (copied_n == CHECKPOINT_IN_DOUBT)
			w->why = SQLITE_IOERR;
	}
	if (w->law.is_in_doubt && !w->law.is_out && clock_mono_us() >= w->again_us)
		count_anew(w);
	if (checkpoint_may_restart(&w->law, is_idle) && clock_mono_us() >= w->again_us)
		restart(w);
	if (checkpoint_may_post(&w->law))
		checkpointer_post(w->checkpointer, checkpoint_on_post(&w->law));
}

bool
wal_has_room(const struct wal *w)
{
	return w->figures.nbytes < limit_of(w);
}

void
wal_want_all(struct wal *w, bool wants)
{
	w->law.wants_all = wants;
}

int64_t
wal_file_bytes(const struct wal *w)
{
	return writeback_bytes(&w->file);
}

int64_t
wal_wake_us(const struct wal *w, int64_t now_us, int64_t until_us)
{
	if (w->figures.nbytes >= limit_of(w) && until_us > now_us + AGAIN_US)
		return now_us + AGAIN_US;
	return until_us;
}

void
wal_stop(struct wal *w)
{
	int rc = SQLITE_OK;

	if (checkpointer_stop(w->checkpointer) || w->law.is_in_doubt)
		rc = checkpoint_count_anew(w->db, w->is_log_synced);
	if (rc == SQLITE_OK)
		checkpoint_run(w->db, SQLITE_CHECKPOINT_TRUNCATE, &rc);
	if (rc != SQLITE_OK)
		log_warn("store", "the log was not truncated", F_STR("why", sqlite3_errstr(rc)));
}
