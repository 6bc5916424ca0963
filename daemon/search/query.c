/*
 * Reading a query: see query.h. A recursive descent over
 *
 *   any  = all ("OR" all)*
 *   all  = item item*
 *   item = ["-"] ["name:"] ( "(" any ")" | '"' text '"' ["*"] | word )
 *
 * where a part that comes to no token leaves no node behind.
 */

#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"
#include "daemon/search/query_priv.h"
#include "daemon/search/text.h"

/* What follows quotes each token once more at most, with a few words around it. */
#define MATCH_TEXT_MAX (QUERY_MAX_BYTES * 2 + QUERY_TERMS_MAX * 64)

struct parser {
	const char *start;
	const char *p;
	const char *end;
	unsigned depth; /* of parentheses */
	bool is_name_only;
	struct query *q;
	struct tokenizer *tokenizer;
	struct error *error;
};

/** Where p is, for people: in characters, from 1. */
static size_t
place(const struct parser *ps, const char *p)
{
	size_t n = 1;

	for (const char *c = ps->start; c < p; c++)
		n += ((unsigned char)*c & 0xc0) != 0x80;
	return n;
}

static enum err
refuse(struct parser *ps, const char *what, const char *at, const char *advice)
{
	return error_set(
		ps->error, ERR_INVALID_ARGUMENT, "%s at %zu%s", what, place(ps, at), advice);
}

static enum err
refuse_more(struct parser *ps, int max, const char *what, const char *at)
{
	return error_set(
		ps->error, ERR_LIMIT_EXCEEDED, "more than %d %s at %zu", max, what, place(ps, at));
}

/** The bytes of white space (Unicode's, and control characters) at p, or 0. */
static size_t
space_at(const char *p, const char *end)
{
	static const char *const spaces[] = {"\u00a0", "\u1680", "\u2000", "\u2001", "\u2002",
		"\u2003", "\u2004", "\u2005", "\u2006", "\u2007", "\u2008", "\u2009", "\u200a",
		"\u2028", "\u2029", "\u202f", "\u205f", "\u3000"};
	struct span rest = {p, (size_t)(end - p)};

	if (p == end)
		return 0;
	if ((unsigned char)*p <= ' ' || *p == 0x7f)
		return 1;
	if ((unsigned char)*p < 0x80)
		return 0;
	for (size_t i = 0; i < sizeof(spaces) / sizeof(spaces[0]); i++)
		if (span_has_prefix(rest, span_of(spaces[i])))
			return strlen(spaces[i]);
	return 0;
}

static bool
closes_group(const struct parser *ps, const char *p)
{
	return p < ps->end && *p == ')' && ps->depth > 0;
}

static bool
ends_item(const struct parser *ps, const char *p)
{
	return p == ps->end || space_at(p, ps->end) > 0 || closes_group(ps, p);
}

static void
skip_space(struct parser *ps)
{
	size_t n;

	while ((n = space_at(ps->p, ps->end)) > 0)
		ps->p += n;
}

static bool
is_at(const struct parser *ps, const char *text)
{
	return span_has_prefix((struct span){ps->p, (size_t)(ps->end - ps->p)}, span_of(text));
}

static bool
is_at_or(const struct parser *ps)
{
	return is_at(ps, "OR") && ends_item(ps, ps->p + 2);
}

static struct node *
make_node(struct query *q, enum node_kind kind)
{
	struct node *n = xnew(struct node);

	n->kind = kind;
	n->made_before = q->last_made;
	q->last_made = n;
	return n;
}

