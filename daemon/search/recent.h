#pragma once
/*
 * The tail: an index in memory of the newest changes, those that the index on the
 * disk does not hold yet, so that a search need not wait for it. Segments of 4,096
 * records, each with its terms and their postings (record, how often in the name,
 * how often in the data); which records hold something is a set of bits. A segment
 * goes as a whole when the index has all of it. Records that have changed again stay
 * in it: who asks looks whether the record is still at that seq. Pure; one thread.
 */

#include <stdint.h>

#include "common/span.h"
#include "daemon/search/query.h"

#define RECENT_DOCS 4096 /* of a segment */

/** Which records of a segment. */
struct recent_bits {
	uint64_t v[RECENT_DOCS / 64];
};

/** How often something is in a record. */
struct recent_count {
	uint32_t name;
	uint32_t data;
};

struct recent_doc {
	int64_t seq;
	uint32_t tokens_n;
};

struct recent_term;

struct recent_segment {
	struct recent_segment *newer;
	struct recent_segment *older;
	struct recent_doc docs[RECENT_DOCS]; /* by seq */
	uint32_t docs_n;
	uint32_t terms_n;
	uint32_t terms_cap;
	struct recent_term *terms;
	uint32_t *slots; /* a hash table: 1 and the number of a term; twice as many as terms_cap */
	char *texts;
	uint32_t texts_n;
	uint32_t texts_cap;
	uint32_t *postings;
	uint32_t postings_n;
	uint32_t postings_cap;
};

struct recent {
	struct recent_segment *newest;
	struct recent_segment *oldest;
	uint64_t docs_n;
	uint64_t tokens_n;
	uint64_t nbytes;       /* of memory */
	unsigned char key[16]; /* of the hash: terms are a client's */
};

void recent_init(struct recent *t);
void recent_fini(struct recent *t);
/** Forgets everything. */
void recent_clear(struct recent *t);
/** Adds a record; its seq is above all that are there. */
void recent_add(struct recent *t, int64_t seq, const struct query_doc *doc);
/** The index holds everything up to `mark`. */
void recent_drop(struct recent *t, int64_t mark);

/** The number of a term in a segment; UINT32_MAX: it is in no record. */
uint32_t recent_find(const struct recent *t, const struct recent_segment *s, struct span text);
struct span recent_term_text(const struct recent_segment *s, uint32_t term);
/** Adds the records with a term; with is_name_only those that have it in the name. */
void recent_mark(
	const struct recent_segment *s, uint32_t term, bool is_name_only, struct recent_bits *bits);
/** In how many records it is. */
uint32_t recent_docs_with(const struct recent_segment *s, uint32_t term);
/** How often it is in one record. */
struct recent_count recent_count_in(const struct recent_segment *s, uint32_t term, uint32_t doc);
