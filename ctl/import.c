/*
 * import: JSON lines to record.put_many. One batch is with the daemon while the
 * next one is read; never two, so that lines take effect in their order even
 * when a batch is refused and its lines are sent one by one, which finds the bad
 * ones. Records equal to the stored ones are skipped: running it again after a
 * break does no harm.
 */

#include <errno.h>
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
#include "ctl/out.h"

#define BATCH_RECORDS 1000
#define BATCH_BYTES   ((size_t)512 << 10)
#define LINE_BYTES    ((size_t)64 << 20)
#define SHOW_EVERY_US 200000

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
	FILE *in;
	const char *name;
	bool skips_bad;
	bool shows;
	int64_t size; /* of the input; 0: unknown */
	int64_t read_bytes;
	uint64_t line;
	uint64_t written, skipped, bad;
	int64_t start_us, shown_us;
	struct batch batches[2];
	struct batch *filling;
	struct batch *sent; /* NULL: none is with the daemon */
};

static double
seconds_of(const struct import *im)
{
	return (double)(clock_mono_us() - im->start_us) / 1e6;
}

static void
show_progress(struct import *im, bool is_last)
{
	uint64_t done = im->written + im->skipped;
	double seconds = seconds_of(im);
	char left[TIME_TEXT_SIZE];

	if (!im->shows || (!is_last && clock_mono_us() - im->shown_us < SHOW_EVERY_US))
		return;
	im->shown_us = clock_mono_us();
	fprintf(stderr, "\r%" PRIu64 " records, %.0f a second", done,
		seconds > 0 ? (double)done / seconds : 0);
	if (im->size > 0 && im->read_bytes > 0 && !is_last) {
		double share = (double)im->read_bytes / (double)im->size;

		duration_format((int64_t)(seconds / share - seconds + 0.5) * 1000, left);
		fprintf(stderr, ", %.0f %%, %s left", 100 * share, left);
	}
	fprintf(stderr, "\033[K%s", is_last ? "\n" : "");
}

static void
report_bad(struct import *im, uint64_t line, const char *why)
{
	im->bad++;
	if (im->shows)
		fputs("\r\033[K", stderr);
	ctl_refuse("%s:%" PRIu64 ": %s", im->name, line, why);
}

