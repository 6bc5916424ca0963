#pragma once
/*
 * Copying the log back into the database file, beside the writer. SQLite up to
 * 3.51.2 can corrupt a store when a pass starts on a log that is wholly copied
 * while a commit restarts it (the "WAL-reset bug"). The law below keeps clear of
 * it: at most one request, posted only after the writer took the previous
 * completion and has committed at least one frame since; only the writer
 * restarts the log, with no request out.
 *
 * Copied pages reach the disk when the log comes near its limit, not after each
 * pass: that writes three times as slowly, as pages change again and have no
 * neighbours (measured on a million records: 7,500 puts a second against 11,500).
 * How they are written without making commits wait is in writeback.h. At the limit
 * passes are short, so that little is left for the restart, which the writer has to
 * wait for (half a second otherwise). The same holds while somebody waits for all of
 * the log to be copied: only then does a file that has become shorter end earlier.
 *
 * A sync that fails is in doubt for good: the kernel says so once, forgets what it
 * could not write, and the next sync succeeds. What is lost may have been copied by
 * earlier passes, which SQLite counts as done. So the log is not started anew until
 * all of it has been copied once more.
 *
 * struct checkpoint_law is pure and belongs to the writer's thread; the
 * checkpointer's thread does the passes.
 */

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "daemon/base/conf.h"
#include "daemon/store/writeback.h"

#define CHECKPOINT_PAGES      4000 /* in the log and not copied: worth a pass */
#define CHECKPOINT_LAST_PAGES 500  /* the same, at the limit */
#define RESTART_PAGES         1500 /* what a restart may have to copy itself */

/* What a pass answers instead of the number of pages that are copied. */
#define CHECKPOINT_IN_WAY   -1 /* it could not begin: somebody else copies, or reads */
#define CHECKPOINT_IN_DOUBT -2 /* an I/O error: what was copied may not be on the disk */

struct checkpoint_law {
	int64_t limit_n;  /* pages: the log is to be restarted when it has so many */
	int64_t log_n;    /* pages in the log at the last commit */
	int64_t copied_n; /* of them, copied by the last pass */
	int64_t posted_n; /* pages in the log when the last pass was posted */
	bool is_out;      /* a request is posted, running, or done and not yet taken */
	bool has_commit;  /* a frame was committed since the last completion was taken */
	bool does_sync;   /* the last pass was to sync the database file */
	bool is_synced;   /* and did: what it copied is on the disk */
	bool is_in_doubt; /* what was copied, or the log, may not be on the disk */
	bool wants_all;   /* somebody waits until the file has all of the log */
};

/** A commit left this many pages in the log. */
void checkpoint_on_commit(struct checkpoint_law *law, int64_t log_n);
/** True when a pass may be asked for and is worth it. */
bool checkpoint_may_post(const struct checkpoint_law *law);
/** Returns whether the pass is to sync the database file. */
bool checkpoint_on_post(struct checkpoint_law *law);
void checkpoint_on_taken(struct checkpoint_law *law, int64_t copied_n);
/** True when the writer is to restart the log: it is at its limit, nothing is out, and not much is
 * left to copy, or nobody waits for the writer, or the log is at twice its limit. Where somebody
 * waits for all of it (wants_all) it need not be at its limit. */
bool checkpoint_may_restart(const struct checkpoint_law *law, bool is_idle);
void checkpoint_on_restarted(struct checkpoint_law *law);
/** A reader was in the way, but the attempt has copied what it could: the log may be wholly copied
 * now, so the next pass waits for a commit. */
void checkpoint_on_restart_failed(struct checkpoint_law *law, int64_t copied_n);
/** All of the log counts as not copied. */
void checkpoint_on_counted_anew(struct checkpoint_law *law);

/** Copies: how many pages of the log are copied then, or one of the two above; *rc says why. Any
 * thread with its own connection. */
int64_t checkpoint_run(sqlite3 *db, int mode, int *rc);
/** Has SQLite count all of the log as not copied, and before that, unless the log is synced by
 * every commit, writes it once more and syncs it. The writer's thread, outside of a transaction,
 * with no pass out. Returns SQLite's code; SQLITE_BUSY: somebody else is at the log. */
int checkpoint_count_anew(sqlite3 *db, bool is_log_synced);

struct checkpointer;

/** Starts the thread with a connection of its own. The file is borrowed. */
enum err checkpointer_start(const char *path, const struct conf *conf, struct writeback *file,
	struct checkpointer **out, struct error *error);
/** Waits for a pass that runs, and ends the thread. True if that pass was in doubt. */
bool checkpointer_stop(struct checkpointer *c);
/** Posts a request. */
void checkpointer_post(struct checkpointer *c, bool does_sync);
/** Takes the completion, when there is one: what checkpoint_run() answered. */
bool checkpointer_take(struct checkpointer *c, int64_t *copied_n);
