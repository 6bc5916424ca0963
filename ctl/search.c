/*
 * search: what was found, with the places of the query's words marked. For people
 * an item is two lines: which record it is, with its name, and a piece of its
 * text.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/utf8.h"
#include "common/xalloc.h"
#include "ctl/answer.h"
#include "ctl/commands.h"
#include "ctl/out.h"
#include "ctl/text.h"

#define QUERY_MAX ((size_t)1 << 20) /* the daemon takes less, and says so */
#define ITEM_MAX  ((size_t)1 << 30)
#define MARK      "\033[1;31m"
#define BOLD      "\033[1m"
#define PLAIN     "\033[0m"

/** Goes on by so many UTF-16 code units, in which offsets are told. */
static const char *
skip_units(const char *p, const char *end, int64_t units)
{
	while (units > 0 && p < end) {
		size_t n = utf8_next(p, end);

		units -= n == 4 ? 2 : 1;
		p += n > 0 ? n : 1;
	}
	return p;
}

static bool
read_range(struct json_value range, int64_t *start, int64_t *end)
{
	struct json_walk w = json_walk_start(range);
	struct json_value a, b;

	return range.type == JSON_ARRAY && json_array_next(&w, &a) && json_array_next(&w, &b) &&
	       json_number_int64(a.raw, start) && json_number_int64(b.raw, end);
}

/** Appends a string for people, with the ranges of it in colour. */
static void
add_marked(const struct ctl *c, struct buf *out, struct json_value string, struct json_value ranges)
{
	char *text = xcalloc(1, string.raw.n + 1);
	struct json_walk w = {NULL, NULL};
	struct json_value range;
	int64_t at = 0, start, stop;
	const char *p = text, *end, *next;

	if (string.type == JSON_STRING)
		json_string_text(string.raw, text, string.raw.n + 1);
	end = text + strlen(text);
	if (c->has_color && ranges.type == JSON_ARRAY)
		w = json_walk_start(ranges);
	while (w.p != NULL && json_array_next(&w, &range) && read_range(range, &start, &stop)) {
		next = skip_units(p, end, start - at);
		out_add_safe(out, (struct span){p, (size_t)(next - p)});
		p = skip_units(next, end, stop - start);
		at = stop;
		buf_addf(out, MARK);
		out_add_safe(out, (struct span){next, (size_t)(p - next)});
		buf_addf(out, PLAIN);
	}
	out_add_safe(out, (struct span){p, (size_t)(end - p)});
	free(text);
}

/** A record's name is its id when it was given none: it is not said twice. */
static void
add_title(const struct ctl *c, struct buf *out, struct json_value item)
{
	struct json_value none = {.type = JSON_NULL}, id = answer_member(item, "id");
	struct json_value name = answer_member(item, "name");

	buf_addf(out, "%s", c->has_color ? BOLD : "");
	add_marked(c, out, answer_member(item, "category"), none);
	buf_add_char(out, '/');
	if (!span_eq(id.raw, name.raw))
		add_marked(c, out, id, none);
	buf_addf(out, "%s%s", c->has_color ? PLAIN : "", span_eq(id.raw, name.raw) ? "" : "  ");
	add_marked(c, out, name, answer_member(item, "name_matches"));
	buf_add_char(out, '\n');
}

static void
print_item(const struct ctl *c, struct json_value item)
{
	struct json_value snippet = answer_member(item, "snippet");
	struct json_value text = answer_member(snippet, "text");
	struct json_value data = answer_member(item, "data");
	struct buf out;

	buf_init(&out, ITEM_MAX);
	add_title(c, &out, item);
	if (text.type == JSON_STRING && text.raw.n > 2) {
		buf_addf(&out, "    ");
		add_marked(c, &out, text, answer_member(snippet, "matches"));
		buf_add_char(&out, '\n');
	}
	if (data.raw.n > 0) {
		buf_addf(&out, "    ");
		out_add_safe_json(&out, data.raw);
		buf_add_char(&out, '\n');
	}
	fwrite(out.p, 1, out.n, stdout);
	buf_fini(&out);
}

