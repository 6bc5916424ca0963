/*
 * Fuzzes scopes: the input is a scope text, a line feed, and a name that may end in
 * "*". What is read and printed reads as the same; what is refused is refused in
 * words; the name is covered exactly if one of the printed scopes says so.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"
#include "daemon/guard/scope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_again(const struct scopes *s, struct span text)
{
	struct scopes *again = scopes_new("again");
	struct buf out;

	buf_init(&out, SIZE_MAX / 2);
	must(scopes_add(again, text, SCOPE_ALL, NULL) == OK);
	scopes_add_text(again, &out);
	must(span_eq(buf_span(&out), text));
	must(scopes_contain(again, s, NULL) && scopes_contain(s, again, NULL));
	buf_fini(&out);
	scopes_unref(again);
}

/** By the printed text alone: "read" or "read:a,b* ...". */
static bool
is_covered(struct span text, struct span name, bool is_prefix)
{
	const char *p = text.p, *end = text.p + text.n;

	if (text.n < 4 || memcmp(p, "read", 4) != 0)
		return false;
	p += 4;
	if (p == end || *p == ' ')
		return true;
	while (p < end && *p != ' ') {
		size_t n = 0;
		struct span one;

		for (p++; p + n < end && p[n] != ',' && p[n] != ' '; n++)
			;
		one = (struct span){p, n};
		p += n;
		if (one.p[n - 1] == '*' ? span_has_prefix(name, (struct span){one.p, n - 1})
					: !is_prefix && span_eq(one, name))
			return true;
	}
	return false;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *line = size > 0 ? memchr(data, '\n', size) : NULL;
	size_t n = line != NULL ? (size_t)(line - data) : size;
	struct span text = {(const char *)data, n};
	struct span name =
		line != NULL ? (struct span){(const char *)line + 1, size - n - 1} : SPAN("");
	bool is_prefix = name.n > 0 && name.p[name.n - 1] == '*';
	struct scopes *s = scopes_new("fuzz");
	struct error error = ERROR_NONE;
	struct buf out;

	name.n -= is_prefix;
	buf_init(&out, SIZE_MAX / 2);
	if (scopes_add(s, text, SCOPE_ALL, &error) == OK) {
		scopes_add_text(s, &out);
		check_again(s, buf_span(&out));
		if (name.n <= 128)
			must(scopes_cover(s, SCOPE_READ, name, is_prefix) ==
				is_covered(buf_span(&out), name, is_prefix));
	} else {
		must(error.text[0] != '\0');
	}
	buf_fini(&out);
	scopes_unref(s);
	return 0;
}
