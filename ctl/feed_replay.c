/*
 * feed replay: what a recorder has kept goes through the mapping of a feed once more,
 * into the daemon's store or into one of its own, as fast as it can or as it came. The
 * daemon has two calls at a time: it maps the one while it writes the other.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/time.h"
#include "common/xalloc.h"
#include "ctl/answer.h"
#include "ctl/commands.h"
#include "ctl/door.h"
#include "ctl/interrupt.h"
#include "ctl/out.h"
#include "ctl/progress.h"
#include "ctl/scratch.h"
#include "ctl/source.h"

#define BATCH_BYTES ((size_t)512 << 10)
#define BATCH_ITEMS 2000
#define CALLS_MAX   2
#define ENVELOPE    1024 /* of a call, around its items */
#define ENDING      ".ndjson"
#define WARNINGS    3

struct replay {
	struct ctl *c;
	char *feed;
	double speed; /* 0: as fast as it goes */
	int fd;
	struct source source;
	struct progress progress;
	size_t items_max; /* bytes that a call may have of them */
	struct buf items; /* of the next call, with commas */
	size_t items_n;
	int64_t calls[CALLS_MAX]; /* that are under way */
	unsigned calls_n;
	int64_t first_ms; /* of the first message, as it is recorded; -1: none yet */
	int64_t start_ms; /* when it was replayed: monotonic */
	int64_t done;     /* offset in the input */
	int64_t messages, records, unmapped, seq;
	uint64_t left_out;
};

/* Calls. */

static int
receive(struct replay *r)
{
	struct sysrt_error error;
	struct json_value answer;
	int64_t seq;
	char *result;

	if (sysrt_receive(r->c->sysrt, r->calls[0], r->c->timeout_ms, &result, &error) != 0)
		return interrupt_status() != 0 ? interrupt_status() : ctl_fail(&error);
	r->calls_n--;
	memmove(r->calls, r->calls + 1, r->calls_n * sizeof(r->calls[0]));
	answer = answer_value(span_of(result));
	r->messages += answer_int(answer, "messages", 0);
	r->records += answer_int(answer, "records", 0);
	r->unmapped += answer_int(answer, "unmapped", 0);
	seq = answer_int(answer, "seq", 0);
	r->seq = seq > r->seq ? seq : r->seq;
	free(result);
	progress_show(&r->progress, (uint64_t)r->messages, r->done);
	return 0;
}

/** Sends what was gathered. */
static int
flush(struct replay *r)
{
	struct sysrt_error error;
	struct json_out o;
	struct buf params;
	int status = 0;

	if (r->items_n == 0)
		return 0;
	if (r->calls_n == CALLS_MAX)
		status = receive(r);
	if (status != 0)
		return status;
	o = ctl_params(&params);
	json_put_str(&o, "name", r->feed);
	json_begin_array(&o, "items");
	json_put_raw(&o, NULL, buf_span(&r->items));
	json_end_array(&o);
	json_end_object(&o);
	buf_add_char(&params, '\0');
	if (params.failed)
		status = ctl_refuse("the messages are too large");
	else if (sysrt_send(r->c->sysrt, "feed.replay", params.p, r->c->timeout_ms,
			 &r->calls[r->calls_n], &error) != 0)
		status = interrupt_status() != 0 ? interrupt_status() : ctl_fail(&error);
	else
		r->calls_n++;
	buf_fini(&params);
	buf_reset(&r->items);
	r->items_n = 0;
	return status;
}

static int
finish(struct replay *r)
{
	int status = flush(r);

	while (status == 0 && r->calls_n > 0)
		status = receive(r);
	return status;
}

/* Messages. */

/** Waits until the message is due, as it came; what was gathered before goes out first. */
static int
wait_for_turn(struct replay *r, int64_t at_ms)
{
	int64_t due, now = clock_mono_ms();
	int status;

	if (r->speed == 0)
		return 0;
	if (r->first_ms < 0) {
		r->first_ms = at_ms;
		r->start_ms = now;
	}
	due = r->start_ms + (int64_t)((double)(at_ms - r->first_ms) / r->speed);
	if (due <= now)
		return 0;
	status = finish(r);
	if (status != 0)
		return status;
	door_await(r->c, -1, due - now);
	return interrupt_status();
}

