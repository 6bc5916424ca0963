#pragma once
/*
 * A query against the tail: which records of a segment it may match, and how often
 * its terms are in one. Also the terms in the order in which FTS5 numbers them, so
 * that the tail and the index on the disk are ranked alike. Pure; one thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/search/query.h"
#include "daemon/search/recent.h"

/** A term of the query, which FTS5 calls a phrase. */
struct query_phrase {
	const struct node *node; /* borrowed: the query's */
	bool is_prefix;
	bool is_excluded; /* or inside of what is */
};

/** The terms in the order of query_match_text(); returns how many, at most QUERY_TERMS_MAX. */
size_t query_phrases(const struct query *q, struct query_phrase *out);

/** Sets the bits of every record of the segment that matches. True: and of no other; else
 * query_matches() has to be asked. */
bool query_select(const struct query *q, const struct recent *t, const struct recent_segment *s,
	struct recent_bits *out);
/** In how many records of the tail a term is, about. */
uint64_t query_recent_docs(
	const struct query *q, const struct query_phrase *phrase, const struct recent *t);
/** How often it is in one record, at most. */
struct recent_count query_recent_count(const struct query *q, const struct query_phrase *phrase,
	const struct recent *t, const struct recent_segment *s, uint32_t doc);
