#pragma once
/*
 * The last changes, in order of seq, bounded in number and bytes: what a
 * subscriber that is only a little behind is fed from. It is whole above its
 * floor: every change with floor < seq is in it. Loop thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/store/change.h"

struct ring {
	struct change **v; /* owned references */
	size_t cap;
	size_t first;
	size_t n;
	size_t nbytes;
	size_t max_bytes;
	int64_t floor;
};

void ring_init(struct ring *r, size_t max_n, size_t max_bytes, int64_t floor);
void ring_fini(struct ring *r);
/** New bounds; drops the oldest that do not fit. */
void ring_resize(struct ring *r, size_t max_n, size_t max_bytes);
/** Drops everything; whole above `floor` from now on. */
void ring_void(struct ring *r, int64_t floor);

/** Takes a reference of its own; the change must be newer than all that is there. A change bigger
 * than the ring leaves it empty, with its seq as the floor. */
void ring_push(struct ring *r, struct change *c);
/** True if every change after seq is here. */
bool ring_has_all_after(const struct ring *r, int64_t seq);
/** The place of the first change after seq; r->n when there is none. */
size_t ring_place_after(const struct ring *r, int64_t seq);
/** The i-th change, oldest first; borrowed. */
struct change *ring_at(const struct ring *r, size_t i);
