#pragma once
/*
 * Somebody who follows the store's changes (the search index) and whom the writer
 * must not leave too far behind. The follower writes it, the writer reads it.
 * What it has not seen yet is not pruned, and beyond `allowed` the writer waits a
 * little a batch, the longer the further behind the follower is: so the lag
 * settles where both are equally fast. Any thread.
 */

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* Nobody follows. */
#define PACE_NOBODY INT64_MAX

struct pace {
	_Atomic int64_t mark;    /* the follower has seen everything up to this seq */
	_Atomic int64_t allowed; /* how far it may be behind for nothing */
	_Atomic int64_t slope;   /* so much more, and the writer waits as long as it ever does */
	_Atomic uint64_t waited_us;
};

void pace_init(struct pace *p);
/** How long to wait in front of a batch, after one of ops_n operations up to last_seq. */
int64_t pace_wait_us(const struct pace *p, int64_t last_seq, size_t ops_n);
/** Waits so long: those who follow the store catch up a little. Writer thread. */
void pace_keep(struct pace *p, int64_t last_seq, size_t ops_n);
