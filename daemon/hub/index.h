#pragma once
/*
 * Which patterns match a change, at the cost of those that do. Patterns are
 * filed under each of their categories and, below it, under each of their ids;
 * exact texts by hash, prefixes by a hash look-up for each length that is in use.
 * Pure; loop thread.
 */

#include <stddef.h>
#include <stdint.h>

#include "daemon/hub/table.h"
#include "daemon/store/pattern.h"

#define INDEX_TEXT_MAX 512 /* bytes of a term */

/** How often the prefixes of a set have some length; sorted by length. */
struct term_lengths {
	struct term_length {
		uint32_t length;
		uint32_t used;
	} * v;
	unsigned n;
	unsigned cap;
};

struct term_map {
	struct table nodes;
	struct term_lengths lengths;
};

/** Embedded in whatever has a pattern; zeroed before index_add(). */
struct index_entry {
	const struct pattern *pattern; /* borrowed: outlives the entry's stay */
	struct index_link *links;
	size_t links_n;
	uint64_t seen; /* the look-up that found it last */
};

struct index {
	uint64_t point; /* of the hash */
	uint64_t lookups;
	struct term_map categories;
	struct index_entry **found;
	size_t found_n;
	size_t found_cap;
};

/** seed: random. */
void index_init(struct index *ix, uint64_t seed);
/** All entries must be gone. */
void index_fini(struct index *ix);

/** How many places a pattern takes in an index: what the caller bounds. */
size_t index_cost(const struct pattern *p);
/** True if no term is longer than INDEX_TEXT_MAX. */
bool index_can_hold(const struct pattern *p);
void index_add(struct index *ix, struct index_entry *e, const struct pattern *p);
void index_remove(struct index *ix, struct index_entry *e);

/** The entries whose pattern matches, each once, in no order; *out lives until the next call. */
size_t index_match(
	struct index *ix, struct span category, struct span id, struct index_entry *const **out);
