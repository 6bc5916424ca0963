#pragma once
/*
 * What clients may use: token buckets ([limits] in the configuration) of each
 * session, of each address (of IPv6 the /64), of connection attempts from one, and
 * one of all clients together. A request has to get its method's cost from all of
 * them, or gets it from none. Exempt networks and the control socket are not
 * limited. Loop thread.
 *
 * Addresses are kept in a table of a fixed size, since anybody can have very many of
 * them. One that is full again is forgotten without loss; where more than a few of a
 * place's addresses are short of tokens, the one that needs least to be full is.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/json.h"
#include "daemon/base/conf.h"
#include "daemon/base/network.h"
#include "daemon/base/stats.h"
#include "daemon/guard/bucket.h"

struct limits;

/** What is known of one session. Of zeros: one that nothing limits. */
struct limited {
	struct bucket bucket;
	struct address address;
	bool has_address;
	bool is_exempt;
	uint64_t generation; /* of the configuration that says so */
	uint64_t refused;    /* requests */
	int64_t refused_ms;  /* wall clock: the last of them, or 0 */
	const char *by;      /* the bucket that refused it; NULL: none yet */
};

struct limits *limits_new(const struct conf *conf, struct stats *stats);
void limits_free(struct limits *l);
/** Takes over other rates: all buckets are full then. */
void limits_reload(struct limits *l, const struct conf *conf);

/** Whether a connection from this address may be accepted now; it counts as an attempt. */
bool limits_admit(struct limits *l, const struct address *address, int64_t now_ms);
/** A session from this address begins. */
void limited_init(struct limited *s, const struct address *address);
/** Takes the cost of a request; ERR_RATE_LIMITED says how long to wait. */
enum err limits_take(
	struct limits *l, struct limited *s, int64_t cost, int64_t now_ms, struct error *error);

/** Writes the members of `hello`: what limits this session. */
void limits_add_hello(struct limits *l, struct limited *s, struct json_out *o);
/** Writes the members of a session in session.list: its level, what was refused and by what. */
void limited_add_status(
	struct limits *l, const struct limited *s, int64_t now_ms, struct json_out *o);
/** What would become of requests that come at a steady pace, on buckets that are full at first. */
struct limits_trial {
	int64_t sent;
	int64_t passed;
	int64_t first_refused_ms;     /* after the start; -1: none was refused */
	const char *first_refused_by; /* the bucket */
};

struct limits_trial limits_try(
	struct limits *l, const struct rate *pace, int64_t cost, int64_t for_ms);

/** Writes the result of limits.list: the buckets, and the `most` addresses that are nearest to
 * their limits. */
void limits_add_list(const struct limits *l, size_t most, int64_t now_ms, struct json_out *o);
