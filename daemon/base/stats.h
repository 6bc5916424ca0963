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
#include "common/span.h"

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

/** Several things of a kind, each with a name, that have the same figures. */
struct stats_kind {
	const char *label; /* what the name is: "feed" */
	/** The one behind `item` (NULL: the first), or NULL; names need no escapes. */
	const void *(*next)(const void *arg, const void *item, struct span *name);
	const void *arg;
};

struct stats;

struct stats *stats_new(void);
void stats_free(struct stats *s);

/** Names ("sysrt_net_read_bytes_total") are literals and unique; what is registered must outlive
 * the table. */
void stats_add_counter(struct stats *s, const char *name, const struct counter *counter);
void stats_add_gauge(
	struct stats *s, const char *name, int64_t (*read)(const void *arg), const void *arg);

/** A figure of each thing of a kind, borrowed: told as `name{label="its name"}`. */
void stats_add_family(struct stats *s, const char *name, const struct stats_kind *kind,
	double (*read)(const void *item));

/** Writes a member `"name": value` for each, in order of registration. */
void stats_add_json(const struct stats *s, struct json_out *o);
