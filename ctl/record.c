/*
 * put, patch, get, ls, count, changes, category list: a command line becomes the
 * params of one method, its answer is printed.
 */

#include <stdlib.h>
#include <string.h>

#include "ctl/answer.h"
#include "ctl/commands.h"
#include "ctl/out.h"
#include "ctl/position.h"
#include "ctl/text.h"

int
record_put(struct ctl *c)
{
	const char *word = c->words_n > 2 ? c->words[2] : NULL;
	struct buf params;
	struct json_out o = ctl_params(&params);
	int status;

	json_put_str(&o, "category", c->words[0]);
	json_put_str(&o, "id", c->words[1]);
	text_put_option(c, &o, "name", "name");
	text_put_time(c, &o, "ttl", "ttl");
	text_put_time(c, &o, "expires-at", "expires_at");
	status = text_put_number(c, &o, "if-seq", "if_seq");
	if (ctl_option(c, "if-absent") != NULL)
		json_put_str(&o, "mode", "if_absent");
	json_put_raw(&o, "data", SPAN(""));
	if (status == 0)
		status = text_add_data(&params, word, ctl_option(c, "text") != NULL);
	json_end_object(&o);
	if (status == 0)
		return ctl_call_and_print(c, "record.put", &params);
	buf_fini(&params);
	return status;
}

int
record_patch(struct ctl *c)
{
	const char *word = c->words_n > 2 ? c->words[2] : NULL;
	struct buf params;
	struct json_out o = ctl_params(&params);
	int status;

	json_put_str(&o, "category", c->words[0]);
	json_put_str(&o, "id", c->words[1]);
	status = text_put_number(c, &o, "if-seq", "if_seq");
	json_put_raw(&o, "patch", SPAN(""));
	if (status == 0)
		status = text_add_data(&params, word, false);
	json_end_object(&o);
	if (status == 0)
		return ctl_call_and_print(c, "record.patch", &params);
	buf_fini(&params);
	return status;
}

int
record_get(struct ctl *c)
{
	struct buf params;
	struct json_out o = ctl_params(&params);
	struct json_value record;
	char *result;
	int status;

	json_put_str(&o, "category", c->words[0]);
	json_put_str(&o, "id", c->words[1]);
	status = text_put_number(c, &o, "rev", "rev");
	if (status == 0)
		status = text_put_number(c, &o, "at-seq", "at_seq");
	text_put_time(c, &o, "at", "at_time");
	json_end_object(&o);
	if (status != 0) {
		buf_fini(&params);
		return status;
	}
	status = ctl_call(c, "record.get", &params, &result);
	if (status == 0) {
		record = answer_member(answer_value(span_of(result)), "record");
		if (ctl_option(c, "data") != NULL)
			out_json(c, answer_member(record, "data").raw);
		else
			out_object(c, record.raw);
	}
	free(result);
	return status;
}

static int
put_list_params(struct ctl *c, struct json_out *o, const char *cursor)
{
	int status;

	if (c->words_n > 0)
		text_put_words(o, "category", c->words, c->words_n);
	text_put_option(c, o, "id", "id");
	text_put_option(c, o, "name", "name");
	text_put_option(c, o, "name-like", "name_like");
	text_put_option(c, o, "order", "order");
	text_put_time(c, o, "after", "updated_after");
	text_put_time(c, o, "before", "updated_before");
	status = text_put_where(c, o);
	if (status == 0)
		status = text_put_number(c, o, "limit", "limit");
	if (cursor != NULL) {
		json_put_str(o, "cursor", cursor);
	} else {
		text_put_option(c, o, "cursor", "cursor");
		if (status == 0)
			status = text_put_number(c, o, "offset", "offset");
	}
	json_end_object(o);
	return status;
}

static bool
has_items(struct json_value answer)
{
	struct json_value items = answer_member(answer, "items"), item;
	struct json_walk w = json_walk_start(items);

	return json_array_next(&w, &item);
}

