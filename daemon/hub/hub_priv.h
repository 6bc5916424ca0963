#pragma once
/*
 * The hub's inside: what its files share. A turn of the hub is a deferred call:
 * replays first (replay.c), then slices of what was committed (publish.c), then
 * one flush of every peer that was touched, over several turns of the loop when
 * they are many. Loop thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/loop.h"
#include "daemon/hub/group.h"
#include "daemon/hub/hub.h"
#include "daemon/hub/outage.h"
#include "daemon/hub/ring.h"
#include "daemon/hub/slice.h"
#include "daemon/hub/subscription.h"
#include "daemon/store/store.h"

/** Changes that were committed and not published yet: a growing ring. */
struct backlog {
	struct change **v;
	size_t cap; /* a power of two, or 0 */
	size_t first;
	size_t n;
};

/** Pages from the store. */
struct replay {
	unsigned outstanding; /* submitted, or back and not told to everybody yet */
	bool is_backing_off;  /* the store refused or failed: the timer goes on */
	struct list queued;
	struct list running;
	struct list ready;
	struct loop_timer *timer;
};

struct hub {
	struct loop *loop;
	struct store *store;
	size_t send_queue;
	unsigned max_subscriptions;
	struct bounds *bounds; /* NULL: nobody counts */
	int64_t published;
	int64_t newest; /* the highest seq handed to hub_publish() */
	int64_t seen;   /* the highest seq that a page knew of, of those for conditions */
	bool is_turn_due;
	struct ring ring;
	struct watches changes;
	struct watches topics;
	struct backlog backlog;
	struct slice slice;
	struct replay replay;
	struct list touched;     /* subscribers with something to write */
	struct list flushing;    /* those that are written to now; the others come after a slice */
	struct list catching_up; /* subscribers with a replay that can go on */
	struct list outages;
	size_t owed_n;            /* subscriptions that are owed something */
	struct list owing;        /* subscriptions that are to be told of them */
	unsigned n[SUB_COUNT];    /* subscriptions by state */
	unsigned conditional_n;   /* those with a condition */
	uint64_t published_total; /* changes */
	uint64_t delivered_total; /* changes told live */
	uint64_t lagged_total;    /* times that a peer began to lag */
	uint64_t pages_total;
	uint64_t resyncs_total;
	uint64_t dropped_total; /* topic messages */
};

/** Has the hub's turn run at the end of this turn of the loop (of the next, from inside it). */
void hub_schedule(struct hub *h);

/** Whether the peer may have one more subscription, and of this size, and there may be its pattern
 * among the watches. ERR_LIMIT_EXCEEDED, ERR_INVALID_ARGUMENT. */
enum err hub_check_pattern(const struct subscriber *s, const struct watches *ws,
	const struct pattern *p, struct error *error);

/** Publishes some slices. */
void publish_turn(struct hub *h);
void publish_fini(struct hub *h);
/** Forgets what was not published yet. */
void publish_drop(struct hub *h);

/** Tells subscriptions what they are owed of outages. */
void outages_turn(struct hub *h);
/** A subscription is new: it is owed those that last. */
void outages_owe_new(struct subscription *sub);
/** Its peer does not lag any longer. */
void outages_owe_again(struct subscription *sub);
/** It is owed nothing any more. */
void outages_end_subscription(struct subscription *sub);

void replay_init(struct hub *h);
void replay_fini(struct hub *h);
/** Goes on with the replays that can, as far as one turn's budget allows. */
void replay_turn(struct hub *h);
/** The peer's replays may go on: in the next turn. */
void replay_wake(struct subscriber *s);
/** A subscription that ends no longer waits for its page. */
void replay_forget(struct subscription *sub);
