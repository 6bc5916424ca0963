/*
 * The two faces of a query: the text for MATCH and the evaluation against the
 * tokens of one record. Both walk the same tree; a test holds them to the same
 * answer.
 */

#include <string.h>

#include "common/xalloc.h"
#include "daemon/search/query_priv.h"

/** A term as a string of FTS5's, in which only the quote is special. */
static void
write_term(struct buf *out, const struct node *n)
{
	if (n->is_name_only)
		buf_addf(out, "name:");
	buf_add_char(out, '"');
	for (size_t i = 0; i < n->text.n; i++) {
		if (n->text.p[i] == '"')
			buf_add_char(out, '"');
		buf_add_char(out, n->text.p[i]);
	}
	buf_addf(out, n->is_prefix ? "\"*" : "\"");
}

static void write_node(struct buf *out, const struct node *n);

/** The children of one sort, in parentheses. */
static void
write_children(struct buf *out, const struct node *n, bool excluded, const char *word)
{
	size_t written = 0;

	buf_add_char(out, '(');
	for (const struct node *c = n->child; c != NULL; c = c->next) {
		if (c->is_excluded != excluded)
			continue;
		if (written++ > 0)
			buf_addf(out, " %s ", word);
		write_node(out, c);
	}
	buf_add_char(out, ')');
}

static bool
has_excluded(const struct node *n)
{
	for (const struct node *c = n->child; c != NULL; c = c->next)
		if (c->is_excluded)
			return true;
	return false;
}

static void
write_node(struct buf *out, const struct node *n)
{
	if (n->kind == NODE_TERM) {
		write_term(out, n);
	} else if (n->kind == NODE_ANY) {
		write_children(out, n, false, "OR");
	} else if (!has_excluded(n)) {
		write_children(out, n, false, "AND");
	} else {
		buf_add_char(out, '(');
		write_children(out, n, false, "AND");
		buf_addf(out, " NOT ");
		write_children(out, n, true, "OR");
		buf_add_char(out, ')');
	}
}

void
query_write_match(struct query *q)
{
	write_node(&q->match_text, q->root);
	must(!q->match_text.failed);
}

/** True if the term stands in a column from token `at` on. */
static bool
stands_at(const struct query *q, const struct node *n, const struct tokens *column, size_t at)
{
	size_t last = n->tokens_n - 1;

	if (at + n->tokens_n > tokens_count(column))
		return false;
	for (size_t i = 0; i < n->tokens_n; i++) {
		struct span want = tokens_text(&q->tokens, n->first + i);
		struct span have = tokens_text(column, at + i);

		if (n->is_prefix && i == last ? !span_has_prefix(have, want) : !span_eq(have, want))
			return false;
	}
	return true;
}

static bool
term_matches_column(const struct query *q, const struct node *n, const struct tokens *column)
{
	size_t count = tokens_count(column);

	for (size_t at = 0; at < count; at++)
		if (stands_at(q, n, column, at))
			return true;
	return false;
}

static bool
node_matches(const struct query *q, const struct node *n, const struct query_doc *doc)
{
	if (n->kind == NODE_TERM)
		return term_matches_column(q, n, &doc->columns[QUERY_NAME]) ||
		       (!n->is_name_only && term_matches_column(q, n, &doc->columns[QUERY_DATA]));
	for (const struct node *c = n->child; c != NULL; c = c->next) {
		bool matches = node_matches(q, c, doc);

		if (n->kind == NODE_ANY && matches)
			return true;
		if (n->kind == NODE_ALL && matches == c->is_excluded)
			return false;
	}
	return n->kind == NODE_ALL;
}

bool
query_matches(const struct query *q, const struct query_doc *doc)
{
	return node_matches(q, q->root, doc);
}

/** Fills `terms` with the terms below a node that are not excluded. */
static size_t
collect(const struct node *n, const struct node **terms, size_t terms_n)
{
	if (n->kind == NODE_TERM) {
		terms[terms_n++] = n;
		return terms_n;
	}
	for (const struct node *c = n->child; c != NULL; c = c->next)
		if (!c->is_excluded)
			terms_n = collect(c, terms, terms_n);
	return terms_n;
}

size_t
query_find(const struct query *q, enum query_column column, const struct tokens *tokens,
	struct match *out, size_t max)
{
	const struct node *terms[QUERY_TERMS_MAX];
	size_t terms_n = collect(q->root, terms, 0), count = tokens_count(tokens), n = 0;

	for (size_t at = 0; at < count; at++) {
		for (size_t i = 0; i < terms_n; i++) {
			if ((terms[i]->is_name_only && column != QUERY_NAME) ||
				!stands_at(q, terms[i], tokens, at))
				continue;
			if (n == max)
				return n;
			out[n++] = (struct match){
				.start = tokens_at(tokens, at)->start,
				.end = tokens_at(tokens, at + terms[i]->tokens_n - 1)->end,
				.term = terms[i]->number,
			};
		}
	}
	return n;
}
