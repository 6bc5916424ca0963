#pragma once
/*
 * The log's care: when it is copied back, when it is started anew, when it is
 * too large to take more. Belongs to the writer, on whose thread and connection
 * it works; the copying is the checkpointer's.
 */

#include <sqlite3.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "daemon/base/conf.h"
#include "daemon/store/checkpoint.h"

/** What other threads may know, without a lock. */
struct wal_figures {
	_Atomic int64_t nbytes;
	_Atomic uint64_t checkpoints;
	_Atomic uint64_t restarts;
};

struct wal {
	struct checkpoint_law law;
	int64_t page_bytes;
	int64_t again_us;   /* monotonic: not earlier; 0: nothing has failed */
	int why;            /* SQLite's code of what failed last */
	bool is_log_synced; /* by every commit */
	bool syncs_commits; /* by those from now on */
	_Atomic int64_t limit;
	_Atomic int64_t hard_limit;
	struct writeback file; /* the writer's to open and to close: around all connections */
	struct checkpointer *checkpointer;
	sqlite3 *db; /* borrowed */
	struct wal_figures figures;
};

/** Starts the checkpointer. db: the writer's, which stays in one place as the struct does. */
enum err wal_start(
	struct wal *w, sqlite3 *db, const char *path, const struct conf *conf, struct error *error);
/** Takes over what may change at run time. Loop thread. */
void wal_reload(struct wal *w, const struct conf *conf);
/** Before a transaction: if it must last its commit syncs the log, whatever store.durability says,
 * so that it fails when that does. */
enum err wal_sync_commits(struct wal *w, bool must_last, struct error *error);
/** That failed: what was not synced before may be lost. */
void wal_doubt(struct wal *w);
/** ERR_UNAVAILABLE while the log is past the hard limit: no more must be written. */
enum err wal_check(const struct wal *w, struct error *error);
/** Between two transactions: posts and takes checkpoints, restarts the log. */
void wal_look_after(struct wal *w, bool is_idle);
/** True while more may be written without need: it is not at its limit. */
bool wal_has_room(const struct wal *w);
/** Somebody waits until the file has all of the log, or no longer: it is copied as soon as it may
 * be, however little it is. */
void wal_want_all(struct wal *w, bool wants);
/** The bytes of the file that it is copied to. */
int64_t wal_file_bytes(const struct wal *w);
/** When it must be looked after again without being asked, at the latest `until_us`. */
int64_t wal_wake_us(const struct wal *w, int64_t now_us, int64_t until_us);
/** Ends the checkpointer and truncates the log. Nobody else writes any more. */
void wal_stop(struct wal *w);
