/*
 * import: JSON lines to record.put_many. One batch is with the daemon while the
 * next one is read; never two, so that lines take effect in their order even
 * when a batch is refused and halved until the bad lines are found. Records
 * equal to the stored ones are skipped: running it again after a break does no
 * harm. Memory is bounded by what the daemon takes as one message.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/rpc.h"
#include "common/xalloc.h"
#include "ctl/answer.h"
#include "ctl/commands.h"
#include "ctl/interrupt.h"
#include "ctl/out.h"
#include "ctl/progress.h"

#define BATCH_RECORDS 1000
#define BATCH_BYTES   ((size_t)512 << 10)
#define LINE_BYTES    ((size_t)64 << 20) /* at most, whatever the daemon takes */
#define READ_BYTES    ((size_t)128 << 10)
#define IDLE_MS       200

/** Lines that go in one call. */
struct batch {
	struct buf records; /* JSON of the items, with commas */
	size_t *ends;       /* of each in `records` */
	uint64_t *lines;    /* their numbers in the input */
	size_t n;
	int64_t call; /* its id, once it was sent */
};

struct import {
	struct ctl *c;
	int fd;
	const char *name;
	bool skips_bad;
	bool has_stopped; /* at a bad line */
	struct rpc_lines lines;
	size_t batch_bytes; /* the most that goes in one call, but for a single line */
	int64_t read_bytes;
	uint64_t written, skipped, bad;
	struct progress progress;
	struct buf params; /* of the call that is made; its memory is used again */
	struct batch batches[2];
	struct batch *filling;
	struct batch *sent; /* NULL: none is with the daemon */
};

static void
show_progress(struct import *im)
{
	progress_show(&im->progress, im->written + im->skipped, im->read_bytes);
}

/** Tells of a bad line: 0 to pass over it, or an exit status. */
static int
report_bad(struct import *im, uint64_t line, const char *why)
{
	im->bad++;
	progress_clear(&im->progress);
	ctl_refuse("%s:%" PRIu64 ": %s", im->name, line, why);
	im->has_stopped = !im->skips_bad;
	return im->has_stopped ? EXIT_REFUSED : 0;
}

/** A failure that is not that of a line. */
static int
fail(struct import *im, const struct sysrt_error *error)
{
	progress_clear(&im->progress);
	return interrupt_status() != 0 ? interrupt_status() : ctl_fail(error);
}

/** The params of a call with these records; they live until the next one is made. */
static const char *
make_params(struct import *im, struct span records)
{
	const char *category = ctl_option(im->c, "category");
	bool if_absent = ctl_option(im->c, "if-absent") != NULL;
	struct json_out o = json_out_start(&im->params);

	buf_reset(&im->params);
	json_begin_object(&o, NULL);
	json_put_str(&o, "mode", if_absent ? "if_absent" : "skip_equal");
	if (category != NULL)
		json_put_str(&o, "category", category);
	json_begin_array(&o, "records");
	json_put_raw(&o, NULL, records);
	json_end_array(&o);
	json_end_object(&o);
	buf_add_char(&im->params, '\0');
	must(!im->params.failed);
	return im->params.p;
}

static void
count(struct import *im, char *result)
{
	struct json_value answer = answer_value(span_of(result));
	int64_t skipped = answer_int(answer, "skipped", 0);

	im->written += (uint64_t)(answer_int(answer, "count", 0) - skipped);
	im->skipped += (uint64_t)skipped;
	free(result);
}

static bool
is_fault_of_lines(const struct sysrt_error *error)
{
	return strcmp(error->name, "INVALID_ARGUMENT") == 0 ||
	       strcmp(error->name, "LIMIT_EXCEEDED") == 0 || strcmp(error->name, "CONFLICT") == 0;
}

/** Waits for the answer to a call. An interruption lets the call that is under way come to its end;
 * the second one does not. */
