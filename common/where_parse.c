/*
 * Parsing a condition: see where.h. It is gathered in arrays with room for the
 * most that there may be, then copied into one block.
 */

#include "common/where.h"

#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/json_compare.h"
#include "common/json_pointer.h"
#include "common/where_priv.h"
#include "common/xalloc.h"

/* The text, the names, and of prefix and contains the operand in three bytes for each of its own.
 */
#define TEXTS_MAX ((size_t)8 * WHERE_BYTES_MAX)
#define NAME_SIZE 64 /* of what an error shows */

struct parse {
	struct error *error;
	unsigned depth;
	unsigned values_n;
	unsigned places_n;
	unsigned terms_n;
	unsigned nodes_n;
	struct where_place places[WHERE_PLACES_MAX]; /* with children_n unset */
	uint16_t siblings[WHERE_PLACES_MAX];         /* the next one below the same place */
	struct where_term terms[WHERE_TERMS_MAX];
	struct where_node nodes[WHERE_NODES_MAX];
	struct buf texts;
};

static const char *const op_names[WHERE_OPS] = {
	[WHERE_EQUAL] = "=",
	[WHERE_UNEQUAL] = "!=",
	[WHERE_LESS] = "<",
	[WHERE_LESS_EQUAL] = "<=",
	[WHERE_MORE] = ">",
	[WHERE_MORE_EQUAL] = ">=",
	[WHERE_IN] = "in",
	[WHERE_CONTAINS] = "contains",
	[WHERE_PREFIX] = "prefix",
	[WHERE_EXISTS] = "exists",
};

#define OPERATORS "= != < <= > >= in contains prefix exists"

static enum err
too_much(struct parse *p, const char *what, unsigned max)
{
	return error_set(p->error, ERR_LIMIT_EXCEEDED, "a condition has at most %u %s", max, what);
}

static enum err
out_of_memory(struct parse *p)
{
	return error_set(p->error, ERR_LIMIT_EXCEEDED, "out of memory");
}

static enum err
wrong(struct parse *p, const char *what)
{
	return error_set(p->error, ERR_INVALID_ARGUMENT, "%s", what);
}

/** Refuses a key that the object has twice: what would be meant? */
static enum err
check_once(struct parse *p, struct json_value object, struct span key)
{
	struct json_walk w = json_walk_start(object);
	struct json_value value;
	char name[NAME_SIZE];
	struct span other;
	unsigned n = 0;

	while (json_object_next(&w, &other, &value))
		n += json_string_compare(other, key) == 0;
	if (n < 2)
		return OK;
	json_string_text(key, name, sizeof(name));
	return error_set(p->error, ERR_INVALID_ARGUMENT, "\"%s\" is given twice", name);
}

/** Counts the values of an operand, and looks whether its objects are sound. */
static enum err
check_values(struct parse *p, struct json_value value)
{
	struct json_walk w;
	struct json_value below;
	struct span key;
	enum err e = OK;

	if (++p->values_n > WHERE_VALUES_MAX)
		return too_much(p, "values to compare with", WHERE_VALUES_MAX);
	if (value.type != JSON_ARRAY && value.type != JSON_OBJECT)
		return OK;
	w = json_walk_start(value);
	if (value.type == JSON_ARRAY)
		while (e == OK && json_array_next(&w, &below))
			e = check_values(p, below);
	else
		while (e == OK && json_object_next(&w, &key, &below)) {
			e = check_values(p, below);
			if (e == OK)
				e = check_once(p, value, key);
		}
	return e;
}

static struct where_text
keep(struct parse *p, struct span text)
{
	struct where_text t = {(uint32_t)p->texts.n, (uint32_t)text.n};

	buf_add_span(&p->texts, text);
	return t;
}

static struct where_text
keep_json(struct parse *p, struct json_value value)
{
	struct where_text t = {.at = (uint32_t)p->texts.n};

	json_compact(value, &p->texts);
	t.n = (uint32_t)p->texts.n - t.at;
	return t;
}

