#pragma once
/*
 * Who asks the store for something: one per peer, counted, since jobs of a peer
 * that is gone still point to it. What it has waiting for room, which of its
 * reads wait for which of its writes, whether a write that is chained to its
 * newest one may be done, and whether it takes its answers. Loop thread, but for
 * what says otherwise. Private to the store.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/list.h"
#include "daemon/base/queue.h"

struct lobby;

/** What has room of its own in the lobby. */
enum lane { LANE_WRITES, LANE_READS, LANE_SEARCHES, LANE_COUNT };

struct store_client {
	unsigned refs;
	uint64_t id;
	bool is_control;
	bool is_closed;
	struct lobby *lobby;         /* borrowed: the store outlives its clients */
	struct qlist parked;         /* jobs without room, in order */
	struct qlist held;           /* reads that wait for writes, in order of ticket */
	struct list waiting;         /* in the lobby's list while something is parked */
	unsigned queued[LANE_COUNT]; /* its jobs that are under way */
	uint64_t turns[LANE_COUNT];  /* of its newest one */
	uint64_t last_submitted;     /* ticket of its newest write */
	uint64_t last_done;          /* ticket of its newest write that is back */
	struct qlist put_off;   /* reads that came back undone: they wait until it takes answers */
	struct list resting;    /* in one of the lobby's lists while something is put off */
	bool has_refused;       /* its newest write was refused before it came in */
	bool has_failed;        /* its newest write that the writer had failed. Writer thread */
	_Atomic bool is_choked; /* it takes no answers now: none are made for it. Any thread */
	_Atomic size_t made; /* bytes of answers to its reads that are not back yet. Any thread */
};

struct store_client *client_new(struct lobby *lobby, uint64_t id, bool is_control);
struct store_client *client_ref(struct store_client *c);
void client_unref(struct store_client *c);
