/* What the categories keep: see retention.h. */

#include "daemon/store/retention.h"

#include <stdlib.h>
#include <string.h>

#include "common/name.h"
#include "common/xalloc.h"

/** A rule, and the names that it is for. */
struct named_rule {
	struct name_pattern pattern; /* first; its text is owned */
	struct retention_rule rule;
};

struct retention {
	struct name_pattern **v;
	size_t n;
};

static const struct retention_rule nothing = {.max_records = INT64_MAX};

struct retention *
retention_new(const struct conf *conf)
{
	const struct conf_tables *t = &conf->categories;
	struct retention *r = xnew(struct retention);

	r->n = t->n;
	r->v = xnew_n(t->n + 1, struct name_pattern *);
	for (size_t i = 0; i < t->n; i++) {
		const struct conf_category *c = (const struct conf_category *)t->v[i];
		struct named_rule *rule = xnew(struct named_rule);

		rule->pattern = c->named.pattern;
		rule->pattern.text.p = xstrndup(rule->pattern.text.p, rule->pattern.text.n);
		rule->rule = (struct retention_rule){c->history, c->max_records};
		r->v[i] = &rule->pattern;
	}
	name_patterns_link(r->v, r->n);
	return r;
}

void
retention_free(struct retention *r)
{
	if (r == NULL)
		return;
	for (size_t i = 0; i < r->n; i++) {
		free((char *)(uintptr_t)r->v[i]->text.p);
		free(r->v[i]);
	}
	free(r->v);
	free(r);
}

const struct retention_rule *
retention_find(const struct retention *r, struct span category)
{
	const struct name_pattern *p = r != NULL ? name_patterns_match(r->v, r->n, category) : NULL;

	return p != NULL ? &((const struct named_rule *)(const void *)p)->rule : &nothing;
}

bool
retention_has_history(const struct retention *r)
{
	for (size_t i = 0; r != NULL && i < r->n; i++)
		if (((const struct named_rule *)(const void *)r->v[i])->rule.history.count > 0)
			return true;
	return false;
}