static int
receive(struct import *im, int64_t call, char **result, struct sysrt_error *error)
{
	int got;

	do
		got = sysrt_receive(im->c->sysrt, call, im->c->timeout_ms, result, error);
	while (got != 0 && strcmp(error->name, "INTERRUPTED") == 0 && interrupt_count() < 2);
	return got;
}

/** Sends the lines from `from` to `to` of a batch and waits: 0, or -1 and why not. */
static int
send_part(
	struct import *im, const struct batch *b, size_t from, size_t to, struct sysrt_error *error)
{
	size_t start = from > 0 ? b->ends[from - 1] + 1 : 0;
	const char *params =
		make_params(im, (struct span){b->records.p + start, b->ends[to - 1] - start});
	int timeout_ms = im->c->timeout_ms;
	char *result;
	int64_t call;

	if (sysrt_send(im->c->sysrt, "record.put_many", params, timeout_ms, &call, error) != 0 ||
		receive(im, call, &result, error) != 0)
		return -1;
	count(im, result);
	return 0;
}

/** Lines were refused, all of them: one is bad at least. Finds it by halves, in their order. */
static int
halve(struct import *im, const struct batch *b, size_t from, size_t to,
	const struct sysrt_error *why)
{
	static const char place[] = "record 0: "; /* of the call, which is no news */
	size_t middle = from + (to - from) / 2;
	size_t bounds[] = {from, middle, to};
	struct sysrt_error error;
	int status = 0;

	if (!is_fault_of_lines(why) || interrupt_status() != 0)
		return fail(im, why);
	if (to - from == 1)
		return report_bad(im, b->lines[from],
			why->text + (strncmp(why->text, place, strlen(place)) == 0 ? strlen(place)
										   : 0));
	for (unsigned i = 0; i < 2 && status == 0; i++)
		if (send_part(im, b, bounds[i], bounds[i + 1], &error) != 0)
			status = halve(im, b, bounds[i], bounds[i + 1], &error);
	return status;
}

/** Waits for the batch that is with the daemon. */
static int
finish_sent(struct import *im)
{
	struct batch *b = im->sent;
	struct sysrt_error error;
	char *result;
	int status = 0;

	if (b == NULL)
		return 0;
	im->sent = NULL;
	if (receive(im, b->call, &result, &error) == 0)
		count(im, result);
	else
		status = halve(im, b, 0, b->n, &error);
	buf_reset(&b->records);
	b->n = 0;
	show_progress(im);
	return status;
}

/** Sends what was gathered, once the batch before it has its answer. */
static int
send_batch(struct import *im)
{
	struct batch *b = im->filling;
	struct sysrt_error error;
	int status = finish_sent(im);

	if (status != 0 || b->n == 0)
		return status;
	if (sysrt_send(im->c->sysrt, "record.put_many", make_params(im, buf_span(&b->records)),
		    im->c->timeout_ms, &b->call, &error) != 0)
		return fail(im, &error);
	im->sent = b;
	im->filling = b == &im->batches[0] ? &im->batches[1] : &im->batches[0];
	return 0;
}

static int
send_rest(struct import *im)
{
	int status = send_batch(im);

	return status == 0 ? finish_sent(im) : status;
}

/** What a stored record has and a put does not take. */
static bool
is_of_the_store(struct span key)
{
	return json_string_is(key, "seq") || json_string_is(key, "rev") ||
	       json_string_is(key, "created_at") || json_string_is(key, "updated_at");
}

/** Appends the members that a put takes. */
static void
add_members(struct buf *out, struct json_value record)
{
	struct json_walk w = json_walk_start(record);
	struct json_value value;
	struct span key;
	bool is_first = true;

	buf_add_char(out, '{');
	while (json_object_next(&w, &key, &value)) {
		if (is_of_the_store(key))
			continue;
		if (!is_first)
			buf_add_char(out, ',');
		buf_add_span(out, key);
		buf_add_char(out, ':');
		buf_add_span(out, value.raw);
		is_first = false;
	}
	buf_add_char(out, '}');
}

