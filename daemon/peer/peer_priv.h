#pragma once
/* What the sources of peer.h share: the table of all peers. Loop thread. */

#include "common/buf.h"
#include "common/list.h"
#include "daemon/base/loop.h"
#include "daemon/base/stats.h"
#include "daemon/peer/peer.h"

#define PEERS_BUCKETS 4096
#define PEERS_KINDS   4

struct peers {
	struct api *api;
	struct net *net;
	struct loop *loop;
	struct peer *buckets[PEERS_BUCKETS];
	struct list all;
	struct list answered;
	struct list slowed; /* peers that the limiter holds back */
	struct loop_timer *slow_timer;
	int64_t slow_due_ms; /* when that is due; INT64_MAX: it is not running */
	unsigned count[PEERS_KINDS];
	bool is_looking;    /* peers_look() is not through */
	uint64_t looked_at; /* the last one */
	uint64_t turn;      /* of the loop, in which a peer was last served ... */
	int64_t turn_began_us;
	uint64_t last_id;
	uint64_t last_batch;
	int64_t last_job;
	size_t input;      /* bytes of unfinished messages */
	bool is_giving_up; /* nobody else is closed for keeping too much: one is, or all are gone
			      through */
	bool is_secret;    /* the message that is being made */
	struct counter notifications_failed;
	struct buf result; /* of the request that runs */
	struct buf answer; /* the message that is being made */
};

/* peer_hold.c */

void peers_init_holds(struct peers *ps);
void peers_fini_holds(struct peers *ps);
