/*
 * Fuzzes the text of records and what is shown of it: two bytes of sizes, a query
 * up to a line feed, then data. The text stays in its bounds and holds the
 * separator between values alone; a snippet of it is JSON whose ranges are
 * sorted, apart and inside the text that is shown.
 */

#include <sqlite3.h>
#include <stdlib.h>

#include "common/xalloc.h"
#include "daemon/search/snippet.h"
#include "daemon/search/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static sqlite3 *db;
static struct tokenizer *tokenizer;

/** How many UTF-16 code units a raw string decodes to. */
static int64_t
units_of(struct span raw)
{
	char *text = xcalloc(raw.n, 1);
	size_t n = json_string_decode(raw, text);
	int64_t units = 0;

	must(n != SIZE_MAX);
	for (size_t i = 0; i < n; i++)
		if (((unsigned char)text[i] & 0xc0) != 0x80)
			units += (unsigned char)text[i] >= 0xf0 ? 2 : 1;
	free(text);
	return units;
}

static void
check_ranges(struct json_value ranges, int64_t units)
{
	struct json_walk w = json_walk_start(ranges);
	struct json_value range;

	for (int64_t last = -1; json_array_next(&w, &range);) {
		struct json_walk pair = json_walk_start(range);
		struct json_value start, end;
		int64_t s, e;

		must(json_array_next(&pair, &start) && json_array_next(&pair, &end));
		must(json_number_int64(start.raw, &s) && json_number_int64(end.raw, &e));
		must(last < s && s < e && e <= units);
		last = e;
	}
}

static void
check_snippet(struct span text, const struct match *matches, size_t n, size_t length)
{
	struct json_value value, shown, ranges;
	struct json_fault fault;
	struct json_walk w;
	struct json_out o;
	struct span key;
	struct buf out;

	buf_init(&out, text.n * 8 + 65536);
	o = json_out_start(&out);
	snippet_put(&o, NULL, text, matches, n, length);
	must(json_check(buf_span(&out), 3, &value, &fault) == OK);
	w = json_walk_start(value);
	must(json_object_next(&w, &key, &shown) && json_object_next(&w, &key, &ranges));
	must(units_of(shown.raw) <= 2 * (int64_t)length * 3 + 2);
	check_ranges(ranges, units_of(shown.raw));
	buf_reset(&out);
	o = json_out_start(&out);
	snippet_put_matches(&o, NULL, text, matches, n);
	must(json_check(buf_span(&out), 2, &value, &fault) == OK);
	check_ranges(value, 2 * (int64_t)text.n);
	buf_fini(&out);
}

static void
check_text(struct span text)
{
	static const struct span separator = {" " TEXT_SEPARATOR " ", 5};
	const char *p = text.n > 0 ? text.p : "", *end = p + text.n;

	while ((p = memmem(p, (size_t)(end - p), TEXT_SEPARATOR, 3)) != NULL) {
		must(p > text.p && p[-1] == ' ');
		must(p + 3 == end || p[3] == ' ');
		p += 3;
	}
	must(!span_has_prefix(text, separator));
}

static void
check(struct span words, struct span data, size_t max, size_t length)
{
	struct match matches[SNIPPET_MATCHES_MAX];
	struct error error = ERROR_NONE;
	struct tokens tokens;
	struct buf text;
	struct query *q;
	size_t n;

	buf_init(&text, max);
	tokens_init(&tokens);
	text_add_data(&text, data);
	must(text.n <= max && !text.failed);
	check_text(buf_span(&text));
	if (text.n > 0 && query_new(words, tokenizer, &q, &error) == OK) {
		must(tokens_add(&tokens, tokenizer, buf_span(&text), &error) == OK);
		n = query_find(q, QUERY_DATA, &tokens, matches, SNIPPET_MATCHES_MAX);
		check_snippet(buf_span(&text), matches, n, length);
		query_free(q);
	}
	tokens_fini(&tokens);
	buf_fini(&text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span words = {(const char *)data + 2, size - 2};
	const char *line = size >= 2 ? memchr(words.p, '\n', words.n) : NULL;
	struct error error;

	if (line == NULL)
		return 0;
	if (tokenizer == NULL) {
		must(sqlite3_open(":memory:", &db) == SQLITE_OK);
		must(tokenizer_new(db, TOKENIZER_WORDS, &tokenizer, &error) == OK);
	}
	words.n = (size_t)(line - words.p);
	check(words, (struct span){line + 1, size - 3 - words.n}, 1 + data[0] * (size_t)4,
		1 + data[1] % 64);
	return 0;
}