static void
leave_out(struct replay *r, uint64_t line, const char *why)
{
	if (++r->left_out > WARNINGS)
		return;
	progress_clear(&r->progress);
	ctl_warn("line %" PRIu64 " is left out: %s", line, why);
}

static int
add(struct replay *r, const struct source_item *item)
{
	struct json_value value = answer_value(item->text);
	int64_t at_ms = answer_int(value, "at", -1);
	int status;

	if (at_ms < 0 || (answer_member(value, "text").type != JSON_STRING &&
				 answer_member(value, "base64").type != JSON_STRING)) {
		leave_out(r, item->place.line, "it is no message {\"at\":...,\"text\":...}");
		return 0;
	}
	status = wait_for_turn(r, at_ms);
	if (status == 0 && r->items.n + 1 + item->text.n > r->items_max)
		status = flush(r);
	if (status != 0)
		return status;
	if (r->items_n > 0)
		buf_add_char(&r->items, ',');
	json_compact(value, &r->items);
	r->items_n++;
	r->done = item->place.offset;
	return r->items_n == BATCH_ITEMS || r->items.n >= BATCH_BYTES ? flush(r) : 0;
}

static int
take_items(struct replay *r, bool at_end)
{
	struct source_item item;
	enum source_found found;
	int status = 0;

	while (status == 0 && interrupt_status() == 0 &&
		(found = source_next(&r->source, at_end, &item)) != SOURCE_NONE) {
		if (found == SOURCE_BAD)
			leave_out(r, item.place.line,
				"it is too large for one message (websocket.max_message)");
		else
			status = add(r, &item);
	}
	return status != 0 ? status : interrupt_status();
}

static int
read_to_end(struct replay *r)
{
	ssize_t n = 1;
	int status = 0;

	while (status == 0 && n != 0) {
		door_await(r->c, r->fd, -1);
		if (interrupt_status() != 0)
			return interrupt_status();
		n = source_read(&r->source);
		if (n < 0)
			return interrupt_status() != 0 ? interrupt_status() : EXIT_REFUSED;
		status = take_items(r, n == 0);
	}
	return status == 0 ? finish(r) : status;
}

static void
print_summary(const struct replay *r)
{
	struct buf text;
	struct json_out o;

	buf_init(&text, 1024);
	o = json_out_start(&text);
	json_begin_object(&o, NULL);
	json_put_int(&o, "messages", r->messages);
	json_put_int(&o, "records", r->records);
	json_put_int(&o, "unmapped", r->unmapped);
	json_put_int(&o, "left_out", (int64_t)r->left_out);
	if (r->seq > 0)
		json_put_int(&o, "seq", r->seq);
	json_end_object(&o);
	out_object(r->c, buf_span(&text));
	buf_fini(&text);
}

/* What it is into. */

/** A message that is too large for a call is left out: the daemon would end at it. */
static int
read_limit(struct replay *r)
{
	struct buf params;
	struct json_out o = ctl_params(&params);
	struct json_value limits;
	int64_t max;
	char *result = NULL;
	int status;

	json_end_object(&o);
	status = ctl_call(r->c, "status", &params, &result);
	if (status == 0) {
		limits = answer_member(answer_value(span_of(result)), "limits");
		max = answer_int(limits, "max_message", SOURCE_ITEM_MAX);
		r->items_max = max < SOURCE_ITEM_MAX ? (size_t)max : SOURCE_ITEM_MAX;
		r->items_max -= r->items_max > ENVELOPE ? ENVELOPE : 0;
		r->source.item_max = r->items_max;
	}
	free(result);
	return status;
}

/** Takes the feed over into the scratch store, where it connects to nothing. */
static int
add_feed(struct ctl *c, const char *feed, struct json_value definition)
{
	struct json_walk w = json_walk_start(definition);
	struct json_value value;
	struct buf params;
	struct json_out o = ctl_params(&params);
	struct span raw;
	char *result = NULL, *key;
	int status;

	json_put_str(&o, "name", feed);
	json_put_bool(&o, "replace", true);
	json_begin_object(&o, "definition");
	while (json_object_next(&w, &raw, &value)) {
		if (json_string_is(raw, "enabled") || json_string_is(raw, "record"))
			continue;
		key = xstrndup(raw.p + 1, raw.n - 2);
		json_put_raw(&o, key, value.raw);
		free(key);
	}
	json_put_bool(&o, "enabled", false);
	json_end_object(&o);
	json_end_object(&o);
	status = ctl_call(c, "feed.add", &params, &result);
	free(result);
	return status;
}

