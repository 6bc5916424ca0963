/*
 * Fuzzes the TOML reader: no crash on any input, a fault always has a text, and
 * what is accepted makes a tree whose parts can all be looked at.
 * links: common/toml.c common/toml_scan.c common/toml_value.c common/toml_tree.c
 * links: common/buf.c common/err.c common/time.c common/xalloc.c
 */

#include <stdint.h>

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

static void
check_node(const struct toml_node *node)
{
	const struct toml_node *child = NULL;

	must(node->line > 0 && node->column > 0);
	if (node->type == TOML_TABLE || node->type == TOML_ARRAY)
		child = node->first;
	else if (node->type != TOML_INTEGER && node->type != TOML_FLOAT && node->type != TOML_BOOL)
		check_text(node->text);
	for (; child != NULL; child = child->next) {
		if (node->type == TOML_TABLE)
			check_text(child->key);
		check_node(child);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error error = ERROR_NONE;
	struct toml *t = NULL;

	if (toml_parse((struct span){(const char *)data, size}, "", &t, &error) == OK)
		check_node(toml_root(t));
	else
		must(error.code == ERR_CONFIG_ERROR && error.text[0] >= '1' &&
			error.text[0] <= '9');
	toml_free(t);
	return 0;
}
