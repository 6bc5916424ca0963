/*
 * Values of options out of JSON: see conf_table.h. They are made what the same in TOML
 * would be, so that there is one reading of them.
 */

#include <stdlib.h>

#include "common/xalloc.h"
#include "daemon/base/conf_table.h"

/** Room for the nodes and texts of one value. */
struct bridge {
	struct toml_node *nodes; /* owned, as are the texts */
	size_t nodes_n;
	char *texts;
	size_t texts_n;
};

static bool
take_text(struct bridge *b, struct span raw, struct span *out)
{
	char *to = b->texts + b->texts_n;
	size_t n = json_string_decode(raw, to);

	if (n == SIZE_MAX)
		return false;
	*out = (struct span){to, n};
	b->texts_n += n;
	return true;
}

static struct toml_node *node_of(struct bridge *b, struct json_value value);

/** The items of an array or the members of an object, in their order. */
static bool
take_children(struct bridge *b, struct json_value value, struct toml_node *node)
{
	struct json_walk w = json_walk_start(value);
	struct toml_node **end = &node->first;
	bool is_object = value.type == JSON_OBJECT;
	struct json_value below;
	struct span key;

	while (is_object ? json_object_next(&w, &key, &below) : json_array_next(&w, &below)) {
		struct toml_node *child = node_of(b, below);

		if (child == NULL || (is_object && !take_text(b, key, &child->key)))
			return false;
		*end = child;
		end = &child->next;
	}
	return true;
}

/** NULL: there is no such thing in TOML, null or half of a surrogate pair. */
static struct toml_node *
node_of(struct bridge *b, struct json_value value)
{
	struct toml_node *node = &b->nodes[b->nodes_n++];

	switch (value.type) {
	case JSON_NULL:
		return NULL;
	case JSON_FALSE:
	case JSON_TRUE:
		node->type = TOML_BOOL;
		node->boolean = value.type == JSON_TRUE;
		return node;
	case JSON_NUMBER:
		node->type =
			json_number_int64(value.raw, &node->integer) ? TOML_INTEGER : TOML_FLOAT;
		return node;
	case JSON_STRING:
		node->type = TOML_STRING;
		return take_text(b, value.raw, &node->text) ? node : NULL;
	case JSON_ARRAY:
	case JSON_OBJECT:
		break;
	}
	node->type = value.type == JSON_ARRAY ? TOML_ARRAY : TOML_TABLE;
	return take_children(b, value, node) ? node : NULL;
}

enum err
conf_set_json(
	void *values, const struct conf_option *o, struct json_value value, struct error *error)
{
	/* A value has a byte at least, and one between it and the next. */
	struct bridge b = {.nodes = xnew_n(value.raw.n / 2 + 1, struct toml_node),
		.texts = xcalloc(1, value.raw.n)};
	const struct toml_node *node = node_of(&b, value);
	enum err e;

	if (node != NULL)
		e = conf_set_toml(values, o, node, error);
	else
		e = error_set(error, ERR_CONFIG_ERROR,
			"%s: there is null in it, or half of a surrogate pair", o->name);
	free(b.nodes);
	free(b.texts);
	return e;
}
