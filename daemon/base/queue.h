#pragma once
/*
 * The hand-over between threads: a list under a lock, a wake-up only when it goes
 * from empty to not empty, and the taker takes all of it at once. Items are owned
 * by the queue while they are in it. What may be in it is bounded by who lets
 * things in (the store's lobby). This is the only lock of the daemon. The taker
 * waits either on a condition (threads) or on an eventfd (the loop).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Embedded as a member by whatever is queued. */
struct qitem {
	struct qitem *next;
	size_t nbytes; /* what it counts against the bounds of who hands it over */
};

/** A taken run of items, first in first out. */
struct qlist {
	struct qitem *first;
	struct qitem **tail;
	unsigned n;
};

static inline void
qlist_init(struct qlist *l)
{
	*l = (struct qlist){.first = NULL, .tail = NULL, .n = 0};
}

void qlist_append(struct qlist *l, struct qitem *it);
struct qitem *qlist_shift(struct qlist *l);
/** Moves all of `from` to the end of `to`. */
void qlist_splice(struct qlist *to, struct qlist *from);

struct queue;

struct queue *queue_new(void);
/** The queue must be empty. */
void queue_free(struct queue *q);

/** Puts all of a list in at once; empties the list. */
void queue_push(struct queue *q, struct qlist *items);
/** Takes everything that waits; never blocks. */
void queue_take(struct queue *q, struct qlist *out);
/** Blocks until something waits, the queue is closed, or `until_us` (monotonic; INT64_MAX: for
 * ever) passed. True if something waits. */
bool queue_wait(struct queue *q, int64_t until_us);
/** No more items will come: queue_wait() returns at once from now on. */
void queue_close(struct queue *q);
bool queue_is_closed(struct queue *q);
/** Readable while something waits: for a loop. Made at the first call, which must come before the
 * first push. */
int queue_fd(struct queue *q);
unsigned queue_length(struct queue *q);
