/* history, diff: the versions of a record, and what is different between two. */

#include <stdio.h>
#include <stdlib.h>

#include "common/json_diff.h"
#include "common/time.h"
#include "ctl/answer.h"
#include "ctl/commands.h"
#include "ctl/out.h"
#include "ctl/text.h"

static int
put_params(struct ctl *c, struct json_out *o, const char *cursor)
{
	int status;

	json_put_str(o, "category", c->words[0]);
	json_put_str(o, "id", c->words[1]);
	status = text_put_number(c, o, "limit", "limit");
	if (cursor != NULL)
		json_put_str(o, "cursor", cursor);
	else
		text_put_option(c, o, "cursor", "cursor");
	json_end_object(o);
	return status;
}

/** Prints a page from *cursor on (NULL: where the options say); *cursor is then the next one's. */
static int
print_page(struct ctl *c, char **cursor)
{
	static const char *const columns[] = {
		"rev", "seq", "op", "updated_at", "deleted_at", "name", "data", NULL};
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
	status = ctl_call(c, "record.history", &params, &result);
	if (status == 0) {
		out_list(c, result, columns);
		*cursor = answer_dup(answer_value(span_of(result)), "cursor");
	}
	free(result);
	return status;
}

int
history_list(struct ctl *c)
{
	bool wants_all = ctl_option(c, "all") != NULL;
	char *cursor = NULL;
	int status;

	do
		status = print_page(c, &cursor);
	while (status == 0 && wants_all && cursor != NULL);
	if (cursor != NULL && c->format != FORMAT_JSON)
		ctl_hint(c, "there is more: --cursor %s, or --all", cursor);
	free(cursor);
	return status;
}

/** Gets a version by its rev (NULL: the newest); *result is the caller's to free. */
static int
get_version(struct ctl *c, const char *rev, char **result)
{
	struct buf params;
	struct json_out o = ctl_params(&params);
	int64_t number;

	json_put_str(&o, "category", c->words[0]);
	json_put_str(&o, "id", c->words[1]);
	if (rev != NULL) {
		if (!span_number(span_of(rev), &number)) {
			buf_fini(&params);
			return ctl_usage("a rev is a number, not \"%s\"", rev);
		}
		json_put_int(&o, "rev", number);
	}
	json_end_object(&o);
	return ctl_call(c, "record.get", &params, result);
}

static void
add_patch_step(void *arg, const struct json_edit *step)
{
	json_edit_add(step, arg);
}

static void
print_patch(struct ctl *c, struct json_value from, struct json_value to)
{
	struct buf patch;
	struct json_out o;

	buf_init(&patch, SIZE_MAX / 2);
	o = json_out_start(&patch);
	json_begin_array(&o, NULL);
	json_diff(from, to, add_patch_step, &o);
	json_end_array(&o);
	out_json(c, buf_span(&patch));
	buf_fini(&patch);
}

struct report {
	const struct ctl *c;
	struct buf text;
};

static void
add_line(struct report *r, char sign, struct span path, const struct json_value *value)
{
	const char *color = sign == '+' ? "\033[32m" : "\033[31m";

	buf_addf(&r->text, "%s%c ", r->c->has_color ? color : "", sign);
	out_add_safe(&r->text, path.n > 0 ? path : SPAN("(all of it)"));
	buf_addf(&r->text, "  ");
	out_add_safe_json(&r->text, value->raw);
	buf_addf(&r->text, "%s\n", r->c->has_color ? "\033[0m" : "");
}

static void
add_step(void *arg, const struct json_edit *step)
{
	if (step->kind != JSON_EDIT_ADD)
		add_line(arg, '-', step->path, &step->from);
	if (step->kind != JSON_EDIT_REMOVE)
		add_line(arg, '+', step->path, &step->to);
}

static void
add_heading(struct report *r, char sign, struct json_value record)
{
	char time[TIME_TEXT_SIZE];

	time_format(answer_int(record, "updated_at", 0), time);
	buf_addf(&r->text, "%c%c%c rev %lld, seq %lld, %s, ", sign, sign, sign,
		(long long)answer_int(record, "rev", 0), (long long)answer_int(record, "seq", 0),
		time);
	out_add_safe_json(&r->text, answer_member(record, "name").raw);
	buf_add_char(&r->text, '\n');
}

static void
print_report(struct ctl *c, struct json_value from, struct json_value to)
{
	struct report r = {.c = c};

	buf_init(&r.text, SIZE_MAX / 2);
	add_heading(&r, '-', from);
	add_heading(&r, '+', to);
	json_diff(answer_member(from, "data"), answer_member(to, "data"), add_step, &r);
	fwrite(r.text.p, 1, r.text.n, stdout);
	buf_fini(&r.text);
}

int
history_diff(struct ctl *c)
{
	char *first = NULL, *second = NULL;
	struct json_value from, to;
	int status = get_version(c, c->words[2], &first);

	if (status == 0)
		status = get_version(c, c->words_n > 3 ? c->words[3] : NULL, &second);
	if (status == 0) {
		from = answer_member(answer_value(span_of(first)), "record");
		to = answer_member(answer_value(span_of(second)), "record");
		if (c->format == FORMAT_TABLE)
			print_report(c, from, to);
		else
			print_patch(c, answer_member(from, "data"), answer_member(to, "data"));
	}
	free(first);
	free(second);
	return status;
}
