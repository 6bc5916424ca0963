/*
 * Patterns: see pattern.h. A pattern is one block: the struct, its terms, the
 * condition, the key, the texts. The key is a kind byte, a length of two bytes and
 * the text for each term, and the text of the condition, so that equal keys are
 * equal patterns whatever the texts hold.
 */

#include "daemon/store/pattern.h"

#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"

bool
term_matches(const struct term *t, struct span text)
{
	return t->is_prefix ? span_has_prefix(text, t->text) : span_eq(t->text, text);
}

static int
compare_terms(const void *a, const void *b)
{
	const struct term *x = a, *y = b;
	int c = span_compare(x->text, y->text);

	return c != 0 ? c : (int)x->is_prefix - (int)y->is_prefix;
}

/** Sorts and drops what is there twice; returns how many are left. */
static size_t
normalise(struct term *terms, size_t n)
{
	size_t kept = 0;

	if (n > 1)
		qsort(terms, n, sizeof(*terms), compare_terms);
	for (size_t i = 0; i < n; i++)
		if (kept == 0 || compare_terms(&terms[kept - 1], &terms[i]) != 0)
			terms[kept++] = terms[i];
	return kept;
}

/** Writes each term's part of the key, and lets the term's text point into it. */
static char *
write_key(char *p, struct term *terms, size_t n, char kinds)
{
	for (size_t i = 0; i < n; i++) {
		struct span text = terms[i].text;

		*p++ = (char)(kinds + terms[i].is_prefix);
		*p++ = (char)(text.n >> 8);
		*p++ = (char)text.n;
		if (text.n > 0)
			memcpy(p, text.p, text.n);
		terms[i].text.p = p;
		p += text.n;
	}
	return p;
}

static size_t
key_size(const struct term *terms, size_t n)
{
	size_t size = 0;

	for (size_t i = 0; i < n; i++)
		size += 3 + terms[i].text.n;
	return size;
}

/** Copies the condition to its place, and its text, as the end of the key, to *key. */
static void
copy_where(struct pattern *p, const struct where *where, char *at, char **key)
{
	struct span text;

	p->where = NULL;
	if (where == NULL)
		return;
	memcpy(at, where, where_size(where));
	p->where = (const struct where *)(const void *)at;
	text = where_text(where);
	*(*key)++ = 'w';
	memcpy(*key, text.p, text.n);
	*key += text.n;
}

struct pattern *
pattern_new(const struct term *categories, size_t categories_n, const struct term *ids,
	size_t ids_n, const struct where *where)
{
	size_t terms_size = (categories_n + ids_n) * sizeof(struct term);
	size_t where_n = where != NULL ? where_size(where) : 0;
	size_t key_max = key_size(categories, categories_n) + key_size(ids, ids_n) +
			 (where != NULL ? 1 + where_text(where).n : 0);
	struct pattern *p = try_alloc(sizeof(*p) + terms_size + where_n + key_max);
	struct term *c, *d;
	char *key;

	if (p == NULL)
		return NULL;
	c = (struct term *)(void *)(p + 1);
	d = c + categories_n;
	key = (char *)(d + ids_n) + where_n;
	memcpy(c, categories, categories_n * sizeof(*c));
	if (ids_n > 0)
		memcpy(d, ids, ids_n * sizeof(*d));
	p->categories = c;
	p->categories_n = normalise(c, categories_n);
	p->ids = d;
	p->ids_n = normalise(d, ids_n);
	p->key.p = key;
	key = write_key(key, c, p->categories_n, 'c');
	key = write_key(key, d, p->ids_n, 'i');
	copy_where(p, where, (char *)(d + ids_n), &key);
	p->key.n = (size_t)(key - p->key.p);
	return p;
}

struct pattern *
pattern_dup(const struct pattern *p)
{
	return pattern_new(p->categories, p->categories_n, p->ids, p->ids_n, p->where);
}

static bool
some_term_matches(const struct term *terms, size_t n, struct span text)
{
	for (size_t i = 0; i < n; i++)
		if (term_matches(&terms[i], text))
			return true;
	return false;
}

bool
pattern_matches(const struct pattern *p, struct span category, struct span id)
{
	return some_term_matches(p->categories, p->categories_n, category) &&
	       (p->ids_n == 0 || some_term_matches(p->ids, p->ids_n, id));
}

bool
pattern_accepts(const struct pattern *p, struct span data)
{
	return p->where == NULL || where_matches(p->where, data);
}

bool
pattern_is_one_category(const struct pattern *p, struct span *category)
{
	if (p->categories_n != 1 || p->categories[0].is_prefix)
		return false;
	*category = p->categories[0].text;
	return true;
}
