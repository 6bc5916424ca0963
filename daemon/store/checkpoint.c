/* Checkpoints: see checkpoint.h. */

#include "daemon/store/checkpoint.h"

#include <pthread.h>
#include <stdlib.h>

#include "common/log.h"
#include "common/xalloc.h"
#include "daemon/base/queue.h"
#include "daemon/store/sql.h"

/* The index of the log, in shared memory (its format is documented and fixed): the locks of who
 * writes and of who copies, side by side, and how many frames are copied. */
#define INDEX_BYTES 32768
#define LOCKS_AT    0
#define LOCKS_N     2
#define COPIED_AT   24 /* in words */

#define LOG_PART 65536 /* SQLite writes no more than 128 KiB at a time */

static bool
is_near_limit(const struct checkpoint_law *law)
{
	return law->wants_all || law->log_n >= law->limit_n - law->limit_n / 4;
}

void
checkpoint_on_commit(struct checkpoint_law *law, int64_t log_n)
{
	if (log_n < law->log_n)
		law->copied_n = law->posted_n = 0; /* the commit started the log anew */
	law->log_n = log_n;
	law->has_commit = true;
}

static int64_t
least_pages(const struct checkpoint_law *law)
{
	if (law->wants_all)
		return 1;
	return law->log_n >= law->limit_n ? CHECKPOINT_LAST_PAGES : CHECKPOINT_PAGES;
}

/** A pass that a reader kept from the log's end is not repeated for every commit. */
bool
checkpoint_may_post(const struct checkpoint_law *law)
{
	int64_t from_n = law->copied_n > law->posted_n ? law->copied_n : law->posted_n;

	return !law->is_out && !law->is_in_doubt && law->has_commit &&
	       law->log_n - from_n >= least_pages(law);
}

bool
checkpoint_on_post(struct checkpoint_law *law)
{
	must(checkpoint_may_post(law));
	law->is_out = true;
	law->posted_n = law->log_n;
	law->does_sync = is_near_limit(law);
	return law->does_sync;
}

static void
note_copied(struct checkpoint_law *law, int64_t copied_n)
{
	law->has_commit = false;
	law->is_in_doubt |= copied_n == CHECKPOINT_IN_DOUBT;
	if (copied_n >= 0)
		law->copied_n = copied_n < law->log_n ? copied_n : law->log_n;
}

void
checkpoint_on_taken(struct checkpoint_law *law, int64_t copied_n)
{
	must(law->is_out);
	law->is_out = false;
	law->is_synced = law->does_sync && copied_n >= 0;
	note_copied(law, copied_n);
}

bool
checkpoint_may_restart(const struct checkpoint_law *law, bool is_idle)
{
	if (law->is_out || law->is_in_doubt || law->log_n == 0)
		return false;
	if (law->wants_all) /* a pass first, where there may be one */
		is_idle = is_idle && !law->has_commit;
	else if (law->log_n < law->limit_n)
		return false;
	return is_idle || law->log_n / 2 >= law->limit_n ||
	       (law->is_synced && law->log_n - law->copied_n <= RESTART_PAGES);
}

void
checkpoint_on_restarted(struct checkpoint_law *law)
{
	must(!law->is_out);
	law->log_n = law->copied_n = law->posted_n = 0;
	law->has_commit = law->is_synced = false;
}

void
checkpoint_on_restart_failed(struct checkpoint_law *law, int64_t copied_n)
{
	must(!law->is_out);
	note_copied(law, copied_n);
}

void
checkpoint_on_counted_anew(struct checkpoint_law *law)
{
	must(!law->is_out);
	law->copied_n = 0;
	law->is_in_doubt = law->is_synced = false;
}

static int64_t
outcome_of(int rc, int64_t copied_n)
{
	return (rc & 0xff) == SQLITE_IOERR ? CHECKPOINT_IN_DOUBT : copied_n;
}

int64_t
checkpoint_run(sqlite3 *db, int mode, int *rc)
{
	int copied = CHECKPOINT_IN_WAY;

	*rc = sqlite3_wal_checkpoint_v2(db, NULL, mode, NULL, &copied);
	return outcome_of(*rc, copied);
}

/** What the cache has of the log goes to the disk, whatever was written of it before. */
static int
rewrite_log(sqlite3 *db)
{
	sqlite3_file *log = NULL;
	sqlite3_int64 size = 0;
	char *part = xnew_n(LOG_PART, char);
	int rc = sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);

	if (rc == SQLITE_OK)
		rc = log->pMethods->xFileSize(log, &size);
	for (sqlite3_int64 at = 0; at < size && rc == SQLITE_OK; at += LOG_PART) {
		int n = size - at < LOG_PART ? (int)(size - at) : LOG_PART;

		rc = log->pMethods->xRead(log, part, n, at);
		if (rc == SQLITE_OK)
			rc = log->pMethods->xWrite(log, part, n, at);
	}
	if (rc == SQLITE_OK)
		rc = log->pMethods->xSync(log, SQLITE_SYNC_NORMAL);
	free(part);
	return rc;
}

