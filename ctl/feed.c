/* feed ls, show, add, rm, start, stop, test and logs. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/time.h"
#include "common/xalloc.h"
#include "ctl/answer.h"
#include "ctl/commands.h"
#include "ctl/out.h"
#include "ctl/text.h"

#define TEXT_MAX         ((size_t)16 << 20)
#define TEST_TIMEOUT_MS  10000
#define ANSWER_MARGIN_MS 10000 /* for the daemon to answer after that */

int
feed_ls(struct ctl *c)
{
	static const char *const columns[] = {
		"name", "state", "messages", "mapped", "unmapped", "last_message_at", "why", NULL};
	struct buf params;
	struct json_out o = ctl_params(&params);
	char *result;
	int status;

	json_end_object(&o);
	status = ctl_call(c, "feed.list", &params, &result);
	if (status == 0)
		out_list(c, result, columns);
	free(result);
	return status;
}

/** Calls a method for the feed that the first word names. */
static int
call_for_name(struct ctl *c, const char *method)
{
	struct buf params;
	struct json_out o = ctl_params(&params);

	json_put_str(&o, "name", c->words[0]);
	json_end_object(&o);
	return ctl_call_and_print(c, method, &params);
}

int
feed_show(struct ctl *c)
{
	struct buf params;
	struct json_out o = ctl_params(&params);
	struct json_value feed;
	char *result;
	int status;

	json_put_str(&o, "name", c->words[0]);
	json_end_object(&o);
	status = ctl_call(c, "feed.show", &params, &result);
	if (status == 0) {
		feed = answer_member(answer_value(span_of(result)), "feed");
		out_object(c, feed.raw);
	}
	free(result);
	return status;
}

int
feed_rm(struct ctl *c)
{
	return call_for_name(c, "feed.remove");
}

int
feed_start(struct ctl *c)
{
	return call_for_name(c, "feed.start");
}

int
feed_stop(struct ctl *c)
{
	return call_for_name(c, "feed.stop");
}

/* Definitions. */

/** "id={/key}": a value that is JSON is that, another one is a string. */
static int
put_setting(struct json_out *o, const char *text)
{
	const char *equals = strchr(text, '=');
	struct json_value value;
	struct json_fault fault;
	struct span given;
	char *key;

	if (equals == NULL || equals == text)
		return ctl_usage("--set \"%s\": write KEY=VALUE, such as category=ticker", text);
	key = xstrndup(text, (size_t)(equals - text));
	given = span_of(equals + 1);
	if (json_check(given, JSON_DEPTH_MAX, &value, &fault) == OK && value.type != JSON_NULL &&
		value.type != JSON_OBJECT)
		json_put_raw(o, key, value.raw);
	else
		json_put_string(o, key, given);
	free(key);
	return 0;
}

/** The definition: JSON of the second word, or what the options say. */
static int
put_definition(const struct ctl *c, struct buf *params, struct json_out *o)
{
	bool has_word = c->words_n > 1,
	     has_options = ctl_option(c, "upstream") != NULL || ctl_option(c, "set") != NULL;
	const char *setting;
	unsigned at = 0;
	int status = 0;

	if (has_word == has_options)
		return ctl_usage("define it with JSON (or @FILE, or - for standard input), or with "
				 "--upstream and --set");
	if (has_word) {
		json_put_raw(o, "definition", SPAN(""));
		return text_add_data(params, c->words[1], false);
	}
	json_begin_object(o, "definition");
	text_put_option(c, o, "upstream", "url");
	while (status == 0 && (setting = ctl_option_next(c, "set", &at)) != NULL)
		status = put_setting(o, setting);
	json_end_object(o);
	return status;
}

int
feed_add(struct ctl *c)
{
	struct buf params;
	struct json_out o = ctl_params(&params);
	int status;

	json_put_str(&o, "name", c->words[0]);
	if (ctl_option(c, "replace") != NULL)
		json_put_bool(&o, "replace", true);
	status = put_definition(c, &params, &o);
	json_end_object(&o);
	if (status == 0)
		return ctl_call_and_print(c, "feed.add", &params);
	buf_fini(&params);
	return status;
}

