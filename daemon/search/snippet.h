#pragma once
/*
 * What is shown of a text that was found: a piece of it around the places of the
 * query's terms, and where in the piece they are. Offsets on the wire are in
 * UTF-16 code units, which is what JavaScript, Java and C# count in. Pure; any
 * thread.
 */

#include "common/json.h"
#include "common/span.h"
#include "daemon/search/query.h"

/* Of so many matches, the first ones, a piece is chosen. */
#define SNIPPET_MATCHES_MAX 128

/** Writes {"text": ..., "matches": [[start, end], ...]}: at most `length` characters of the text,
 * cut between words where there are any, with "…" where it was cut; white space becomes one space,
 * the end of a value " · ". It is the piece that holds most different terms, then most matches,
 * then the first one. Matches are sorted by their start, as query_find() gives them. */
void snippet_put(struct json_out *o, const char *key, struct span text, const struct match *matches,
	size_t n, size_t length);
/** Writes [[start, end], ...] for the whole of a text. */
void snippet_put_matches(struct json_out *o, const char *key, struct span text,
	const struct match *matches, size_t n);
