#pragma once
/*
 * One connected client, whichever door it came through: the part that
 * WebSocket sessions and control connections share. Takes whole messages, runs
 * them through the gate, frames answers, counts what is in flight, says when it
 * must not be read, hosts the hub's subscriber. Loop thread.
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
	/** The peer may take input again: go on with what is buffered, then read. At the end of its
	 * input: it may be done. */
	void (*resume)(struct peer *p);
	/** Says why and closes (shutdown, session.close, input that is given up): what was answered
	 * is still written, what came in and was not run is dropped. */
	void (*close)(struct peer *p, unsigned close_code, const char *reason);
	/** Closes at once, without a word. */
	void (*abandon)(struct peer *p);
	/** It had to show a token and has: it is let in, unless there is no room. NULL: it never
	 * has to. */
	enum err (*welcome)(struct peer *p, struct error *error);
	/** Looks at its clocks: now and then. */
	void (*look)(struct peer *p, int64_t now_ms);
	/** Writes who is at the other end, for the audit log. */
	void (*describe)(struct peer *p, char out[AUDIT_WHO_SIZE]);
	/** Writes the members of session.list that only this door knows. */
	void (*add_status)(struct peer *p, struct json_out *o);
};

struct peer {
	struct conn conn;
	struct subscriber subscriber;
	struct caller caller;
	struct limited limited;
	struct trail *trail; /* owned */
	const struct peer_ops *ops;
	struct peers *peers;    /* the table it is in */
	struct peer *hash_next; /* in the table */
	struct list all;        /* in the table, oldest first */
	struct list answered;   /* linked while peers_check_room() has to look at it */
	struct list slowed;     /* linked while the limiter holds it back */
	struct list batches;    /* JSON-RPC batches that wait for answers */
	unsigned in_flight;     /* requests whose answer is outstanding */
	bool at_end;            /* nothing more comes in */
	bool is_held;           /* it was full, and is not read until it has room */
	bool is_waiting;        /* it had its share of a turn, and goes on in the next one */
	bool is_gone;           /* peer_fini() was called */
	bool had_secret;        /* in a message: the door overwrites it, and clears this */
	const char *dismissal;  /* why it is closed at the end of the turn; NULL: it is not */
	int64_t held_ms;        /* monotonic: when it was last held */
	uint64_t turn;          /* of the loop, in which it was last served ... */
	int64_t turn_ends_us;   /* ... and when its share of that is used up */
	bool had_its_share;     /* it was used up */
	size_t input;           /* bytes of an unfinished message that are kept for it */
	int64_t input_ms;       /* monotonic: when that last became more */
	int64_t opened_ms;      /* wall clock */
	uint64_t requests;
};

/** The table of all peers, and what they share. */
struct peers *peers_new(struct api *api, struct net *net, struct loop *loop);
void peers_free(struct peers *ps);
struct peer *peers_find(struct peers *ps, uint64_t id);
unsigned peers_count(const struct peers *ps, enum origin_kind kind);
/** A number for work that goes on behind an answer. */
int64_t peers_next_job(struct peers *ps);
struct api *peers_api(struct peers *ps);
struct loop *peers_loop(struct peers *ps);
/** Calls fn for each; it may close the peer it was called with. */
void peers_each(struct peers *ps, void (*fn)(struct peer *p, void *arg), void *arg);
/** Looks at all clocks, over several turns if much is due; the doors do that. */
void peers_look(struct peers *ps);
/** Gives room to those that were answered, before the end of the turn does. */
void peers_check_room(struct peers *ps);
/** True when no peer has a request outstanding or bytes unsent. */
bool peers_are_idle(const struct peers *ps);
void peers_add_list(struct peers *ps, struct json_out *o);
/** Writes the member `session`: all that is known of one. ERR_NOT_FOUND. */
enum err peers_show(struct peers *ps, uint64_t id, struct json_out *o, struct error *error);

/** Makes it a member of the table with an id of its own, takes the socket over. */
void peer_init(struct peer *p, struct peers *ps, enum origin_kind kind, int fd, conn_fn on_conn,
	const struct peer_ops *ops);
/** Out of the table; subscriptions end, reads are cancelled, the socket closes. */
void peer_fini(struct peer *p);

/** What it may do from now on; subscriptions that this does not cover end. NULL: nothing. */
void peer_grant(struct peer *p, struct scopes *scopes);

/** It has shown this token, which says what it may do from now on. ERR_LIMIT_EXCEEDED. */
enum err peer_admit(struct peer *p, struct auth_token *token, struct error *error);
/** Closes those whose token is not good any longer. */
void peers_check_tokens(struct peers *ps, int64_t wall_ms);

/** One whole message: a request, a notification or a batch. */
void peer_message(struct peer *p, struct span message);
/** Says how many bytes of unfinished input are kept for the peer now. When all peers together keep
 * too much, the one that has waited longest for the rest is closed: this one, perhaps. */
void peer_keep_input(struct peer *p, size_t nbytes);
/** They may keep less than before: closes those that keep too much, at the end of the turn. */
void peers_bound_input(struct peers *ps);
/** It has reached the limit of this name: counted, and logged now and then. NULL: none. */
void peer_reach(struct peer *p, const char *limit);
/** Answers an error without an id. */
void peer_refuse(struct peer *p, const struct error *error);
/** True while the peer must not be given more input: too many in flight, too much unsent, waiting
 * for the store, the limiter holds it back, or its share of this turn is used up. It is then held,
 * until ops->resume. */
bool peer_hold_if_full(struct peer *p);
/** Why it is held, as the name of the limit that it has reached; NULL: it is not. */
const char *peer_held_why(struct peer *p);
/** Answers a request that was PENDING. Called by deliver. */
void peer_answer(struct peer *p, const struct origin *origin, enum err result, struct span reply,
	const struct error *error);
/** The same with one that is overwritten when it is sent, but for those of a batch. */
void peer_answer_secret(struct peer *p, const struct origin *origin, struct span reply);
/** Work that it asked for goes on behind the answer: the end of its input is not the end of it. */
void peer_begin_work(struct peer *p);
void peer_end_work(struct peer *p);
/** Who it is, and by which token. */
void peer_describe(struct peer *p, char out[AUDIT_WHO_SIZE]);
/** Calls ops->resume if it was held and has room, or is at its end. */
void peer_check_room(struct peer *p);
/** Sends a notification of the daemon's own ("hello", "closing"); params is a JSON object. */
void peer_notify(struct peer *p, const char *method, struct span params);
/** Closes it at the end of the turn, for a reason that is a constant text: it may be the one who
 * has asked for that. Until then nothing more of it is run. */
void peer_dismiss(struct peer *p, const char *reason);
/** Writes what it can; true if nothing is left to do for a peer that is at its end. */
bool peer_is_done(struct peer *p);
