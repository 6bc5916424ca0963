/*
 * Fuzzes the JSON scanner and writer: no crash on any input, a fault lies within
 * the text, every value can be walked and decoded, compacting takes the white
 * space and nothing else, and what the writer writes is read back as the same.
 */

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "common/json.h"
#include "common/utf8.h"
#include "common/xalloc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct json_value
parse(struct span text)
{
	struct json_fault fault;
	struct json_value value;

	must(json_check(text, JSON_DEPTH_MAX, &value, &fault) == OK);
	return value;
}

static bool
is_utf8(struct span text)
{
	const char *end = text.p + text.n;
	size_t n;

	for (const char *p = text.p; p < end; p += n) {
		n = utf8_next(p, end);
		if (n == 0)
			return false;
	}
	return true;
}

/** Writes the text as a string, reads that, and wants the text back. */
static void
check_text(struct span text)
{
	struct buf out;
	char *again;
	size_t n;

	buf_init(&out, text.n * 6 + 2);
	json_add_string(&out, text);
	must(!out.failed && parse(buf_span(&out)).type == JSON_STRING);
	again = xcalloc(out.n, 1);
	n = json_string_decode(buf_span(&out), again);
	if (is_utf8(text)) {
		must(span_eq((struct span){again, n}, text));
		must((memchr(text.p, '\0', text.n) == NULL) ==
			json_string_is(buf_span(&out), again));
	} else {
		must(n != SIZE_MAX && is_utf8((struct span){again, n}));
	}
	free(again);
	buf_fini(&out);
}

static void
check_string(struct span raw)
{
	char *decoded = xcalloc(raw.n, 1); /* its quotes leave room for an end */
	char shown[16], *whole = xcalloc(3 * raw.n, 1);
	size_t n = json_string_decode(raw, decoded);

	json_string_text(raw, shown, sizeof(shown));
	json_string_text(raw, whole, 3 * raw.n);
	must(is_utf8(span_of(shown)) && strncmp(shown, whole, strlen(shown)) == 0);
	must(strlen(shown) == strlen(whole) || strlen(shown) >= sizeof(shown) - 4);
	if (n != SIZE_MAX) {
		must(n <= raw.n - 2);
		must(!json_string_is_plain(raw) || n == raw.n - 2);
		check_text((struct span){decoded, n});
		if (memchr(decoded, '\0', n) == NULL)
			must(json_string_is(raw, decoded) && strcmp(decoded, whole) == 0);
	}
	free(decoded);
	free(whole);
}

static void
check_number(struct span raw)
{
	int64_t integer, again;
	struct buf out;
	struct json_out o;

	if (!json_number_int64(raw, &integer))
		return;
	buf_init(&out, 32);
	o = json_out_start(&out);
	json_put_int(&o, NULL, integer);
	must(parse(buf_span(&out)).type == JSON_NUMBER);
	must(json_number_int64(buf_span(&out), &again) && again == integer);
	buf_fini(&out);
}

static void check_value(struct json_value value, struct json_out *o);

/** Writes the member again: the bytes of the key as they are, since a key may hold a NUL. */
static void
check_member(struct span key, struct json_value value, struct json_out *o)
{
	check_string(key);
	json_put_raw(o, NULL, key);
	buf_add_char(o->buf, ':');
	o->needs_comma = false;
	check_value(value, o);
}

/** Looks at all of a value and writes it again. */
static void
check_value(struct json_value value, struct json_out *o)
{
	struct json_walk w = json_walk_start(value);
	struct json_value item;
	struct span key;

	if (value.type == JSON_OBJECT) {
		json_begin_object(o, NULL);
		while (json_object_next(&w, &key, &item))
			check_member(key, item, o);
		json_end_object(o);
	} else if (value.type == JSON_ARRAY) {
		json_begin_array(o, NULL);
		while (json_array_next(&w, &item))
			check_value(item, o);
		json_end_array(o);
	} else {
		must(!json_object_next(&w, &key, &item) && !json_array_next(&w, &item));
		if (value.type == JSON_STRING)
			check_string(value.raw);
		else if (value.type == JSON_NUMBER)
			check_number(value.raw);
		json_put_raw(o, NULL, value.raw);
	}
}

/** Takes the white space out, byte by byte. */
static void
squeeze(struct span raw, struct buf *out)
{
	bool in_string = false;

	for (size_t i = 0; i < raw.n; i++) {
		char c = raw.p[i];

		if (in_string || memchr(" \t\r\n", c, 4) == NULL)
			buf_add_char(out, c);
		if (in_string && c == '\\')
			buf_add_char(out, raw.p[++i]);
		else if (c == '"')
			in_string = !in_string;
	}
}

static void
check_double(const uint8_t *data)
{
	struct json_out o;
	struct buf out;
	double value;

	memcpy(&value, data, sizeof(value));
	buf_init(&out, 64);
	o = json_out_start(&out);
	json_put_double(&o, NULL, value);
	if (isfinite(value)) {
		must(parse(buf_span(&out)).type == JSON_NUMBER);
		buf_add_char(&out, '\0');
		must(strtod(out.p, NULL) == value);
	} else {
		must(parse(buf_span(&out)).type == JSON_NULL);
	}
	buf_fini(&out);
}

static void
check_depths(struct span text, struct json_value value)
{
	struct json_fault fault = {.what = NULL};
	struct json_value again;
	unsigned depth = 0;

	while (json_check(text, depth, &again, &fault) != OK) {
		must(++depth <= JSON_DEPTH_MAX && strstr(fault.what, "deep") != NULL);
		must(memchr("[{", text.p[fault.offset], 2) != NULL);
	}
	must(span_eq(again.raw, value.raw) && again.type == value.type);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = {(const char *)data, size};
	struct json_fault fault = {0};
	struct buf compact, again;
	struct json_value value;
	struct json_out o;

	check_text(text);
	if (size >= sizeof(double))
		check_double(data);
	if (json_check(text, JSON_DEPTH_MAX, &value, &fault) != OK) {
		must(fault.offset <= size && fault.what != NULL);
		return 0;
	}
	must(value.raw.p >= text.p && value.raw.p + value.raw.n <= text.p + size);
	check_depths(text, value);
	buf_init(&compact, size);
	buf_init(&again, size);
	json_compact(value, &compact);
	must(span_eq(parse(buf_span(&compact)).raw, buf_span(&compact)));
	squeeze(value.raw, &again);
	must(span_eq(buf_span(&compact), buf_span(&again)));
	buf_reset(&again);
	o = json_out_start(&again);
	check_value(value, &o);
	must(span_eq(buf_span(&compact), buf_span(&again)));
	buf_fini(&compact);
	buf_fini(&again);
	return 0;
}
