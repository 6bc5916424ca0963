/* The text of a record: see text.h. */

#include "daemon/search/text.h"

#include "common/json.h"
#include "common/utf8.h"

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD, as long as the separator */

void
text_clean(char *p, size_t n)
{
	char *end = p + n;

	while (end - p >= 3 && (p = memchr(p, 0xee, (size_t)(end - p) - 2)) != NULL) {
		if (memcmp(p, TEXT_SEPARATOR, 3) == 0)
			memcpy(p, REPLACEMENT, 3);
		p++;
	}
}

/** Appends as much as there is room for. */
static bool
add_cut(struct buf *out, struct span text)
{
	size_t room = out->max - out->n;
	size_t n = text.n <= room ? text.n : utf8_cut(text.p, room);

	buf_add(out, text.p, n);
	return n == text.n && !out->failed;
}

static bool
add_string(struct buf *out, struct span raw)
{
	size_t room = out->max - out->n;
	size_t size = raw.n < room ? raw.n : room; /* its quotes leave room for an end */
	char *p = size > 0 ? buf_reserve(out, size) : NULL;

	if (p == NULL)
		return false;
	json_string_text(raw, p, size);
	out->n += strlen(p);
	return size == raw.n;
}

static bool
add_value(struct buf *out, struct json_value value)
{
	static const struct span separator = {" " TEXT_SEPARATOR " ", 5};
	bool is_whole = true;
	size_t start;

	if (value.raw.n == 2 && value.type == JSON_STRING)
		return true;
	if (out->n > 0 && !add_cut(out, separator))
		return false;
	start = out->n;
	if (value.type == JSON_STRING)
		is_whole = add_string(out, value.raw);
	else
		is_whole = add_cut(out, value.raw);
	text_clean(out->p + start, out->n - start);
	return is_whole;
}

static bool
add_all(struct buf *out, struct json_value value)
{
	struct json_walk w = json_walk_start(value);
	struct json_value item;
	struct span key;
	bool is_whole = true;

	switch (value.type) {
	case JSON_STRING:
	case JSON_NUMBER:
		return add_value(out, value);
	case JSON_ARRAY:
		while (is_whole && json_array_next(&w, &item))
			is_whole = add_all(out, item);
		return is_whole;
	case JSON_OBJECT:
		while (is_whole && json_object_next(&w, &key, &item))
			is_whole = add_all(out, item);
		return is_whole;
	case JSON_NULL:
	case JSON_FALSE:
	case JSON_TRUE:
		break;
	}
	return true;
}

bool
text_add_data(struct buf *out, struct span data)
{
	struct json_value value;
	struct json_fault fault;

	if (json_check(data, JSON_DEPTH_MAX, &value, &fault) != OK)
		return true;
	return add_all(out, value);
}

bool
text_add_name(struct buf *out, struct span name)
{
	bool is_whole = add_cut(out, name);

	if (out->n > 0)
		text_clean(out->p, out->n);
	return is_whole;
}
