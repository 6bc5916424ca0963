#pragma once
/*
 * The writer: the one thread that changes the store. Takes all jobs that wait,
 * runs them in one transaction, commits, hands the same jobs back in commit
 * order with their results. Also expires, prunes, trims, and decides about
 * checkpoints.
 */

#include <stdatomic.h>
#include <stdint.h>

#include "common/err.h"
#include "common/json.h"
#include "daemon/base/conf.h"
#include "daemon/base/queue.h"
#include "daemon/store/job.h"
#include "daemon/store/wal.h"

struct pace;
struct writer;

/** What the writer tells other threads, without a lock. */
struct writer_figures {
	_Atomic int64_t last_seq; /* committed */
	_Atomic int64_t
		newest; /* committed, or about to be: readers may see it before last_seq tells */
	_Atomic int64_t pruned_to;
	_Atomic int64_t tombstones;
	_Atomic uint64_t commits;
	_Atomic uint64_t writes; /* operations that were committed */
	_Atomic uint64_t rollbacks;
	_Atomic uint64_t expired;
	_Atomic int64_t expiry_lag_ms; /* of the oldest record that should be gone */
	_Atomic uint64_t pruned;
	_Atomic uint64_t evicted; /* records that left because their category was full: behind the
				     writes that filled it */
	_Atomic uint64_t evicted_for_others; /* the same: with them */
	_Atomic uint64_t trimmed;            /* earlier versions that were dropped */
	_Atomic uint64_t foreign_commits;
	_Atomic int64_t free_bytes; /* pages that nothing is in, when the last batch began */
};

/** The ways of its jobs, borrowed. */
struct writer_queues {
	struct queue *in;
	struct queue *out;
	struct queue *backups; /* to the backups' thread */
};

/** Opens its connection (the file is migrated already) and starts the thread. */
enum err writer_start(const char *path, const struct conf *conf, const struct writer_queues *queues,
	struct writer **result, struct error *error);
/** Takes over what may change at run time. Loop thread. */
void writer_reload(struct writer *w, const struct conf *conf);
/** Whether changes are to know what the data was before them, from the next transaction on. Any
 * thread. */
void writer_keep_before(struct writer *w, bool keeps);
/** From here on jobs are answered UNAVAILABLE instead of run (the commit that runs is finished).
 * Any thread. */
void writer_abandon(struct writer *w);
/** Ends the thread after what is queued (the queue `in` must be closed), truncates the log. */
void writer_stop(struct writer *w);
/** What bounds how far whoever follows the store may be left behind. Any thread. */
struct pace *writer_pace(struct writer *w);
const struct writer_figures *writer_figures(const struct writer *w);
const struct wal_figures *writer_log_figures(const struct writer *w);
/** Writes p50, p99 and max of the commits' durations, in milliseconds. Any thread. */
void writer_add_commit_times(const struct writer *w, struct json_out *o);
