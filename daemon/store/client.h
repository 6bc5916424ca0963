#pragma once
/*
 * Who asks the store for something: one per peer, counted, since jobs of a peer
 * that is gone still point to it. What it has waiting for room, and which of its
 * reads wait for which of its writes. Loop thread. Private to the store.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/list.h"
#include "daemon/base/queue.h"

struct lobby;

struct store_client {
	unsigned refs;
	uint64_t id;
	bool is_control;
	bool is_closed;
	struct lobby *lobby;     /* borrowed; NULL once the store is closed */
	struct qlist parked;     /* jobs without room, in order */
	struct qlist held;       /* reads that wait for writes, in order of ticket */
	struct list waiting;     /* in the lobby's list while something is parked */
	unsigned queued;         /* its jobs that are under way */
	uint64_t last_submitted; /* ticket of its newest write */
	uint64_t last_done;      /* ticket of its newest write that is back */
};

struct store_client *client_new(struct lobby *lobby, uint64_t id, bool is_control);
struct store_client *client_ref(struct store_client *c);
void client_unref(struct store_client *c);
