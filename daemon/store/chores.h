#pragma once
/*
 * Long jobs that the writer does a little of between two batches: the copy for a backup,
 * and giving free pages back. One of each kind at a time. The writer's thread.
 */

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "daemon/base/queue.h"
#include "daemon/store/job.h"
#include "daemon/store/wal.h"

struct copy;

struct chores {
	struct job *backup;     /* the one that is being copied; NULL: none, or it is elsewhere */
	struct copy *copy;      /* open from a backup's first part to its last */
	struct job *compaction; /* NULL: none */
	int64_t rest_us;        /* until when it rests (monotonic) */
	sqlite3 *db;            /* borrowed, as all below */
	struct wal *wal;
	struct queue *backups; /* to the backups' thread */
	struct queue *out;
};

/** Takes the job over if it is one of them. */
bool chores_take(struct chores *c, struct job *j);
/** Whether one of them writes to the store. */
bool chores_write(const struct chores *c);
/** Outside of a transaction. why_not: the store must not be written to; NULL: it may. batch_us:
 * when the last batch of somebody's ended. True if there is more to do at once. */
bool chores_run(struct chores *c, const struct error *why_not, int64_t batch_us);
bool chores_are_done(const struct chores *c);
/** When the next of it is due, at the latest `until_us` (monotonic). */
int64_t chores_wake_us(const struct chores *c, int64_t now_us, int64_t until_us);
/** Drops a copy whose backup is with its thread. */
void chores_fini(struct chores *c);
