/* put, get, del, ls, count, categories. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/commands.h"
#include "ctl/out.h"
#include "ctl/text.h"

/** Calls, prints the result as an object. */
static int
call_and_print(struct ctl *c, const char *method, struct buf *params)
{
	char *result = NULL;
	int status = ctl_call(c, method, params, &result);

	if (status == 0)
		out_object(c, result);
	free(result);
	return status;
}

int
record_put(struct ctl *c)
{
	const char *word = c->words_n > 2 ? c->words[2] : NULL;
	struct buf params;
	struct json_out o = params_start(&params);
	int status;

	json_put_str(&o, "category", c->words[0]);
	json_put_str(&o, "id", c->words[1]);
	text_put_option(c, &o, "name", "name");
	text_put_option(c, &o, "ttl", "ttl");
	status = text_put_time(c, &o, "expires-at", "expires_at");
	if (status == 0)
		status = text_put_number(c, &o, "if-seq", "if_seq");
	if (ctl_option(c, "if-absent") != NULL)
		json_put_str(&o, "mode", "if_absent");
	json_put_raw(&o, "data", SPAN(""));
	if (status == 0)
		status = text_add_data(&params, word, ctl_option(c, "text") != NULL);
	json_end_object(&o);
	if (status == 0)
		return call_and_print(c, "record.put", &params);
	buf_fini(&params);
	return status;
}

int
record_get(struct ctl *c)
{
	struct buf params;
	struct json_out o = params_start(&params);
	struct json_value record;
	char *result = NULL, *text;
	int status;

	json_put_str(&o, "category", c->words[0]);
	json_put_str(&o, "id", c->words[1]);
	json_end_object(&o);
	status = ctl_call(c, "record.get", &params, &result);
	if (status == 0) {
		record = out_member(span_of(result), "record");
		text = strndup(record.raw.p, record.raw.n);
		if (ctl_option(c, "data") != NULL)
			out_raw(out_member(record.raw, "data").raw);
		else
			out_object(c, text);
		free(text);
	}
	free(result);
	return status;
}

int
record_del(struct ctl *c)
{
	struct buf params;
	struct json_out o = params_start(&params);
	char *result = NULL;
	int status;

	json_put_str(&o, "category", c->words[0]);
	if (c->words_n == 2)
		json_put_str(&o, "id", c->words[1]);
	else
		text_put_words(&o, "ids", c->words + 1, c->words_n - 1);
	status = text_put_number(c, &o, "if-seq", "if_seq");
	json_end_object(&o);
	if (status != 0) {
		buf_fini(&params);
		return status;
	}
	status = ctl_call(c, "record.delete", &params, &result);
	if (status == 0)
		out_object(c, result);
	/* "Not there" is an exit status of its own for scripts. */
	if (status == 0 && out_member(span_of(result), "deleted").type == JSON_FALSE)
		status = 4;
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
	status = text_put_time(c, o, "after", "updated_after");
	if (status == 0)
		status = text_put_time(c, o, "before", "updated_before");
	if (status == 0)
		status = text_put_number(c, o, "limit", "limit");
	if (status == 0 && cursor == NULL)
		status = text_put_number(c, o, "offset", "offset");
	if (cursor != NULL)
		json_put_str(o, "cursor", cursor);
	else
		text_put_option(c, o, "cursor", "cursor");
	json_end_object(o);
	return status;
}

/** The cursor of a result as a text of its own, or NULL. */
static char *
dup_cursor(const char *result)
{
	struct json_value v = out_member(span_of(result), "cursor");
	char *text;

	if (v.type != JSON_STRING)
		return NULL;
	text = malloc(v.raw.n + 1);
	if (text != NULL)
		json_string_text(v.raw, text, v.raw.n + 1);
	return text;
}

int
record_ls(struct ctl *c)
{
	static const char *const columns[] = {
		"category", "id", "name", "rev", "seq", "updated_at", "data", NULL};
	bool all = ctl_option(c, "all") != NULL;
	char *cursor = NULL;
	int status;

	do {
		struct buf params;
		struct json_out o = params_start(&params);
		char *result = NULL;

		status = put_list_params(c, &o, cursor);
		free(cursor);
		cursor = NULL;
		if (status != 0) {
			buf_fini(&params);
			return status;
		}
		status = ctl_call(c, "record.list", &params, &result);
		if (status == 0) {
			out_list(c, result, columns);
			cursor = dup_cursor(result);
		}
		free(result);
	} while (status == 0 && all && cursor != NULL);
	if (cursor != NULL && c->format == FORMAT_TABLE && !c->is_quiet)
		fprintf(stderr, "more: --cursor '%s', or --all\n", cursor);
	free(cursor);
	return status;
}

int
record_count(struct ctl *c)
{
	struct buf params;
	struct json_out o = params_start(&params);
	char *result = NULL;
	int status;

	if (c->words_n > 0)
		text_put_words(&o, "category", c->words, c->words_n);
	text_put_option(c, &o, "id", "id");
	json_end_object(&o);
	status = ctl_call(c, "record.count", &params, &result);
	if (status == 0 && c->format == FORMAT_JSON)
		out_raw(span_of(result));
	else if (status == 0)
		out_raw(out_member(span_of(result), "count").raw);
	free(result);
	return status;
}

int
category_ls(struct ctl *c)
{
	static const char *const columns[] = {"category", "count", NULL};
	struct buf params;
	struct json_out o = params_start(&params);
	char *result = NULL;
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
