/* Keeping the newest: see conflation.h. */

#include "daemon/feed/conflation.h"

#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"

struct entry {
	struct table_node by_key;
	struct list in_all;
	struct feed_record record; /* of the texts below */
	size_t nbytes;
	char texts[];
};

void
conflation_init(struct conflation *c, uint64_t seed)
{
	*c = (struct conflation){.point = seed % HASH_MODULUS};
	list_init(&c->all);
}

static void
forget(struct conflation *c, struct entry *e)
{
	table_remove(&c->by_key, &e->by_key);
	list_remove(&e->in_all);
	c->n--;
	c->nbytes -= e->nbytes;
	free(e);
}

void
conflation_fini(struct conflation *c)
{
	while (!list_is_empty(&c->all))
		forget(c, list_item(c->all.next, struct entry, in_all));
}

/** Ids have no NUL: the key is one text. */
static uint64_t
hash_of(const struct conflation *c, const struct feed_record *r)
{
	uint64_t hash = hash_add(c->point, hash_span(c->point, r->category), '\0');

	for (size_t i = 0; i < r->id.n; i++)
		hash = hash_add(c->point, hash, r->id.p[i]);
	return hash;
}

static struct entry *
find(const struct conflation *c, const struct feed_record *r, uint64_t hash)
{
	struct table_node *at = table_first(&c->by_key, hash);

	for (; at != NULL; at = table_next(at)) {
		struct entry *e = list_item(at, struct entry, by_key);

		if (span_eq(e->record.id, r->id) && span_eq(e->record.category, r->category))
			return e;
	}
	return NULL;
}

static struct span
keep(char **at, struct span text)
{
	struct span kept = {*at, text.n};

	if (text.n > 0)
		memcpy(*at, text.p, text.n);
	*at += text.n;
	return kept;
}

static struct entry *
entry_new(const struct feed_record *r)
{
	size_t n = r->category.n + r->id.n + r->name.n + r->data.n;
	struct entry *e = xcalloc(1, sizeof(*e) + n);
	char *at = e->texts;

	e->nbytes = sizeof(*e) + n;
	e->record = *r;
	e->record.category = keep(&at, r->category);
	e->record.id = keep(&at, r->id);
	e->record.name = keep(&at, r->name);
	e->record.data = keep(&at, r->data);
	return e;
}

bool
conflation_put(struct conflation *c, const struct feed_record *r)
{
	uint64_t hash = hash_of(c, r);
	struct entry *old = find(c, r, hash), *e = entry_new(r);
	struct list *place = &c->all;

	if (old != NULL) {
		place = old->in_all.next;
		forget(c, old);
	}
	list_append(place, &e->in_all); /* in front of it */
	table_add(&c->by_key, &e->by_key, hash);
	c->n++;
	c->nbytes += e->nbytes;
	return old != NULL;
}

bool
conflation_peek(const struct conflation *c, struct feed_record *r)
{
	if (c->n == 0)
		return false;
	*r = list_item(c->all.next, struct entry, in_all)->record;
	return true;
}

void
conflation_drop(struct conflation *c)
{
	forget(c, list_item(c->all.next, struct entry, in_all));
}