int
feed_logs(struct ctl *c)
{
	static const char *const columns[] = {"at", "what", "detail", NULL};
	struct buf params;
	struct json_out o = ctl_params(&params);
	char *result;
	int status;

	json_put_str(&o, "name", c->words[0]);
	status = text_put_number(c, &o, "limit", "limit");
	json_end_object(&o);
	if (status != 0) {
		buf_fini(&params);
		return status;
	}
	status = ctl_call(c, "feed.logs", &params, &result);
	if (status == 0)
		out_list(c, result, columns);
	free(result);
	return status;
}

/* Trying one. */

static void
add_line(struct buf *out, const char *what, struct span text)
{
	buf_addf(out, "%-10s", what);
	out_add_safe(out, text);
	buf_add_char(out, '\n');
}

static void
add_string(struct buf *out, const char *what, struct json_value string)
{
	char *text = xcalloc(1, string.raw.n + 1);

	json_string_text(string.raw, text, string.raw.n + 1);
	add_line(out, what, span_of(text));
	free(text);
}

/** One line for each of the items of a list. */
static void
add_items(struct buf *out, const char *what, struct json_value list)
{
	struct json_walk w = json_walk_start(list);
	struct json_value item;

	while (list.type == JSON_ARRAY && json_array_next(&w, &item)) {
		if (item.type == JSON_STRING)
			add_string(out, what, item);
		else
			add_line(out, what, item.raw);
	}
}

static void
add_message(struct buf *out, struct json_value message)
{
	struct json_value text = answer_member(message, "text");

	if (text.type != JSON_STRING)
		text = answer_member(message, "base64");
	if (text.type == JSON_STRING)
		add_string(out, "message", text);
	if (answer_member(message, "ignored").type == JSON_TRUE)
		add_line(out, "  ignored", SPAN("where does not want it"));
	add_items(out, "  record", answer_member(message, "records"));
	add_items(out, "  unmapped", answer_member(message, "unmapped"));
}

static void
print_trial(struct json_value answer)
{
	struct json_value messages = answer_member(answer, "messages"), item;
	struct json_value handshake = answer_member(answer, "handshake");
	struct json_value why = answer_member(answer, "why");
	struct json_walk w = json_walk_start(messages);
	struct buf out;

	buf_init(&out, TEXT_MAX);
	if (handshake.type == JSON_OBJECT)
		add_line(&out, "handshake", handshake.raw);
	add_items(&out, "sent", answer_member(answer, "greeting"));
	while (messages.type == JSON_ARRAY && json_array_next(&w, &item))
		add_message(&out, item);
	if (why.type == JSON_STRING)
		add_string(&out, "failed", why);
	fwrite(out.p, 1, out.n, stdout);
	buf_fini(&out);
}

/** How long the daemon tries: it answers a while after that at the latest. */
static int
put_wait(struct ctl *c, struct json_out *o)
{
	const char *text = ctl_option(c, "wait");
	int64_t ms = TEST_TIMEOUT_MS;

	if (text != NULL && (!duration_parse(span_of(text), &ms) || ms <= 0 || ms > 600000))
		return ctl_usage("--wait is a time up to 10m, such as 30s, not \"%s\"", text);
	json_put_int(o, "timeout_ms", ms);
	if (c->timeout_ms >= 0 && c->timeout_ms < ms + ANSWER_MARGIN_MS)
		c->timeout_ms = (int)ms + ANSWER_MARGIN_MS;
	return 0;
}

int
feed_test(struct ctl *c)
{
	bool has_definition =
		c->words_n > 1 || ctl_option(c, "upstream") != NULL || ctl_option(c, "set") != NULL;
	struct buf params;
	struct json_out o = ctl_params(&params);
	char *result = NULL;
	int status;

	json_put_str(&o, "name", c->words[0]);
	status = has_definition ? put_definition(c, &params, &o) : 0;
	if (status == 0)
		status = text_put_number(c, &o, "messages", "messages");
	if (status == 0)
		status = put_wait(c, &o);
	json_end_object(&o);
	if (status != 0) {
		buf_fini(&params);
		return status;
	}
	status = ctl_call(c, "feed.test", &params, &result);
	if (status == 0 && c->format == FORMAT_TABLE)
		print_trial(answer_value(span_of(result)));
	else if (status == 0)
		out_json(c, span_of(result));
	if (status == 0 && answer_member(answer_value(span_of(result)), "ok").type != JSON_TRUE)
		status = EXIT_REFUSED;
	free(result);
	return status;
}
