#pragma once
/*
 * An outage: that what feeds some categories, or topics, has been down for long.
 * Subscribers whose pattern meets them are told `stale` when it begins and `fresh`
 * when it is over; who subscribes in between is told behind the answer, before
 * anything else. To a peer that lags nothing is told before it has drained, and
 * then how things stand. Loop thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/span.h"
#include "daemon/store/pattern.h"

struct hub;
struct outage;

/** What an outage is of. */
struct outage_of {
	struct span feed;  /* a name; copied */
	struct term names; /* the categories, or the topics; copied */
	bool is_topic;
};

/** One that has not begun. */
struct outage *outage_new(struct hub *h, const struct outage_of *of);
/** Ends it, if it has begun: all who were told of it hear that. */
void outage_free(struct outage *o);
/** since_ms: wall clock, when the feed went down. One that has begun stays as it is. */
void outage_begin(struct outage *o, int64_t since_ms);
void outage_end(struct outage *o);
/** Whether it is of that. */
bool outage_is_of(const struct outage *o, const struct outage_of *of);
bool outage_has_begun(const struct outage *o);
