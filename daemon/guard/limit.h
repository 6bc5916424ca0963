#pragma once
/*
 * What clients may use: token buckets ([limits] in the configuration) of each
 * session, of each address (of IPv6 the /64), of connection attempts from one, and
 * one of all clients together. A request has to get its method's cost from all of
 * them, or gets it from none. Exempt networks and the control socket are not
 * limited. A token may have a rate of its own: all its sessions share that, wherever
 * they come from. Loop thread.
 *
 * A request that is too much is refused, but a session is told so only as often as
 * limits.refusals says. One that goes on then is held back: it is not read for a while,
 * so that what it sends waits on its side and costs nothing here, and afterwards it has
 * not what it would have saved meanwhile, so that it uses a part of its rate only: the
 * others are not to feel it. What is no request costs too, by its bytes, and is never
 * refused: it holds the session back.
 *
 * Addresses are kept in a table of a fixed size, since anybody can have very many of
 * them. One that is full again is forgotten without loss; where more than a few of a
 * place's addresses are short of tokens, the one that needs least to be full is.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/json.h"
#include "daemon/base/bounds.h"
#include "daemon/base/conf.h"
#include "daemon/base/network.h"
#include "daemon/guard/bucket.h"

struct limits;

/** What several sessions may use together: those of one token. */
struct allowance {
	struct rate rate;
	struct bucket bucket;
	uint64_t refused; /* requests */
};

/** What is known of one session. Of zeros: one that nothing limits. */
struct limited {
	struct bucket bucket;
	struct bucket refusals;
	struct address address;
	struct allowance *allowance; /* borrowed; NULL: it has none */
	bool has_address;
	bool is_exempt;
	uint64_t generation;   /* of the configuration that says so */
	size_t place;          /* where its address was found last among those of the table */
	uint64_t refused;      /* requests */
	int64_t refused_ms;    /* wall clock: the last of them, or 0 */
	const char *by;        /* the bucket that refused it; NULL: none yet */
	uint64_t holds;        /* times that it was held back */
	const char *held_by;   /* the bucket that it was last held back for; NULL: none yet */
	int64_t held_until_ms; /* monotonic: it is not to be read until then. 0: it never was */
	unsigned in_a_row;     /* holds, each soon after the one before */
	int64_t keeps;         /* tokens, at most, when it is read again; 0: that was looked at */
	uint64_t owed;         /* bytes of its input that it was not charged for yet */
};

/** bounds: where it is counted what was refused. */
struct limits *limits_new(const struct conf *conf, struct bounds *bounds);
void limits_free(struct limits *l);
/** Takes over the configuration: if it is another one, all buckets are full then. */
void limits_reload(struct limits *l, const struct conf *conf);

/** Whether a connection from this address may be accepted now; it counts as an attempt. */
bool limits_admit(struct limits *l, const struct address *address, int64_t now_ms);
/** A session from this address begins. */
void limited_init(struct limited *s, const struct address *address);
/** Takes the cost of a request; ERR_RATE_LIMITED says how long to wait. */
enum err limits_take(
	struct limits *l, struct limited *s, int64_t cost, int64_t now_ms, struct error *error);
/** Bytes of its input cost, too, one for each LIMITS_BYTES: they are owed ... */
#define LIMITS_BYTES 4096
static inline void
limited_owe(struct limited *s, uint64_t nbytes)
{
	s->owed += nbytes;
}
/** ... and taken when what they belong to has run: a message that is larger than its bucket runs
 * too. The session is held back if that is not there. */
void limits_settle(struct limits *l, struct limited *s, int64_t now_ms);
/** True while the session must not be read. */
static inline bool
limited_is_held(const struct limited *s, int64_t now_ms)
{
	return now_ms < s->held_until_ms;
}
/** True if it was held back a short while ago: it is served in small pieces. */
bool limited_is_restless(const struct limited *s, int64_t now_ms);

/** Writes the members of `hello`: what limits this session. */
void limits_add_hello(struct limits *l, struct limited *s, struct json_out *o);
/** Writes the members of a session in session.show: `buckets`, all that it takes from. */
void limited_add_buckets(struct limits *l, struct limited *s, int64_t now_ms, struct json_out *o);
/** Writes the members of a session in session.list: its level, what was refused and by what. */
void limited_add_status(
	struct limits *l, const struct limited *s, int64_t now_ms, struct json_out *o);
/** What would become of requests that come at a steady pace, on buckets that are full at first.
 * token: its rate. */
struct limits_trial {
	int64_t sent;
	int64_t passed;
	int64_t first_refused_ms;     /* after the start; -1: none was refused */
	const char *first_refused_by; /* the bucket */
};

struct limits_trial limits_try(const struct limits *l, const struct rate *token,
	const struct rate *pace, int64_t cost, int64_t for_ms);

/** Writes the result of limits.list: the buckets, and the `most` addresses that are nearest to
 * their limits. */
void limits_add_list(const struct limits *l, size_t most, int64_t now_ms, struct json_out *o);
