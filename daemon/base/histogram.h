#pragma once
/*
 * Durations by quarter octaves of microseconds, from which percentiles are told
 * to within a fifth. One thread counts, any thread reads.
 */

#include <stdint.h>

#include "common/json.h"

#define HISTOGRAM_N 128

struct histogram {
	_Atomic uint64_t counts[HISTOGRAM_N];
	_Atomic uint64_t n;
	_Atomic int64_t max_us;
};

void histogram_count(struct histogram *h, int64_t us);
/** The duration, in milliseconds, that all but one in `one_in` stay below; 0 when there is none. */
double histogram_ms(const struct histogram *h, uint64_t one_in);
/** Writes p50, p99 and max, in milliseconds, as an object. */
void histogram_add_json(const struct histogram *h, struct json_out *o, const char *key);
