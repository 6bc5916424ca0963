#pragma once
/*
 * A rate with a burst, as people write them: "100/s", "30/m", "10/h burst 60".
 * Without a burst it is what comes in one period. Pure; any thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/span.h"

/* Of the numbers in a rate: with them no sum of a bucket leaves 63 bits for centuries. */
#define RATE_COUNT_MAX INT64_C(1000000)
#define RATE_BURST_MAX INT64_C(1000000000)

#define RATE_TEXT_SIZE 48

struct rate {
	int64_t count; /* that come back in a period; INT64_MAX: unlimited */
	int64_t period_ms;
	int64_t burst; /* at most there at once */
};

#define RATE_UNLIMITED ((struct rate){INT64_MAX, 1000, INT64_MAX})

static inline bool
rate_is_unlimited(const struct rate *r)
{
	return r->count == INT64_MAX;
}

/** Reads a rate, or "unlimited"; false if it is neither. */
bool rate_parse(struct span text, struct rate *out);
/** As rate_parse() takes it. */
void rate_format(const struct rate *r, char out[RATE_TEXT_SIZE]);
