/* How well a record matches: see score.h. */

#include "daemon/search/score.h"

#include <math.h>
#include <string.h>

#include "daemon/search/tokens.h"

/* bm25, as everybody has it. */
#define K1 1.2
#define B  0.75

#define NAME_WEIGHT 10.0

#define APART_AVERAGE 100 /* tokens of a record, when the others are not looked at */

#define COUNT_MAX    1000 /* records with a term are counted up to here, and estimated from there */
#define PREFIX_SHARE 0.1  /* of the records are taken to hold some word with a given beginning */

#define POINTER_TYPE "search_score"

/** The statistics of a table. */
struct sizes {
	sqlite3_int64 rows;
	sqlite3_int64 tokens;
};

struct counting {
	uint64_t n;
	sqlite3_int64 rowid;
};

static int
on_match(const Fts5ExtensionApi *api, Fts5Context *fts, void *arg)
{
	struct counting *c = arg;

	c->rowid = api->xRowid(fts);
	return ++c->n == COUNT_MAX ? SQLITE_DONE : SQLITE_OK;
}

/** About how many records of the table hold a phrase: they are counted from the oldest on, and
 * rowids are taken to be spread evenly up to `last`. */
static int
count_docs(
	const Fts5ExtensionApi *api, Fts5Context *fts, int phrase, sqlite3_int64 last, double *out)
{
	struct counting c = {.n = 0};
	int rc = api->xQueryPhrase(fts, phrase, &c, on_match);

	*out = (double)c.n;
	if (c.n == COUNT_MAX && c.rowid > 0 && c.rowid < last)
		*out *= (double)last / (double)c.rowid;
	return rc;
}

static double
weight_of(double rows, double docs)
{
	if (docs > rows)
		docs = rows;
	return log(1 + (rows - docs + 0.5) / (docs + 0.5));
}

static int
set_weight(struct score *s, size_t i, const Fts5ExtensionApi *api, Fts5Context *fts,
	const struct sizes *table)
{
	double rows = (double)table->rows + (double)s->tail->docs_n, docs = 0;
	const struct query_phrase *p = &s->phrases[i];
	int rc = SQLITE_OK;

	if (p->is_excluded)
		return SQLITE_OK;
	if (p->is_prefix) {
		s->weights[i] = weight_of(rows, rows * PREFIX_SHARE);
		return SQLITE_OK;
	}
	if (api != NULL)
		rc = count_docs(api, fts, (int)i, s->mark, &docs);
	s->weights[i] = weight_of(rows, docs + (double)query_recent_docs(s->query, p, s->tail));
	return rc;
}

/** Without statistics: a score says the same whatever else there is. */
static void
prepare_apart(struct score *s)
{
	for (size_t i = 0; i < s->phrases_n; i++)
		s->weights[i] = 1;
	s->average = APART_AVERAGE;
	s->is_ready = true;
}

/** Reads the statistics of the table; without one (api is NULL) those of the tail are all. */
static int
prepare(struct score *s, const Fts5ExtensionApi *api, Fts5Context *fts)
{
	struct sizes table = {.rows = 0};
	double rows;
	int rc = SQLITE_OK;

	if (api != NULL)
		rc = api->xRowCount(fts, &table.rows);
	if (api != NULL && rc == SQLITE_OK)
		rc = api->xColumnTotalSize(fts, -1, &table.tokens);
	for (size_t i = 0; i < s->phrases_n && rc == SQLITE_OK; i++)
		rc = set_weight(s, i, api, fts, &table);
	rows = (double)table.rows + (double)s->tail->docs_n;
	s->average = ((double)table.tokens + (double)s->tail->tokens_n) / (rows > 0 ? rows : 1);
	if (s->average < 1)
		s->average = 1;
	s->is_ready = rc == SQLITE_OK;
	return rc;
}

static double
part(const struct score *s, size_t i, struct recent_count count, double tokens)
{
	double n = NAME_WEIGHT * count.name + count.data;

	return s->weights[i] * n * (K1 + 1) / (n + K1 * (1 - B + B * tokens / s->average));
}

static int
count_in_row(const Fts5ExtensionApi *api, Fts5Context *fts, int phrase, struct recent_count *out)
{
	Fts5PhraseIter it;
	int column, at;
	int rc = api->xPhraseFirst(fts, phrase, &it, &column, &at);

	*out = (struct recent_count){0, 0};
	for (; rc == SQLITE_OK && column >= 0; api->xPhraseNext(fts, &it, &column, &at)) {
		if (column == QUERY_NAME)
			out->name++;
		else
			out->data++;
	}
	return rc;
}

static int
score_row(struct score *s, const Fts5ExtensionApi *api, Fts5Context *fts, double *out)
{
	int rc = s->is_ready ? SQLITE_OK : prepare(s, api, fts), tokens = 0;

	*out = 0;
	if (rc == SQLITE_OK)
		rc = api->xColumnSize(fts, -1, &tokens);
	for (size_t i = 0; i < s->phrases_n && rc == SQLITE_OK; i++) {
		struct recent_count count;

		if (s->phrases[i].is_excluded)
			continue;
		rc = count_in_row(api, fts, (int)i, &count);
		*out += part(s, i, count, tokens);
	}
	return rc;
}

static void
search_score(const Fts5ExtensionApi *api, Fts5Context *fts, sqlite3_context *c, int n,
	sqlite3_value **args)
{
	struct score *s = n == 1 ? sqlite3_value_pointer(args[0], POINTER_TYPE) : NULL;
	double value;
	int rc;

	if (s == NULL || api->xPhraseCount(fts) != (int)s->phrases_n) {
		sqlite3_result_error(c, "search_score() is not for this query", -1);
		return;
	}
	rc = score_row(s, api, fts, &value);
	if (rc == SQLITE_OK)
		sqlite3_result_double(c, value);
	else
		sqlite3_result_error_code(c, rc);
}

enum err
score_add_function(sqlite3 *db, struct error *error)
{
	fts5_api *api = tokens_fts5(db);

	if (api == NULL ||
		api->xCreateFunction(api, "search_score", NULL, search_score, NULL) != SQLITE_OK)
		return error_set(error, ERR_DATABASE_ERROR, "SQLite has no FTS5");
	return OK;
}

void
score_bind(sqlite3_stmt *st, int i, struct score *s)
{
	sqlite3_bind_pointer(st, i, s, POINTER_TYPE, NULL);
}

void
score_init(struct score *s, const struct query *query, const struct recent *tail, int64_t mark,
	bool is_apart)
{
	*s = (struct score){.query = query, .tail = tail, .mark = mark};
	s->phrases_n = query_phrases(query, s->phrases);
	if (is_apart)
		prepare_apart(s);
}

double
score_of_recent(struct score *s, const struct recent_segment *segment, uint32_t doc)
{
	double value = 0;

	if (!s->is_ready)
		prepare(s, NULL, NULL);
	for (size_t i = 0; i < s->phrases_n; i++) {
		const struct query_phrase *p = &s->phrases[i];

		if (!p->is_excluded)
			value += part(s, i, query_recent_count(s->query, p, s->tail, segment, doc),
				segment->docs[doc].tokens_n);
	}
	return value;
}