/** Decodes the operand of prefix or contains, and prepares it for being looked for. */
static void
keep_bytes(struct parse *p, struct where_term *t, struct span raw)
{
	static const char zeros[sizeof(uint16_t)];
	char *room = buf_reserve(&p->texts, raw.n);
	size_t fallback_n;

	if (room == NULL)
		return;
	t->bytes =
		(struct where_text){(uint32_t)p->texts.n, (uint32_t)json_string_bytes(raw, room)};
	p->texts.n += t->bytes.n;
	buf_add(&p->texts, zeros, p->texts.n % sizeof(zeros));
	fallback_n = t->bytes.n * sizeof(uint16_t);
	t->fallback = (uint32_t)p->texts.n;
	room = buf_reserve(&p->texts, fallback_n);
	if (room == NULL)
		return;
	json_fill_fallback(
		(struct span){p->texts.p + t->bytes.at, t->bytes.n}, (uint16_t *)(void *)room);
	p->texts.n += fallback_n;
}

/** Another node; nodes below it are added until its end is set. */
static enum err
add_node(struct parse *p, enum where_kind kind, unsigned *at)
{
	if (p->nodes_n == WHERE_NODES_MAX)
		return too_much(p, "parts", WHERE_NODES_MAX);
	*at = p->nodes_n++;
	p->nodes[*at] = (struct where_node){.kind = kind, .end = (uint16_t)p->nodes_n};
	return OK;
}

static enum err
check_operand(struct parse *p, enum where_op op, struct json_value operand)
{
	switch (op) {
	case WHERE_LESS:
	case WHERE_LESS_EQUAL:
	case WHERE_MORE:
	case WHERE_MORE_EQUAL:
		if (operand.type != JSON_NUMBER && operand.type != JSON_STRING)
			return wrong(p, "must be followed by a number or a string");
		break;
	case WHERE_IN:
		if (operand.type != JSON_ARRAY)
			return wrong(p, "must be followed by an array");
		break;
	case WHERE_PREFIX:
		if (operand.type != JSON_STRING)
			return wrong(p, "must be followed by a string");
		break;
	case WHERE_EXISTS:
		if (operand.type != JSON_TRUE && operand.type != JSON_FALSE)
			return wrong(p, "must be followed by true or false");
		break;
	case WHERE_EQUAL:
	case WHERE_UNEQUAL:
	case WHERE_CONTAINS:
	case WHERE_OPS:
		break;
	}
	return check_values(p, operand);
}

static enum err
add_term(struct parse *p, struct where_place *place, enum where_op op, struct json_value operand)
{
	struct where_term *t = &p->terms[p->terms_n];
	unsigned node = 0;
	enum err e;

	if (p->terms_n == WHERE_TERMS_MAX)
		return too_much(p, "operators", WHERE_TERMS_MAX);
	e = check_operand(p, op, operand);
	if (e == OK)
		e = add_node(p, WHERE_TERM, &node);
	if (e != OK)
		return e;
	*t = (struct where_term){
		.op = (uint8_t)op,
		.is_true_of_nothing =
			op == WHERE_UNEQUAL || (op == WHERE_EXISTS && operand.type == JSON_FALSE),
		.next = place->term,
		.value = keep_json(p, operand),
	};
	if (operand.type == JSON_STRING && (op == WHERE_PREFIX || op == WHERE_CONTAINS))
		keep_bytes(p, t, operand.raw);
	p->nodes[node].term = place->term = (uint16_t)p->terms_n++;
	return OK;
}

/** {">":1,"<":2} */
static enum err
add_operators(struct parse *p, struct where_place *place, struct json_value operators)
{
	struct json_walk w = json_walk_start(operators);
	struct json_value operand;
	char name[NAME_SIZE];
	struct span key;
	enum err e = OK;
	unsigned op, n = 0;

	for (; e == OK && json_object_next(&w, &key, &operand); n++) {
		for (op = 0; op < WHERE_OPS && !json_string_is(key, op_names[op]); op++)
			;
		json_string_text(key, name, sizeof(name));
		if (op == WHERE_OPS)
			return error_set(p->error, ERR_INVALID_ARGUMENT,
				"there is no operator \"%s\" (known: " OPERATORS
				"; an object to be equal to is written {\"=\": {...}})",
				name);
		e = check_once(p, operators, key);
		if (e == OK)
			e = add_term(p, place, (enum where_op)op, operand);
		if (e != OK)
			error_wrap(p->error, "%s", name);
	}
	if (n == 0)
		return wrong(p, "no operator is given (known: " OPERATORS ")");
	return e;
}

