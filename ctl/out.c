/* Printing: see out.h. */

#include "ctl/out.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#include "common/time.h"
#include "common/utf8.h"
#include "common/xalloc.h"
#include "ctl/answer.h"
#include "ctl/interrupt.h"

#define TEXT_MAX     ((size_t)1 << 30)
#define GAP          2
#define COLUMN_MIN   6   /* a column is not cut to less */
#define ANY_TERMINAL 80  /* columns, where one does not tell how many it has */
#define NO_TERMINAL  200 /* columns */
#define ELLIPSIS     "\xe2\x80\xa6"

static unsigned
code_point(const char *p, size_t n)
{
	static const unsigned char masks[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
	unsigned c = (unsigned char)p[0] & masks[n];

	for (size_t i = 1; i < n; i++)
		c = c << 6 | ((unsigned char)p[i] & 0x3f);
	return c;
}

static bool
is_control(unsigned c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0);
}

/** What turns the direction of text, or breaks lines. */
static bool
turns_text(unsigned c)
{
	return c == 0x061c || c == 0x200e || c == 0x200f || (c >= 0x2028 && c <= 0x202e) ||
	       (c >= 0x2066 && c <= 0x2069) || c == 0xfeff;
}

/** Appends what of it is printable ASCII from p on; returns where that ends. */
static const char *
add_plain(struct buf *out, const char *p, const char *end)
{
	const char *start = p;

	while (p < end && *p >= ' ' && *p <= '~')
		p++;
	buf_add(out, start, (size_t)(p - start));
	return p;
}

void
out_add_safe(struct buf *out, struct span text)
{
	const char *p = text.p, *end = text.p + text.n;

	while ((p = add_plain(out, p, end)) < end) {
		size_t n = utf8_next(p, end);
		unsigned c = n > 0 ? code_point(p, n) : (unsigned char)*p;

		if (n == 0 || is_control(c) || turns_text(c))
			buf_addf(out, c < 0x100 ? "\\x%02x" : "\\u%04x", c);
		else
			buf_add(out, p, n);
		p += n > 0 ? n : 1;
	}
}

void
out_add_safe_json(struct buf *out, struct span json)
{
	const char *p = json.p, *end = json.p + json.n;

	while ((p = add_plain(out, p, end)) < end) {
		size_t n = utf8_next(p, end);
		unsigned c = n > 0 ? code_point(p, n) : (unsigned char)*p;

		if (c < 0x20) /* white space between tokens: strings cannot hold it */
			buf_add_char(out, ' ');
		else if (n == 0 || is_control(c) || turns_text(c))
			buf_addf(out, "\\u%04x", c);
		else
			buf_add(out, p, n);
		p += n > 0 ? n : 1;
	}
}

/** Times are shown as people write them. */
static bool
is_time(struct span key)
{
	return span_is(key, "\"time\"") || span_is(key, "\"at\"") || span_is(key, "\"since\"") ||
	       span_is(key, "\"stale_since\"") ||
	       (key.n > 4 && memcmp(key.p + key.n - 4, "_at\"", 4) == 0);
}

void
out_add_size(struct buf *out, int64_t nbytes)
{
	static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
	double size = (double)nbytes;
	unsigned i = 0;

	for (; size >= 999.5 && i + 1 < sizeof(units) / sizeof(units[0]); i++)
		size /= 1024;
	buf_addf(out, i == 0 || size >= 99.5 ? "%.0f %s" : "%.1f %s", size, units[i]);
}

void
out_add_value(struct buf *out, struct span key, struct json_value value)
{
	char time[TIME_TEXT_SIZE];
	int64_t ms;
	char *text;

	if (value.type == JSON_STRING) {
		text = xcalloc(1, value.raw.n + 1);
		json_string_text(value.raw, text, value.raw.n + 1);
		out_add_safe(out, span_of(text));
		free(text);
	} else if (value.type == JSON_NUMBER && is_time(key) && json_number_int64(value.raw, &ms)) {
		time_format(ms, time);
		buf_addf(out, "%s", time);
	} else {
		out_add_safe_json(out, value.raw);
	}
}

/** How many columns of a terminal the character of n bytes at p takes. */
static size_t
columns_of(const char *p, size_t n)
{
	int columns = n > 1 ? wcwidth((wchar_t)code_point(p, n)) : 1;

	return columns >= 0 ? (size_t)columns : 1;
}

