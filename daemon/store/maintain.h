#pragma once
/*
 * When to expire and when to prune: makes the jobs of the daemon's own that the
 * writer runs behind users' jobs. A step of the wall clock against the monotonic
 * one pauses both. Pure but for the jobs; writer thread (maintain_reload: loop).
 */

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/conf.h"
#include "daemon/store/apply.h"
#include "daemon/store/job.h"

struct maintain {
	_Atomic int64_t retention_ms;
	_Atomic int64_t tombstone_max;
	int64_t offset_ms;     /* wall minus monotonic, when last looked */
	int64_t paused_to_ms;  /* monotonic */
	int64_t next_prune_ms; /* monotonic */
	int64_t expiry_lag_ms; /* how long the oldest expired record has been waiting */
};

void maintain_init(struct maintain *m, int64_t wall_ms, int64_t mono_ms);
void maintain_reload(struct maintain *m, const struct conf *conf);
/** A job that is due, or NULL. */
struct job *maintain_next(struct maintain *m, struct apply *a, int64_t wall_ms, int64_t mono_ms);
/** The job was run: whether there is more of it to do decides when the next is due. */
void maintain_done(struct maintain *m, const struct job *j, enum err result, int64_t mono_ms);
/** When the writer has to look again, though nobody asks for anything (monotonic). */
int64_t maintain_wake_us(struct maintain *m, struct apply *a, int64_t wall_ms, int64_t mono_us);
