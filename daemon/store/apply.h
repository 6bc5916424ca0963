#pragma once
/*
 * Applying operations to the tables, inside a transaction that the writer has
 * open. It reads no clock, makes no ids and knows no threads: the same
 * operations in the same order give the same store. Writer thread.
 */

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "daemon/store/counts.h"
#include "daemon/store/job.h"

#define SEQ_MAX ((INT64_C(1) << 53) - 1)

struct apply;

/** Prepares the statements and reads where the store stands. db is borrowed. */
enum err apply_new(sqlite3 *db, struct apply **out, struct error *error);
void apply_free(struct apply *a);

/** Reads last_seq, pruned_to and the number of tombstones again: after somebody else's commit,
 * before anything is applied. last_seq does not go below what was committed before. */
enum err apply_reload(struct apply *a, struct error *error);
/** The transaction is committed, or rolled back. */
void apply_committed(struct apply *a);
void apply_rolled_back(struct apply *a);

/** Whether changes are to know what the data was before them. */
void apply_keep_before(struct apply *a, bool keeps);

/** Where the store stood at a savepoint. */
struct apply_mark {
	int64_t last_seq;
	int64_t pruned_to;
	int64_t tombstones;
	int64_t evicted; /* records that left for others, since the start */
	struct counts_mark counts;
};

struct apply_mark apply_mark(const struct apply *a);
/** The savepoint was rolled back to. */
void apply_return(struct apply *a, struct apply_mark mark);

/** True for refusals: CONFLICT, and what a patch may meet. */
bool apply_is_refusal(enum err e);
/** Applies one operation and fills its results. What apply_is_refusal() changed nothing.
 * Any other failure means that the transaction is lost. */
enum err apply_op(struct apply *a, struct op *op, struct error *error);

/** The newest seq, given or on its way; what was pruned; how many tombstones there are. */
int64_t apply_last_seq(const struct apply *a);
int64_t apply_pruned_to(const struct apply *a);
int64_t apply_tombstones(const struct apply *a);
int64_t apply_evicted(const struct apply *a);
/** How many records the category has: counted once, then kept. */
enum err apply_count(struct apply *a, struct span category, int64_t *n, struct error *error);
/** True, once, when records may have come since that no put has kept below a maximum: somebody
 * else's, or those of an export. */
bool apply_take_uncounted(struct apply *a);
/** True while an export is restored: until it is complete, nothing else may be written. */
bool apply_is_restoring(const struct apply *a);
/** When the first record expires, INT64_MAX: none does. */
enum err apply_next_expiry(struct apply *a, int64_t *ms, struct error *error);