static size_t
width_of(struct span text)
{
	const char *p = text.p, *end = text.p + text.n;
	size_t width = 0;

	for (size_t n; p < end; p += n) {
		n = utf8_next(p, end);
		width += columns_of(p, n);
	}
	return width;
}

/** The bytes of what fits into `width` columns. */
static size_t
cut(struct span text, size_t width)
{
	const char *p = text.p, *end = text.p + text.n;

	for (size_t n; p < end; p += n) {
		n = utf8_next(p, end);
		if (columns_of(p, n) > width)
			break;
		width -= columns_of(p, n);
	}
	return (size_t)(p - text.p);
}

struct table {
	const char *const *columns;
	size_t columns_n;
	char **cells; /* row by row; the first row is the heading */
	size_t rows_n;
	size_t widths[COLUMNS_MAX];
};

static void
set_cell(struct table *t, size_t column, struct span text)
{
	size_t width = width_of(text);

	if (width > t->widths[column])
		t->widths[column] = width;
	t->cells[t->rows_n * t->columns_n + column] = xstrndup(text.p, text.n);
}

/** Adds a row; NULL: the heading. */
static void
add_row(struct table *t, const struct json_value *item)
{
	struct buf cell;

	buf_init(&cell, TEXT_MAX);
	t->cells = xrealloc(t->cells, (t->rows_n + 1) * t->columns_n, sizeof(char *));
	for (size_t i = 0; i < t->columns_n; i++) {
		char *key = xasprintf("\"%s\"", t->columns[i]);

		if (item == NULL)
			buf_addf(&cell, "%s", t->columns[i]);
		else
			out_add_value(&cell, span_of(key), answer_member(*item, t->columns[i]));
		set_cell(t, i, cell.n > 0 ? buf_span(&cell) : SPAN(""));
		buf_reset(&cell);
		free(key);
	}
	t->rows_n++;
	buf_fini(&cell);
}

static size_t
terminal_width(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0)
		return NO_TERMINAL;
	return size.ws_col > 0 ? size.ws_col : ANY_TERMINAL;
}

/** Takes from the widest columns until all of them fit. */
static void
fit(struct table *t, size_t width)
{
	size_t total = GAP * (t->columns_n - 1);

	for (size_t i = 0; i < t->columns_n; i++) {
		t->widths[i] = t->widths[i] < width ? t->widths[i] : width;
		total += t->widths[i];
	}
	for (; total > width; total--) {
		size_t widest = 0;

		for (size_t i = 1; i < t->columns_n; i++)
			if (t->widths[i] > t->widths[widest])
				widest = i;
		if (t->widths[widest] <= COLUMN_MIN)
			return;
		t->widths[widest]--;
	}
}

/** Prints a cell, cut to `room` columns; returns how many it took. */
static size_t
print_cell(struct span cell, size_t room)
{
	size_t width = width_of(cell);

	if (width <= room) {
		fwrite(cell.p, 1, cell.n, stdout);
		return width;
	}
	cell.n = cut(cell, room - 1);
	fwrite(cell.p, 1, cell.n, stdout);
	fputs(ELLIPSIS, stdout);
	return width_of(cell) + 1;
}

static void
print_row(const struct table *t, size_t row, size_t width)
{
	size_t at = 0;

	for (size_t i = 0; i < t->columns_n && at < width; i++) {
		struct span cell = span_of(t->cells[row * t->columns_n + i]);
		bool is_last = i + 1 == t->columns_n;
		size_t room = width - at < t->widths[i] ? width - at : t->widths[i];
		size_t shown = print_cell(cell, room);

		at += t->widths[i] + GAP;
		if (!is_last && at < width)
			printf("%*s", (int)(t->widths[i] - shown + GAP), "");
	}
}

static void
print_table(struct ctl *c, struct table *t)
{
	size_t width = terminal_width();

	memcpy(c->widths, t->widths, sizeof(c->widths));
	fit(t, width);
	if (!c->has_heading) {
		printf("%s", c->has_color ? "\033[1m" : "");
		print_row(t, 0, width);
		printf("%s\n", c->has_color ? "\033[0m" : "");
		c->has_heading = true;
	}
	for (size_t row = 1; row < t->rows_n; row++) {
		print_row(t, row, width);
		putchar('\n');
	}
}

