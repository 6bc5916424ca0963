/*
 * toml-decoder: reads TOML on standard input and prints the tagged JSON of the
 * public toml-test suite; exit 1 and "line:column: message" on standard error
 * where the input is not TOML. With --texts it reads a stream of "LENGTH\n" and
 * that many bytes, and answers each with a line: "+" and the JSON, or "-" and
 * the message.
 */

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/toml.h"
#include "common/xalloc.h"

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

/** Appends the tagged JSON, or what is wrong with the text. */
static bool
decode(struct span text, struct buf *out)
{
	struct error error = ERROR_NONE;
	struct toml *doc;

	if (toml_parse(text, "", &doc, &error) != OK) {
		buf_add_span(out, span_of(error.text));
		return false;
	}
	add_node(out, toml_root(doc));
	toml_free(doc);
	return true;
}

static int
decode_one(void)
{
	struct buf in, out;
	bool is_good;
	size_t n;

	buf_init(&in, INPUT_MAX);
	buf_init(&out, OUTPUT_MAX);
	do {
		char *room = buf_reserve(&in, 65536);

		n = room != NULL ? fread(room, 1, 65536, stdin) : 0;
		in.n += n;
	} while (n > 0);
	is_good = !in.failed && decode(buf_span(&in), &out);
	buf_add_char(&out, '\n');
	fwrite(out.p, 1, out.n, is_good ? stdout : stderr);
	buf_fini(&in);
	buf_fini(&out);
	return is_good ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int
decode_texts(void)
{
	struct buf out;
	char line[32];

	buf_init(&out, OUTPUT_MAX);
	while (fgets(line, sizeof(line), stdin) != NULL) {
		size_t n = strtoul(line, NULL, 10);
		char *text; /* of exactly n bytes, so that a sanitizer sees a byte too many */
		bool is_good;

		must(n < INPUT_MAX);
		text = (char *)xcalloc(n, 1);
		must(fread(text, 1, n, stdin) == n);
		buf_reset(&out);
		is_good = decode((struct span){text, n}, &out);
		printf("%c%.*s\n", is_good ? '+' : '-', SPAN_FMT(buf_span(&out)));
		free(text);
	}
	buf_fini(&out);
	return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int
main(int argc, char **argv)
{
	return argc > 1 && strcmp(argv[1], "--texts") == 0 ? decode_texts() : decode_one();
}