static int
call_for_feed(struct ctl *c, const char *method, const char *feed, char **result)
{
	struct buf params;
	struct json_out o = ctl_params(&params);

	json_put_str(&o, "name", feed);
	json_end_object(&o);
	return ctl_call(c, method, &params, result);
}

static struct json_value
definition_of(const char *shown)
{
	return answer_member(answer_member(answer_value(span_of(shown)), "feed"), "definition");
}

/** Of a store that is there the feeds would start, and one of this name would be replaced. */
static int
start_scratch(struct replay *r, const char *store, struct scratch **out)
{
	char *shown = NULL;
	int status;

	if (access(store, F_OK) == 0)
		return ctl_refuse("%s is there already: name a new file", store);
	status = call_for_feed(r->c, "feed.show", r->feed, &shown);
	if (status == 0)
		status = scratch_start(r->c, store, out);
	if (status == 0)
		status = add_feed(r->c, r->feed, definition_of(shown));
	free(shown);
	return status;
}

/** The feed is not to stay in a store that is for its records. */
static int
stop_scratch(struct replay *r, struct scratch *s)
{
	char *result = NULL;

	if (s == NULL)
		return 0;
	if (r->c->sysrt != NULL)
		call_for_feed(r->c, "feed.remove", r->feed, &result);
	free(result);
	return scratch_stop(r->c, s);
}

static int
run(struct replay *r)
{
	const char *into = ctl_option(r->c, "into");
	struct scratch *scratch = NULL;
	int status, stopped;

	interrupt_catch();
	status = into != NULL ? start_scratch(r, into, &scratch) : ctl_connect(r->c);
	if (status == 0)
		status = read_limit(r);
	if (status == 0) {
		status = read_to_end(r);
		progress_end(&r->progress, (uint64_t)r->messages, status == 0);
		print_summary(r);
	}
	stopped = stop_scratch(r, scratch);
	if (status == 0)
		status = stopped;
	return status != 0 && interrupt_status() != 0 ? interrupt_status() : status;
}

/* What is asked for. */

static int
read_speed(const struct ctl *c, double *speed)
{
	const char *text = ctl_option(c, "speed");
	char *end;

	*speed = 0;
	if (text == NULL || strcmp(text, "max") == 0)
		return 0;
	*speed = strtod(text, &end);
	if (end == text || (strcmp(end, "x") != 0 && *end != '\0') || !(*speed > 0) || *speed > 1e6)
		return ctl_usage("--speed is such as 1x, 4x, 0.5x or max, not \"%s\"", text);
	return 0;
}

/** Recordings have the name of what they are of. */
static char *
feed_of_file(const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
	const char *ending = strstr(name, ENDING);

	return ending != NULL && ending > name ? xstrndup(name, (size_t)(ending - name)) : NULL;
}

static int
open_file(struct replay *r)
{
	const char *name = r->c->words[0];
	bool is_file = strcmp(name, "-") != 0;
	struct stat info;

	r->fd = is_file ? open(name, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
	if (r->fd < 0)
		return ctl_refuse("opening %s: %s", name, strerror(errno));
	progress_start(&r->progress,
		fstat(r->fd, &info) == 0 && S_ISREG(info.st_mode) ? info.st_size : 0,
		r->c->is_quiet);
	source_init(&r->source, r->fd, is_file ? name : "standard input", SOURCE_LINES);
	r->source.item_max = SOURCE_ITEM_MAX;
	return 0;
}

int
feed_replay(struct ctl *c)
{
	const char *feed = ctl_option(c, "feed");
	struct replay r = {.c = c, .first_ms = -1};
	int status = read_speed(c, &r.speed);

	if (status != 0)
		return status;
	r.feed = feed != NULL ? xstrdup(feed) : feed_of_file(c->words[0]);
	if (r.feed == NULL)
		return ctl_usage("through the mapping of which feed? Say so with --feed NAME");
	buf_init(&r.items, (size_t)SOURCE_ITEM_MAX + 2 * BATCH_BYTES);
	status = open_file(&r);
	if (status == 0) {
		status = run(&r);
		source_fini(&r.source);
	}
	if (r.fd > STDIN_FILENO)
		close(r.fd);
	buf_fini(&r.items);
	free(r.feed);
	return status;
}
