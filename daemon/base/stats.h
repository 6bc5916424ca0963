#pragma once
/*
 * Counters and gauges under their public names. A counter is embedded by the
 * part that counts, written by one thread and read by any; a gauge is asked for
 * when it is shown. The table borrows both; it is filled at start and read on
 * the loop thread.
 */

#include <stdatomic.h>
#include <stdint.h>

#include "common/json.h"

/** A count with one writing thread (so adding needs no locked instruction). */
struct counter {
	_Atomic uint64_t value;
};

static inline uint64_t
counter_read(const struct counter *c)
{
	return atomic_load_explicit(&c->value, memory_order_relaxed);
}

static inline void
counter_add(struct counter *c, uint64_t n)
{
	atomic_store_explicit(&c->value, counter_read(c) + n, memory_order_relaxed);
}

struct stats;

struct stats *stats_new(void);
void stats_free(struct stats *s);

/** Names ("sysrt_net_read_bytes_total") are literals and unique; what is registered must outlive
 * the table. */
void stats_add_counter(struct stats *s, const char *name, const struct counter *counter);
void stats_add_gauge(
	struct stats *s, const char *name, int64_t (*read)(const void *arg), const void *arg);

/** Writes a member `"name": value` for each, in order of registration. */
void stats_add_json(const struct stats *s, struct json_out *o);
