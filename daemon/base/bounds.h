#pragma once
/*
 * The limits on what a stranger can make us hold, as one table: each has a name (its
 * option, where there is one), a counter of how often it was reached, and a line in
 * the log for all those times within a while. What is done about it is up to whoever
 * notices. Loop thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/stats.h"

/* The rates stand in the order of daemon/guard/limit.c. */
enum bound {
	BOUND_RATE_SESSION,
	BOUND_RATE_TOKEN,
	BOUND_RATE_ADDRESS,
	BOUND_RATE_CONNECTIONS,
	BOUND_RATE_TOTAL,
	BOUND_REFUSALS,
	BOUND_ADDRESSES,
	BOUND_SESSIONS,
	BOUND_HANDSHAKES,
	BOUND_TLS_HANDSHAKES,
	BOUND_PER_UID,
	BOUND_HEADER,
	BOUND_HEADER_TIME,
	BOUND_AUTH_TIME,
	BOUND_MESSAGE,
	BOUND_FRAGMENTS,
	BOUND_INPUT,
	BOUND_NESTING,
	BOUND_BATCH,
	BOUND_SUBSCRIPTIONS,
	BOUND_PATTERN,
	BOUND_PATTERNS,
	BOUND_TOPICS,
	BOUND_RECORD,
	BOUND_IN_FLIGHT,
	BOUND_SEND_QUEUE,
	BOUND_STALL,
	BOUND_COUNT
};

struct bounds;

/** Registers all counters. */
struct bounds *bounds_new(struct stats *stats);
void bounds_free(struct bounds *b);

/** Counts one time; true if a line is due, for *times of them. */
bool bounds_count(struct bounds *b, enum bound which, int64_t now_ms, uint64_t *times);
/** Counts one time, and writes the line if it is due. session: whose it was, the last; 0: nobody's.
 * now_ms: monotonic. */
void bounds_reach(struct bounds *b, enum bound which, int64_t now_ms, uint64_t session);
/** The same by its name, as errors have it; NULL, and a name of none, are passed over. */
void bounds_reach_name(struct bounds *b, const char *name, int64_t now_ms, uint64_t session);
