/*
 * import: JSON lines to record.put_many, several batches under way. Records
 * equal to the stored ones are skipped, so that it can be run again after a
 * break. A batch that is refused is sent again line by line, which finds the bad
 * ones.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/time.h"
#include "common/xalloc.h"
#include "ctl/commands.h"
#include "ctl/out.h"

#define BATCH_RECORDS 1000
#define BATCH_BYTES   (512u << 10)
#define LINE_MAX_N    (256u << 20)
#define UNDER_WAY     4
#define SHOW_EVERY_US 200000

/** Lines that go in one call. */
struct batch {
	int64_t call;       /* its id */
	struct buf records; /* JSON of the items, with commas */
	size_t *ends;       /* of each in `records` */
	uint64_t *lines;    /* their numbers in the input */
	size_t n;
};

struct import {
	struct ctl *c;
	FILE *in;
	const char *name;
	int64_t size; /* of the input, 0: unknown */
	int64_t read;
	uint64_t line;
	bool skips_bad;
	bool shows;
	uint64_t written, skipped, bad;
	int64_t start_us, shown_us;
	struct batch batches[UNDER_WAY];
	unsigned first, under_way;
};

static void
show(struct import *im, bool is_last)
{
	int64_t now = clock_mono_us();
	double seconds = (double)(now - im->start_us) / 1e6;
	double rate = seconds > 0 ? (double)(im->written + im->skipped) / seconds : 0;
	char left[TIME_TEXT_SIZE] = "?";

	if (!im->shows || (!is_last && now - im->shown_us < SHOW_EVERY_US))
		return;
	im->shown_us = now;
	fprintf(stderr, "\r%llu records  %.0f/s", (unsigned long long)(im->written + im->skipped),
		rate);
	if (im->size > 0 && im->read > 0) {
		double share = (double)im->read / (double)im->size;

		duration_format((int64_t)(seconds / share - seconds + 0.5) * 1000, left);
		fprintf(stderr, "  %.0f %%  %s left", 100 * share, is_last ? "0s" : left);
	}
	fprintf(stderr, "\033[K%s", is_last ? "\n" : "");
}

static void
report_bad(struct import *im, uint64_t line, const char *why)
{
	im->bad++;
	fprintf(stderr, "%ssysrtctl: %s:%llu: %s\n", im->shows ? "\r\033[K" : "", im->name,
		(unsigned long long)line, why);
}

static void
batch_reset(struct batch *b)
{
	buf_reset(&b->records);
	b->n = 0;
}

static char *
make_params(struct import *im, struct span records)
{
	const char *category = ctl_option(im->c, "category");
	struct buf params;
	struct json_out o = params_start(&params);
	size_t n;

	json_put_str(
		&o, "mode", ctl_option(im->c, "if-absent") != NULL ? "if_absent" : "skip_equal");
	if (category != NULL)
		json_put_str(&o, "category", category);
	buf_addf(&params, ",\"records\":[");
	buf_add_span(&params, records);
	buf_addf(&params, "]}");
	buf_add_char(&params, '\0');
	return buf_steal(&params, &n);
}

static void
count(struct import *im, const char *result)
{
	int64_t all = 0, skipped = 0;

	json_number_int64(out_member(span_of(result), "count").raw, &all);
	json_number_int64(out_member(span_of(result), "skipped").raw, &skipped);
	im->written += (uint64_t)(all - skipped);
	im->skipped += (uint64_t)skipped;
}

static bool
is_fault_of_lines(const struct sysrt_error *error)
{
	return strcmp(error->name, "INVALID_ARGUMENT") == 0 ||
	       strcmp(error->name, "LIMIT_EXCEEDED") == 0 || strcmp(error->name, "CONFLICT") == 0;
}

/** Sends the lines of a refused batch one by one: 0, or an exit status. */
static int
send_singly(struct import *im, const struct batch *b)
{
	size_t start = 0;

	for (size_t i = 0; i < b->n; i++) {
		struct span one = {b->records.p + start, b->ends[i] - start};
		char *params = make_params(im, one), *result = NULL;
		struct sysrt_error error;
		int got = sysrt_call(im->c->sysrt, "record.put_many", params, im->c->timeout_ms,
			&result, &error);

		free(params);
		start = b->ends[i] + 1;
		if (got == 0) {
			count(im, result);
			free(result);
			continue;
		}
		if (!is_fault_of_lines(&error))
			return ctl_fail(&error);
		report_bad(im, b->lines[i],
			strncmp(error.text, "record 0: ", 10) == 0 ? error.text + 10 : error.text);
		if (!im->skips_bad)
			return EXIT_REFUSED;
	}
	return 0;
}

/** Waits for the oldest batch that is under way. */
static int
finish_oldest(struct import *im)
{
	struct batch *b = &im->batches[im->first];
	struct sysrt_error error;
	char *result = NULL;
	int status = 0;

	if (sysrt_receive(im->c->sysrt, b->call, im->c->timeout_ms, &result, &error) == 0)
		count(im, result);
	else if (is_fault_of_lines(&error))
		status = send_singly(im, b);
	else
		status = ctl_fail(&error);
	free(result);
	batch_reset(b);
	im->first = (im->first + 1) % UNDER_WAY;
	im->under_way--;
	show(im, false);
	return status;
}

