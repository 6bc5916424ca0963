#pragma once
/*
 * What an operation that deletes by a condition carries: the condition, where in
 * its category it begins to look, and afterwards what it did. How much it looks at
 * is counted in records and bytes, never in time: so the same operation comes to
 * the same on any machine, and never holds the writer for long.
 *
 * It looks in the order of seq. A record that is written meanwhile goes to the end
 * of that order, so whoever goes on to the end has missed none.
 */

#include <stddef.h>
#include <stdint.h>

#include "common/where.h"
#include "daemon/store/change.h"

/* What one operation looks at, and what it deletes, at most. */
#define SWEEP_ROWS    10000
#define SWEEP_BYTES   ((size_t)16 << 20) /* of data; and the record that goes beyond it */
#define SWEEP_DELETES 1000

struct sweep {
	const struct where *where; /* in the same block */
	int64_t since;             /* looks at what is above this seq */
	/* results */
	int64_t end;             /* the next one goes on from here; 0: nothing is left to look at */
	struct change **changes; /* owned, in order */
	size_t n;
	size_t cap;
};

/** A sweep with a copy of the condition; NULL when out of memory. */
struct sweep *sweep_new(const struct where *where, int64_t since);
/** Takes the change of a record that was deleted. */
void sweep_add(struct sweep *s, struct change **change);
/** Forgets what came of it. */
void sweep_reset(struct sweep *s);
void sweep_free(struct sweep *s);