/** The params of a call with these records, as text of the caller's own. */
static char *
make_params(const struct import *im, struct span records)
{
	const char *category = ctl_option(im->c, "category");
	bool if_absent = ctl_option(im->c, "if-absent") != NULL;
	struct buf params;
	struct json_out o = ctl_params(&params);
	size_t n;

	json_put_str(&o, "mode", if_absent ? "if_absent" : "skip_equal");
	if (category != NULL)
		json_put_str(&o, "category", category);
	json_begin_array(&o, "records");
	json_put_raw(&o, NULL, records);
	json_end_array(&o);
	json_end_object(&o);
	buf_add_char(&params, '\0');
	must(!params.failed);
	return buf_steal(&params, &n);
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

/** Sends one line of a refused batch: 0, or an exit status. */
static int
send_one(struct import *im, struct span record, uint64_t line)
{
	char *params = make_params(im, record), *result = NULL;
	struct sysrt_error error;
	int got = sysrt_call(
		im->c->sysrt, "record.put_many", params, im->c->timeout_ms, &result, &error);

	free(params);
	if (got == 0) {
		count(im, result);
		return 0;
	}
	if (!is_fault_of_lines(&error))
		return ctl_fail(&error);
	report_bad(im, line,
		strncmp(error.text, "record 0: ", 10) == 0 ? error.text + 10 : error.text);
	return im->skips_bad ? 0 : EXIT_REFUSED;
}

static int
send_singly(struct import *im, const struct batch *b)
{
	size_t start = 0;
	int status = 0;

	for (size_t i = 0; i < b->n && status == 0; i++) {
		status = send_one(
			im, (struct span){b->records.p + start, b->ends[i] - start}, b->lines[i]);
		start = b->ends[i] + 1;
	}
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
	if (sysrt_receive(im->c->sysrt, b->call, im->c->timeout_ms, &result, &error) == 0)
		count(im, result);
	else if (is_fault_of_lines(&error))
		status = send_singly(im, b);
	else
		status = ctl_fail(&error);
	im->sent = NULL;
	buf_reset(&b->records);
	b->n = 0;
	show_progress(im, false);
	return status;
}

/** Sends what was gathered, once the batch before it has its answer. */
static int
send_batch(struct import *im)
{
	struct batch *b = im->filling;
	struct sysrt_error error;
	int got, status = finish_sent(im);
	char *params;

	if (status != 0 || b->n == 0)
		return status;
	params = make_params(im, buf_span(&b->records));
	got = sysrt_send(
		im->c->sysrt, "record.put_many", params, im->c->timeout_ms, &b->call, &error);
	free(params);
	if (got != 0)
		return ctl_fail(&error);
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

static void
add_record(struct import *im, struct json_value record)
{
	struct batch *b = im->filling;
	struct json_walk w = json_walk_start(record);
	struct json_value value;
	struct span key;
	bool is_first = true;

	if (b->n > 0)
		buf_add_char(&b->records, ',');
	buf_add_char(&b->records, '{');
	while (json_object_next(&w, &key, &value)) {
		if (is_of_the_store(key))
			continue;
		if (!is_first)
			buf_add_char(&b->records, ',');
		buf_add_span(&b->records, key);
		buf_add_char(&b->records, ':');
		buf_add_span(&b->records, value.raw);
		is_first = false;
	}
	buf_add_char(&b->records, '}');
	b->ends[b->n] = b->records.n;
	b->lines[b->n++] = im->line;
}

/** A line that cannot be sent. What stands before it is written all the same. */
static int
refuse_line(struct import *im, const char *why)
{
	int status = 0;

	if (!im->skips_bad)
		status = send_rest(im);
	if (status != 0)
		return status;
	report_bad(im, im->line, why);
	return im->skips_bad ? 0 : EXIT_REFUSED;
}

static int
take_line(struct import *im, struct span line)
{
	struct json_value record;
	struct json_fault fault;
	char why[128];

	if (line.n > LINE_BYTES)
		return refuse_line(im, "the line is too long");
	if (json_check(line, JSON_DEPTH_MAX, &record, &fault) != OK) {
		snprintf(
			why, sizeof(why), "not JSON: %s at byte %zu", fault.what, fault.offset + 1);
		return refuse_line(im, why);
	}
	if (record.type != JSON_OBJECT)
		return refuse_line(im, "not an object");
	add_record(im, record);
	if (im->filling->n == BATCH_RECORDS || im->filling->records.n >= BATCH_BYTES)
		return send_batch(im);
	return 0;
}

static int
read_lines(struct import *im)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;
	int status = 0;

	while (status == 0 && (n = getline(&line, &cap, im->in)) >= 0) {
		im->line++;
		im->read_bytes += n;
		while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r'))
			n--;
		if (n > 0)
			status = take_line(im, (struct span){line, (size_t)n});
	}
	if (status == 0 && ferror(im->in))
		status = ctl_refuse("reading %s: %s", im->name, strerror(errno));
	free(line);
	return status == 0 ? send_rest(im) : status;
}

static int
open_input(struct import *im)
{
	const char *on_error = ctl_option(im->c, "on-error");
	struct stat info;

	im->skips_bad = on_error != NULL && strcmp(on_error, "skip") == 0;
	im->shows = !im->c->is_quiet && isatty(STDERR_FILENO) == 1;
	im->name = im->c->words[0];
	im->in = stdin;
	if (strcmp(im->name, "-") == 0)
		im->name = "standard input";
	else
		im->in = fopen(im->name, "re");
	if (im->in == NULL)
		return ctl_refuse("opening %s: %s", im->name, strerror(errno));
	if (fstat(fileno(im->in), &info) == 0 && S_ISREG(info.st_mode))
		im->size = info.st_size;
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
	json_put_double(&o, "seconds", (double)(int64_t)(seconds_of(im) * 1000) / 1000);
	json_end_object(&o);
	out_object(im->c, buf_span(&text));
	buf_fini(&text);
}

static int
import_lines(struct import *im)
{
	int status;

	for (unsigned i = 0; i < 2; i++) {
		buf_init(&im->batches[i].records, BATCH_BYTES + LINE_BYTES + 1);
		im->batches[i].ends = xnew_n(BATCH_RECORDS, size_t);
		im->batches[i].lines = xnew_n(BATCH_RECORDS, uint64_t);
	}
	im->filling = &im->batches[0];
	status = read_lines(im);
	show_progress(im, true);
	print_summary(im);
	for (unsigned i = 0; i < 2; i++) {
		buf_fini(&im->batches[i].records);
		free(im->batches[i].ends);
		free(im->batches[i].lines);
	}
	return status;
}

int
import_run(struct ctl *c)
{
	struct import im = {.c = c, .start_us = clock_mono_us()};
	int status = ctl_connect(c);

	if (status == 0)
		status = open_input(&im);
	if (status != 0)
		return status;
	status = import_lines(&im);
	if (im.in != stdin)
		fclose(im.in);
	if (status != 0 && !c->is_quiet)
		fprintf(stderr, "run it again to go on: what is stored already is skipped\n");
	return status != 0 ? status : im.bad > 0 ? EXIT_REFUSED : EXIT_DONE;
}
