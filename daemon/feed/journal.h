#pragma once
/*
 * What happened to a feed, the last JOURNAL_MAX things, for feed.logs: a constant
 * message, and what there is to say about it. Pure; one thread at a time.
 */

#include <stdint.h>

#include "common/json.h"

#define JOURNAL_MAX 200

struct journal_entry {
	int64_t at_ms; /* wall clock */
	const char *what;
	char *detail; /* owned; NULL: none */
};

struct journal {
	struct journal_entry v[JOURNAL_MAX];
	size_t first;
	size_t n;
};

void journal_fini(struct journal *j);
/** what: a constant text; detail: copied; NULL or "": none. */
void journal_note(struct journal *j, int64_t at_ms, const char *what, const char *detail);
/** Writes the last `limit` as items of a list, the oldest first. */
void journal_add_items(const struct journal *j, size_t limit, struct json_out *o);
