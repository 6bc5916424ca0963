/*
 * A query against the tail: see query_recent.h. A phrase is looked up as all of its
 * tokens, which is more than it matches; what is exact is told, so that only then
 * the record itself has to be taken apart once more.
 */

#include "daemon/search/query_recent.h"

#include <string.h>

#include "daemon/search/query_priv.h"

static const struct recent_bits no_bits;

static void
add_phrases(const struct node *n, bool is_excluded, struct query_phrase *out, size_t *count)
{
	if (n->kind == NODE_TERM) {
		out[(*count)++] = (struct query_phrase){n, n->is_prefix, is_excluded};
		return;
	}
	for (const struct node *c = n->child; c != NULL; c = c->next)
		if (!c->is_excluded)
			add_phrases(c, is_excluded, out, count);
	for (const struct node *c = n->child; c != NULL; c = c->next)
		if (c->is_excluded)
			add_phrases(c, true, out, count);
}

size_t
query_phrases(const struct query *q, struct query_phrase *out)
{
	size_t n = 0;

	add_phrases(q->root, false, out, &n);
	return n;
}

/** Adds the records with token i of a term. */
static void
mark_token(const struct query *q, const struct node *n, size_t i, const struct recent *t,
	const struct recent_segment *s, struct recent_bits *bits)
{
	struct span text = tokens_text(&q->tokens, n->first + i);
	uint32_t term;

	if (!n->is_prefix || i + 1 < n->tokens_n) {
		term = recent_find(t, s, text);
		if (term != UINT32_MAX)
			recent_mark(s, term, n->is_name_only, bits);
		return;
	}
	for (term = 0; term < s->terms_n; term++)
		if (span_has_prefix(recent_term_text(s, term), text))
			recent_mark(s, term, n->is_name_only, bits);
}

static void
keep_common(struct recent_bits *bits, const struct recent_bits *other)
{
	for (size_t i = 0; i < RECENT_DOCS / 64; i++)
		bits->v[i] &= other->v[i];
}

static bool
select_term(const struct query *q, const struct node *n, const struct recent *t,
	const struct recent_segment *s, struct recent_bits *out)
{
	*out = no_bits;
	mark_token(q, n, 0, t, s, out);
	for (size_t i = 1; i < n->tokens_n; i++) {
		struct recent_bits next = no_bits;

		mark_token(q, n, i, t, s, &next);
		keep_common(out, &next);
	}
	return n->tokens_n == 1;
}

static bool select_node(const struct query *q, const struct node *n, const struct recent *t,
	const struct recent_segment *s, struct recent_bits *out);

static bool
select_any(const struct query *q, const struct node *n, const struct recent *t,
	const struct recent_segment *s, struct recent_bits *out)
{
	bool is_exact = true;

	*out = no_bits;
	for (const struct node *c = n->child; c != NULL; c = c->next) {
		struct recent_bits bits;

		is_exact &= select_node(q, c, t, s, &bits);
		for (size_t i = 0; i < RECENT_DOCS / 64; i++)
			out->v[i] |= bits.v[i];
	}
	return is_exact;
}

/** An exclusion that is not exact takes nothing away. */
static bool
select_all(const struct query *q, const struct node *n, const struct recent *t,
	const struct recent_segment *s, struct recent_bits *out)
{
	bool is_exact = true;

	memset(out, 0xff, sizeof(*out));
	for (const struct node *c = n->child; c != NULL; c = c->next) {
		struct recent_bits bits;
		bool is_child_exact = select_node(q, c, t, s, &bits);

		is_exact &= is_child_exact;
		if (!c->is_excluded) {
			keep_common(out, &bits);
		} else if (is_child_exact) {
			for (size_t i = 0; i < RECENT_DOCS / 64; i++)
				out->v[i] &= ~bits.v[i];
		}
	}
	return is_exact;
}

static bool
select_node(const struct query *q, const struct node *n, const struct recent *t,
	const struct recent_segment *s, struct recent_bits *out)
{
	switch (n->kind) {
	case NODE_TERM:
		return select_term(q, n, t, s, out);
	case NODE_ANY:
		return select_any(q, n, t, s, out);
	case NODE_ALL:
		break;
	}
	return select_all(q, n, t, s, out);
}

bool
query_select(const struct query *q, const struct recent *t, const struct recent_segment *s,
	struct recent_bits *out)
{
	return select_node(q, q->root, t, s, out);
}

/** The rarest of a term's whole tokens in a segment; UINT32_MAX: it has none, or is not there. */
static uint32_t
rarest(const struct query *q, const struct node *n, const struct recent *t,
	const struct recent_segment *s)
{
	size_t whole_n = n->tokens_n - n->is_prefix;
	uint32_t best = UINT32_MAX;

	for (size_t i = 0; i < whole_n; i++) {
		uint32_t term = recent_find(t, s, tokens_text(&q->tokens, n->first + i));

		if (term == UINT32_MAX)
			return UINT32_MAX;
		if (best == UINT32_MAX || recent_docs_with(s, term) < recent_docs_with(s, best))
			best = term;
	}
	return best;
}

uint64_t
query_recent_docs(const struct query *q, const struct query_phrase *phrase, const struct recent *t)
{
	uint64_t n = 0;

	for (const struct recent_segment *s = t->newest; s != NULL; s = s->older) {
		uint32_t term = rarest(q, phrase->node, t, s);

		if (term != UINT32_MAX)
			n += recent_docs_with(s, term);
	}
	return n;
}

struct recent_count
query_recent_count(const struct query *q, const struct query_phrase *phrase, const struct recent *t,
	const struct recent_segment *s, uint32_t doc)
{
	const struct node *n = phrase->node;
	struct recent_count count = {0, 0};
	uint32_t term;

	if (n->tokens_n == 1 && n->is_prefix) /* looking for all words that begin so is slow */
		return (struct recent_count){n->is_name_only, !n->is_name_only};
	term = rarest(q, n, t, s);
	if (term != UINT32_MAX)
		count = recent_count_in(s, term, doc);
	if (n->is_name_only)
		count.data = 0;
	return count;
}
