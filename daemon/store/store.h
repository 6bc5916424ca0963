#pragma once
/*
 * The face of the store: the one way to disk. Opens the file (lock, migrations,
 * epoch), owns the writer, the checkpointer and the readers, takes jobs, hands
 * them back in commit order. Everything here runs on the loop thread.
 *
 * Fairness. Every client has a store_client. store_submit() never refuses for
 * want of room and never blocks: what the queue has no room for waits with its
 * client, which must then not be read from (store_client_is_waiting()) until
 * the sink's room() names it. Writes, reads and searches have a queue each. No
 * client holds more than an eighth of a queue while others wait; waiting clients
 * are served in turn; control clients have slots of their own. The readers serve
 * clients in turn, too. A read waits for the commit of every write that the same
 * client submitted before it. No more than a few answers are made ahead for a
 * client that does not take them.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/json.h"
#include "daemon/base/conf.h"
#include "daemon/store/backup.h"
#include "daemon/store/job.h"

struct loop;
struct pace;
struct queue;
struct store;

/** How the store answers, on the loop thread. */
struct store_sink {
	/** Jobs that are done, in commit order; the callee becomes the owner. One call per wake. */
	void (*done)(void *arg, struct qlist *jobs);
	/** This client has nothing waiting any more: it may be read from again. */
	void (*room)(void *arg, struct store_client *client);
	void *arg;
};

/** Opens or makes the file: lock, migrations, a new epoch (synced). Starts the threads. conf is
 * borrowed and may be swapped with store_reload(). */
enum err store_open(struct loop *loop, const struct conf *conf, const struct store_sink *sink,
	struct store **out, struct error *error);
/** Takes over what may change at run time. */
void store_reload(struct store *s, const struct conf *conf);

/** The client's half of the fairness. `id` is the peer's; it comes back in logs only. */
struct store_client *store_client_new(struct store *s, uint64_t id, bool is_control);
/** The peer is gone: its reads are dropped, but for one that a thread is at; its writes still run.
 * Drops the peer's reference. */
void store_client_close(struct store_client *c);
bool store_client_is_waiting(const struct store_client *c);
/** The peer takes no answers from now on, or takes them again: meanwhile its reads wait. */
void store_client_choke(struct store_client *c, bool is_choked);
/** The peer behind a client, as given to store_client_new(). */
uint64_t store_client_id(const struct store_client *c);

/** A write of the client was refused before it could be submitted: what is chained to it is too. */
void store_client_refuse(struct store_client *c);

/** Takes the job. PENDING; or ERR_UNAVAILABLE (shutting down, chained to what was refused) with
 * *error set and the job still the caller's. client may be NULL (the daemon's own). */
enum err store_submit(
	struct store *s, struct store_client *client, struct job **job, struct error *error);

/** Begins a backup. It comes back by the sink as a JOB_BACKUP: the reply says what it holds, or the
 * error why there is none. ERR_UNAVAILABLE: one is being made, or the daemon shuts down. */
enum err store_backup(struct store *s, const struct store_backup *how, struct error *error);
/** Nobody wants it any more: it comes back soon, as ERR_UNAVAILABLE. */
void store_backup_stop(struct store *s);
/** How far it is, in bytes; false: it is over, and that is how far the last one came. */
bool store_backup_progress(const struct store *s, int64_t *done, int64_t *total);

/** Who follows the store and answers searches: jobs of that kind go into this queue, and come back
 * through store_done_queue(). Set before the first of them is submitted; NULL: no longer. */
void store_set_searcher(struct store *s, struct queue *searches);
struct queue *store_done_queue(struct store *s);
/** What keeps the writer from leaving it too far behind. */
struct pace *store_pace(struct store *s);

/** The version of the SQLite that is in use. */
const char *store_engine_version(void);
/** The file. */
const char *store_path(const struct store *s);
/** The epoch of this run (borrowed), the last committed seq (any thread), what was pruned. */
const char *store_epoch(const struct store *s);
int64_t store_last_seq(const struct store *s);
int64_t store_pruned_to(const struct store *s);
/** The newest seq that a reader can have seen of ours: above the last committed while that is still
 * being told. */
int64_t store_newest_seq(const struct store *s);

/** Whether changes are to know what the data was before them (change.h): it costs a copy each. What
 * was submitted before may come without. */
void store_keep_before(struct store *s, bool keeps);

/** Judges a position. since 0 is always valid, whatever stands beside it. ERR_INVALID_ARGUMENT:
 * since above 0 without epoch. ERR_RESYNC_REQUIRED: unknown epoch, a seq that this history does not
 * have, or below what was pruned (both since and base). */
enum err store_check_position(
	const struct store *s, struct span epoch, int64_t since, int64_t base, struct error *error);

/** Fills a tail whose bounds are set, to warm the hub's ring before serving; on a failure it is
 * empty. */
enum err store_read_tail(struct store *s, struct tail *t, struct error *error);

/** Writes the members of status's "store" object. */
void store_add_status(struct store *s, struct json_out *o);

/** Begins a check of the store, one at a time. It comes back by the sink as a JOB_CHECK: the reply
 * is the report. */
enum err store_check(struct store *s, struct error *error);
void store_check_stop(struct store *s);
/** Rows looked at, and how many there are, of the check that runs; false: there is none, and they
 * are those of the last one. */
bool store_check_progress(const struct store *s, int64_t *done, int64_t *total);

/** Begins to give free pages back, one at a time. It comes back by the sink as a JOB_COMPACT: the
 * reply says how much that was. ERR_UNAVAILABLE as with a backup. */
enum err store_compact(struct store *s, struct error *error);
/** What was given back stays so. */
void store_compact_stop(struct store *s);
/** The same for it, in bytes. */
bool store_compact_progress(const struct store *s, int64_t *done, int64_t *total);

/** From here on store_submit() refuses, and reads whose answers nobody takes are given up. */
void store_refuse(struct store *s);
/** True when no accepted job is on its way. */
bool store_is_idle(const struct store *s);
/** Answers everything that the writer has not begun with UNAVAILABLE: the deadline passed. */
void store_abandon(struct store *s);
/** Stops the threads, truncates the log, releases the lock. Jobs still unanswered are freed. */
void store_close(struct store *s);
