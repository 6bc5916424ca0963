/*
 * Fuzzes the TOML reader: no crash on any input, a fault always has its place and
 * a text, what is accepted makes a tree whose parts can all be looked at, and the
 * tree printed as TOML is read back as the same tree.
 */

#include <inttypes.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>

#include "common/buf.h"
#include "common/toml.h"
#include "common/utf8.h"
#include "common/xalloc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_text(struct span text)
{
	const char *end = text.p + text.n;

	for (const char *p = text.p; p < end;) {
		size_t n = utf8_next(p, end);

		must(n > 0);
		p += n;
	}
}

static bool
has_children(const struct toml_node *node)
{
	return node->type == TOML_TABLE || node->type == TOML_ARRAY;
}

static bool
has_text(const struct toml_node *node)
{
	return !has_children(node) && node->type != TOML_INTEGER && node->type != TOML_FLOAT &&
	       node->type != TOML_BOOL;
}

static void
check_node(const struct toml_node *node)
{
	must(node->line > 0 && node->column > 0);
	if (has_text(node))
		check_text(node->text);
	if (!has_children(node))
		return;
	for (const struct toml_node *child = node->first; child != NULL; child = child->next) {
		if (node->type == TOML_TABLE)
			check_text(child->key);
		check_node(child);
	}
}

static void
add_string(struct buf *out, struct span text)
{
	buf_add_char(out, '"');
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if (c < 0x20 || c == 0x7f || c == '"' || c == '\\')
			buf_addf(out, "\\u%04x", c);
		else
			buf_add_char(out, (char)c);
	}
	buf_add_char(out, '"');
}

static void
add_float(struct buf *out, double number)
{
	char text[40];

	snprintf(text, sizeof(text), "%.17g", number);
	buf_add_span(out, span_of(text));
	if (strpbrk(text, ".ein") == NULL)
		buf_add_span(out, SPAN(".0"));
}

/** Prints a value; tables and arrays in their brackets. */
static void
add_value(struct buf *out, const struct toml_node *node)
{
	bool is_table = node->type == TOML_TABLE;

	if (node->type == TOML_STRING)
		add_string(out, node->text);
	else if (node->type == TOML_INTEGER)
		buf_addf(out, "%" PRId64, node->integer);
	else if (node->type == TOML_FLOAT)
		add_float(out, node->number);
	else if (node->type == TOML_BOOL)
		buf_add_span(out, node->boolean ? SPAN("true") : SPAN("false"));
	else if (has_text(node))
		buf_add_span(out, node->text);
	if (!has_children(node))
		return;
	buf_add_char(out, is_table ? '{' : '[');
	for (const struct toml_node *child = node->first; child != NULL; child = child->next) {
		if (child != node->first)
			buf_add_char(out, ',');
		if (is_table) {
			add_string(out, child->key);
			buf_add_char(out, '=');
		}
		add_value(out, child);
	}
	buf_add_char(out, is_table ? '}' : ']');
}

static void
compare(const struct toml_node *a, const struct toml_node *b)
{
	must(a->type == b->type && span_eq(a->key, b->key));
	if (a->type == TOML_INTEGER)
		must(a->integer == b->integer);
	else if (a->type == TOML_FLOAT)
		must((isnan(a->number) && isnan(b->number)) ||
			memcmp(&a->number, &b->number, sizeof(a->number)) == 0);
	else if (a->type == TOML_BOOL)
		must(a->boolean == b->boolean);
	else if (has_text(a))
		must(span_eq(a->text, b->text));
	if (!has_children(a))
		return;
	a = a->first;
	for (b = b->first; a != NULL && b != NULL; b = b->next) {
		compare(a, b);
		a = a->next;
	}
	must(a == NULL && b == NULL);
}

static void
check_print(const struct toml_node *root)
{
	struct error error = ERROR_NONE;
	struct toml *again = NULL;
	struct buf out;

	buf_init(&out, SIZE_MAX);
	for (const struct toml_node *child = root->first; child != NULL; child = child->next) {
		add_string(&out, child->key);
		buf_add_char(&out, '=');
		add_value(&out, child);
		buf_add_char(&out, '\n');
	}
	must(toml_parse(buf_span(&out), "", &again, &error) == OK);
	compare(root, toml_root(again));
	toml_free(again);
	buf_fini(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error error = ERROR_NONE;
	struct toml *t = NULL;

	if (toml_parse((struct span){(const char *)data, size}, "", &t, &error) == OK) {
		check_node(toml_root(t));
		check_print(toml_root(t));
	} else {
		must(error.code == ERR_CONFIG_ERROR && error.text[0] >= '1' &&
			error.text[0] <= '9');
	}
	toml_free(t);
	return 0;
}
