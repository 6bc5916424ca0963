/*
 * Matching a condition: one walk over the data along the tree of places, in
 * which each term looks at the value that its pointer names; then the condition
 * is made of what they found. Of a key that an object has twice the last counts,
 * as for JSON Pointers.
 */

#include "common/where.h"

#include <string.h>

#include "common/json_compare.h"
#include "common/where_priv.h"

struct match {
	const struct where *where;
	const struct where_place *places;
	const struct where_term *terms;
	bool found[WHERE_TERMS_MAX];
};

struct span
where_text(const struct where *w)
{
	return where_span(w, w->text);
}

size_t
where_size(const struct where *w)
{
	return w->size;
}

/** The order of a value and an operand, if they have one. */
static bool
compare(struct json_value value, struct json_value operand, int *order)
{
	struct json_decimal a, b;

	if (value.type != operand.type)
		return false;
	if (value.type == JSON_STRING) {
		*order = json_string_compare(value.raw, operand.raw);
		return true;
	}
	a = json_decimal_of(value.raw);
	b = json_decimal_of(operand.raw);
	*order = json_decimal_compare(&a, &b);
	return true;
}

static bool
is_in(struct json_value value, struct json_value list)
{
	struct json_walk w = json_walk_start(list);
	struct json_decimal a = {.sign = 0}, b;
	struct json_value item;

	/* A long number is looked at once. */
	if (value.type == JSON_NUMBER)
		a = json_decimal_of(value.raw);
	while (json_array_next(&w, &item)) {
		if (value.type == JSON_NUMBER && item.type == JSON_NUMBER) {
			b = json_decimal_of(item.raw);
			if (json_decimal_compare(&a, &b) == 0)
				return true;
		} else if (json_equal(value, item)) {
			return true;
		}
	}
	return false;
}

static bool
contains(const struct where *w, const struct where_term *t, struct json_value value,
	struct json_value operand)
{
	struct json_walk walk;
	struct json_value item;

	if (value.type == JSON_STRING && operand.type == JSON_STRING)
		return json_string_contains(value.raw, where_span(w, t->bytes),
			(const uint16_t *)(const void *)(where_texts(w) + t->fallback));
	if (value.type != JSON_ARRAY)
		return false;
	walk = json_walk_start(value);
	while (json_array_next(&walk, &item))
		if (json_equal(item, operand))
			return true;
	return false;
}

static bool
holds(const struct where *w, const struct where_term *t, struct json_value value)
{
	struct json_value operand = json_value_of(where_span(w, t->value));
	int order;

	switch ((enum where_op)t->op) {
	case WHERE_EQUAL:
		return json_equal(value, operand);
	case WHERE_UNEQUAL:
		return !json_equal(value, operand);
	case WHERE_LESS:
		return compare(value, operand, &order) && order < 0;
	case WHERE_LESS_EQUAL:
		return compare(value, operand, &order) && order <= 0;
	case WHERE_MORE:
		return compare(value, operand, &order) && order > 0;
	case WHERE_MORE_EQUAL:
		return compare(value, operand, &order) && order >= 0;
	case WHERE_IN:
		return is_in(value, operand);
	case WHERE_CONTAINS:
		return contains(w, t, value, operand);
	case WHERE_PREFIX:
		return value.type == JSON_STRING &&
		       json_string_has_prefix(value.raw, where_span(w, t->bytes));
	case WHERE_EXISTS:
		return operand.type == JSON_TRUE;
	case WHERE_OPS:
		break;
	}
	return false;
}

/** Nothing is known of the place and of what is below it. */
static void
forget(struct match *m, const struct where_place *place)
{
	for (unsigned t = place->term; t != WHERE_NONE; t = m->terms[t].next)
		m->found[t] = m->terms[t].is_true_of_nothing;
	for (unsigned i = 0; i < place->children_n; i++)
		forget(m, &m->places[place->child + i]);
}

/** The place below that a member's key leads to, or NULL. */
static const struct where_place *
find_below(const struct match *m, const struct where_place *place, struct span key)
{
	unsigned low = place->child, high = low + place->children_n;

	while (low < high) {
		unsigned middle = (low + high) / 2;
		const struct where_place *below = &m->places[middle];
		struct span name = where_span(m->where, below->name);
		int c = json_string_compare_text(key, name);

		if (c == 0)
			return json_string_eq(key, name) ? below : NULL; /* no lone surrogate is */
		if (c < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

static void visit(struct match *m, const struct where_place *place, struct json_value value);

static void
visit_members(struct match *m, const struct where_place *place, struct json_value object)
{
	struct json_walk w = json_walk_start(object);
	struct json_value value;
	struct span key;

	while (json_object_next(&w, &key, &value)) {
		const struct where_place *below = find_below(m, place, key);

		if (below == NULL)
			continue;
		forget(m, below);
		visit(m, below, value);
	}
}

static void
visit_items(struct match *m, const struct where_place *place, struct json_value array)
{
	const struct where_place *below = &m->places[place->child];
	struct json_walk w = json_walk_start(array);
	struct json_value value;
	unsigned left = 0;

	for (unsigned c = 0; c < place->children_n; c++)
		left += below[c].index != UINT64_MAX;
	for (uint64_t i = 0; left > 0 && json_array_next(&w, &value); i++) {
		for (unsigned c = 0; c < place->children_n; c++) {
			if (below[c].index != i)
				continue;
			visit(m, &below[c], value);
			left--;
		}
	}
}

static void
visit(struct match *m, const struct where_place *place, struct json_value value)
{
	for (unsigned t = place->term; t != WHERE_NONE; t = m->terms[t].next)
		m->found[t] = holds(m->where, &m->terms[t], value);
	if (place->children_n == 0)
		return;
	if (value.type == JSON_OBJECT)
		visit_members(m, place, value);
	else if (value.type == JSON_ARRAY)
		visit_items(m, place, value);
}

/** What the i-th node comes to. An empty "and" is true, an empty "or" is false. */
static bool
combine(const struct match *m, unsigned i)
{
	const struct where_node *nodes = where_nodes(m->where);
	const struct where_node *n = &nodes[i];

	switch (n->kind) {
	case WHERE_TERM:
		return m->found[n->term];
	case WHERE_NOT:
		return !combine(m, i + 1);
	case WHERE_AND:
	case WHERE_OR:
		break;
	}
	for (unsigned below = i + 1; below < n->end; below = nodes[below].end)
		if (combine(m, below) == (n->kind == WHERE_OR))
			return n->kind == WHERE_OR;
	return n->kind == WHERE_AND;
}

bool
where_matches(const struct where *w, struct span data)
{
	struct match m = {.where = w, .places = where_places(w), .terms = where_terms(w)};

	for (unsigned t = 0; t < w->terms_n; t++)
		m.found[t] = m.terms[t].is_true_of_nothing;
	visit(&m, &m.places[0], json_value_of(data));
	return combine(&m, 0);
}
