/* status: how the daemon is, part by part, as people read it. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/answer.h"
#include "ctl/commands.h"
#include "ctl/out.h"

#define TEXT_MAX  ((size_t)1 << 20)
#define KEY_WIDTH 18
#define LAST_PART "limits" /* they change least */

/* Sizes whose names do not end in "bytes". */
static const char *const sizes[] = {"max_message", "max_input", "max_record", "send_queue",
	"max_header", "wal_hard_limit", "hashsize", "done", "total", NULL};

static bool
ends_in(struct span key, const char *end)
{
	size_t n = strlen(end);

	return key.n >= n + 2 && memcmp(key.p + key.n - 1 - n, end, n) == 0;
}

static bool
is_size(struct span key)
{
	for (size_t i = 0; sizes[i] != NULL; i++)
		if (json_string_is(key, sizes[i]))
			return true;
	return ends_in(key, "bytes");
}

/** "850 ms", "12.3 s", "4 min 10 s", "3 d 4 h" */
static void
add_duration(struct buf *out, int64_t ms)
{
	int64_t s = ms / 1000;

	if (ms < 1000)
		buf_addf(out, "%" PRId64 " ms", ms);
	else if (s < 60)
		buf_addf(out, "%.1f s", (double)ms / 1000);
	else if (s < 3600)
		buf_addf(out, "%" PRId64 " min %" PRId64 " s", s / 60, s % 60);
	else if (s < 86400)
		buf_addf(out, "%" PRId64 " h %" PRId64 " min", s / 3600, s / 60 % 60);
	else
		buf_addf(out, "%" PRId64 " d %" PRId64 " h", s / 86400, s / 3600 % 24);
}

static void add_value(struct buf *out, struct span key, struct json_value value);

/** On one line: "p50 0.4, p99 2.1", or the items of a list. */
static void
add_all(struct buf *out, struct json_value value)
{
	bool is_list = value.type == JSON_ARRAY, is_first = true;
	struct json_walk w = json_walk_start(value);
	struct json_value item;
	struct span key = SPAN("\"\"");

	while (is_list ? json_array_next(&w, &item) : json_object_next(&w, &key, &item)) {
		buf_addf(out, "%s", is_first ? "" : ", ");
		if (!is_list)
			buf_addf(out, "%.*s ", (int)key.n - 2, key.p + 1);
		add_value(out, key, item);
		is_first = false;
	}
}

static void
add_value(struct buf *out, struct span key, struct json_value value)
{
	int64_t n = 0;
	bool is_integer = value.type == JSON_NUMBER && json_number_int64(value.raw, &n);

	if (value.type == JSON_OBJECT || value.type == JSON_ARRAY)
		add_all(out, value);
	else if (is_integer && is_size(key))
		out_add_size(out, n);
	else if (is_integer && ends_in(key, "_ms"))
		add_duration(out, n);
	else
		out_add_value(out, key, value);
}

static void
add_line(struct buf *out, const char *indent, struct span key, struct json_value value)
{
	buf_addf(out, "%s%-*.*s ", indent, KEY_WIDTH, (int)key.n - 2, key.p + 1);
	add_value(out, key, value);
	buf_add_char(out, '\n');
}

static void
add_part(struct buf *out, const struct ctl *c, struct span key, struct json_value part)
{
	struct json_walk w = json_walk_start(part);
	struct json_value value;
	struct span name;

	if (!json_object_next(&w, &name, &value))
		return;
	buf_addf(out, "\n%s%.*s%s\n", c->has_color ? "\033[1m" : "", (int)key.n - 2, key.p + 1,
		c->has_color ? "\033[0m" : "");
	do
		add_line(out, "  ", name, value);
	while (json_object_next(&w, &name, &value));
}

/** First what has no parts, then part by part. */
static void
print(const struct ctl *c, struct json_value status)
{
	struct json_walk w = json_walk_start(status);
	struct json_value value;
	struct span key;
	struct buf out;

	buf_init(&out, TEXT_MAX);
	while (json_object_next(&w, &key, &value))
		if (value.type != JSON_OBJECT)
			add_line(&out, "", key, value);
	w = json_walk_start(status);
	while (json_object_next(&w, &key, &value))
		if (value.type == JSON_OBJECT && !json_string_is(key, LAST_PART))
			add_part(&out, c, key, value);
	add_part(&out, c, SPAN("\"" LAST_PART "\""), answer_member(status, LAST_PART));
	fwrite(out.p, 1, out.n, stdout);
	buf_fini(&out);
}

int
status_run(struct ctl *c)
{
	struct buf params;
	struct json_out o = ctl_params(&params);
	char *result;
	int status;

	json_end_object(&o);
	status = ctl_call(c, "status", &params, &result);
	if (status == 0 && c->format == FORMAT_TABLE)
		print(c, answer_value(span_of(result)));
	else if (status == 0)
		out_json(c, span_of(result));
	free(result);
	return status;
}
