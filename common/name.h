#pragma once
/*
 * Names of categories, topics and the like: 1 to 128 bytes of [A-Za-z0-9._/-],
 * not starting with ".", "-" or "/"; what starts with "$" is ours. Ids of records:
 * 1 to 512 bytes of UTF-8 without control characters. And finding the longest of
 * many names and prefixes that fits a name. Pure; any thread.
 */

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"
#include "common/span.h"

#define NAME_TEXT_MAX   128
#define ID_TEXT_MAX     512
#define RECORD_NAME_MAX 1024 /* of the name that a record has for people */

/** Judges a name, or the beginning of one, which may be empty; `what` is what the error calls it.
 * ERR_INVALID_ARGUMENT. */
enum err name_check(const char *what, struct span text, bool is_prefix, struct error *error);
/** The same of a record's id, which is UTF-8. */
enum err name_check_id(const char *what, struct span text, bool is_prefix, struct error *error);

/** A name or a prefix that something holds for: embedded in it. */
struct name_pattern {
	struct span text; /* without the "*" */
	bool is_prefix;
	struct name_pattern *shorter; /* the longest prefix that the text begins with; or NULL */
};

/** For qsort() on pointers, and so that name_patterns_match() can be used: by text, a prefix before
 * the name that is the same. */
int name_pattern_compare(const struct name_pattern *a, const struct name_pattern *b);
/** Sets `shorter` in all of a sorted array. */
void name_patterns_link(struct name_pattern *const *v, size_t n);
/** The one with the longest text that fits, out of a linked array; NULL: none does. */
struct name_pattern *name_patterns_match(struct name_pattern *const *v, size_t n, struct span name);