/** Prints a page; *cursor is where it begins (NULL: where the options say) and, after, where the
 * next one does, as text of the caller's own, or NULL. One that is empty, and not the last, is
 * not printed: with a condition there may be many. */
static int
print_page(struct ctl *c, char **cursor, bool *is_empty)
{
	static const char *const columns[] = {
		"category", "id", "name", "rev", "seq", "updated_at", "data", NULL};
	struct buf params;
	struct json_out o = ctl_params(&params);
	char *result;
	int status = put_list_params(c, &o, *cursor);

	free(*cursor);
	*cursor = NULL;
	if (status != 0) {
		buf_fini(&params);
		return status;
	}
	status = ctl_call(c, "record.list", &params, &result);
	if (status == 0) {
		*cursor = answer_dup(answer_value(span_of(result)), "cursor");
		*is_empty = !has_items(answer_value(span_of(result)));
		if (!*is_empty || *cursor == NULL)
			out_list(c, result, columns);
	}
	free(result);
	return status;
}

int
record_ls(struct ctl *c)
{
	bool wants_all = ctl_option(c, "all") != NULL, is_empty = false;
	char *cursor = NULL;
	int status;

	do
		status = print_page(c, &cursor, &is_empty);
	while (status == 0 && (wants_all || is_empty) && cursor != NULL);
	if (cursor != NULL && c->format != FORMAT_JSON)
		ctl_hint(c, "there is more: --cursor %s, or --all", cursor);
	free(cursor);
	return status;
}

int
record_count(struct ctl *c)
{
	struct buf params;
	struct json_out o = ctl_params(&params);
	char *result;
	int status;

	if (c->words_n > 0)
		text_put_words(&o, "category", c->words, c->words_n);
	text_put_option(c, &o, "id", "id");
	status = text_put_where(c, &o);
	json_end_object(&o);
	if (status != 0) {
		buf_fini(&params);
		return status;
	}
	status = ctl_call(c, "record.count", &params, &result);
	if (status == 0 && c->format == FORMAT_JSON)
		out_json(c, span_of(result));
	else if (status == 0)
		out_json(c, answer_member(answer_value(span_of(result)), "count").raw);
	free(result);
	return status;
}

int
record_categories(struct ctl *c)
{
	static const char *const columns[] = {"category", "count", NULL};
	struct buf params;
	struct json_out o = ctl_params(&params);
	char *result;
	int status;

	if (c->words_n > 0)
		text_put_words(&o, "category", c->words, c->words_n);
	json_end_object(&o);
	status = ctl_call(c, "category.list", &params, &result);
	if (status == 0)
		out_list(c, result, columns);
	free(result);
	return status;
}

static void
print_changes(struct ctl *c, const char *result)
{
	static const char *const columns[] = {"seq", "op", "category", "id", "name", "data", NULL};
	struct json_value answer = answer_value(span_of(result));
	struct position position = {.is_set = true};

	out_list(c, result, columns);
	position_set_epoch(&position, answer);
	position.seq = answer_int(answer, "seq", 0);
	position.base = answer_int(answer, "base", 0);
	if (c->format != FORMAT_JSON)
		position_hint(&position, c);
}

int
record_changes(struct ctl *c)
{
	struct position position = {.seq = 0, .is_set = true};
	const char *since = ctl_option(c, "since");
	struct buf params;
	struct json_out o;
	char *result;
	int status = since != NULL ? position_parse(&position, since, c) : 0;

	if (status != 0)
		return status;
	o = ctl_params(&params);
	if (c->words_n > 0)
		text_put_words(&o, "categories", c->words, c->words_n);
	text_put_option(c, &o, "id", "ids");
	position_put(&position, &o);
	status = text_put_where(c, &o);
	if (status == 0)
		status = text_put_number(c, &o, "limit", "limit");
	json_end_object(&o);
	if (status != 0) {
		buf_fini(&params);
		return status;
	}
	status = ctl_call(c, "changes", &params, &result);
	if (status == 0)
		print_changes(c, result);
	free(result);
	return status;
}
