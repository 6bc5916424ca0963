#pragma once
/*
 * The hub: who wants to hear of what, and telling them, in order and with
 * nothing missed. Subscriptions are state machines (replay, live, lagged, ended);
 * equal patterns share their matching and their frames. Loop thread.
 *
 * It knows no sockets: a peer embeds a struct subscriber and gives it two
 * functions, the hub's only way out.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/json.h"
#include "common/list.h"
#include "daemon/base/conf.h"
#include "daemon/base/frame.h"
#include "daemon/store/job.h"

struct loop;
struct store;
struct hub;
struct bounds;
struct subscriber;

struct subscriber_ops {
	/** Queues a frame for the peer (it takes a reference of its own). Writes nothing yet. */
	void (*send)(struct subscriber *s, struct frame *f);
	/** Writes what the socket takes now; returns the bytes still unsent. */
	size_t (*flush)(struct subscriber *s);
	/** The bytes unsent now. */
	size_t (*unsent)(const struct subscriber *s);
};

/** A peer's half, embedded in it. */
struct subscriber {
	struct hub *hub;
	const struct subscriber_ops *ops;
	enum framing framing;
	bool lagging;         /* over send_queue: takes no more changes until drained */
	bool has_drained;     /* since then: the hub's next turn goes on with it */
	bool is_full;         /* a replay had no room: none of it goes on until drained */
	unsigned next_number; /* of the next subscription, from 1 */
	unsigned lags;        /* times that it began to lag */
	int64_t lagged_ms;    /* wall clock: the last of them */
	unsigned subscriptions_n;
	struct list subscriptions;
	struct list touched;     /* linked while something queued is not written yet */
	struct list catching_up; /* linked while a replay of it may go on */
};

struct hub *hub_new(struct loop *loop, struct store *store, const struct conf *conf);
/** All subscribers must be gone. */
void hub_free(struct hub *h);
void hub_reload(struct hub *h, const struct conf *conf);
/** Where it counts that a peer has fallen behind. */
void hub_note_bounds(struct hub *h, struct bounds *bounds);
/** Fills the ring from the store's tail: once, before serving. */
enum err hub_warm(struct hub *h, struct error *error);

void subscriber_init(struct subscriber *s, struct hub *h, enum framing framing,
	const struct subscriber_ops *ops);
/** Ends all its subscriptions silently. */
void subscriber_fini(struct subscriber *s);

/** Where a client stands. */
struct position {
	struct span epoch;
	int64_t since; /* -1: from now on, no replay */
	int64_t base;  /* 0: none */
	bool history;  /* replays with every version that is kept */
};

/** What the answer to `subscribe` says. */
struct subscribed {
	unsigned number;
	int64_t seq;  /* last published */
	int64_t base; /* of a replay from 0; else 0 */
};

/** A subscription to changes; takes the pattern (NULLs it on success). Nothing is sent before the
 * end of the turn, so that the answer goes first. ERR_RESYNC_REQUIRED, ERR_INVALID_ARGUMENT
 * (position), ERR_LIMIT_EXCEEDED (max_subscriptions, max_patterns). */
enum err hub_subscribe(struct subscriber *s, struct pattern **pattern, const struct position *from,
	struct subscribed *out, struct error *error);
/** A subscription to topics: the pattern's categories are topics; it has no ids. */
enum err hub_subscribe_topics(struct subscriber *s, struct pattern **pattern,
	struct subscribed *out, struct error *error);
enum err hub_unsubscribe(struct subscriber *s, unsigned number, struct error *error);

/** Ends those subscriptions of which the peer may not hear any longer; they are told `unsubscribed`
 * with the reason, a plain text. may: judges the categories or topics of one. */
void hub_withdraw(struct subscriber *s, bool (*may)(void *arg, const struct term *names, size_t n),
	void *arg, const char *reason);

/** A commit's changes, in order of seq; the hub takes references of its own. They are told in
 * slices of 64, over several turns when there are many. */
void hub_publish(struct hub *h, struct change *const *changes, size_t n);
/** Tells a topic message to all who listen now; returns how many. data: JSON, white space between
 * tokens is removed. */
unsigned hub_publish_topic(struct hub *h, struct span topic, struct span data);
/** A page that the hub asked the store for (JOB_REPLAY) is back; takes the job. */
void hub_page_done(struct hub *h, struct job **job);
/** Somebody else wrote to the file: the ring is void, every subscription replays from its position.
 */
void hub_replay_all(struct hub *h);

/** The peer's queue is empty again. */
void subscriber_drained(struct subscriber *s);
/** Heartbeat: tells every live subscription its position (`progress`). */
void subscriber_beat(struct subscriber *s);

/** The last seq that was published to everybody. */
int64_t hub_published(const struct hub *h);
/** True when all that was handed to hub_publish() has been told and written once. */
bool hub_is_idle(const struct hub *h);
/** Writes the member "hub" of status. */
void hub_add_status(struct hub *h, struct json_out *o);
/** Writes {lagging, lags, lagged_at?}: whether the peer has fallen behind, and how often it had. */
void subscriber_add_lags(const struct subscriber *s, struct json_out *o);
/** Writes {subscription, state, position, lags?, categories|topics, ids} of each of the peer's
 * subscriptions. */
void subscriber_add_status(struct subscriber *s, struct json_out *o);