/** Category names hold no commas. */
static void
put_categories(const struct ctl *c, struct json_out *o)
{
	const char *text = ctl_option(c, "category");

	if (text == NULL)
		return;
	json_begin_array(o, "category");
	for (;;) {
		size_t n = strcspn(text, ",");

		json_put_string(o, NULL, (struct span){text, n});
		if (text[n] == '\0')
			break;
		text += n + 1;
	}
	json_end_array(o);
}

/** The words as a person typed them. */
static void
put_query(const struct ctl *c, struct json_out *o)
{
	struct buf query;

	buf_init(&query, QUERY_MAX);
	for (unsigned i = 0; i < c->words_n; i++)
		buf_addf(&query, "%s%s", i > 0 ? " " : "", c->words[i]);
	json_put_string(o, "query", query.n > 0 ? buf_span(&query) : SPAN(""));
	buf_fini(&query);
}

static int
put_params(const struct ctl *c, struct json_out *o, const char *cursor)
{
	int status;

	put_query(c, o);
	put_categories(c, o);
	text_put_time(c, o, "after", "updated_after");
	text_put_time(c, o, "before", "updated_before");
	text_put_option(c, o, "order", "order");
	status = text_put_where(c, o);
	if (status == 0)
		status = text_put_number(c, o, "limit", "limit");
	if (status == 0)
		status = text_put_number(c, o, "snippet", "snippet");
	if (ctl_option(c, "data") != NULL)
		json_put_bool(o, "data", true);
	if (cursor != NULL)
		json_put_str(o, "cursor", cursor);
	else
		text_put_option(c, o, "cursor", "cursor");
	json_end_object(o);
	return status;
}

/** What was found in all, and how to see the rest. */
static void
print_summary(const struct ctl *c, struct json_value result, const char *cursor)
{
	bool is_capped = answer_member(result, "capped").type == JSON_TRUE;
	long long total = (long long)answer_int(result, "total", 0);
	long long ranked = (long long)answer_int(result, "ranked", 0);

	if (is_capped && ranked > 0)
		ctl_hint(c, "at least %lld found; the newest %lld are ranked", total, ranked);
	else
		ctl_hint(c, "%s%lld found", is_capped ? "at least " : "", total);
	if (cursor != NULL)
		ctl_hint(c, "there is more: --cursor %s, or --all", cursor);
}

static void
print_items(struct ctl *c, const char *result)
{
	struct json_value items = answer_member(answer_value(span_of(result)), "items"), item;
	struct json_walk w;

	if (c->format != FORMAT_TABLE || items.type != JSON_ARRAY) {
		out_list(c, result, NULL);
		return;
	}
	w = json_walk_start(items);
	while (json_array_next(&w, &item))
		print_item(c, item);
}

/** Prints a page; *cursor is where it begins (NULL: where the options say) and, after, where the
 * next one does, as text of the caller's own, or NULL. */
static int
print_page(struct ctl *c, char **cursor, bool wants_all)
{
	struct json_value answer;
	struct buf params;
	struct json_out o = ctl_params(&params);
	char *result;
	int status = put_params(c, &o, *cursor);

	free(*cursor);
	*cursor = NULL;
	if (status != 0) {
		buf_fini(&params);
		return status;
	}
	status = ctl_call(c, "record.search", &params, &result);
	if (status == 0) {
		answer = answer_value(span_of(result));
		print_items(c, result);
		*cursor = answer_dup(answer, "cursor");
		if (c->format != FORMAT_JSON && (*cursor == NULL || !wants_all))
			print_summary(c, answer, *cursor);
	}
	free(result);
	return status;
}

int
search_run(struct ctl *c)
{
	bool wants_all = ctl_option(c, "all") != NULL;
	char *cursor = NULL;
	int status;

	do
		status = print_page(c, &cursor, wants_all);
	while (status == 0 && wants_all && cursor != NULL);
	free(cursor);
	return status;
}
