#pragma once
/*
 * A subscription as a state machine, and what its peer is told. Private to the
 * hub; loop thread.
 *
 *	replay  fed from its position onwards, by the ring or by pages (replay.c)
 *	live    hears every change as it is published; its position is the hub's
 *	lagged  frozen before the first change that its peer had no room for
 *	ended   nothing more will be said
 *
 * Those on topics are live for ever: what a lagging peer misses is counted.
 *
 * With a condition, a record that does not meet it is told as `leave`: live, if it
 * met it before the change. In replay always, since what the client believes is
 * not known; nor is it when the replay is over, if it was one by pages, which tell
 * the newest state: a record that moved on behind the page's end was told of
 * neither there nor before. So it goes live behind all that a page has seen.
 */

#include <stdbool.h>
#include <stdint.h>

#include "daemon/hub/group.h"
#include "daemon/hub/hub.h"

struct fetch;

/** What of outages it has to be told: those that last, when it is new; all of them, as they stand,
 * when there was no room. */
enum owed { OWED_NOTHING, OWED_STALE, OWED_ALL };

enum sub_state { SUB_REPLAY, SUB_LIVE, SUB_LAGGED, SUB_ENDED, SUB_COUNT };

struct subscription {
	struct member member;
	unsigned number;
	enum sub_state state;
	bool is_topic;
	bool history;        /* replays with every version that is kept */
	unsigned dropped;    /* topic messages, not told yet */
	unsigned lags;       /* times that something was withheld from it */
	int64_t position;    /* all up to here was considered; of a live one see
				subscription_position() */
	int64_t told;        /* the highest seq that the client was told: a `prev` it can check */
	int64_t base;        /* of a replay from 0: tombstones up to it are not needed */
	int64_t floor;       /* of one with history: see struct read_params */
	int64_t horizon;     /* with a condition: until it is past this, the client may believe
				things that were already wrong at its position */
	struct fetch *fetch; /* the page that it waits for, or NULL */
	struct subscriber *subscriber;
	struct list in_subscriber;
	struct list in_fetch;
	enum owed owed;
	struct list in_owing; /* while the hub's turn is to tell it */
};

static inline struct subscription *
subscription_of(struct member *m)
{
	return list_item(m, struct subscription, member);
}

/** Takes the pattern. On changes: in replay from `position`; on topics: live. */
struct subscription *subscription_new(struct subscriber *s, struct pattern **pattern, bool is_topic,
	int64_t position, int64_t base);
/** Ends and frees it; tells nobody. */
void subscription_end(struct subscription *sub, const char *why);
struct subscription *subscription_find(struct subscriber *s, unsigned number);
bool subscription_has_condition(const struct subscription *sub);
const char *subscription_state_name(enum sub_state state);
int64_t subscription_position(const struct subscription *sub);

/** Its position is the last published: tells `synced`, and it is live. */
void subscription_go_live(struct subscription *sub);
/** Back to replay from where it is: from live (at what is published) or lagged. */
void subscription_go_back(struct subscription *sub, const char *why);
/** Tells `resync` and ends it. */
void subscription_resync(struct subscription *sub, int64_t lowest_valid);
/** Tells `unsubscribed` and ends it; reason: needs no escapes. */
void subscription_withdraw(struct subscription *sub, const char *reason);
/** Tells `progress`, if it is live. */
void subscription_tell_progress(struct subscription *sub);

/** Sends a live change or message if the peer has room: an empty queue always has. False: it has
 * none, or is lagging already; its subscriptions are frozen now. */
bool subscriber_offer(struct subscriber *s, struct frame *f);
/** The same, but without room no subscription is frozen. */
bool subscriber_try(struct subscriber *s, struct frame *f);
/** True if so many bytes more of a replay may be queued; if not, the peer will drain. */
bool subscriber_has_replay_room(struct subscriber *s, size_t nbytes);
/** Queues a frame, to be written at the end of the hub's turn. */
void subscriber_send(struct subscriber *s, struct frame *f);
/** A lagging peer has drained: tells `lagged`; its subscriptions go on in replay. */
void subscriber_end_lag(struct subscriber *s);