static struct span
name_of(const struct parse *p, unsigned place)
{
	const struct where_text *name = &p->places[place].name;

	return (struct span){p->texts.p + name->at, name->n};
}

/** The place that a step leads to from another one, made if it is not there yet. */
static enum err
step_to(struct parse *p, unsigned *at, const struct json_step *step)
{
	uint16_t *link = &p->places[*at].child;

	if (p->texts.failed)
		return out_of_memory(p);
	for (; *link != WHERE_NONE; link = &p->siblings[*link]) {
		if (span_eq(name_of(p, *link), step->name)) {
			*at = *link;
			return OK;
		}
	}
	if (p->places_n == WHERE_PLACES_MAX)
		return too_much(p, "names in its pointers", WHERE_PLACES_MAX);
	p->places[p->places_n] = (struct where_place){
		.name = keep(p, step->name),
		.index = step->index,
		.term = WHERE_NONE,
		.child = WHERE_NONE,
	};
	p->siblings[p->places_n] = WHERE_NONE;
	*at = *link = (uint16_t)p->places_n++;
	return OK;
}

/** The place that a pointer names; *at is that of the whole data. */
static enum err
find_place(struct parse *p, struct span key, unsigned *at)
{
	struct json_pointer *pointer = NULL;
	char *text = try_alloc(key.n);
	enum err e;

	if (text == NULL)
		return out_of_memory(p);
	e = json_pointer_new((struct span){text, json_string_bytes(key, text)}, &pointer, p->error);
	free(text);
	for (size_t i = 0; e == OK && i < pointer->steps_n; i++)
		e = step_to(p, at, &pointer->steps[i]);
	free(pointer);
	return e;
}

static enum err
add_pointer(struct parse *p, struct span key, struct json_value value)
{
	unsigned at = 0;
	enum err e = find_place(p, key, &at);

	if (e != OK)
		return e;
	if (value.type == JSON_OBJECT)
		return add_operators(p, &p->places[at], value);
	return add_term(p, &p->places[at], WHERE_EQUAL, value);
}

static enum err add_condition(struct parse *p, struct json_value condition);

/** "and", "or": an array of conditions. */
static enum err
add_list(struct parse *p, enum where_kind kind, struct json_value list)
{
	struct json_walk w;
	struct json_value item;
	unsigned node = 0, n = 0;
	enum err e;

	if (list.type != JSON_ARRAY)
		return wrong(p, "must be followed by an array of conditions");
	e = add_node(p, kind, &node);
	w = json_walk_start(list);
	for (; e == OK && json_array_next(&w, &item); n++) {
		e = add_condition(p, item);
		if (e != OK)
			error_wrap(p->error, "condition %u", n);
	}
	if (e == OK && n == 0)
		return wrong(p, "must not be empty");
	if (e == OK)
		p->nodes[node].end = (uint16_t)p->nodes_n;
	return e;
}

static enum err
add_not(struct parse *p, struct json_value condition)
{
	unsigned node = 0;
	enum err e = add_node(p, WHERE_NOT, &node);

	if (e == OK)
		e = add_condition(p, condition);
	if (e == OK)
		p->nodes[node].end = (uint16_t)p->nodes_n;
	return e;
}

static enum err
add_member(struct parse *p, struct span key, struct json_value value)
{
	if (json_string_is(key, "and"))
		return add_list(p, WHERE_AND, value);
	if (json_string_is(key, "or"))
		return add_list(p, WHERE_OR, value);
	if (json_string_is(key, "not"))
		return add_not(p, value);
	if (json_string_is(key, "") || json_string_has_prefix(key, SPAN("/")))
		return add_pointer(p, key, value);
	return wrong(p, "not a JSON Pointer (\"/name\"), nor one of: and or not");
}

