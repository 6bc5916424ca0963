#pragma once
/*
 * The lobby: what waits before the store's queues, and who is let in next.
 * Writes, reads and searches have room each, so that none waits for what another
 * kind takes. A job without room is parked with its client, which is then not read
 * from. While others wait, a client that has an eighth of the room under way comes
 * behind those that have less; waiting clients are served in turn; control
 * clients have slots of their own. A read is held until the writes that its
 * client submitted before it are back, and one that came back undone, since its
 * client does not take its answers, until that does. Loop thread.
 */

#include <stdbool.h>

#include "common/list.h"
#include "daemon/base/queue.h"
#include "daemon/store/client.h"
#include "daemon/store/job.h"

/* Slots of each kind that only control clients and the daemon itself may use. */
#define LOBBY_CONTROL_SLOTS 32

struct lobby_ops {
	/** Lets a job through: to the writer's queue, or a reader's. */
	void (*enter)(void *arg, struct job *j);
	/** This client has nothing parked any more. */
	void (*room)(void *arg, struct store_client *c);
	void *arg;
};

struct lobby {
	struct lobby_ops ops;
	struct list waiting;  /* clients with something parked, in turn */
	struct list going_on; /* clients with something put off in this wake ... */
	struct list choked;   /* ... and before, that do not take answers */
	bool is_ending;       /* nothing is put off any more */
	unsigned queue_max;   /* jobs on their way, of each kind */
	size_t bytes_max;     /* likewise */
	struct {
		unsigned inside; /* jobs that were let through and are not back */
		size_t inside_bytes;
		uint64_t now; /* the turn that its threads are at */
	} lanes[LANE_COUNT];
	unsigned parked_n;
	uint64_t last_ticket;
};

void lobby_init(struct lobby *l, unsigned queue_max, size_t bytes_max, const struct lobby_ops *ops);
/** Takes a job of a client (NULL: the daemon's own, never parked). */
void lobby_submit(struct lobby *l, struct store_client *c, struct job *j);
/** A job is back (before it is handed on); the store's own, which never came in, are not counted.
 * False: it was put off, and is the lobby's again. */
bool lobby_returned(struct lobby *l, struct job *j);
/** Lets in what there is room for now: after a run of lobby_returned(). */
void lobby_serve(struct lobby *l);
/** Lets in again what was put off, of clients that are not choked: after the answers went out. */
void lobby_go_on(struct lobby *l);
/** Hands out what is put off; from now on what comes back undone is handed on. */
void lobby_end(struct lobby *l, struct qlist *out);
/** The client takes no answers from now on, or takes them again. */
void lobby_choke(struct lobby *l, struct store_client *c, bool is_choked);
/** The client is gone: its reads are dropped, those inside as they come back undone; its writes
 * stay. */
void lobby_leave(struct lobby *l, struct store_client *c);
/** Jobs that were let through and are not back. */
unsigned lobby_inside(const struct lobby *l);
/** True when nothing waits and nothing is inside. */
bool lobby_is_idle(const struct lobby *l);
/** Takes everything that waits out of the lobby. */
void lobby_drain(struct lobby *l, struct qlist *out);
