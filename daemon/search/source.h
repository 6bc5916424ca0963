#pragma once
/*
 * Where matches come from: a table of the index or a tail, each newest first.
 * Searcher thread.
 */

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "daemon/search/kinds.h"
#include "daemon/search/score.h"

struct index_statements;

/** Prepares the searches in the index's tables. */
enum err source_open_index(sqlite3 *index, struct index_statements **out, struct error *error);
void source_close_index(struct index_statements *st);

/** Above `above` and not above `upto`; with is_ranked, scores are told. */
struct source_range {
	bool is_ranked;
	int64_t above;
	int64_t upto;
};

struct source {
	enum conf_search kind;
	int64_t seq;         /* of the match that it is at; 0: there is no more */
	bool must_check;     /* whether it is one, query_matches() says */
	struct score *score; /* borrowed */
	struct source_range range;
	sqlite3_stmt *st; /* borrowed; NULL: a tail */
	const struct recent_segment *segment;
	struct recent_bits bits; /* of the segment, what is left of it */
	uint32_t doc;
};

/** Goes to the first match. SQLITE_OK, or SQLite's error. */
int source_start_index(struct source *s, struct index_statements *st, enum conf_search kind,
	struct score *score, const struct source_range *range);
void source_start_tail(struct source *s, enum conf_search kind, struct score *score,
	const struct source_range *range);
/** Goes to the next one. */
int source_next(struct source *s);
/** Of the match that it is at; 0 when the range is not ranked. */
double source_score(struct source *s);
void source_end(struct source *s);
