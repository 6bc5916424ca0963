#pragma once
/*
 * Whose turn it is at a thread that reads: every client has the same share of it,
 * however much it has asked for. Each read gets a number when it is let in; the
 * thread takes the smallest first. A client's numbers go on from each other, or
 * from where the thread is, by what a read of the kind is likely to cost: who asks
 * for little comes before what others want next. Private to who answers reads.
 */

#include "daemon/base/queue.h"
#include "daemon/store/job.h"

/** Gives the job its number. The thread is at `now`, the newest number of its client is *newest
 * (NULL: the daemon's own). Loop thread. */
void turn_give(struct job *j, uint64_t now, uint64_t *newest);
/** It comes back undone: the number does not count. Loop thread. */
void turn_drop(const struct job *j, uint64_t *newest);
/** Where a thread is that has done this. */
uint64_t turn_at(const struct job *j);

/** Takes what has come into the queue to what waits, in order; of the same number, what came first.
 * The thread that reads. */
void turn_take(struct queue *q, struct qlist *waiting);
