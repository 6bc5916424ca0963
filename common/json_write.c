/*
 * The JSON writer: strings, compacted values, and commas. Appends to somebody
 * else's buffer and never looks at what became of it. Pure; any thread.
 */

#include "common/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/json_priv.h"
#include "common/utf8.h"

void
json_compact(struct json_value value, struct buf *out)
{
	const char *p = value.raw.p;
	const char *end = p + value.raw.n;
	const char *run = p; /* what is not copied yet */

	while (p < end) {
		if (*p == '"') {
			p = json_closing_quote(p + 1, end) + 1;
		} else if ((unsigned char)*p > ' ') {
			p++;
		} else {
			buf_add(out, run, (size_t)(p - run));
			run = p = json_skip_space(p, end);
		}
	}
	buf_add(out, run, (size_t)(end - run));
}

/** The character at p, which is not plain; returns how many bytes it was. */
static size_t
add_special(struct buf *out, const char *p, const char *end)
{
	static const char names[] = "\"\\bfnrt";
	static const char meanings[] = "\"\\\b\f\n\r\t";
	unsigned char c = (unsigned char)*p;
	const char *hit = c != '\0' ? strchr(meanings, c) : NULL;
	size_t n;

	if (hit != NULL) {
		buf_add(out, (char[]){'\\', names[hit - meanings]}, 2);
		return 1;
	}
	if (c < 0x20) {
		buf_addf(out, "\\u%04x", c);
		return 1;
	}
	n = utf8_next(p, end);
	if (n == 0) {
		buf_add_span(out, SPAN("\xef\xbf\xbd")); /* U+FFFD */
		return 1;
	}
	buf_add(out, p, n);
	return n;
}

void
json_add_string(struct buf *out, struct span text)
{
	const char *p = text.n > 0 ? text.p : "";
	const char *end = p + text.n;

	buf_add_char(out, '"');
	while (p < end) {
		const char *stop = json_plain_end(p, end);

		buf_add(out, p, (size_t)(stop - p));
		p = stop;
		if (p < end)
			p += add_special(out, p, end);
	}
	buf_add_char(out, '"');
}

struct json_out
json_out_start(struct buf *buf)
{
	return (struct json_out){.buf = buf};
}

/** What stands in front of a value. */
static void
start_value(struct json_out *o, const char *key)
{
	if (o->needs_comma)
		buf_add_char(o->buf, ',');
	o->needs_comma = true;
	if (key == NULL)
		return;
	json_add_string(o->buf, span_of(key));
	buf_add_char(o->buf, ':');
}

static void
begin(struct json_out *o, const char *key, char bracket)
{
	start_value(o, key);
	buf_add_char(o->buf, bracket);
	o->needs_comma = false;
}

static void
end(struct json_out *o, char bracket)
{
	buf_add_char(o->buf, bracket);
	o->needs_comma = true;
}

void
json_begin_object(struct json_out *o, const char *key)
{
	begin(o, key, '{');
}

void
json_end_object(struct json_out *o)
{
	end(o, '}');
}

void
json_begin_array(struct json_out *o, const char *key)
{
	begin(o, key, '[');
}

void
json_end_array(struct json_out *o)
{
	end(o, ']');
}

void
json_put_string(struct json_out *o, const char *key, struct span text)
{
	start_value(o, key);
	json_add_string(o->buf, text);
}

void
json_put_str(struct json_out *o, const char *key, const char *text)
{
	json_put_string(o, key, span_of(text));
}

void
json_put_int(struct json_out *o, const char *key, int64_t value)
{
	start_value(o, key);
	buf_add_int(o->buf, value);
}

void
json_put_bool(struct json_out *o, const char *key, bool value)
{
	json_put_raw(o, key, value ? SPAN("true") : SPAN("false"));
}

void
json_put_null(struct json_out *o, const char *key)
{
	json_put_raw(o, key, SPAN("null"));
}

void
json_put_double(struct json_out *o, const char *key, double value)
{
	char text[32];
	int precision = 1;

	if (!isfinite(value)) {
		json_put_null(o, key);
		return;
	}
	if (fabs(value) < 1e15 && value == (double)(int64_t)value) {
		snprintf(text, sizeof(text), "%.0f", value);
	} else {
		do
			snprintf(text, sizeof(text), "%.*g", precision, value);
		while (precision++ < 17 && strtod(text, NULL) != value);
	}
	json_put_raw(o, key, span_of(text));
}

void
json_put_raw(struct json_out *o, const char *key, struct span json)
{
	start_value(o, key);
	buf_add_span(o->buf, json);
}