static enum err
add_condition(struct parse *p, struct json_value condition)
{
	struct json_walk w;
	struct json_value value;
	char name[NAME_SIZE];
	struct span key;
	unsigned node = 0;
	enum err e;

	if (condition.type != JSON_OBJECT)
		return wrong(p, "must be an object such as {\"/price\": {\">\": 10}}");
	if (p->depth == WHERE_DEPTH_MAX)
		return too_much(p, "conditions within each other", WHERE_DEPTH_MAX);
	e = add_node(p, WHERE_AND, &node);
	p->depth++;
	w = json_walk_start(condition);
	while (e == OK && json_object_next(&w, &key, &value)) {
		e = check_once(p, condition, key);
		if (e == OK)
			e = add_member(p, key, value);
		json_string_text(key, name, sizeof(name));
		if (e != OK)
			error_wrap(p->error, "%s", name[0] != '\0' ? name : "\"\"");
	}
	p->depth--;
	p->nodes[node].end = (uint16_t)p->nodes_n;
	return e;
}

/** Copies the places, so that those below one are side by side, in the order of their names. */
static void
copy_places(const struct parse *p, struct where_place *out)
{
	uint16_t from[WHERE_PLACES_MAX] = {0};
	unsigned n = 1;

	for (unsigned i = 0; i < p->places_n; i++) {
		unsigned first = n, at;

		out[i] = p->places[from[i]];
		for (uint16_t c = out[i].child; c != WHERE_NONE; c = p->siblings[c]) {
			for (at = n++; at > first; at--) {
				if (span_compare(name_of(p, from[at - 1]), name_of(p, c)) < 0)
					break;
				from[at] = from[at - 1];
			}
			from[at] = c;
		}
		out[i].child = (uint16_t)first;
		out[i].children_n = (uint16_t)(n - first);
	}
}

/** Copies what was gathered into one block. */
static struct where *
build(const struct parse *p, struct where_text text)
{
	size_t places_size = p->places_n * sizeof(struct where_place);
	size_t terms_size = p->terms_n * sizeof(struct where_term);
	size_t nodes_size = p->nodes_n * sizeof(struct where_node);
	size_t size = sizeof(struct where) + places_size + terms_size + nodes_size + p->texts.n;
	struct where *w = try_alloc(size);

	if (w == NULL)
		return NULL;
	*w = (struct where){
		.size = (uint32_t)size,
		.terms_n = (uint16_t)p->terms_n,
		.places_n = (uint16_t)p->places_n,
		.nodes_n = (uint16_t)p->nodes_n,
		.text = text,
	};
	copy_places(p, where_places(w));
	memcpy(where_terms(w), p->terms, terms_size);
	memcpy(where_nodes(w), p->nodes, nodes_size);
	memcpy((char *)(where_nodes(w) + w->nodes_n), p->texts.p, p->texts.n);
	return w;
}

enum err
where_new(struct json_value condition, struct where **out, struct error *error)
{
	struct parse *p;
	struct where_text text;
	struct where *w = NULL;
	enum err e;

	if (condition.raw.n > WHERE_BYTES_MAX)
		return error_set(error, ERR_LIMIT_EXCEEDED,
			"a condition has at most %d bytes, this has %zu", WHERE_BYTES_MAX,
			condition.raw.n);
	p = xnew(struct parse);
	p->error = error;
	p->places_n = 1;
	p->places[0] =
		(struct where_place){.index = UINT64_MAX, .term = WHERE_NONE, .child = WHERE_NONE};
	buf_init(&p->texts, TEXTS_MAX);
	text = keep_json(p, condition);
	e = add_condition(p, condition);
	if (e == OK && !p->texts.failed)
		w = build(p, text);
	if (e == OK && w == NULL)
		e = out_of_memory(p);
	buf_fini(&p->texts);
	free(p);
	if (e == OK)
		*out = w;
	return e;
}
