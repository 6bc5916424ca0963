/*
 * The text of a TOML document: places, blanks, comments, newlines, strings and
 * keys. It knows nothing of tables. The text is valid UTF-8 when it gets here,
 * so that only ASCII has to be looked at. Pure; any thread.
 */

#include <stdarg.h>
#include <stdio.h>

#include "common/toml_priv.h"
#include "common/utf8.h"

#define CLOSING_QUOTES_MAX 5 /* three that close and two that belong to the text */

bool
toml_fault(struct toml_reader *r, const char *at, const char *fmt, ...)
{
	struct toml_place place = toml_place_of(r, at);
	char text[ERROR_TEXT_MAX];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	error_set(r->error, ERR_CONFIG_ERROR, "%s%s%u:%u: %s", r->name,
		r->name[0] != '\0' ? ":" : "", place.line, place.column, text);
	return false;
}

struct toml_place
toml_place_of(struct toml_reader *r, const char *p)
{
	struct toml_place at = r->place;

	if (at.p == NULL || p < at.p)
		at = (struct toml_place){r->start, 1, 1};
	for (; at.p < p; at.p++) {
		if (*at.p == '\n') {
			at.line++;
			at.column = 1;
		} else if (((unsigned char)*at.p & 0xc0) != 0x80) {
			at.column++;
		}
	}
	r->place = at;
	return at;
}

bool
toml_scan_is_at(const struct toml_reader *r, char c)
{
	return r->p < r->end && *r->p == c;
}

/** Control characters but the tab. */
static bool
is_control(char c)
{
	return ((unsigned char)c < 0x20 && c != '\t') || c == 0x7f;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/** The length of the newline at p, or 0. */
static size_t
newline_length(const struct toml_reader *r, const char *p)
{
	if (p < r->end && *p == '\n')
		return 1;
	return r->end - p >= 2 && p[0] == '\r' && p[1] == '\n' ? 2 : 0;
}

void
toml_scan_blank(struct toml_reader *r)
{
	while (r->p < r->end && is_blank(*r->p))
		r->p++;
}

static bool
scan_comment(struct toml_reader *r)
{
	if (!toml_scan_is_at(r, '#'))
		return true;
	while (r->p < r->end && !is_control(*r->p))
		r->p++;
	if (r->p < r->end && newline_length(r, r->p) == 0)
		return toml_fault(r, r->p, "control character in a comment");
	return true;
}

bool
toml_scan_line_end(struct toml_reader *r)
{
	size_t n;

	toml_scan_blank(r);
	if (!scan_comment(r))
		return false;
	n = newline_length(r, r->p);
	if (n == 0 && r->p < r->end)
		return toml_fault(r, r->p, "expected the end of the line");
	r->p += n;
	return true;
}

bool
toml_scan_gap(struct toml_reader *r)
{
	size_t n;

	do {
		toml_scan_blank(r);
		if (!scan_comment(r))
			return false;
		n = newline_length(r, r->p);
		r->p += n;
	} while (n > 0);
	return true;
}

/** A string that is being read. */
struct quoted {
	const char *open;
	char quote;
	bool is_long; /* three quotes: may hold newlines */
};

static unsigned
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	if (c >= 'A' && c <= 'F')
		return (unsigned)(c - 'A' + 10);
	if (c >= 'a' && c <= 'f')
		return (unsigned)(c - 'a' + 10);
	return 16;
}

/** The code point of an escape with n digits; `at` is its backslash and p behind its letter. */
static bool
scan_code_point(struct toml_reader *r, const char *at, int n)
{
	uint32_t code = 0;
	char bytes[4];

	for (int i = 0; i < n; i++, r->p++) {
		unsigned digit = r->p < r->end ? hex_digit(*r->p) : 16;

		if (digit == 16)
			return toml_fault(
				r, r->p, "expected %d hexadecimal digits in the escape", n);
		code = code << 4 | digit;
	}
	if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return toml_fault(r, at, "the escape is no Unicode character");
	buf_add(&r->scratch, bytes, utf8_encode(code, bytes));
	return true;
}

/** A backslash at the end of a line: it, the newline and all white space behind go away. True also
 * if it is none, and then nothing is taken. */
