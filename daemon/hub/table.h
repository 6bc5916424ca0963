#pragma once
/*
 * A hash table of nodes that are embedded in what is looked up; it grows with
 * what is in it and holds no memory while empty. The hash is a polynomial modulo
 * 2^61-1 at a secret point: nobody outside can make texts collide, and the
 * hashes of all prefixes of a text come out on the way to its own.
 */

#include <stddef.h>
#include <stdint.h>

#include "common/span.h"

#define HASH_MODULUS ((UINT64_C(1) << 61) - 1)

struct table_node {
	struct table_node *next;
	uint64_t hash;
};

struct table {
	struct table_node **buckets; /* NULL while empty */
	unsigned bits;               /* there are 1 << bits buckets */
	size_t n;
};

/** The hash of a text with one more byte; that of the empty text is 0. `point` is a secret below
 * HASH_MODULUS. */
static inline uint64_t
hash_add(uint64_t point, uint64_t hash, char byte)
{
	unsigned __int128 p = (unsigned __int128)hash * point + (unsigned char)byte + 1;
	uint64_t folded = ((uint64_t)p & HASH_MODULUS) + (uint64_t)(p >> 61);

	return folded >= HASH_MODULUS ? folded - HASH_MODULUS : folded;
}

uint64_t hash_span(uint64_t point, struct span text);

void table_add(struct table *t, struct table_node *node, uint64_t hash);
void table_remove(struct table *t, struct table_node *node);
/** The nodes with this hash: the first, and the next after one of them; NULL at the end. */
struct table_node *table_first(const struct table *t, uint64_t hash);
struct table_node *table_next(const struct table_node *node);
