/*
 * The tree of a TOML document: an arena that all of it lives in, the nodes, and
 * an index by table and key that the reader needs while it builds, so that a
 * table of many keys costs no more per key than a small one. Pure; any thread.
 */

#include "common/toml.h"

#include <stdint.h>
#include <stdlib.h>

#include "common/toml_priv.h"
#include "common/xalloc.h"

#define BLOCK_SIZE    ((size_t)8 << 10)
#define INDEX_CAP_MIN 64

struct block {
	struct block *next;
	size_t used;
	size_t size;
	max_align_t bytes[];
};

struct toml {
	struct toml_branch root;
	struct block *blocks; /* the first is the one that is filled */
};

/** Zeroed memory that lives as long as the tree, aligned for anything. */
static void *
arena_alloc(struct toml *t, size_t n)
{
	struct block *b = t->blocks;
	char *p;

	n = (n + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
	if (b == NULL || n > b->size - b->used) {
		size_t size = n > BLOCK_SIZE ? n : BLOCK_SIZE;

		b = (struct block *)xcalloc(1, sizeof(*b) + size);
		b->size = size;
		b->next = t->blocks;
		t->blocks = b;
	}
	p = (char *)b->bytes + b->used;
	b->used += n;
	return p;
}

static uint64_t
hash_of(const struct toml_branch *table, struct span key)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ (uintptr_t)table; /* FNV-1a */

	for (size_t i = 0; i < key.n; i++)
		hash = (hash ^ (unsigned char)key.p[i]) * UINT64_C(0x100000001b3);
	return hash ^ hash >> 32;
}

/** The slot that holds this child, or the empty one where it belongs. */
static struct toml_branch **
find_slot(const struct toml_index *index, const struct toml_branch *table, struct span key)
{
	size_t i = hash_of(table, key) & (index->cap - 1);

	while (index->slots[i] != NULL &&
		(index->slots[i]->parent != table || !span_eq(index->slots[i]->node.key, key)))
		i = (i + 1) & (index->cap - 1);
	return &index->slots[i];
}

/** Doubles the slots when more than half of them are taken. */
static void
index_make_room(struct toml_index *index)
{
	struct toml_index old = *index;

	if (index->n < index->cap / 2)
		return;
	index->cap = old.cap > 0 ? old.cap * 2 : INDEX_CAP_MIN;
	index->slots = xnew_n(index->cap, struct toml_branch *);
	for (size_t i = 0; i < old.cap; i++) {
		struct toml_branch *b = old.slots[i];

		if (b != NULL)
			*find_slot(index, b->parent, b->node.key) = b;
	}
	free(old.slots);
}

static void
index_add(struct toml_index *index, struct toml_branch *child)
{
	index_make_room(index);
	*find_slot(index, child->parent, child->node.key) = child;
	index->n++;
}

void
toml_index_fini(struct toml_index *index)
{
	free(index->slots);
	*index = (struct toml_index){0};
}

struct toml *
toml_tree_new(void)
{
	struct toml *t = xnew(struct toml);

	t->root.node.type = TOML_TABLE;
	t->root.node.line = 1;
	t->root.node.column = 1;
	t->root.origin = TOML_BY_HEADER;
	return t;
}

struct toml_branch *
toml_tree_root(struct toml *t)
{
	return &t->root;
}

struct span
toml_tree_copy(struct toml *t, struct span s)
{
	char *p = (char *)arena_alloc(t, s.n + 1);

	if (s.n > 0)
		memcpy(p, s.p, s.n);
	return (struct span){p, s.n};
}

struct toml_branch *
toml_tree_find(const struct toml_reader *r, const struct toml_branch *table, struct span key)
{
	return r->index.cap > 0 ? *find_slot(&r->index, table, key) : NULL;
}

struct toml_branch *
toml_tree_add(struct toml_reader *r, struct toml_branch *parent, const struct toml_key *key)
{
	struct toml_branch *child;

	if (parent->depth == TOML_DEPTH_MAX) {
		toml_fault(r, key->place.p, "nested more than %d deep", TOML_DEPTH_MAX);
		return NULL;
	}
	child = (struct toml_branch *)arena_alloc(r->doc, sizeof(*child));
	child->node.key = key->text;
	child->node.line = key->place.line;
	child->node.column = key->place.column;
	child->parent = parent;
	child->depth = parent->depth + 1;
	if (parent->last != NULL)
		parent->last->node.next = &child->node;
	else
		parent->node.first = &child->node;
	parent->last = child;
	if (key->raw.n > 0)
		index_add(&r->index, child);
	return child;
}

const struct toml_node *
toml_root(const struct toml *t)
{
	return &t->root.node;
}

const struct toml_node *
toml_find(const struct toml_node *table, const char *key)
{
	const struct toml_node *child = table->first;

	while (child != NULL && !span_is(child->key, key))
		child = child->next;
	return child;
}

void
toml_free(struct toml *t)
{
	if (t == NULL)
		return;
	while (t->blocks != NULL) {
		struct block *b = t->blocks;

		t->blocks = b->next;
		free(b);
	}
	free(t);
}
