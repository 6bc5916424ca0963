#pragma once
/*
 * Answering reads on one connection: records, listings, counts, and pages of
 * changes. Pages are bounded by rows scanned, bytes and time. Each function runs
 * inside the snapshot that read_begin() opened. Reader thread.
 */

#include <sqlite3.h>
#include <stdint.h>

#include "common/err.h"
#include "daemon/store/job.h"

#define PAGE_BYTES (1u << 20)
#define PAGE_ROWS  10000 /* scanned for one page of changes */
#define PAGE_LIST_US                                                                               \
	100000 /* after this a listing ends its page, with a condition an empty one too */
#define PAGE_LIST_ROWS  20000 /* looked at for one page of a listing with a condition */
#define PAGE_CHANGES_US 50000 /* after this a page of changes ends */

struct read;

/** Prepares the statements; db and epoch are borrowed. */
enum err read_new(sqlite3 *db, const char *epoch, struct read **out, struct error *error);
void read_free(struct read *r);
/** Opens a snapshot, and closes it. */
enum err read_begin(struct read *r, struct error *error);
void read_end(struct read *r);
/** Runs a job in the snapshot: fills its result, reply, page, error. After an I/O error the next
 * job has a new one. */
void read_run(struct read *r, struct job *j);
/** The last seq of the snapshot. */
int64_t read_seq(const struct read *r);
