/*
 * toml-decoder: reads TOML on standard input and prints the tagged JSON of the
 * public toml-test suite; exit 1 and "line:column: message" on standard error
 * where the input is not TOML.
 * links: common/toml.c common/toml_scan.c common/toml_value.c common/toml_tree.c
 * common/json_write.c links: common/buf.c common/err.c common/time.c common/xalloc.c
 */

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/json.h"
#include "common/toml.h"

#define INPUT_MAX  ((size_t)256 << 20)
#define OUTPUT_MAX ((size_t)1 << 30)

/* What a scalar's type is called; NULL for containers. */
static const char *const tags[] = {
	[TOML_STRING] = "string",
	[TOML_INTEGER] = "integer",
	[TOML_FLOAT] = "float",
	[TOML_BOOL] = "bool",
	[TOML_OFFSET_DATETIME] = "datetime",
	[TOML_LOCAL_DATETIME] = "datetime-local",
	[TOML_LOCAL_DATE] = "date-local",
	[TOML_LOCAL_TIME] = "time-local",
	[TOML_ARRAY] = NULL,
	[TOML_TABLE] = NULL,
};

static void
add_float(struct buf *out, double value)
{
	if (isnan(value))
		buf_add_span(out, SPAN("\"nan\""));
	else if (isinf(value))
		buf_add_span(out, value < 0 ? SPAN("\"-inf\"") : SPAN("\"inf\""));
	else
		buf_addf(out, "\"%.17g\"", value);
}

static void
add_scalar(struct buf *out, const struct toml_node *node)
{
	buf_addf(out, "{\"type\":\"%s\",\"value\":", tags[node->type]);
	if (node->type == TOML_INTEGER)
		buf_addf(out, "\"%" PRId64 "\"", node->integer);
	else if (node->type == TOML_FLOAT)
		add_float(out, node->number);
	else if (node->type == TOML_BOOL)
		buf_add_span(out, node->boolean ? SPAN("\"true\"") : SPAN("\"false\""));
	else
		json_add_string(out, node->text);
	buf_add_char(out, '}');
}

static void
add_node(struct buf *out, const struct toml_node *node)
{
	bool is_table = node->type == TOML_TABLE;

	if (tags[node->type] != NULL) {
		add_scalar(out, node);
		return;
	}
	buf_add_char(out, is_table ? '{' : '[');
	for (const struct toml_node *child = node->first; child != NULL; child = child->next) {
		if (child != node->first)
			buf_add_char(out, ',');
		if (is_table) {
			json_add_string(out, child->key);
			buf_add_char(out, ':');
		}
		add_node(out, child);
	}
	buf_add_char(out, is_table ? '}' : ']');
}

static void
read_all(int fd, struct buf *in)
{
	ssize_t n;

	do {
		char *room = buf_reserve(in, 65536);

		n = room != NULL ? read(fd, room, 65536) : -1;
		in->n += n > 0 ? (size_t)n : 0;
	} while (n > 0);
}

int
main(void)
{
	struct error error = ERROR_NONE;
	struct toml *doc = NULL;
	struct buf in, out;
	bool is_good;

	buf_init(&in, INPUT_MAX);
	buf_init(&out, OUTPUT_MAX);
	read_all(STDIN_FILENO, &in);
	is_good = toml_parse(buf_span(&in), "", &doc, &error) == OK;
	if (is_good) {
		add_node(&out, toml_root(doc));
		buf_add_char(&out, '\n');
		is_good = !out.failed && fwrite(out.p, 1, out.n, stdout) == out.n;
	} else {
		fprintf(stderr, "%s\n", error.text);
	}
	toml_free(doc);
	buf_fini(&out);
	buf_fini(&in);
	return is_good ? EXIT_SUCCESS : EXIT_FAILURE;
}
