/*
 * The hash table: see table.h. Chains of nodes, doubled when there are as many
 * nodes as buckets, given back when the last node leaves. Pure.
 */

#include "daemon/hub/table.h"

#include <stdlib.h>

#include "common/xalloc.h"

#define BITS_MIN 3
/* 2^64 divided by the golden ratio: spreads the hashes of short texts over all buckets. */
#define SPREAD UINT64_C(0x9E3779B97F4A7C15)

uint64_t
hash_span(uint64_t point, struct span text)
{
	uint64_t hash = 0;

	for (size_t i = 0; i < text.n; i++)
		hash = hash_add(point, hash, text.p[i]);
	return hash;
}

static struct table_node **
bucket_of(const struct table *t, uint64_t hash)
{
	return &t->buckets[(hash * SPREAD) >> (64 - t->bits)];
}

static void
grow(struct table *t)
{
	struct table old = *t;

	t->bits = old.buckets != NULL ? old.bits + 1 : BITS_MIN;
	t->buckets = xnew_n((size_t)1 << t->bits, struct table_node *);
	for (size_t i = 0; old.buckets != NULL && i < (size_t)1 << old.bits; i++) {
		for (struct table_node *next, *node = old.buckets[i]; node != NULL; node = next) {
			struct table_node **bucket = bucket_of(t, node->hash);

			next = node->next;
			node->next = *bucket;
			*bucket = node;
		}
	}
	free(old.buckets);
}

void
table_add(struct table *t, struct table_node *node, uint64_t hash)
{
	struct table_node **bucket;

	if (t->buckets == NULL || t->n >= (size_t)1 << t->bits)
		grow(t);
	bucket = bucket_of(t, hash);
	node->hash = hash;
	node->next = *bucket;
	*bucket = node;
	t->n++;
}

void
table_remove(struct table *t, struct table_node *node)
{
	struct table_node **at = bucket_of(t, node->hash);

	while (*at != node) {
		must(*at != NULL);
		at = &(*at)->next;
	}
	*at = node->next;
	if (--t->n == 0) {
		free(t->buckets);
		*t = (struct table){.buckets = NULL};
	}
}

static struct table_node *
with_hash(struct table_node *node, uint64_t hash)
{
	while (node != NULL && node->hash != hash)
		node = node->next;
	return node;
}

struct table_node *
table_first(const struct table *t, uint64_t hash)
{
	return t->buckets != NULL ? with_hash(*bucket_of(t, hash), hash) : NULL;
}

struct table_node *
table_next(const struct table_node *node)
{
	return with_hash(node->next, node->hash);
}
