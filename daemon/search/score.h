#pragma once
/*
 * How well a record matches: bm25, with the name weighing ten times as much as the
 * data. FTS5's own bm25() counts all records with each term first, which takes
 * hundreds of milliseconds for a common word; here a count that goes far is
 * estimated from its beginning. The same formula serves the tail, so that matches
 * of both can stand in one list. How rare a term is tells of all records: for who
 * may not read them all each term weighs the same. One thread.
 */

#include <sqlite3.h>
#include <stdint.h>

#include "common/err.h"
#include "daemon/search/query_recent.h"

/** For one query and one table; an address that stays. */
struct score {
	const struct query *query; /* borrowed */
	const struct recent *tail; /* borrowed */
	int64_t mark;              /* the index holds everything up to here */
	struct query_phrase phrases[QUERY_TERMS_MAX];
	size_t phrases_n;
	bool is_ready;
	double weights[QUERY_TERMS_MAX]; /* the rarer the term the more it weighs */
	double average;                  /* tokens of a record */
};

/** Adds search_score(TABLE, ?) to a connection; its second argument is a struct score, bound by
 * score_bind(). */
enum err score_add_function(sqlite3 *db, struct error *error);
void score_bind(sqlite3_stmt *st, int i, struct score *s);

void score_init(struct score *s, const struct query *query, const struct recent *tail, int64_t mark,
	bool is_apart);
/** The score of a record of the tail; above 0. */
double score_of_recent(struct score *s, const struct recent_segment *segment, uint32_t doc);
