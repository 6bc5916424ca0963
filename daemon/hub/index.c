/*
 * The index: see index.h. Two levels of the same thing, a map from terms to
 * nodes: that of the categories has, in each node, the patterns that want all
 * ids, and a map of ids for the others.
 */

#include "daemon/hub/index.h"

#include <stdlib.h>
#include <string.h>

#include "common/list.h"
#include "common/xalloc.h"

/** One term that some patterns have. */
struct term_node {
	struct table_node node;  /* first: a table_node is a term_node */
	struct term_map *map;    /* the one that it is in */
	struct term_node *above; /* the category's node, of an id's node; else NULL */
	struct list links;
	struct term_map ids; /* of a category's node */
	bool is_prefix;
	uint32_t text_n;
	char text[];
};

/** A pattern's place in a node. */
struct index_link {
	struct list in_node;
	struct term_node *node;
	struct index_entry *entry;
};

void
index_init(struct index *ix, uint64_t seed)
{
	*ix = (struct index){.point = seed % HASH_MODULUS};
}

void
index_fini(struct index *ix)
{
	must(ix->categories.nodes.n == 0);
	free(ix->found);
}

static unsigned
lengths_place(const struct term_lengths *l, size_t length)
{
	unsigned i = 0;

	while (i < l->n && l->v[i].length < length)
		i++;
	return i;
}

static void
lengths_add(struct term_lengths *l, size_t length)
{
	unsigned i = lengths_place(l, length);

	if (i < l->n && l->v[i].length == length) {
		l->v[i].used++;
		return;
	}
	if (l->n == l->cap) {
		l->cap = l->cap > 0 ? 2 * l->cap : 4;
		l->v = xrealloc(l->v, l->cap, sizeof(*l->v));
	}
	memmove(l->v + i + 1, l->v + i, (l->n - i) * sizeof(*l->v));
	l->v[i] = (struct term_length){(uint32_t)length, 1};
	l->n++;
}

static void
lengths_remove(struct term_lengths *l, size_t length)
{
	unsigned i = lengths_place(l, length);

	must(i < l->n && l->v[i].length == length);
	if (--l->v[i].used > 0)
		return;
	l->n--;
	memmove(l->v + i, l->v + i + 1, (l->n - i) * sizeof(*l->v));
	if (l->n == 0) {
		free(l->v);
		*l = (struct term_lengths){.v = NULL};
	}
}

static struct term_node *
node_find(const struct term_map *map, uint64_t hash, const struct term *term)
{
	struct table_node *at = table_first(&map->nodes, hash);

	for (; at != NULL; at = table_next(at)) {
		struct term_node *node = (struct term_node *)(void *)at;

		if (node->is_prefix == term->is_prefix &&
			span_eq((struct span){node->text, node->text_n}, term->text))
			return node;
	}
	return NULL;
}

/** The node of a term in a map, made if it is not there. */
static struct term_node *
node_get(struct index *ix, struct term_map *map, struct term_node *above, const struct term *term)
{
	uint64_t hash = hash_span(ix->point, term->text);
	struct term_node *node = node_find(map, hash, term);

	if (node != NULL)
		return node;
	node = xcalloc(1, sizeof(*node) + term->text.n);
	node->map = map;
	node->above = above;
	node->is_prefix = term->is_prefix;
	node->text_n = (uint32_t)term->text.n;
	memcpy(node->text, term->text.p, term->text.n);
	list_init(&node->links);
	table_add(&map->nodes, &node->node, hash);
	if (term->is_prefix)
		lengths_add(&map->lengths, term->text.n);
	return node;
}

/** Frees a node that nothing hangs on any more, and then the one above it. */
static void
node_drop(struct term_node *node)
{
	while (node != NULL && list_is_empty(&node->links) && node->ids.nodes.n == 0) {
		struct term_node *above = node->above;

		table_remove(&node->map->nodes, &node->node);
		if (node->is_prefix)
			lengths_remove(&node->map->lengths, node->text_n);
		free(node);
		node = above;
	}
}

