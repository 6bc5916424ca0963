#pragma once
/*
 * A token bucket in one word: when it will be full again. It counts in parts of a
 * token, `period_ms` of them each, of which `count` come back every millisecond, so
 * that refilling is a whole number and nothing drifts. A bucket of zeros is full.
 *
 * Taking is one compare and swap: any threads may share a bucket. The rate is the
 * caller's, the same for every call, and `now_ms` a monotonic clock from about 0; a
 * thread whose clock is a little behind sees a fuller bucket's deficit, never more
 * tokens than there are.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/rate.h"

struct bucket {
	_Atomic int64_t full_at; /* now_ms * count, when it will be full */
};

/** Takes `cost` tokens, or all that fit into the bucket if those are fewer: then OK is true.
 * Otherwise nothing is taken, and *retry_after_ms says when it would have been. */
bool bucket_take(struct bucket *b, const struct rate *r, int64_t cost, int64_t now_ms,
	int64_t *retry_after_ms);
/** Gives back what bucket_take() took. */
void bucket_give(struct bucket *b, const struct rate *r, int64_t cost);
/** Leaves no more than `most` tokens in it. */
void bucket_cap(struct bucket *b, const struct rate *r, int64_t most, int64_t now_ms);
/** Whole tokens that are there; INT64_MAX: unlimited. */
int64_t bucket_level(const struct bucket *b, const struct rate *r, int64_t now_ms);
/** When it is full again, in the time of `now_ms`, rounded up; not above now_ms: it is full. */
int64_t bucket_full_at_ms(const struct bucket *b, const struct rate *r);
