/* Durations, counted: see histogram.h. */

#include "daemon/base/histogram.h"

static unsigned
slot_of(int64_t us)
{
	uint64_t v = us > 4 ? (uint64_t)us : 4;
	unsigned octave = 63 - (unsigned)__builtin_clzll(v);
	unsigned slot = 4 * octave + (unsigned)(v >> (octave - 2) & 3);

	return slot < HISTOGRAM_N ? slot : HISTOGRAM_N - 1;
}

/** The upper end of a slot. */
static double
slot_ms(unsigned slot)
{
	return (double)((UINT64_C(5) + slot % 4) << (slot / 4)) / 4 / 1000;
}

void
histogram_count(struct histogram *h, int64_t us)
{
	h->counts[slot_of(us)]++;
	h->n++;
	if (us > h->max_us)
		h->max_us = us;
}

double
histogram_ms(const struct histogram *h, uint64_t one_in)
{
	uint64_t n = h->n;
	uint64_t rank = n - n / one_in - (n > 0);
	uint64_t seen = 0;

	for (unsigned i = 0; i < HISTOGRAM_N; i++) {
		seen += h->counts[i];
		if (seen > rank)
			return slot_ms(i);
	}
	return 0;
}

void
histogram_add_json(const struct histogram *h, struct json_out *o, const char *key)
{
	json_begin_object(o, key);
	json_put_double(o, "p50", histogram_ms(h, 2));
	json_put_double(o, "p99", histogram_ms(h, 100));
	json_put_double(o, "max", (double)h->max_us / 1000);
	json_end_object(o);
}
