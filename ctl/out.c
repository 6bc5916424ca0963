/* Printing: see out.h. */

#include "ctl/out.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/time.h"
#include "common/utf8.h"
#include "common/xalloc.h"

#define COLUMNS_MAX 8
#define CELL_MAX    60 /* characters, of all columns but the last */
#define TEXT_MAX    (64u << 20)
#define GAP         2
#define NO_TERMINAL 200

static unsigned
code_point(const char *p, size_t n)
{
	static const unsigned char masks[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
	unsigned c = (unsigned char)p[0] & masks[n];

	for (size_t i = 1; i < n; i++)
		c = c << 6 | ((unsigned char)p[i] & 0x3f);
	return c;
}

/** What must not reach a terminal: controls, and what turns the direction of text. */
static bool
is_dangerous(unsigned c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x061c || c == 0x200e || c == 0x200f ||
	       c == 0x2028 || c == 0x2029 || (c >= 0x202a && c <= 0x202e) ||
	       (c >= 0x2066 && c <= 0x2069) || c == 0xfeff;
}

void
out_add_safe(struct buf *out, struct span text)
{
	const char *p = text.p, *end = text.p + text.n;

	while (p < end) {
		size_t n = utf8_next(p, end);
		unsigned c = n > 0 ? code_point(p, n) : (unsigned char)*p;

		if (n == 0 || is_dangerous(c))
			buf_addf(out, c < 0x100 ? "\\x%02x" : "\\u%04x", c);
		else
			buf_add(out, p, n);
		p += n > 0 ? n : 1;
	}
}

struct json_value
out_member(struct span object, const char *name)
{
	struct json_value value, none = {.type = JSON_NULL};
	struct json_fault fault;
	struct json_walk w;
	struct span key;

	if (json_check(object, JSON_DEPTH_MAX, &value, &fault) != OK || value.type != JSON_OBJECT)
		return none;
	w = json_walk_start(value);
	while (json_object_next(&w, &key, &value))
		if (json_string_is(key, name))
			return value;
	return none;
}

/** Times are shown as people write them. */
static bool
is_time(struct span key)
{
	return key.n > 5 && memcmp(key.p + key.n - 4, "_at\"", 4) == 0;
}

/** Appends a value as a cell of a table. */
static void
add_cell(struct buf *out, struct span key, struct json_value value)
{
	char time[TIME_TEXT_SIZE];
	int64_t ms;
	char *text;

	if (value.raw.n == 0)
		return;
	if (value.type == JSON_STRING) {
		text = xcalloc(1, value.raw.n + 1);
		json_string_text(value.raw, text, value.raw.n + 1);
		out_add_safe(out, span_of(text));
		free(text);
	} else if (value.type == JSON_NUMBER && is_time(key) && json_number_int64(value.raw, &ms)) {
		time_format(ms, time);
		buf_addf(out, "%s", time);
	} else {
		out_add_safe(out, value.raw);
	}
}

static size_t
width_of(struct span text)
{
	size_t n = 0;

	for (size_t i = 0; i < text.n; i++)
		n += ((unsigned char)text.p[i] & 0xc0) != 0x80;
	return n;
}

/** The bytes of the first `width` characters. */
static size_t
cut(struct span text, size_t width)
{
	size_t i = 0;

	for (; i < text.n; i++)
		if (((unsigned char)text.p[i] & 0xc0) != 0x80 && width-- == 0)
			break;
	return i;
}

struct table {
	const char *const *columns;
	size_t columns_n;
	char **cells; /* row by row; the first row is the heading */
	size_t rows_n;
	size_t widths[COLUMNS_MAX];
};

static void
add_to_table(struct table *t, size_t column, struct buf *text)
{
	size_t width = width_of(buf_span(text));

	if (width > CELL_MAX && column + 1 < t->columns_n)
		width = CELL_MAX;
	if (width > t->widths[column])
		t->widths[column] = width;
	t->cells[t->rows_n * t->columns_n + column] = xstrndup(text->p, text->n);
	buf_reset(text);
}

static void
add_row(struct table *t, struct json_value item)
{
	struct buf text;

	buf_init(&text, TEXT_MAX);
	t->cells = xrealloc(t->cells, (t->rows_n + 1) * t->columns_n, sizeof(char *));
	for (size_t i = 0; i < t->columns_n; i++) {
		char *key = xasprintf("\"%s\"", t->columns[i]);

		if (item.raw.n == 0)
			buf_addf(&text, "%s", t->columns[i]);
		else
			add_cell(&text, span_of(key), out_member(item.raw, t->columns[i]));
		add_to_table(t, i, &text);
		free(key);
	}
	t->rows_n++;
	buf_fini(&text);
}

static size_t
terminal_width(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
		return NO_TERMINAL;
	return size.ws_col;
}

static void
print_cell(struct table *t, size_t row, size_t column, size_t *left)
{
	struct span cell = span_of(t->cells[row * t->columns_n + column]);
	bool is_last = column + 1 == t->columns_n;
	size_t width = t->widths[column], shown = width_of(cell);

	if (width > *left)
		width = *left;
	if (shown > width)
		shown = width;
	printf("%.*s", (int)cut(cell, shown), cell.p);
	if (!is_last)
		printf("%*s", (int)(width - shown + GAP), "");
	*left -= width + GAP < *left ? width + GAP : *left;
}

static void
print_table(const struct ctl *c, struct table *t)
{
	size_t width = terminal_width();

	for (size_t row = 0; row < t->rows_n; row++) {
		size_t left = width;

		if (row == 0 && c->has_color)
			printf("\033[1m");
		for (size_t i = 0; i < t->columns_n; i++)
			print_cell(t, row, i, &left);
		printf(row == 0 && c->has_color ? "\033[0m\n" : "\n");
	}
	for (size_t i = 0; i < t->rows_n * t->columns_n; i++)
		free(t->cells[i]);
	free(t->cells);
}

void
out_list(const struct ctl *c, const char *result, const char *const *columns)
{
	struct json_value items = out_member(span_of(result), "items"), item;
	struct table t = {.columns = columns};
	struct json_walk w;

	if (c->format == FORMAT_JSON || items.type != JSON_ARRAY) {
		out_raw(span_of(result));
		return;
	}
	w = json_walk_start(items);
	if (c->format == FORMAT_NDJSON) {
		while (json_array_next(&w, &item))
			out_raw(item.raw);
		return;
	}
	while (columns[t.columns_n] != NULL)
		t.columns_n++;
	add_row(&t, (struct json_value){.type = JSON_NULL});
	while (json_array_next(&w, &item))
		add_row(&t, item);
	print_table(c, &t);
}

/** A line for each member; members of objects under their path. */
static void
print_members(struct span object, const char *path)
{
	struct json_value value;
	struct json_fault fault;
	struct json_walk w;
	struct span key;
	struct buf line;

	if (json_check(object, JSON_DEPTH_MAX, &value, &fault) != OK)
		return;
	buf_init(&line, TEXT_MAX);
	w = json_walk_start(value);
	while (json_object_next(&w, &key, &value)) {
		char *name = xasprintf("%s%.*s", path, (int)key.n - 2, key.p + 1);

		if (value.type == JSON_OBJECT && strcmp(name, "data") != 0) {
			char *inner = xasprintf("%s.", name);

			print_members(value.raw, inner);
			free(inner);
		} else {
			add_cell(&line, key, value);
			printf("%-24s %.*s\n", name, (int)line.n, line.p);
			buf_reset(&line);
		}
		free(name);
	}
	buf_fini(&line);
}

void
out_object(const struct ctl *c, const char *result)
{
	if (c->format == FORMAT_TABLE && result[0] == '{')
		print_members(span_of(result), "");
	else
		out_raw(span_of(result));
}

void
out_raw(struct span json)
{
	fwrite(json.p, 1, json.n, stdout);
	putchar('\n');
}

int
out_finish(void)
{
	return fflush(stdout) == 0 && !ferror(stdout) ? EXIT_DONE : EXIT_REFUSED;
}
