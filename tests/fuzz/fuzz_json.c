/*
 * Fuzzes the JSON scanner and writer: no crash on any input, a fault lies
 * within the text, every value can be walked and decoded, and compacting gives
 * JSON again that compacting leaves alone.
 * links: common/json.c common/json_write.c common/buf.c common/err.c common/xalloc.c
 */

#include <stdint.h>
#include <stdlib.h>

#include "common/json.h"
#include "common/utf8.h"
#include "common/xalloc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/** Decodes the string, writes it, and wants the same text back. */
static void
check_string(struct span raw)
{
	char *decoded = (char *)xcalloc(raw.n, 1);
	char *again;
	size_t n = json_string_decode(raw, decoded);
	char shown[16];
	struct buf out;

	json_string_text(raw, shown, sizeof(shown));
	if (n != SIZE_MAX) {
		buf_init(&out, raw.n * 6 + 2);
		json_add_string(&out, (struct span){decoded, n});
		again = (char *)xcalloc(out.n, 1);
		must(json_string_decode(buf_span(&out), again) == n);
		must(memcmp(decoded, again, n) == 0);
		if (memchr(decoded, '\0', n) == NULL) {
			char *text = xstrndup(decoded, n);

			must(json_string_is(raw, text));
			free(text);
		}
		free(again);
		buf_fini(&out);
	}
	free(decoded);
}

static void
check_value(struct json_value value)
{
	struct json_walk w = json_walk_start(value);
	struct json_value item;
	struct span key;
	int64_t integer;

	switch (value.type) {
	case JSON_OBJECT:
		while (json_object_next(&w, &key, &item)) {
			check_string(key);
			check_value(item);
		}
		break;
	case JSON_ARRAY:
		while (json_array_next(&w, &item))
			check_value(item);
		break;
	case JSON_STRING:
		check_string(value.raw);
		break;
	case JSON_NUMBER:
		json_number_int64(value.raw, &integer);
		break;
	case JSON_NULL:
	case JSON_FALSE:
	case JSON_TRUE:
		break;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = {(const char *)data, size};
	struct json_fault fault = {0};
	struct json_value value, again;
	struct buf once, twice;

	if (json_check(text, JSON_DEPTH_MAX, &value, &fault) != OK) {
		must(fault.offset <= size && fault.what != NULL);
		return 0;
	}
	check_value(value);
	buf_init(&once, size);
	buf_init(&twice, size);
	json_compact(value, &once);
	must(!once.failed && json_check(buf_span(&once), JSON_DEPTH_MAX, &again, &fault) == OK);
	must(span_eq(again.raw, buf_span(&once)));
	json_compact(again, &twice);
	must(span_eq(buf_span(&once), buf_span(&twice)));
	buf_fini(&once);
	buf_fini(&twice);
	return 0;
}