static bool
scan_fold(struct toml_reader *r)
{
	const char *p = r->p + 1;
	size_t n;

	while (p < r->end && is_blank(*p))
		p++;
	n = newline_length(r, p);
	if (n == 0)
		return false;
	while (n > 0) {
		p += n;
		while (p < r->end && is_blank(*p))
			p++;
		n = newline_length(r, p);
	}
	r->p = p;
	return true;
}

static bool
scan_escape(struct toml_reader *r, const struct quoted *q)
{
	static const char names[] = "btnfr\"\\";
	static const char meanings[] = "\b\t\n\f\r\"\\";
	const char *at = r->p;
	const char *name;

	if (q->is_long && scan_fold(r))
		return true;
	r->p++;
	if (r->p == r->end)
		return toml_fault(r, q->open, "the string is not closed");
	if (*r->p == 'u' || *r->p == 'U')
		return scan_code_point(r, at, *r->p++ == 'u' ? 4 : 8);
	name = *r->p != '\0' ? strchr(names, *r->p) : NULL;
	if (name == NULL)
		return toml_fault(r, at, "unknown escape in a string");
	buf_add_char(&r->scratch, meanings[name - names]);
	r->p++;
	return true;
}

/** At a quote: true if the string ends with it. Quotes that do not end it are taken as text. */
static bool
scan_close(struct toml_reader *r, const struct quoted *q)
{
	size_t n = 0;

	if (!q->is_long) {
		r->p++;
		return true;
	}
	while (n < CLOSING_QUOTES_MAX && r->p + n < r->end && r->p[n] == q->quote)
		n++;
	buf_add(&r->scratch, r->p, n >= 3 ? n - 3 : n);
	r->p += n;
	return n >= 3;
}

/** Takes what stands for itself. */
static void
scan_plain(struct toml_reader *r, const struct quoted *q)
{
	const char *p = r->p;

	while (p < r->end && *p != q->quote && !is_control(*p) && (*p != '\\' || q->quote == '\''))
		p++;
	buf_add(&r->scratch, r->p, (size_t)(p - r->p));
	r->p = p;
}

/** The string behind its opening quotes, into the scratch buffer. */
static bool
scan_quoted(struct toml_reader *r, const struct quoted *q)
{
	for (;;) {
		size_t n;

		scan_plain(r, q);
		if (r->p == r->end)
			return toml_fault(r, q->open, "the string is not closed");
		n = newline_length(r, r->p);
		if (*r->p == q->quote) {
			if (scan_close(r, q))
				return true;
		} else if (*r->p == '\\') {
			if (!scan_escape(r, q))
				return false;
		} else if (n > 0 && q->is_long) {
			buf_add_char(&r->scratch, '\n');
			r->p += n;
		} else if (n > 0) {
			return toml_fault(r, q->open, "the string is not closed on its line");
		} else {
			return toml_fault(r, r->p, "control character in a string");
		}
	}
}

static bool
scan_string(struct toml_reader *r, struct quoted q, struct span *out)
{
	r->p += q.is_long ? 3 : 1;
	if (q.is_long)
		r->p += newline_length(r, r->p);
	buf_reset(&r->scratch);
	if (!scan_quoted(r, &q))
		return false;
	if (r->scratch.failed)
		return toml_fault(r, q.open, "no memory for the string");
	*out = toml_tree_copy(r->doc, buf_span(&r->scratch));
	return true;
}

bool
toml_scan_string(struct toml_reader *r, struct span *out)
{
	char c = *r->p;
	bool is_long = r->end - r->p >= 3 && r->p[1] == c && r->p[2] == c;

	return scan_string(r, (struct quoted){r->p, c, is_long}, out);
}

static bool
is_bare(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '-';
}

bool
toml_scan_key(struct toml_reader *r, struct toml_key *key)
{
	const char *start = r->p;

	key->place = toml_place_of(r, start);
	if (toml_scan_is_at(r, '"') || toml_scan_is_at(r, '\'')) {
		if (!scan_string(r, (struct quoted){start, *start, false}, &key->text))
			return false;
	} else {
		while (r->p < r->end && is_bare(*r->p))
			r->p++;
		if (r->p == start)
			return toml_fault(r, start, "expected a key");
		key->text = toml_tree_copy(r->doc, (struct span){start, (size_t)(r->p - start)});
	}
	key->raw = (struct span){start, (size_t)(r->p - start)};
	toml_scan_blank(r);
	return true;
}
