/*
 * Fuzzes queries: the first byte chooses the tokenizer, the second how much of
 * the rest is a record's name; then its data, up to a line feed; then the query.
 * What is read never fails in FTS5, and says of the record what FTS5 says; what
 * is refused is refused in words. Places that are found are inside the text.
 */

#include <sqlite3.h>
#include <stdlib.h>

#include "common/xalloc.h"
#include "daemon/search/query.h"
#include "daemon/search/text.h"

#define FOUND_MAX 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/** A table of one record, and what reads as it does. */
struct table {
	sqlite3 *db;
	sqlite3_stmt *replace;
	sqlite3_stmt *match;
	struct tokenizer *tokenizer;
};

static struct table tables[2];

static sqlite3_stmt *
prepare(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *st;

	must(sqlite3_prepare_v2(db, sql, -1, &st, NULL) == SQLITE_OK);
	return st;
}

static void
open_table(struct table *t, enum tokenizer_kind kind)
{
	char *sql = xasprintf("CREATE VIRTUAL TABLE docs USING fts5(name, data, tokenize = '%s')",
		tokenizer_option(kind));
	struct error error;

	must(sqlite3_open(":memory:", &t->db) == SQLITE_OK);
	must(sqlite3_exec(t->db, sql, NULL, NULL, NULL) == SQLITE_OK);
	free(sql);
	t->replace = prepare(t->db, "REPLACE INTO docs (rowid, name, data) VALUES (1, ?1, ?2)");
	t->match = prepare(t->db, "SELECT rowid FROM docs WHERE docs MATCH ?1");
	must(tokenizer_new(t->db, kind, &t->tokenizer, &error) == OK);
}

/** Puts a column into the table and into the record. */
static void
set_column(struct table *t, struct query_doc *doc, enum query_column column, struct span text)
{
	struct error error;

	tokens_init(&doc->columns[column]);
	must(tokens_add(&doc->columns[column], t->tokenizer, text, &error) == OK);
	sqlite3_bind_text(
		t->replace, column + 1, text.n > 0 ? text.p : "", (int)text.n, SQLITE_STATIC);
}

static void
check_found(const struct query *q, const struct query_doc *doc, const struct span *columns)
{
	struct match found[FOUND_MAX];

	for (int c = 0; c < QUERY_COLUMNS; c++) {
		size_t n = query_find(q, (enum query_column)c, &doc->columns[c], found, FOUND_MAX);

		must(n <= FOUND_MAX);
		for (size_t i = 0; i < n; i++) {
			must(found[i].start <= found[i].end && found[i].end <= columns[c].n);
			must(found[i].term < QUERY_TERMS_MAX);
			must(i == 0 || found[i - 1].start <= found[i].start);
		}
	}
}

static void
check(struct table *t, const struct span *columns, struct span text)
{
	struct error error = ERROR_NONE;
	struct query_doc doc;
	struct span match;
	struct query *q;

	if (query_new(text, t->tokenizer, &q, &error) != OK) {
		must(error.code == ERR_INVALID_ARGUMENT || error.code == ERR_LIMIT_EXCEEDED);
		must(error.text[0] != '\0');
		return;
	}
	for (int c = 0; c < QUERY_COLUMNS; c++)
		set_column(t, &doc, (enum query_column)c, columns[c]);
	must(sqlite3_step(t->replace) == SQLITE_DONE);
	sqlite3_reset(t->replace);
	match = query_match_text(q);
	sqlite3_bind_text(t->match, 1, match.p, (int)match.n, SQLITE_STATIC);
	must(sqlite3_step(t->match) == (query_matches(q, &doc) ? SQLITE_ROW : SQLITE_DONE));
	must(sqlite3_reset(t->match) == SQLITE_OK);
	check_found(q, &doc, columns);
	query_free(q);
	for (int c = 0; c < QUERY_COLUMNS; c++)
		tokens_fini(&doc.columns[c]);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span columns[QUERY_COLUMNS], rest;
	struct table *t;
	const char *line;
	char *copy;

	if (size < 2)
		return 0;
	t = &tables[data[0] % 2];
	if (t->db == NULL)
		open_table(t, (enum tokenizer_kind)(data[0] % 2));
	copy = xstrndup((const char *)data, size);
	rest = (struct span){copy + 2, size - 2};
	text_clean(copy + 2, rest.n);
	columns[QUERY_NAME] = (struct span){rest.p, data[1] < rest.n ? data[1] : rest.n};
	rest = (struct span){rest.p + columns[QUERY_NAME].n, rest.n - columns[QUERY_NAME].n};
	line = memchr(rest.p, '\n', rest.n);
	columns[QUERY_DATA] = (struct span){rest.p, line != NULL ? (size_t)(line - rest.p) : 0};
	rest = (struct span){rest.p + columns[QUERY_DATA].n, rest.n - columns[QUERY_DATA].n};
	check(t, columns, rest);
	free(copy);
	return 0;
}
