/* Rows of a table as objects: see columns.h. */

#include "ctl/columns.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/utf8.h"
#include "common/xalloc.h"
#include "ctl/csv.h"

#define KEYS_BYTES ((size_t)1 << 20)

void
columns_init(struct columns *c, char separator, bool has_numbers)
{
	*c = (struct columns){.separator = separator, .has_numbers = has_numbers};
	buf_init(&c->keys, KEYS_BYTES);
}

void
columns_fini(struct columns *c)
{
	buf_fini(&c->keys);
	free(c->ends);
}

static bool
fail(char why[COLUMNS_WHY_SIZE], const char *text)
{
	snprintf(why, COLUMNS_WHY_SIZE, "%s", text);
	return false;
}

static bool
is_utf8(struct span text, char why[COLUMNS_WHY_SIZE])
{
	const char *p = text.p, *end = text.p + text.n;

	for (size_t n; p < end; p += n) {
		n = utf8_next(p, end);
		if (n == 0) {
			snprintf(why, COLUMNS_WHY_SIZE, "invalid UTF-8 at byte %zu",
				(size_t)(p - text.p) + 1);
			return false;
		}
	}
	return true;
}

/** Appends the text of a field as a string. */
static void
add_string(struct buf *out, const struct csv_field *field)
{
	struct buf text;

	if (!field->is_quoted || memchr(field->text.p, '"', field->text.n) == NULL) {
		json_add_string(out, field->text);
		return;
	}
	buf_init(&text, field->text.n);
	csv_add_text(&text, field);
	json_add_string(out, buf_span(&text));
	buf_fini(&text);
}

static struct span
key_at(const struct columns *c, size_t i)
{
	size_t start = i > 0 ? c->ends[i - 1] : 0;

	return (struct span){c->keys.p + start, c->ends[i] - start};
}

static bool
is_new(const struct columns *c)
{
	struct span last = key_at(c, c->n - 1);

	for (size_t i = 0; i + 1 < c->n; i++)
		if (span_eq(key_at(c, i), last))
			return false;
	return true;
}

bool
columns_read(struct columns *c, struct span header, char why[COLUMNS_WHY_SIZE])
{
	struct csv_walk w = csv_walk_start(header, c->separator);
	struct csv_field field;

	if (!is_utf8(header, why))
		return false;
	while (csv_next(&w, &field)) {
		c->ends = xrealloc(c->ends, c->n + 1, sizeof(*c->ends));
		add_string(&c->keys, &field);
		buf_add_char(&c->keys, ':');
		c->ends[c->n++] = c->keys.n;
		if (c->keys.failed)
			return fail(why, "the header is too long");
		if (is_new(c))
			continue;
		snprintf(why, COLUMNS_WHY_SIZE, "two columns are called \"%.*s\"",
			(int)utf8_cut(field.text.p, field.text.n < 64 ? field.text.n : 64),
			field.text.p);
		return false;
	}
	return w.fault == NULL || fail(why, w.fault);
}

void
columns_add_header(const struct columns *c, struct buf *out)
{
	for (size_t i = 0; i < c->n; i++) {
		buf_add_char(out, i == 0 ? '{' : ',');
		buf_add_span(out, key_at(c, i));
		buf_add_span(out, SPAN("null"));
	}
	buf_add_char(out, '}');
}

static bool
is_number(struct span text)
{
	struct json_fault fault;
	struct json_value value;

	return text.n > 0 && (*text.p == '-' || (*text.p >= '0' && *text.p <= '9')) &&
	       json_check(text, 0, &value, &fault) == OK && value.raw.n == text.n;
}

bool
columns_add_row(
	const struct columns *c, struct span row, struct buf *out, char why[COLUMNS_WHY_SIZE])
{
	struct csv_walk w = csv_walk_start(row, c->separator);
	struct csv_field field;
	size_t n = 0;

	if (!is_utf8(row, why))
		return false;
	for (; csv_next(&w, &field); n++) {
		if (n >= c->n)
			continue; /* it is counted */
		buf_add_char(out, n == 0 ? '{' : ',');
		buf_add_span(out, key_at(c, n));
		if (c->has_numbers && !field.is_quoted && is_number(field.text))
			buf_add_span(out, field.text);
		else
			add_string(out, &field);
	}
	buf_add_char(out, '}');
	if (w.fault != NULL)
		return fail(why, w.fault);
	if (n != c->n) {
		snprintf(why, COLUMNS_WHY_SIZE, "%zu %s, the header has %zu", n,
			n == 1 ? "field" : "fields", c->n);
		return false;
	}
	return !out->failed || fail(why, "out of memory");
}
