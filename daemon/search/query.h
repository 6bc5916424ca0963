#pragma once
/*
 * A query, as people type it into a search box. Read once, it is an immutable
 * tree with two faces that agree: a text for FTS5's MATCH, in which every term
 * is quoted by us, and an evaluation against the tokens of one record.
 *
 *   word  word*  "a phrase"  "a phr"*  name:word  name:"a phrase"  -word  a OR b  (a OR b) c
 *
 * Terms side by side all have to match; that binds more tightly than OR. A minus
 * in front excludes: a word, a phrase, parentheses. `name:` looks into the name
 * alone. Words are taken apart by the tokenizer of the index: one that comes to
 * several tokens (3.14, foo-bar) is a phrase, one that comes to none (a sign, most
 * emoji) is passed over, as are exclusions of such. Whatever else a person types is
 * part of a word, or is refused with its place, counted in characters from 1.
 * A phrase or parentheses that are not closed go to the end.
 *
 * Pure; belongs to the thread that made it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/span.h"
#include "daemon/search/tokens.h"

#define QUERY_MAX_BYTES  4096
#define QUERY_TERMS_MAX  64
#define QUERY_TOKENS_MAX 256 /* of all terms: FTS5 holds for each where it stands in a record */
#define QUERY_DEPTH_MAX  16

/** The columns of the index, in their order. */
enum query_column {
	QUERY_NAME,
	QUERY_DATA,
	QUERY_COLUMNS,
};

/** A record as the index would hold it. */
struct query_doc {
	struct tokens columns[QUERY_COLUMNS];
};

/** Where a term was found: bytes of the text that was taken apart. */
struct match {
	uint32_t start;
	uint32_t end;
	uint32_t term; /* 0 to QUERY_TERMS_MAX - 1 */
};

struct query;

/** Reads a query; INVALID_ARGUMENT says what is wrong with it and where, LIMIT_EXCEEDED of what it
 * has too many. */
enum err query_new(
	struct span text, struct tokenizer *tokenizer, struct query **out, struct error *error);
void query_free(struct query *q);

/** For MATCH on a table fts5(name, data) with the same tokenizer. */
struct span query_match_text(const struct query *q);
/** What MATCH would say of a record with these tokens. */
bool query_matches(const struct query *q, const struct query_doc *doc);
/** Fills `out` with the places of the terms (not the excluded ones) in a column, by their start;
 * returns how many: at most max, the first ones. */
size_t query_find(const struct query *q, enum query_column column, const struct tokens *tokens,
	struct match *out, size_t max);
