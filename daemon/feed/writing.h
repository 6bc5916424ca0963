#pragma once
/*
 * What a feed writes: records, gathered into jobs of many. The store has two of them at
 * a time, the second chained to the first, so that they are written in the order in
 * which they came, whatever fails.
 * What the store could not write (a full disk, a device that fails) is kept and tried
 * again, later and later up to WRITING_RETRY_MAX_MS.
 *
 * When enough is gathered it is full, until some of it is written: whoever writes waits
 * meanwhile. One that conflates keeps the newest of each record then, and is full only
 * when that is too much as well. Loop thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/json.h"
#include "daemon/base/conf.h"
#include "daemon/feed/conflation.h"
#include "daemon/store/job.h"

struct loop;
struct store;
struct writing;

#define WRITING_RETRY_MIN_MS 100
#define WRITING_RETRY_MAX_MS 5000

/** What whoever writes hears, from inside of writing_done() and of timers. */
struct writing_ops {
	/** It was full, and is not any longer; or it is idle again. */
	void (*room)(void *arg);
	/** So many records are committed, up to seq; the first of them came at came_us. */
	void (*committed)(void *arg, size_t n, int64_t seq, int64_t came_us);
	/** The store does not write, and it will be tried again; NULL: it does again. */
	void (*failing)(void *arg, const struct error *error);
	void *arg;
};

struct writing_wish {
	const struct conf *conf; /* borrowed; writing_reload() */
	uint64_t id;             /* of the feed: that of its jobs' origin */
	bool conflates;
};

struct writing *writing_new(struct loop *loop, struct store *store, const struct writing_wish *wish,
	const struct writing_ops *ops);
/** What the store has comes back to nobody, and is written. */
void writing_free(struct writing *w);
void writing_reload(struct writing *w, const struct conf *conf, bool conflates);

/** Takes a copy. ERR_LIMIT_EXCEEDED: it is larger than its category or the store allows. */
enum err writing_add(struct writing *w, const struct feed_record *r, struct error *error);
/** What was added goes to the store, if that has nothing of it, or if it is much. */
void writing_flush(struct writing *w);
/** True: nothing should be added. */
bool writing_is_full(const struct writing *w);
/** True: all that was added is written. */
bool writing_is_idle(const struct writing *w);
/** The daemon stops: all goes to the store at once, and what fails is given up. */
void writing_hurry(struct writing *w);
/** Records that others took the place of before they were written. */
uint64_t writing_conflated(const struct writing *w);
/** A job of its origin is back; takes it if it is to be tried again. */
void writing_done(struct writing *w, struct job **job);
