#pragma once
/*
 * A check of the store while it is in use: a thread with a connection of its own,
 * read-only and without a memory map, that ends with the check. It goes from piece to
 * piece, each in a snapshot of its own, and gives up when the log grows too large
 * meanwhile. The job goes back with the report as its reply, and tells whether the
 * search index has to be made anew.
 */

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/queue.h"
#include "daemon/store/job.h"
#include "daemon/store/wal.h"

struct checker;

/** Starts it. Borrowed: log, whose size may not pass log_max, and out, where the job goes. */
struct checker *checker_start(const char *path, const struct wal_figures *log, int64_t log_max,
	struct queue *out, struct job **job);
/** Any thread. Ends it soon: the job comes back with UNAVAILABLE. */
void checker_stop(struct checker *c);
/** Rows looked at, and how many there are. */
void checker_progress(const struct checker *c, int64_t *done, int64_t *total);
/** Waits for its end. NULL is fine. */
void checker_free(struct checker *c);
