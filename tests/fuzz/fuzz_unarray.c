/*
 * Fuzzes the cutting of arrays: what is found does not depend on the pieces the
 * text comes in, and an array that is JSON has the items that the scanner sees.
 */

#include <stdint.h>

#include "common/json.h"
#include "common/xalloc.h"
#include "ctl/unarray.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct span
trim(struct span s)
{
	static const char blanks[] = " \t\r\n";

	for (; s.n > 0 && memchr(blanks, s.p[0], 4) != NULL; s.n--)
		s.p++;
	while (s.n > 0 && memchr(blanks, s.p[s.n - 1], 4) != NULL)
		s.n--;
	return s;
}

/** The next item of a text, from *at on; false: there is none, or it has not ended. */
static bool
next_item(struct unarray *u, struct span text, size_t step, size_t *at, struct span *item)
{
	size_t start = *at;

	while (*at < text.n) {
		size_t left = text.n - *at, used;
		enum unarray_found found =
			unarray_next(u, text.p + *at, left < step ? left : step, &used);

		must(used <= left);
		*at += used;
		if (found == UNARRAY_END) {
			*item = trim((struct span){text.p + start, *at - 1 - start});
			return true;
		}
		if (found == UNARRAY_FAULT)
			return false;
		if (found == UNARRAY_NOTHING)
			start = *at;
	}
	return false;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = {(const char *)data, size}, item, other;
	struct unarray whole = unarray_start(), bytes = unarray_start();
	size_t at = 0, at_bytes = 0;
	struct json_fault fault;
	struct json_value value, wanted;
	struct json_walk w = {NULL, NULL};

	if (json_check(text, JSON_DEPTH_MAX, &value, &fault) == OK && value.type == JSON_ARRAY)
		w = json_walk_start(value);
	while (next_item(&whole, text, size, &at, &item)) {
		must(next_item(&bytes, text, 1, &at_bytes, &other));
		must(at == at_bytes && span_eq(item, other) && whole.place == bytes.place);
		if (w.p != NULL)
			must(json_array_next(&w, &wanted) && span_eq(wanted.raw, item));
	}
	must(!next_item(&bytes, text, 1, &at_bytes, &other) && whole.place == bytes.place);
	must(w.p == NULL || (!json_array_next(&w, &wanted) && whole.place == UNARRAY_BEHIND));
	return 0;
}
