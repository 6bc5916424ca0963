#pragma once
/*
 * When to expire, to prune and to trim: makes the jobs of the daemon's own that the
 * writer runs behind users' jobs. A step of the wall clock against the monotonic
 * one pauses all of it, and so does a restoration, whose records would be joined by
 * changes that it does not know. What cannot be expired does not keep the rest from
 * being done. Pure but for the jobs; writer thread (maintain_reload: loop).
 */

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/conf.h"
#include "daemon/store/apply.h"
#include "daemon/store/due.h"
#include "daemon/store/job.h"

/** What the job that maintain_next() made is for. */
enum maintain_work { MAINTAIN_EXPIRE, MAINTAIN_PRUNE, MAINTAIN_EVICT, MAINTAIN_TRIM };

struct maintain {
	struct due *due; /* borrowed */
	enum maintain_work work;
	_Atomic int64_t retention_ms;
	_Atomic int64_t tombstone_max;
	int64_t offset_ms;       /* wall minus monotonic, when last looked */
	int64_t paused_to_ms;    /* monotonic */
	int64_t no_expiry_to_ms; /* monotonic: what has expired could not be read, or not deleted */
	int64_t next_prune_ms;   /* monotonic */
	int64_t held_to_ms;      /* monotonic: somebody has to see the oldest tombstones first */
	int64_t prune_upto;      /* the writer's: no tombstone above it goes; 0: any */
	int64_t expiry_lag_ms;   /* how long the oldest expired record has been waiting */
};

void maintain_init(struct maintain *m, struct due *due, int64_t wall_ms, int64_t mono_ms);
void maintain_reload(struct maintain *m, const struct conf *conf);
/** A job that is due, or NULL. */
struct job *maintain_next(struct maintain *m, struct apply *a, int64_t wall_ms, int64_t mono_ms);
/** The job was run: whether there is more of it to do decides when the next is due. */
void maintain_done(struct maintain *m, const struct job *j, enum err result, int64_t mono_ms);
/** When the writer has to look again, though nobody asks for anything (monotonic). */
int64_t maintain_wake_us(struct maintain *m, struct apply *a, int64_t wall_ms, int64_t mono_us);
