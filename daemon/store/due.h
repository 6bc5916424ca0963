#pragma once
/*
 * What is due without anybody asking for it: records that have expired, and what
 * is more than a category keeps. It only looks; what is found becomes jobs that
 * carry all that they need. Categories are walked through in their order, a
 * bounded part at a time, once a minute: for versions that are too old, and after
 * the rules have changed for all that the new ones do not allow. Writer thread.
 */

#include <sqlite3.h>
#include <stdint.h>

#include "common/err.h"
#include "daemon/store/apply.h"
#include "daemon/store/job.h"
#include "daemon/store/retention.h"

/* How long the versions of a record are kept after the tombstone, where only their number is
 * bounded: whoever replays them has so long to come to the deletion. */
#define DUE_GONE_MS INT64_C(3600000)

struct due;

/** Prepares the statements; db is borrowed. */
enum err due_new(sqlite3 *db, struct due **out, struct error *error);
void due_free(struct due *d);
/** The rules from now on; takes them. */
void due_set_retention(struct due *d, struct retention *r);

/** Deletes the records that have expired, the oldest first and not too many at a time; NULL: there
 * are none, or they cannot be read. */
struct job *due_expired(struct due *d, int64_t wall_ms);
/** Goes on with the walk, when there is one to do; the next job, or NULL. */
struct job *due_walk(struct due *d, struct apply *a, int64_t wall_ms, int64_t mono_ms);
/** When to go on with it (monotonic); INT64_MAX: not before something changes. */
int64_t due_wake_ms(const struct due *d);
