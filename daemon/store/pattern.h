#pragma once
/*
 * What somebody asked for: categories and ids, each exact or a prefix, and a
 * condition on data. One immutable block, copied where it has to cross threads.
 * Pure.
 */

#include <stdbool.h>
#include <stddef.h>

#include "common/span.h"
#include "common/where.h"

struct term {
	struct span text; /* without the "*" */
	bool is_prefix;
};

struct pattern {
	const struct term *categories; /* never empty: "*" is the empty prefix */
	size_t categories_n;
	const struct term *ids; /* empty: all ids */
	size_t ids_n;
	const struct where *where; /* NULL: whatever the data is */
	struct span key;           /* canonical: equal keys match the same */
};

/** A copy of the terms, sorted, without duplicates, and of the condition, which may be NULL. NULL
 * when out of memory. Free with free(). */
struct pattern *pattern_new(const struct term *categories, size_t categories_n,
	const struct term *ids, size_t ids_n, const struct where *where);
struct pattern *pattern_dup(const struct pattern *p);
/** By category and id alone. */
bool pattern_matches(const struct pattern *p, struct span category, struct span id);
/** By the condition alone. */
bool pattern_accepts(const struct pattern *p, struct span data);
/** True if categories are exactly one exact name; that name. */
bool pattern_is_one_category(const struct pattern *p, struct span *category);
bool term_matches(const struct term *t, struct span text);