size_t
index_cost(const struct pattern *p)
{
	return p->categories_n * (p->ids_n > 0 ? p->ids_n : 1);
}

static bool
terms_fit(const struct term *terms, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (terms[i].text.n > INDEX_TEXT_MAX)
			return false;
	return true;
}

bool
index_can_hold(const struct pattern *p)
{
	return terms_fit(p->categories, p->categories_n) && terms_fit(p->ids, p->ids_n);
}

static void
link_to(struct index_entry *e, struct term_node *node)
{
	struct index_link *link = &e->links[e->links_n++];

	link->entry = e;
	link->node = node;
	list_append(&node->links, &link->in_node);
}

void
index_add(struct index *ix, struct index_entry *e, const struct pattern *p)
{
	must(e->links == NULL && index_can_hold(p));
	e->pattern = p;
	e->links = xnew_n(index_cost(p), struct index_link);
	for (size_t c = 0; c < p->categories_n; c++) {
		struct term_node *node = node_get(ix, &ix->categories, NULL, &p->categories[c]);

		if (p->ids_n == 0)
			link_to(e, node);
		for (size_t i = 0; i < p->ids_n; i++)
			link_to(e, node_get(ix, &node->ids, node, &p->ids[i]));
	}
}

void
index_remove(struct index *ix, struct index_entry *e)
{
	(void)ix;
	for (size_t i = 0; i < e->links_n; i++) {
		list_remove(&e->links[i].in_node);
		node_drop(e->links[i].node);
	}
	free(e->links);
	e->links = NULL;
	e->links_n = 0;
}

/** The nodes whose term matches the text: at most one exact one and one a length. */
static size_t
map_match(const struct index *ix, const struct term_map *map, struct span text,
	struct term_node *out[INDEX_TEXT_MAX + 2])
{
	const struct term_lengths *l = &map->lengths;
	struct term_node *node;
	uint64_t hash = 0;
	size_t n = 0, done = 0;

	for (unsigned i = 0; i < l->n && l->v[i].length <= text.n; i++) {
		struct term prefix = {
			{text.p, l->v[i].length},
                        true
                };

		for (; done < prefix.text.n; done++)
			hash = hash_add(ix->point, hash, text.p[done]);
		node = node_find(map, hash, &prefix);
		if (node != NULL)
			out[n++] = node;
	}
	for (; done < text.n; done++)
		hash = hash_add(ix->point, hash, text.p[done]);
	node = node_find(map, hash, &(struct term){text, false});
	if (node != NULL)
		out[n++] = node;
	return n;
}

static void
collect(struct index *ix, const struct term_node *node)
{
	struct list *at, *tmp;

	list_each (at, tmp, &node->links) {
		struct index_entry *e = list_item(at, struct index_link, in_node)->entry;

		if (e->seen == ix->lookups)
			continue;
		e->seen = ix->lookups;
		if (ix->found_n == ix->found_cap) {
			ix->found_cap = ix->found_cap > 0 ? 2 * ix->found_cap : 16;
			ix->found =
				xrealloc(ix->found, ix->found_cap, sizeof(struct index_entry *));
		}
		ix->found[ix->found_n++] = e;
	}
}

size_t
index_match(struct index *ix, struct span category, struct span id, struct index_entry *const **out)
{
	struct term_node *categories[INDEX_TEXT_MAX + 2], *ids[INDEX_TEXT_MAX + 2];
	size_t categories_n, ids_n;

	ix->lookups++;
	ix->found_n = 0;
	categories_n = map_match(ix, &ix->categories, category, categories);
	for (size_t c = 0; c < categories_n; c++) {
		collect(ix, categories[c]);
		if (categories[c]->ids.nodes.n == 0)
			continue;
		ids_n = map_match(ix, &categories[c]->ids, id, ids);
		for (size_t i = 0; i < ids_n; i++)
			collect(ix, ids[i]);
	}
	*out = ix->found;
	return ix->found_n;
}