static bool
is_as_put(struct json_value record)
{
	struct json_walk w = json_walk_start(record);
	struct json_value value;
	struct span key;

	while (json_object_next(&w, &key, &value))
		if (is_of_the_store(key))
			return false;
	return true;
}

static int
add_record(struct import *im, struct json_value record, uint64_t line)
{
	struct batch *b = im->filling;
	int status = 0;

	if (b->n > 0 && b->records.n + record.raw.n > im->batch_bytes)
		status = send_batch(im);
	if (status != 0)
		return status;
	b = im->filling;
	if (b->n > 0)
		buf_add_char(&b->records, ',');
	if (is_as_put(record))
		buf_add_span(&b->records, record.raw);
	else
		add_members(&b->records, record);
	b->ends[b->n] = b->records.n;
	b->lines[b->n++] = line;
	return b->n == BATCH_RECORDS ? send_batch(im) : 0;
}

/** A line that cannot be sent. What stands before it is written all the same. */
static int
refuse_line(struct import *im, uint64_t line, const char *why)
{
	int status = im->skips_bad ? 0 : send_rest(im);

	return status == 0 ? report_bad(im, line, why) : status;
}

static int
take_line(struct import *im, struct span text, uint64_t line)
{
	struct json_value record;
	struct json_fault fault;
	char why[128];

	if (json_check(text, JSON_DEPTH_MAX, &record, &fault) != OK) {
		snprintf(
			why, sizeof(why), "not JSON: %s at byte %zu", fault.what, fault.offset + 1);
		return refuse_line(im, line, why);
	}
	if (record.type != JSON_OBJECT)
		return refuse_line(im, line, "not an object");
	return add_record(im, record, line);
}

/** Takes the lines that are there. */
static int
take_lines(struct import *im, bool at_end)
{
	enum rpc_line found;
	struct span text;
	char why[96];
	int status = 0;

	while (status == 0 &&
		(found = rpc_lines_next(&im->lines, at_end, &text)) != RPC_LINE_NONE) {
		uint64_t line = rpc_lines_number(&im->lines);

		if (found == RPC_LINE) {
			status = take_line(im, text, line);
			continue;
		}
		snprintf(why, sizeof(why), "longer than %zu bytes, which is what the daemon takes",
			im->lines.max);
		status = refuse_line(im, line, why);
	}
	return status;
}

/** What was gathered does not wait for a writer that takes its time. */
static int
send_when_idle(struct import *im)
{
	struct pollfd in = {.fd = im->fd, .events = POLLIN};

	return im->filling->n > 0 && poll(&in, 1, IDLE_MS) == 0 ? send_rest(im) : 0;
}

/** Reads some more: how many bytes, 0 at the end, -1 after telling why not. */
static ssize_t
read_some(struct import *im)
{
	char *room = rpc_lines_room(&im->lines, READ_BYTES);
	ssize_t n;

	if (room == NULL) {
		ctl_refuse("%s: a line is too large for the memory", im->name);
		return -1;
	}
	do
		n = read(im->fd, room, READ_BYTES);
	while (n < 0 && errno == EINTR && interrupt_status() == 0);
	if (n < 0 && interrupt_status() == 0)
		ctl_refuse("reading %s: %s", im->name, strerror(errno));
	if (n > 0) {
		rpc_lines_filled(&im->lines, (size_t)n);
		im->read_bytes += n;
	}
	return n;
}

static int
read_lines(struct import *im)
{
	ssize_t n = 1;
	int status = 0;

	while (status == 0 && n > 0 && interrupt_status() == 0) {
		status = send_when_idle(im);
		if (status == 0 && (n = read_some(im)) >= 0)
			status = take_lines(im, n == 0);
	}
	if (interrupt_status() != 0) {
		finish_sent(im); /* nothing more is sent */
		return interrupt_status();
	}
	if (status == 0 && n < 0)
		status = EXIT_REFUSED;
	return status == 0 ? send_rest(im) : status;
}

