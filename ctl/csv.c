/* CSV: see csv.h. */

#include "ctl/csv.h"

#include <string.h>

/** The way of most rows: none of their bytes up to the line feed is a quote. False: there are. */
static bool
skim(enum csv_state *state, char separator, struct span s, size_t *used)
{
	const char *feed = memchr(s.p, '\n', s.n);
	size_t n = feed != NULL ? (size_t)(feed - s.p) : s.n;

	if (*state > CSV_PLAIN || memchr(s.p, '"', n) != NULL)
		return false;
	*used = feed != NULL ? n + 1 : 0;
	*state = feed != NULL || s.p[n - 1] == separator ? CSV_FIELD : CSV_PLAIN;
	return true;
}

static enum csv_state
step(enum csv_state state, char separator, char c)
{
	if (state == CSV_QUOTED)
		return c == '"' ? CSV_QUOTE : CSV_QUOTED;
	if (c == separator || c == '\n')
		return CSV_FIELD;
	if (state == CSV_PLAIN)
		return CSV_PLAIN;
	return c == '"' ? CSV_QUOTED : CSV_PLAIN;
}

size_t
csv_row_end(enum csv_state *state, char separator, const char *p, size_t n)
{
	size_t used;

	if (n == 0)
		return 0;
	if (skim(state, separator, (struct span){p, n}, &used))
		return used;
	for (size_t i = 0; i < n; i++) {
		bool is_end = p[i] == '\n' && *state != CSV_QUOTED;

		*state = step(*state, separator, p[i]);
		if (is_end)
			return i + 1;
	}
	return 0;
}

struct csv_walk
csv_walk_start(struct span row, char separator)
{
	const char *p = row.n > 0 ? row.p : "";

	return (struct csv_walk){.p = p, .end = p + row.n, .separator = separator};
}

/** The closing quote; p is behind the opening one. NULL: there is none. */
static const char *
closing_quote(const char *p, const char *end)
{
	while ((p = memchr(p, '"', (size_t)(end - p))) != NULL) {
		if (p + 1 == end || p[1] != '"')
			return p;
		p += 2;
	}
	return NULL;
}

static bool
fail(struct csv_walk *w, const char *why)
{
	w->p = NULL;
	w->fault = why;
	return false;
}

bool
csv_next(struct csv_walk *w, struct csv_field *field)
{
	bool is_quoted = w->p != NULL && w->p < w->end && *w->p == '"';
	const char *start, *stop, *next;

	if (w->p == NULL)
		return false;
	start = w->p + is_quoted;
	if (is_quoted) {
		stop = closing_quote(start, w->end);
		if (stop == NULL)
			return fail(w, "a quote is not closed");
		next = stop + 1;
		if (next < w->end && *next != w->separator)
			return fail(w, "something stands behind a closing quote");
	} else {
		next = memchr(start, w->separator, (size_t)(w->end - start));
		next = next != NULL ? next : w->end;
		stop = next;
	}
	*field = (struct csv_field){
		{start, (size_t)(stop - start)},
                is_quoted
        };
	w->p = next < w->end ? next + 1 : NULL;
	return true;
}

void
csv_add_text(struct buf *out, const struct csv_field *field)
{
	const char *p = field->text.p, *end = p + field->text.n, *quote;

	while (field->is_quoted && (quote = memchr(p, '"', (size_t)(end - p))) != NULL) {
		buf_add(out, p, (size_t)(quote + 1 - p));
		p = quote + 2;
	}
	buf_add(out, p, (size_t)(end - p));
}

static bool
needs_quotes(struct span text, char separator)
{
	return memchr(text.p, separator, text.n) != NULL || memchr(text.p, '"', text.n) != NULL ||
	       memchr(text.p, '\n', text.n) != NULL || memchr(text.p, '\r', text.n) != NULL;
}

void
csv_add_field(struct buf *out, struct span text, char separator)
{
	const char *p = text.p, *end = text.p + text.n, *quote;

	if (text.n == 0 || !needs_quotes(text, separator)) {
		buf_add_span(out, text);
		return;
	}
	buf_add_char(out, '"');
	while ((quote = memchr(p, '"', (size_t)(end - p))) != NULL) {
		buf_add(out, p, (size_t)(quote + 1 - p));
		buf_add_char(out, '"');
		p = quote + 1;
	}
	buf_add(out, p, (size_t)(end - p));
	buf_add_char(out, '"');
}
