#pragma once
/*
 * One connected client, whichever door it came through: the part that
 * WebSocket sessions and control connections share. Takes whole messages, runs
 * them through the gate, frames answers, counts what is in flight, stops reading
 * when that is asked for, hosts the hub's subscriber. Loop thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/list.h"
#include "common/span.h"
#include "daemon/api/gate.h"
#include "daemon/hub/hub.h"
#include "daemon/net/conn.h"

struct peers;
struct peer;

/** What the two doors do differently. */
struct peer_ops {
	/** The peer may take input again: go on with what is buffered, then read. */
	void (*resume)(struct peer *p);
	/** Says why and closes (heartbeat lost, shutdown, session.close). */
	void (*close)(struct peer *p, unsigned close_code, const char *reason);
};

struct peer {
	struct conn conn;
	struct subscriber subscriber;
	struct caller caller;
	const struct peer_ops *ops;
	struct peers *peers; /* the table it is in */
	struct peer *hash_next;
	struct list all;
	struct list batches; /* JSON-RPC batches that wait for answers */
	unsigned in_flight;  /* requests whose answer is outstanding */
	bool is_closing;
	int64_t opened_ms;
	uint64_t requests;
};

/** The table of all peers, and what they share. */
struct peers *peers_new(struct api *api, struct net *net);
void peers_free(struct peers *ps);
struct peer *peers_find(struct peers *ps, uint64_t id);
unsigned peers_count(const struct peers *ps, enum origin_kind kind);
struct api *peers_api(struct peers *ps);

/** Makes it a member of the table with an id of its own, takes the socket over. */
void peer_init(struct peer *p, struct peers *ps, enum origin_kind kind, enum framing framing,
	int fd, conn_fn on_conn, const struct peer_ops *ops);
/** Out of the table; subscriptions end, reads are cancelled, the socket closes. */
void peer_fini(struct peer *p);

/** One whole message: a request, a notification or a batch. */
void peer_message(struct peer *p, struct span message);
/** True while the peer must not be given more input: too many in flight, too much unsent, or
 * waiting for the store. */
bool peer_is_full(const struct peer *p);
/** Answers a request that was PENDING. Called by deliver. */
void peer_answer(struct peer *p, const struct origin *origin, enum err result, struct span reply,
	const struct error *error);
/** Calls ops->resume if it was full and no longer is. */
void peer_check_room(struct peer *p);
/** Sends a notification of the daemon's own ("hello", "closing"). */
void peer_notify(struct peer *p, const char *method, struct span params);