/** The longest line that makes a message which the daemon takes. */
static int
ask_line_max(struct import *im, size_t *max)
{
	struct buf params;
	struct json_out o = ctl_params(&params);
	struct json_value limits;
	int64_t message;
	char *result;
	int status;

	json_end_object(&o);
	status = ctl_call(im->c, "status", &params, &result);
	if (status == 0) {
		limits = answer_member(answer_value(span_of(result)), "limits");
		message = answer_int(limits, "max_message", (int64_t)LINE_BYTES);
		*max = message < (int64_t)LINE_BYTES ? (size_t)message : LINE_BYTES;
	}
	free(result);
	return status;
}

static int
open_input(struct import *im)
{
	const char *on_error = ctl_option(im->c, "on-error");
	bool is_file = strcmp(im->c->words[0], "-") != 0;
	struct stat info;
	int64_t size = 0;

	im->skips_bad = on_error != NULL && strcmp(on_error, "skip") == 0;
	im->name = is_file ? im->c->words[0] : "standard input";
	im->fd = is_file ? open(im->name, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
	if (im->fd < 0)
		return ctl_refuse("opening %s: %s", im->name, strerror(errno));
	if (fstat(im->fd, &info) == 0 && S_ISREG(info.st_mode))
		size = info.st_size;
	progress_start(&im->progress, size, im->c->is_quiet);
	return 0;
}

static void
print_summary(struct import *im)
{
	struct buf text;
	struct json_out o;

	buf_init(&text, 1024);
	o = json_out_start(&text);
	json_begin_object(&o, NULL);
	json_put_int(&o, "written", (int64_t)im->written);
	json_put_int(&o, "skipped", (int64_t)im->skipped);
	json_put_int(&o, "bad", (int64_t)im->bad);
	json_put_double(
		&o, "seconds", (double)(int64_t)(progress_seconds(&im->progress) * 1000) / 1000);
	json_end_object(&o);
	out_object(im->c, buf_span(&text));
	buf_fini(&text);
}

static int
import_lines(struct import *im, size_t line_max)
{
	int status;

	im->batch_bytes = line_max / 2 < BATCH_BYTES ? line_max / 2 : BATCH_BYTES;
	rpc_lines_init(&im->lines, line_max);
	buf_init(&im->params, BATCH_BYTES + line_max + 1024);
	for (unsigned i = 0; i < 2; i++) {
		buf_init(&im->batches[i].records, BATCH_BYTES + line_max + BATCH_RECORDS);
		im->batches[i].ends = xnew_n(BATCH_RECORDS, size_t);
		im->batches[i].lines = xnew_n(BATCH_RECORDS, uint64_t);
	}
	im->filling = &im->batches[0];
	interrupt_catch();
	status = read_lines(im);
	progress_end(&im->progress, im->written + im->skipped, status == 0);
	print_summary(im);
	for (unsigned i = 0; i < 2; i++) {
		buf_fini(&im->batches[i].records);
		free(im->batches[i].ends);
		free(im->batches[i].lines);
	}
	buf_fini(&im->params);
	rpc_lines_fini(&im->lines);
	return status;
}

int
import_run(struct ctl *c)
{
	struct import im = {.c = c, .fd = -1};
	size_t line_max = 0;
	int status = ask_line_max(&im, &line_max);

	if (status == 0)
		status = open_input(&im);
	if (status != 0)
		return status;
	status = import_lines(&im, line_max);
	if (im.fd != STDIN_FILENO)
		close(im.fd);
	if (im.has_stopped)
		ctl_hint(c,
			"mend the line and run it again, or with --on-error skip: what is stored "
			"already is skipped");
	else if (status != 0)
		ctl_hint(c, "run it again to go on: what is stored already is skipped");
	return status != 0 ? status : im.bad > 0 ? EXIT_REFUSED : EXIT_DONE;
}