int
checkpoint_count_anew(sqlite3 *db, bool is_log_synced)
{
	sqlite3_file *file = NULL;
	volatile void *index = NULL;
	int rc = sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file);

	if (rc == SQLITE_OK)
		rc = file->pMethods->xShmLock(
			file, LOCKS_AT, LOCKS_N, SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE);
	if (rc != SQLITE_OK)
		return rc;
	if (!is_log_synced)
		rc = rewrite_log(db);
	if (rc == SQLITE_OK)
		rc = file->pMethods->xShmMap(file, 0, INDEX_BYTES, 0, &index);
	if (rc == SQLITE_OK)
		__atomic_store_n((volatile uint32_t *)index + COPIED_AT, 0, __ATOMIC_SEQ_CST);
	file->pMethods->xShmLock(file, LOCKS_AT, LOCKS_N, SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE);
	return rc;
}

/* The one request there is; it goes to the thread and comes back. */
struct request {
	struct qitem item;
	bool does_sync;
	int64_t copied_n;
};

struct checkpointer {
	sqlite3 *db;
	struct writeback *file; /* borrowed */
	int64_t copied_n;       /* pages of the log, at the last pass */
	struct queue *asked;
	struct queue *done;
	struct request request;
	pthread_t thread;
};

/** SQLite syncs the database file only when a pass reached the log's end. */
static int
sync_file(sqlite3 *db)
{
	sqlite3_file *file = NULL;

	if (sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file) != SQLITE_OK ||
		file == NULL || file->pMethods == NULL)
		return SQLITE_OK;
	return file->pMethods->xSync(file, SQLITE_SYNC_NORMAL);
}

/** A pass that reaches the log's end syncs the file by itself: so what is there is written back
 * before that too. */
static int64_t
run_pass(struct checkpointer *c, bool does_sync)
{
	int64_t copied_n;
	int rc;

	if (does_sync)
		writeback_run(c->file);
	copied_n = checkpoint_run(c->db, SQLITE_CHECKPOINT_PASSIVE, &rc);
	if (rc == SQLITE_OK) {
		writeback_add(c->file, copied_n < c->copied_n ? copied_n : copied_n - c->copied_n);
		c->copied_n = copied_n;
	}
	if (rc == SQLITE_OK && does_sync) {
		writeback_run(c->file);
		rc = sync_file(c->db);
		copied_n = outcome_of(rc, copied_n);
	}
	if (copied_n == CHECKPOINT_IN_DOUBT)
		c->copied_n = 0;
	if (rc != SQLITE_OK && (rc & 0xff) != SQLITE_BUSY)
		log_warn("store", "checkpoint failed", F_STR("why", sqlite3_errstr(rc)));
	return copied_n;
}

static void *
run(void *arg)
{
	struct checkpointer *c = arg;
	struct qlist items;

	qlist_init(&items);
	while (queue_wait(c->asked, INT64_MAX)) {
		queue_take(c->asked, &items);
		c->request.copied_n = run_pass(c, c->request.does_sync);
		queue_push(c->done, &items);
	}
	return NULL;
}

enum err
checkpointer_start(const char *path, const struct conf *conf, struct writeback *file,
	struct checkpointer **out, struct error *error)
{
	struct checkpointer *c;
	sqlite3 *db;
	enum err e = sql_open(path, SQL_CHECKPOINTER, conf, &db, error);

	if (e != OK)
		return e;
	c = xnew(struct checkpointer);
	c->db = db;
	c->file = file;
	c->asked = queue_new();
	c->done = queue_new();
	must(pthread_create(&c->thread, NULL, run, c) == 0);
	pthread_setname_np(c->thread, "checkpointer");
	*out = c;
	return OK;
}

bool
checkpointer_stop(struct checkpointer *c)
{
	struct qlist items;
	bool is_in_doubt;

	queue_close(c->asked);
	pthread_join(c->thread, NULL);
	qlist_init(&items);
	queue_take(c->asked, &items);
	queue_take(c->done, &items);
	queue_free(c->asked);
	queue_free(c->done);
	sql_close(c->db);
	is_in_doubt = c->request.copied_n == CHECKPOINT_IN_DOUBT;
	free(c);
	return is_in_doubt;
}

void
checkpointer_post(struct checkpointer *c, bool does_sync)
{
	struct qlist items;

	c->request.does_sync = does_sync;
	qlist_init(&items);
	qlist_append(&items, &c->request.item);
	queue_push(c->asked, &items);
}

bool
checkpointer_take(struct checkpointer *c, int64_t *copied_n)
{
	struct qlist items;

	qlist_init(&items);
	queue_take(c->done, &items);
	if (items.n == 0)
		return false;
	*copied_n = c->request.copied_n;
	return true;
}