static struct batch *
filling(struct import *im)
{
	return &im->batches[(im->first + im->under_way) % UNDER_WAY];
}

/** Sends the batch that is being filled; waits when too many are under way. */
static int
send_batch(struct import *im)
{
	struct batch *b = filling(im);
	struct sysrt_error error;
	char *params;
	int got;

	if (b->n == 0)
		return 0;
	params = make_params(im, buf_span(&b->records));
	got = sysrt_send(im->c->sysrt, "record.put_many", params, &b->call, &error);
	free(params);
	if (got != 0)
		return ctl_fail(&error);
	im->under_way++;
	return im->under_way == UNDER_WAY ? finish_oldest(im) : 0;
}

/** What an exported record has and a put does not take. */
static bool
is_of_the_store(struct span key)
{
	return json_string_is(key, "seq") || json_string_is(key, "rev") ||
	       json_string_is(key, "created_at") || json_string_is(key, "updated_at");
}

static void
add_record(struct batch *b, struct json_value record, uint64_t line)
{
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
	b->lines[b->n++] = line;
}

static int
take_line(struct import *im, struct span line)
{
	struct batch *b = filling(im);
	struct json_value record;
	struct json_fault fault;
	char why[128];

	if (json_check(line, JSON_DEPTH_MAX, &record, &fault) != OK) {
		snprintf(
			why, sizeof(why), "not JSON: %s at byte %zu", fault.what, fault.offset + 1);
		report_bad(im, im->line, why);
		return im->skips_bad ? 0 : EXIT_REFUSED;
	}
	if (record.type != JSON_OBJECT) {
		report_bad(im, im->line, "not an object");
		return im->skips_bad ? 0 : EXIT_REFUSED;
	}
	add_record(b, record, im->line);
	if (b->n == BATCH_RECORDS || b->records.n >= BATCH_BYTES)
		return send_batch(im);
	return 0;
}

static int
read_lines(struct import *im)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;
	int status = 0, rest;

	while (status == 0 && (n = getline(&line, &cap, im->in)) >= 0) {
		im->line++;
		im->read += n;
		while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r'))
			n--;
		if (n > 0)
			status = take_line(im, (struct span){line, (size_t)n});
	}
	if (status == 0 && ferror(im->in))
		status = ctl_usage("reading %s: %s", im->name, strerror(errno));
	free(line);
	/* Lines before a bad one are written all the same. */
	rest = im->under_way < UNDER_WAY ? send_batch(im) : 0;
	while (im->under_way > 0 && rest == 0)
		rest = finish_oldest(im);
	return status != 0 ? status : rest;
}

static int
open_input(struct import *im)
{
	struct stat info;

	im->name = im->c->words[0];
	im->in = stdin;
	if (strcmp(im->name, "-") == 0)
		im->name = "standard input";
	else
		im->in = fopen(im->name, "re");
	if (im->in == NULL) {
		fprintf(stderr, "sysrtctl: opening %s: %s\n", im->name, strerror(errno));
		return EXIT_REFUSED;
	}
	if (fstat(fileno(im->in), &info) == 0 && S_ISREG(info.st_mode))
		im->size = info.st_size;
	return 0;
}

static int
read_options(struct import *im)
{
	const char *on_error = ctl_option(im->c, "on-error");

	im->skips_bad = on_error != NULL && strcmp(on_error, "skip") == 0;
	if (on_error != NULL && !im->skips_bad && strcmp(on_error, "stop") != 0)
		return ctl_usage("--on-error is stop or skip, not \"%s\"", on_error);
	im->shows = !im->c->is_quiet && isatty(STDERR_FILENO) == 1;
	return 0;
}

int
import_run(struct ctl *c)
{
	struct import im = {.c = c, .start_us = clock_mono_us()};
	int status = read_options(&im);

	if (status == 0)
		status = ctl_connect(c);
	if (status == 0)
		status = open_input(&im);
	if (status != 0)
		return status;
	for (unsigned i = 0; i < UNDER_WAY; i++) {
		buf_init(&im.batches[i].records, LINE_MAX_N);
		im.batches[i].ends = xnew_n(BATCH_RECORDS, size_t);
		im.batches[i].lines = xnew_n(BATCH_RECORDS, uint64_t);
	}
	status = read_lines(&im);
	show(&im, true);
	printf("{\"written\":%llu,\"skipped\":%llu,\"bad\":%llu,\"seconds\":%.3f}\n",
		(unsigned long long)im.written, (unsigned long long)im.skipped,
		(unsigned long long)im.bad, (double)(clock_mono_us() - im.start_us) / 1e6);
	for (unsigned i = 0; i < UNDER_WAY; i++) {
		buf_fini(&im.batches[i].records);
		free(im.batches[i].ends);
		free(im.batches[i].lines);
	}
	if (im.in != stdin)
		fclose(im.in);
	return status != 0 ? status : im.bad > 0 ? EXIT_REFUSED : EXIT_DONE;
}
