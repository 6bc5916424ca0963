/* Where matches come from: see source.h. */

#include "daemon/search/source.h"

#include <stdlib.h>

#include "common/xalloc.h"
#include "daemon/search/indexfile.h"
#include "daemon/store/sql.h"

struct index_statements {
	sqlite3_stmt *newest[INDEX_KINDS];
	sqlite3_stmt *ranked[INDEX_KINDS];
};

static const char *const newest_texts[INDEX_KINDS] = {
	[SEARCH_WORDS] = "SELECT rowid, 0.0 FROM words WHERE words MATCH ?1 AND rowid <= ?2 "
			 "ORDER BY rowid DESC",
	[SEARCH_TRIGRAM] = "SELECT rowid, 0.0 FROM trigrams WHERE trigrams MATCH ?1 "
			   "AND rowid <= ?2 ORDER BY rowid DESC",
};

static const char *const ranked_texts[INDEX_KINDS] = {
	[SEARCH_WORDS] = "SELECT rowid, search_score(words, ?3) FROM words WHERE words MATCH ?1 "
			 "AND rowid <= ?2 ORDER BY rowid DESC",
	[SEARCH_TRIGRAM] = "SELECT rowid, search_score(trigrams, ?3) FROM trigrams "
			   "WHERE trigrams MATCH ?1 AND rowid <= ?2 ORDER BY rowid DESC",
};

enum err
source_open_index(sqlite3 *index, struct index_statements **out, struct error *error)
{
	struct index_statements *st = xnew(struct index_statements);
	enum err e = score_add_function(index, error);

	for (int i = 0; i < INDEX_KINDS && e == OK; i++) {
		e = sql_prepare(index, newest_texts[i], &st->newest[i], error);
		if (e == OK)
			e = sql_prepare(index, ranked_texts[i], &st->ranked[i], error);
	}
	if (e != OK) {
		source_close_index(st);
		return e;
	}
	*out = st;
	return OK;
}

void
source_close_index(struct index_statements *st)
{
	if (st == NULL)
		return;
	for (int i = 0; i < INDEX_KINDS; i++) {
		sqlite3_finalize(st->newest[i]);
		sqlite3_finalize(st->ranked[i]);
	}
	free(st);
}

static int
step_index(struct source *s)
{
	int rc = sqlite3_step(s->st);

	s->seq = rc == SQLITE_ROW ? sqlite3_column_int64(s->st, 0) : 0;
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int
source_start_index(struct source *s, struct index_statements *st, enum conf_search kind,
	struct score *score, const struct source_range *range)
{
	*s = (struct source){.kind = kind, .score = score, .range = *range};
	s->st = range->is_ranked ? st->ranked[kind] : st->newest[kind];
	sql_bind_span(s->st, 1, query_match_text(score->query));
	sqlite3_bind_int64(s->st, 2, range->upto);
	if (range->is_ranked)
		score_bind(s->st, 3, score);
	return step_index(s);
}

/** The newest bit that is left, taken out; -1: none. */
static int
take_newest_bit(struct recent_bits *bits)
{
	for (int i = RECENT_DOCS / 64 - 1; i >= 0; i--) {
		int bit;

		if (bits->v[i] == 0)
			continue;
		bit = 63 - __builtin_clzll(bits->v[i]);
		bits->v[i] ^= UINT64_C(1) << bit;
		return 64 * i + bit;
	}
	return -1;
}

static void
enter_segment(struct source *s, const struct recent_segment *segment)
{
	s->segment = segment;
	if (segment != NULL)
		s->must_check = !query_select(s->score->query, s->score->tail, segment, &s->bits);
}

static void
step_tail(struct source *s)
{
	while (s->segment != NULL) {
		int doc = take_newest_bit(&s->bits);

		if (doc < 0) {
			enter_segment(s, s->segment->older);
			continue;
		}
		if ((uint32_t)doc >= s->segment->docs_n)
			continue; /* of an exclusion */
		s->doc = (uint32_t)doc;
		s->seq = s->segment->docs[doc].seq;
		if (s->seq <= s->range.above)
			break;
		if (s->seq <= s->range.upto)
			return;
	}
	s->segment = NULL;
	s->seq = 0;
}

void
source_start_tail(struct source *s, enum conf_search kind, struct score *score,
	const struct source_range *range)
{
	*s = (struct source){.kind = kind, .score = score, .range = *range};
	enter_segment(s, score->tail->newest);
	step_tail(s);
}

int
source_next(struct source *s)
{
	if (s->st != NULL)
		return step_index(s);
	step_tail(s);
	return SQLITE_OK;
}

double
source_score(struct source *s)
{
	if (s->st != NULL)
		return sqlite3_column_double(s->st, 1);
	return s->range.is_ranked ? score_of_recent(s->score, s->segment, s->doc) : 0;
}

void
source_end(struct source *s)
{
	if (s->st != NULL)
		sqlite3_reset(s->st);
}
