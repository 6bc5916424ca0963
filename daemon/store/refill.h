#pragma once
/*
 * Records that come from an export, with the seq, rev and times that they had:
 * part of applying operations. They go into a store that has nothing else: it
 * knows up to which seq it was filled by these operations (meta.restored_to), and
 * refuses them once anybody else has written, or when the restoration was
 * declared complete; until then nothing expires, which would be such a write. So
 * every position that this store has given out stays true: seq only grows, and no
 * client of the exported store knows its epoch. Writer thread.
 */

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "daemon/store/job.h"

struct refill;

enum err refill_new(sqlite3 *db, struct refill **out, struct error *error);
void refill_free(struct refill *r);

/** True while more is to come, and nobody else has written since. */
bool refill_is_under_way(struct refill *r, int64_t last_seq);
/** Applies an operation of these kinds; *last_seq and *tombstones are where the store stands.
 * ERR_CONFLICT is a refusal, any other failure means that the transaction is lost. */
enum err refill_apply(struct refill *r, struct op *op, int64_t *last_seq, int64_t *tombstones,
	struct error *error);
