/* Which index a category goes into: see kinds.h. */

#include "daemon/search/kinds.h"

#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/xalloc.h"

static const char *const words[] = {
	[SEARCH_WORDS] = "words",
	[SEARCH_TRIGRAM] = "trigram",
	[SEARCH_OFF] = "off",
};

struct rule {
	enum conf_search kind;
	struct span name; /* without the "*" */
	bool is_prefix;
};

struct kinds {
	char *text; /* owned: the names point into it */
	struct rule *rules;
	size_t n;
};

static void
add_line(struct buf *out, enum conf_search kind, const char *name)
{
	buf_addf(out, "%s %s\n", words[kind], name);
}

char *
kinds_text(const struct conf *conf)
{
	const struct conf_tables *t = &conf->categories;
	bool has_all = false;
	struct buf out;
	size_t n;

	buf_init(&out, SIZE_MAX / 2);
	for (size_t i = 0; i < t->n; i++) {
		const struct conf_category *c = (const struct conf_category *)t->v[i];

		add_line(&out, c->search, c->named.name);
		has_all |= strcmp(c->named.name, "*") == 0;
	}
	if (!has_all)
		add_line(&out, ((const struct conf_category *)t->standard)->search, "*");
	buf_add_char(&out, '\0');
	must(!out.failed);
	return buf_steal(&out, &n);
}

static bool
read_line(struct span line, struct rule *rule)
{
	const char *space = line.n > 0 ? memchr(line.p, ' ', line.n) : NULL;
	struct span word;

	if (space == NULL)
		return false;
	word = (struct span){line.p, (size_t)(space - line.p)};
	for (int kind = 0; kind <= SEARCH_OFF; kind++) {
		if (!span_is(word, words[kind]))
			continue;
		rule->kind = (enum conf_search)kind;
		rule->name = (struct span){space + 1, line.n - word.n - 1};
		rule->is_prefix = rule->name.n > 0 && rule->name.p[rule->name.n - 1] == '*';
		rule->name.n -= rule->is_prefix;
		return true;
	}
	return false;
}

struct kinds *
kinds_new(struct span text)
{
	struct kinds *k = xnew(struct kinds);
	char *p = k->text = xstrndup(text.p != NULL ? text.p : "", text.n);

	while (*p != '\0') {
		size_t n = strcspn(p, "\n");

		k->rules = xrealloc(k->rules, k->n + 1, sizeof(*k->rules));
		k->n += read_line((struct span){p, n}, &k->rules[k->n]);
		p += n + (p[n] == '\n');
	}
	return k;
}

void
kinds_free(struct kinds *k)
{
	if (k == NULL)
		return;
	free(k->rules);
	free(k->text);
	free(k);
}

static bool
fits(const struct rule *r, struct span category)
{
	return r->is_prefix ? span_has_prefix(category, r->name) : span_eq(category, r->name);
}

/** True if a is the more exact one of two that fit. */
static bool
is_closer(const struct rule *a, const struct rule *b)
{
	return a->name.n > b->name.n || (a->name.n == b->name.n && !a->is_prefix);
}

enum conf_search
kinds_of(const struct kinds *k, struct span category)
{
	const struct rule *best = NULL;

	for (size_t i = 0; i < k->n; i++)
		if (fits(&k->rules[i], category) && (best == NULL || is_closer(&k->rules[i], best)))
			best = &k->rules[i];
	return best != NULL ? best->kind : SEARCH_OFF;
}

bool
kinds_has(const struct kinds *k, enum conf_search kind)
{
	for (size_t i = 0; i < k->n; i++)
		if (k->rules[i].kind == kind)
			return true;
	return false;
}