static void
list_as_table(struct ctl *c, struct json_value items, const char *const *columns)
{
	struct table t = {.columns = columns};
	struct json_walk w = json_walk_start(items);
	struct json_value item;

	while (columns[t.columns_n] != NULL)
		t.columns_n++;
	must(t.columns_n <= COLUMNS_MAX);
	memcpy(t.widths, c->widths, sizeof(t.widths)); /* what earlier pages were given */
	add_row(&t, NULL);
	while (json_array_next(&w, &item))
		add_row(&t, &item);
	print_table(c, &t);
	for (size_t i = 0; i < t.rows_n * t.columns_n; i++)
		free(t.cells[i]);
	free(t.cells);
}

void
out_list(struct ctl *c, const char *result, const char *const *columns)
{
	struct json_value items = answer_member(answer_value(span_of(result)), "items"), item;
	struct json_walk w;

	if (c->format == FORMAT_JSON || items.type != JSON_ARRAY) {
		out_json(c, span_of(result));
	} else if (c->format == FORMAT_TABLE) {
		list_as_table(c, items, columns);
	} else {
		w = json_walk_start(items);
		while (json_array_next(&w, &item))
			out_json(c, item.raw);
	}
}

/** A line for each member; members of objects under their path, but a record's data as it is. */
static void
print_members(struct json_value object, const char *path)
{
	struct json_walk w = json_walk_start(object);
	struct json_value value;
	struct span key;
	struct buf name, cell;

	buf_init(&name, TEXT_MAX);
	buf_init(&cell, TEXT_MAX);
	while (json_object_next(&w, &key, &value)) {
		buf_addf(&name, "%s", path);
		out_add_value(&name, SPAN(""), (struct json_value){JSON_STRING, key});
		if (value.type == JSON_OBJECT && !json_string_is(key, "data")) {
			buf_addf(&name, ".%c", '\0');
			print_members(value, name.p);
		} else {
			out_add_value(&cell, key, value);
			printf("%-*.*s ", 24, SPAN_FMT(buf_span(&name)));
			fwrite(cell.p, 1, cell.n, stdout);
			putchar('\n');
		}
		buf_reset(&name);
		buf_reset(&cell);
	}
	buf_fini(&name);
	buf_fini(&cell);
}

void
out_object(const struct ctl *c, struct span json)
{
	struct json_value value = answer_value(json);

	if (c->format == FORMAT_TABLE && value.type == JSON_OBJECT)
		print_members(value, "");
	else
		out_json(c, json);
}

void
out_add_json(const struct ctl *c, struct buf *out, struct span json)
{
	if (c->is_terminal)
		out_add_safe_json(out, json);
	else
		buf_add_span(out, json);
	buf_add_char(out, '\n');
}

void
out_json(const struct ctl *c, struct span json)
{
	struct buf line;

	buf_init(&line, TEXT_MAX);
	out_add_json(c, &line, json);
	fwrite(line.p, 1, line.n, stdout);
	buf_fini(&line);
}

int
out_write(struct span text, size_t *at)
{
	while (*at < text.n) {
		struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
		size_t n = text.n - *at;
		ssize_t written;

		if (interrupt_poll(&out, 1, interrupt_status() != 0 ? 0 : -1) <= 0) {
			if (interrupt_status() != 0)
				return interrupt_status();
			continue;
		}
		/* So much can be written to a pipe that is ready. */
		written = write(STDOUT_FILENO, text.p + *at, n < PIPE_BUF ? n : PIPE_BUF);
		if (written >= 0)
			*at += (size_t)written;
		else if (errno != EAGAIN && errno != EINTR)
			return ctl_refuse("writing standard output: %s", strerror(errno));
	}
	return EXIT_DONE;
}

void
out_start(void)
{
	static char buffer[65536]; /* stdout has it until the very end */

	if (!isatty(STDOUT_FILENO))
		setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
}

int
out_finish(void)
{
	errno = 0;
	if (fflush(stdout) == 0 && !ferror(stdout))
		return EXIT_DONE;
	if (interrupt_status() != 0)
		return interrupt_status();
	return ctl_refuse("writing standard output: %s",
		errno != 0 ? strerror(errno) : "not all of it could be written");
}
