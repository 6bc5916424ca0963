#pragma once
/*
 * The inside of a condition: what where_parse.c writes and where.c reads. One
 * block, in which everything is found by its place, so that a copy of the bytes
 * is a copy of the condition.
 *
 * The pointers are one tree of places, so that a walk over the data meets each
 * value once, whatever the number of terms. Terms leave what they found in an
 * array of their own; the nodes of the condition then combine that.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/json.h"
#include "common/where.h"

#define WHERE_NONE      UINT16_MAX
#define WHERE_NODES_MAX 512

enum where_op {
	WHERE_EQUAL,
	WHERE_UNEQUAL,
	WHERE_LESS,
	WHERE_LESS_EQUAL,
	WHERE_MORE,
	WHERE_MORE_EQUAL,
	WHERE_IN,
	WHERE_CONTAINS,
	WHERE_PREFIX,
	WHERE_EXISTS,
	WHERE_OPS
};

/** A run of bytes in the block's texts. */
struct where_text {
	uint32_t at;
	uint32_t n;
};

struct where_term {
	uint8_t op;
	bool is_true_of_nothing; /* what it is when its pointer names nothing */
	uint16_t next;           /* another one at the same place */
	struct where_text value; /* JSON of the operand */
	struct where_text bytes; /* of prefix and contains: the operand decoded, */
	uint32_t fallback;       /* and the place of its json_fill_fallback() */
};

struct where_place {
	struct where_text name; /* of a member */
	uint64_t index;         /* of an item; UINT64_MAX: none */
	uint16_t term;          /* the first one here */
	uint16_t child;         /* the first place below; they are side by side, by their names */
	uint16_t children_n;
};

/** A node of the condition. Those below it follow it. */
struct where_node {
	enum where_kind { WHERE_TERM, WHERE_AND, WHERE_OR, WHERE_NOT } kind;
	uint16_t term;
	uint16_t end; /* the first node that is not below it */
};

struct where {
	_Alignas(uint64_t) uint32_t size;
	uint16_t terms_n;
	uint16_t places_n; /* the first is the whole data */
	uint16_t nodes_n;  /* the first is all of the condition */
	struct where_text text;
	/* and behind it: places, terms, nodes, texts */
};

static inline struct where_place *
where_places(const struct where *w)
{
	return (struct where_place *)(uintptr_t)(w + 1);
}

static inline struct where_term *
where_terms(const struct where *w)
{
	return (struct where_term *)(where_places(w) + w->places_n);
}

static inline struct where_node *
where_nodes(const struct where *w)
{
	return (struct where_node *)(where_terms(w) + w->terms_n);
}

static inline const char *
where_texts(const struct where *w)
{
	return (const char *)(where_nodes(w) + w->nodes_n);
}

static inline struct span
where_span(const struct where *w, struct where_text t)
{
	return (struct span){where_texts(w) + t.at, t.n};
}