/** Sets *out to a term, or to NULL when nothing of the text is a token. */
static enum err
make_term(struct parser *ps, struct span text, bool is_prefix, struct node **out)
{
	struct query *q = ps->q;
	size_t first = tokens_count(&q->tokens);
	enum err e = tokens_add(&q->tokens, ps->tokenizer, text, ps->error);

	*out = NULL;
	if (e != OK || tokens_count(&q->tokens) == first)
		return e;
	if (q->terms_n == QUERY_TERMS_MAX)
		return refuse_more(ps, QUERY_TERMS_MAX, "terms", text.p);
	if (tokens_count(&q->tokens) > QUERY_TOKENS_MAX)
		return refuse_more(ps, QUERY_TOKENS_MAX,
			tokenizer_kind(ps->tokenizer) == TOKENIZER_TRIGRAM
				? "runs of three characters"
				: "words",
			text.p);
	*out = make_node(q, NODE_TERM);
	(*out)->is_prefix = is_prefix;
	(*out)->is_name_only = ps->is_name_only;
	(*out)->number = q->terms_n++;
	(*out)->text = text;
	(*out)->first = first;
	(*out)->tokens_n = tokens_count(&q->tokens) - first;
	return OK;
}

/** True and past them, if there are stars here. */
static bool
skip_stars(struct parser *ps)
{
	const char *start = ps->p;

	while (ps->p < ps->end && *ps->p == '*')
		ps->p++;
	return ps->p > start;
}

static enum err
parse_phrase(struct parser *ps, struct node **out)
{
	const char *quote = ps->p++;
	const char *close = memchr(ps->p, '"', (size_t)(ps->end - ps->p));
	struct span text = {ps->p, (size_t)((close != NULL ? close : ps->end) - ps->p)};

	skip_space(ps);
	if (ps->p >= text.p + text.n)
		return refuse(ps, "an empty phrase", quote, "");
	ps->p = close != NULL ? close + 1 : ps->end;
	return make_term(ps, text, skip_stars(ps), out);
}

/** A word goes to the next white space, or to a parenthesis that closes none of its own. */
static enum err
parse_word(struct parser *ps, struct node **out)
{
	struct span word = {ps->p, 0};
	unsigned own = 0;
	size_t stars = 0;

	while (ps->p < ps->end && space_at(ps->p, ps->end) == 0) {
		if (*ps->p == ')' && own == 0 && ps->depth > 0)
			break;
		if (*ps->p == '(')
			own++;
		else if (*ps->p == ')' && own > 0)
			own--;
		ps->p++;
	}
	word.n = (size_t)(ps->p - word.p);
	while (stars < word.n && word.p[word.n - 1 - stars] == '*')
		stars++;
	word.n -= stars;
	return make_term(ps, word, stars > 0, out);
}

static enum err parse_any(struct parser *ps, struct node **out);

static enum err
parse_group(struct parser *ps, struct node **out)
{
	const char *start = ps->p++;
	enum err e;

	if (ps->depth == QUERY_DEPTH_MAX)
		return refuse(ps, "parentheses nested too deeply", start, "");
	ps->depth++;
	skip_space(ps);
	if (ps->p == ps->end || *ps->p == ')')
		return refuse(ps, "nothing in the parentheses", start, "");
	e = parse_any(ps, out);
	if (e == OK && ps->p < ps->end)
		ps->p++; /* it stopped at the closing one */
	ps->depth--;
	return e;
}

/** What follows a minus and `name:`, each of which means something only with something behind. */
static enum err
parse_item(struct parser *ps, struct node **out)
{
	bool was_name_only = ps->is_name_only, is_excluded = false;
	enum err e;

	if (*ps->p == '-' && !ends_item(ps, ps->p + 1) && ps->p[1] != '-') {
		is_excluded = true;
		ps->p++;
	}
	if (is_at(ps, "name:") && !ends_item(ps, ps->p + 5)) {
		ps->is_name_only = true;
		ps->p += 5;
	}
	if (*ps->p == '(')
		e = parse_group(ps, out);
	else if (*ps->p == '"')
		e = parse_phrase(ps, out);
	else
		e = parse_word(ps, out);
	ps->is_name_only = was_name_only;
	if (e == OK && *out != NULL)
		(*out)->is_excluded = is_excluded;
	return e;
}

