/*
 * Fuzzes templates: the input is a template, a line feed, and an item. No crash on any
 * input; what is refused is refused in words; what it comes to is what one gets who goes
 * over the text again, byte by byte.
 */

#include <stdint.h>
#include <stdlib.h>

#include "common/json_pointer.h"
#include "common/xalloc.h"
#include "daemon/base/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/** What a place of the text has; false: no text. */
static bool
add_place(struct span place, const struct template_input *in, struct buf *out)
{
	bool of_message = place.n > 0 && place.p[0] == '$';
	struct json_pointer *pointer;
	struct json_value value;
	bool is_there;
	char *text;
	size_t n;

	must(json_pointer_new((struct span){place.p + of_message, place.n - of_message}, &pointer,
		     NULL) == OK);
	is_there = json_pointer_find(pointer, in->item->of, &value);
	free(pointer);
	if (!is_there || value.type == JSON_NULL || value.type >= JSON_ARRAY)
		return false;
	if (value.type != JSON_STRING) {
		buf_add_span(out, value.raw);
		return true;
	}
	text = xcalloc(1, value.raw.n);
	n = json_string_decode(value.raw, text);
	if (n != SIZE_MAX)
		buf_add(out, text, n);
	free(text);
	return n != SIZE_MAX;
}

static bool
slow_fill(struct span text, const struct template_input *in, struct buf *out)
{
	for (size_t i = 0; i < text.n; i++) {
		const char *end;

		if (text.p[i] == '}' || (text.p[i] == '{' && text.p[i + 1] == '{')) {
			must(text.p[i] == text.p[i + 1]);
			buf_add_char(out, text.p[i++]);
		} else if (text.p[i] != '{') {
			buf_add_char(out, text.p[i]);
		} else {
			end = memchr(text.p + i, '}', text.n - i);
			if (!add_place(
				    (struct span){text.p + i + 1, (size_t)(end - text.p) - i - 1},
				    in, out))
				return false;
			i = (size_t)(end - text.p);
		}
	}
	return true;
}

static void
check(const struct template *t, struct span text, const struct template_input *in)
{
	struct template_fault fault = {.what = NULL};
	struct json_value value;
	struct span beginning;
	struct buf got, want;
	bool is_filled, is_all;

	buf_init(&got, 1 << 22);
	buf_init(&want, 1 << 22);
	is_filled = template_fill(t, in, &got, &fault);
	must(is_filled == slow_fill(text, in, &want));
	if (is_filled && !got.failed)
		must(span_eq(buf_span(&got), buf_span(&want)));
	if (!is_filled)
		must(got.n == 0 && fault.what != NULL);
	beginning = template_beginning(t, &is_all);
	must(span_has_prefix(buf_span(&want), beginning) || want.n < beginning.n);
	must(!is_all || span_eq(buf_span(&want), beginning));
	if (template_is_place(t) && template_find(t, in, &value, &fault) && is_filled)
		must(value.type == JSON_STRING || span_eq(value.raw, buf_span(&got)));
	buf_fini(&got);
	buf_fini(&want);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *feed = size > 0 ? memchr(data, '\n', size) : NULL;
	struct error error = ERROR_NONE;
	struct template *t = NULL;
	struct json_members members;
	struct template_input in = {&members, &members};
	struct json_value item;
	struct json_fault fault;
	char *copy;
	size_t n;

	if (feed == NULL)
		return 0;
	copy = xstrndup((const char *)data, size); /* a byte behind the end */
	n = (size_t)(feed - (const char *)data);
	if (json_check((struct span){copy + n + 1, size - n - 1}, JSON_DEPTH_MAX, &item, &fault) ==
		OK) {
		json_members_start(&members, item);
		if (template_new((struct span){copy, n}, &t, &error) == OK)
			check(t, (struct span){copy, n}, &in);
		else
			must(error.text[0] != '\0');
	}
	template_free(t);
	free(copy);
	return 0;
}