/** Terms side by side. */
static enum err
parse_all(struct parser *ps, struct node **out)
{
	const char *start;
	struct node *all = make_node(ps->q, NODE_ALL), *item, **end = &all->child;
	size_t wanted_n = 0;
	enum err e;

	*out = NULL;
	skip_space(ps);
	start = ps->p;
	while (ps->p < ps->end && !closes_group(ps, ps->p) && !is_at_or(ps)) {
		e = parse_item(ps, &item);
		if (e != OK)
			return e;
		if (item != NULL) {
			*end = item;
			end = &item->next;
			wanted_n += !item->is_excluded;
		}
		skip_space(ps);
	}
	if (all->child != NULL && wanted_n == 0)
		return refuse(ps, "only exclusions", start, ": add a word to look for");
	if (all->child != NULL)
		*out = all->child->next == NULL ? all->child : all;
	return OK;
}

/** Both sides of an OR have to be there, even if they come to nothing. */
static enum err
check_or(struct parser *ps, const char *before, const char * or)
{
	static const char advice[] = " (the word itself goes in quotes)";

	if (before == or)
		return refuse(ps, "nothing in front of the OR", or, advice);
	skip_space(ps);
	if (ps->p == ps->end || closes_group(ps, ps->p))
		return refuse(ps, "nothing behind the OR", or, advice);
	return OK;
}

static enum err
parse_any(struct parser *ps, struct node **out)
{
	struct node *any = make_node(ps->q, NODE_ANY), *part, **end = &any->child;
	enum err e = OK;

	*out = NULL;
	for (;;) {
		const char *before = ps->p, * or ;

		e = parse_all(ps, &part);
		if (e != OK)
			return e;
		if (part != NULL) {
			*end = part;
			end = &part->next;
		}
		if (!is_at_or(ps))
			break;
		or = ps->p;
		ps->p += 2;
		e = check_or(ps, before, or);
		if (e != OK)
			return e;
	}
	if (any->child != NULL)
		*out = any->child->next == NULL ? any->child : any;
	return OK;
}

static enum err
parse(struct query *q, struct span text, struct tokenizer *tokenizer, struct error *error)
{
	struct parser ps = {
		.start = text.p,
		.p = text.p,
		.end = text.p + text.n,
		.q = q,
		.tokenizer = tokenizer,
		.error = error,
	};
	enum err e;

	skip_space(&ps);
	if (ps.p == ps.end)
		return error_set(error, ERR_INVALID_ARGUMENT, "nothing to look for");
	e = parse_any(&ps, &q->root);
	if (e != OK || q->root != NULL)
		return e;
	return error_set(error, ERR_INVALID_ARGUMENT, "nothing to look for: %s",
		tokenizer_kind(tokenizer) == TOKENIZER_TRIGRAM
			? "a term needs at least three characters"
			: "a term needs a letter or a digit");
}

enum err
query_new(struct span text, struct tokenizer *tokenizer, struct query **out, struct error *error)
{
	struct query *q;
	enum err e;

	if (text.n > QUERY_MAX_BYTES)
		return error_set(error, ERR_INVALID_ARGUMENT, "%zu bytes, at most %d are allowed",
			text.n, QUERY_MAX_BYTES);
	q = xnew(struct query);
	q->text = xstrndup(text.p, text.n);
	text_clean(q->text, text.n);
	for (size_t i = 0; i < text.n; i++)
		if (q->text[i] == '\0')
			q->text[i] = ' '; /* it would end the text for MATCH */
	tokens_init(&q->tokens);
	buf_init(&q->match_text, MATCH_TEXT_MAX);
	e = parse(q, (struct span){q->text, text.n}, tokenizer, error);
	if (e == OK) {
		query_write_match(q);
		*out = q;
	} else {
		query_free(q);
	}
	return e;
}

void
query_free(struct query *q)
{
	if (q == NULL)
		return;
	for (struct node *n = q->last_made, *before; n != NULL; n = before) {
		before = n->made_before;
		free(n);
	}
	tokens_fini(&q->tokens);
	buf_fini(&q->match_text);
	free(q->text);
	free(q);
}

struct span
query_match_text(const struct query *q)
{
	return buf_span(&q->match_text);
}
