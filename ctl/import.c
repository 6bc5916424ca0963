/*
 * import: records from lines of JSON, arrays, tables and logs. What equals the
 * stored record is skipped: running it again after a break does no harm. Memory
 * is bounded by what the daemon takes as one message.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/answer.h"
#include "ctl/columns.h"
#include "ctl/commands.h"
#include "ctl/door.h"
#include "ctl/exported.h"
#include "ctl/interrupt.h"
#include "ctl/mapping.h"
#include "ctl/out.h"
#include "ctl/progress.h"
#include "ctl/resume.h"
#include "ctl/sender.h"
#include "ctl/source.h"

#define BATCH_BYTES  ((size_t)512 << 10)
#define RECORD_BYTES ((size_t)256 << 20) /* of one that was put together */
#define IDLE_MS      200
#define TOLD_MAX     1000 /* bad items that are told; the others are only counted */
/* Of an item: a record of an export. A call with a deeper one would be refused as a whole. */
#define LINE_DEPTH_MAX (JSON_STORED_DEPTH_MAX + 1)

struct import {
	struct ctl *c;
	int fd;
	const char *name;
	bool skips_bad;
	bool is_dry;
	bool is_restore;    /* of an export, into an empty store */
	bool has_begun;     /* its first line was read */
	bool is_complete;   /* its last line was read */
	bool has_stopped;   /* at a bad item */
	size_t message_max; /* what the daemon takes */
	uint64_t bad, made; /* items; made: in a dry run */
	uint64_t stored;    /* records that are, in the end */
	struct source source;
	struct columns columns; /* of a table */
	struct mapping mapping;
	struct progress progress;
	struct sender *sender; /* NULL in a dry run */
	struct buf row;        /* a row as an object */
	struct buf record;     /* that was put together */
	struct resume resume;
	char epoch[EPOCH_TEXT_SIZE]; /* of the store */
};

/** The records that are dealt with. */
static uint64_t
count_all(const struct import *im)
{
	return im->is_dry ? im->made : sender_written(im->sender) + sender_skipped(im->sender);
}

static int
on_done(void *arg)
{
	struct import *im = arg;

	progress_show(&im->progress, count_all(im), im->source.end);
	if (im->resume.path == NULL)
		return 0;
	return resume_advance(
		&im->resume, im->epoch, sender_done(im->sender).offset, sender_seq(im->sender));
}

/** Tells of a bad item: 0 to pass over it, or an exit status. */
static int
on_bad(void *arg, uint64_t line, const char *why)
{
	struct import *im = arg;

	im->bad++;
	if (im->bad <= TOLD_MAX) {
		progress_clear(&im->progress);
		ctl_refuse("%s:%" PRIu64 ": %s", im->name, line, why);
	}
	if (im->bad == TOLD_MAX)
		ctl_refuse("%s: further bad ones are counted, not told", im->name);
	im->has_stopped = !im->skips_bad;
	return im->has_stopped ? EXIT_REFUSED : 0;
}

static int
on_failure(void *arg, const struct sysrt_error *error)
{
	struct import *im = arg;

	progress_clear(&im->progress);
	return interrupt_status() != 0 ? interrupt_status() : ctl_fail(error);
}

static int
flush(struct import *im)
{
	return im->is_dry ? 0 : sender_flush(im->sender);
}

/** An item that cannot be sent. What stands before it is written all the same. */
static int
refuse(struct import *im, uint64_t line, const char *why)
{
	int status = im->skips_bad ? 0 : flush(im);

	return status == 0 ? on_bad(im, line, why) : status;
}

static int
refuse_long(struct import *im, uint64_t line)
{
	bool is_open = im->source.format == SOURCE_CSV && im->source.state.csv == CSV_QUOTED;
	char why[128];

	snprintf(why, sizeof(why), "longer than %zu bytes, which is what the daemon takes%s",
		im->source.item_max, is_open ? ": is a quote not closed?" : "");
	return refuse(im, line, why);
}

static int
take_record(struct import *im, struct span record, struct place place)
{
	if (record.n > im->message_max)
		return refuse_long(im, place.line);
	if (!im->is_dry)
		return sender_add(im->sender, record, place);
	im->made++;
	buf_reset(&im->row);
	json_compact((struct json_value){JSON_OBJECT, record}, &im->row);
	out_json(im->c, buf_span(&im->row));
	return 0;
}

static int
take_object(struct import *im, struct json_value object, struct place place)
{
	char why[MAPPING_WHY_SIZE];
	struct span record = mapping_make(&im->mapping, object, place.offset, &im->record, why);

	return record.n > 0 ? take_record(im, record, place) : refuse(im, place.line, why);
}

/** An export tells of what was deleted while it ran. */
static int
take_deletion(struct import *im, struct json_value line, uint64_t number)
{
	struct json_value category = answer_member(line, "category"),
			  id = answer_member(line, "id");
	struct sysrt_error error;
	struct buf params;
	struct json_out o;
	char *result = NULL;
	int status = flush(im), got;

	if (status != 0 || im->is_dry)
		return status;
	if (category.raw.n == 0 || id.raw.n == 0)
		return refuse(im, number, "a deletion without category or id");
	o = ctl_params(&params);
	json_put_raw(&o, "category", category.raw);
	json_put_raw(&o, "id", id.raw);
	json_end_object(&o);
	buf_add_char(&params, '\0');
	got = sysrt_call(
		im->c->sysrt, "record.delete", params.p, im->c->timeout_ms, &result, &error);
	if (got != 0)
		status = strcmp(error.name, "INVALID_ARGUMENT") == 0
				 ? refuse(im, number, error.text)
				 : on_failure(im, &error);
	free(result);
	buf_fini(&params);
	return status;
}

/** The last line of an export: the store is to be at its seq. */
static int
complete(struct import *im, struct json_value line)
{
	int64_t seq = answer_int(line, "seq", 0);
	struct buf params;
	struct json_out o;
	char *result = NULL;
	int status = flush(im);

	im->is_complete = true;
	if (status != 0 || seq == 0)
		return status;
	o = ctl_params(&params);
	json_put_int(&o, "seq", seq);
	json_end_object(&o);
	progress_clear(&im->progress);
	status = ctl_call(im->c, "record.restore", &params, &result);
	free(result);
	return status;
}

/** A line of an export that is restored. */
static int
take_exported(struct import *im, struct json_value line, struct place place)
{
	enum exported kind = exported_kind(line);

	if (im->is_complete)
		return refuse(
			im, place.line, "something stands behind the last line of the export");
	if ((kind == EXPORTED_BEGIN) == im->has_begun)
		return refuse(im, place.line,
			im->has_begun ? "a second export begins here"
				      : "this is no export: its first line is missing");
	im->has_begun = true;
	if (kind == EXPORTED_END)
		return complete(im, line);
	return kind == EXPORTED_BEGIN ? 0 : sender_add(im->sender, line.raw, place);
}

static int
take_json(struct import *im, const struct source_item *item)
{
	struct json_value value;
	struct json_fault fault;
	enum exported kind;
	char why[128];

	if (json_check(item->text, LINE_DEPTH_MAX, &value, &fault) != OK) {
		snprintf(
			why, sizeof(why), "not JSON: %s at byte %zu", fault.what, fault.offset + 1);
		return refuse(im, item->place.line, why);
	}
	if (value.type != JSON_OBJECT)
		return refuse(im, item->place.line, "not an object");
	if (im->is_restore)
		return take_exported(im, value, item->place);
	kind = im->mapping.makes_records ? EXPORTED_RECORD : exported_kind(value);
	if (kind == EXPORTED_DELETE)
		return take_deletion(im, value, item->place.line);
	return kind == EXPORTED_RECORD ? take_object(im, value, item->place) : 0;
}

/** Nothing can be done with a table whose header is wrong, whatever is to be skipped. */
static int
take_header(struct import *im, const struct source_item *item)
{
	char why[COLUMNS_WHY_SIZE];
	const char *missing;

	if (!columns_read(&im->columns, item->text, why))
		return ctl_refuse("%s:%" PRIu64 ": %s", im->name, item->place.line, why);
	buf_reset(&im->row);
	columns_add_header(&im->columns, &im->row);
	missing =
		mapping_missing(&im->mapping, (struct json_value){JSON_OBJECT, buf_span(&im->row)});
	if (missing == NULL)
		return 0;
	return ctl_refuse(
		"%s:%" PRIu64 ": there is no column \"%s\"", im->name, item->place.line, missing);
}

static int
take_row(struct import *im, const struct source_item *item)
{
	char why[COLUMNS_WHY_SIZE];

	if (im->columns.n == 0)
		return take_header(im, item);
	buf_reset(&im->row);
	if (!columns_add_row(&im->columns, item->text, &im->row, why))
		return refuse(im, item->place.line, why);
	return take_object(im, (struct json_value){JSON_OBJECT, buf_span(&im->row)}, item->place);
}

/** Takes the items that are there. */
static int
take_items(struct import *im, bool at_end)
{
	struct source_item item;
	enum source_found found;
	int status = 0;

	while (status == 0 && (found = source_next(&im->source, at_end, &item)) != SOURCE_NONE) {
		if (found == SOURCE_BAD && item.why != NULL)
			status = refuse(im, item.place.line, item.why);
		else if (found == SOURCE_BAD)
			status = refuse_long(im, item.place.line);
		else if (im->source.format == SOURCE_CSV)
			status = take_row(im, &item);
		else
			status = take_json(im, &item);
	}
	return status;
}

/** What was gathered does not wait for a writer that takes its time. */
static int
send_when_idle(struct import *im)
{
	struct pollfd in = {.fd = im->fd, .events = POLLIN};

	if (im->is_dry || !sender_has_waiting(im->sender) || poll(&in, 1, IDLE_MS) != 0)
		return 0;
	return sender_flush(im->sender);
}

/** Goes to where an import broke off. What the input is, and the header of a table, is at its
 * beginning. */
static int
go_on(struct import *im)
{
	struct source_item item;
	enum source_found found = SOURCE_NONE;
	ssize_t n = 1;
	int status = 0;

	if (im->resume.path == NULL || im->resume.offset == 0)
		return 0;
	while (found == SOURCE_NONE && n > 0) {
		n = source_read(&im->source);
		if (n >= 0)
			found = source_next(&im->source, n == 0, &item);
	}
	im->has_begun = true;
	if (found == SOURCE_ITEM && im->source.format == SOURCE_CSV)
		status = take_header(im, &item);
	if (status == 0 && !source_seek(&im->source, im->resume.offset, im->resume.lines + 1))
		status = ctl_refuse("reading %s: %s", im->name, strerror(errno));
	return status;
}

static int
read_items(struct import *im)
{
	ssize_t n = 1;
	int status = go_on(im);

	while (status == 0 && n > 0 && interrupt_status() == 0) {
		status = send_when_idle(im);
		if (status == 0)
			door_await(im->c, im->fd, -1);
		if (status == 0 && interrupt_status() == 0 && (n = source_read(&im->source)) >= 0)
			status = take_items(im, n == 0);
	}
	if (interrupt_status() != 0) {
		if (!im->is_dry)
			sender_finish(im->sender); /* nothing more is sent */
		return interrupt_status();
	}
	if (status == 0 && n < 0)
		status = EXIT_REFUSED;
	if (status == 0)
		status = flush(im);
	if (status == 0 && im->is_restore && !im->is_complete)
		status = ctl_refuse("%s: the last line of the export is missing: what was restored "
				    "is not all of it",
			im->name);
	return status;
}

/** The longest item that makes a message which the daemon takes, and the epoch. */
static int
ask_daemon(struct import *im)
{
	struct buf params;
	struct json_out o = ctl_params(&params);
	struct json_value answer;
	struct position position = {.is_set = false};
	int64_t message;
	char *result;
	int status;

	json_end_object(&o);
	status = ctl_call(im->c, "status", &params, &result);
	if (status == 0) {
		answer = answer_value(span_of(result));
		position_set_epoch(&position, answer_member(answer, "store"));
		memcpy(im->epoch, position.epoch, sizeof(im->epoch));
		message =
			answer_int(answer_member(answer, "limits"), "max_message", SOURCE_ITEM_MAX);
		if (message < SOURCE_ITEM_MAX)
			im->message_max = (size_t)message;
	}
	free(result);
	return status;
}

static bool
has_ending(const char *name, const char *ending)
{
	size_t n = strlen(name), ending_n = strlen(ending);

	return n > ending_n && strcasecmp(name + n - ending_n, ending) == 0;
}

/** What the input is: as said, else by its name, else by its first byte. */
static enum source_format
pick_format(const struct import *im, char *separator)
{
	const char *said = ctl_option(im->c, "format");

	*separator = ',';
	if (im->is_restore)
		return SOURCE_LINES;
	if (said == NULL && ctl_option(im->c, "preset") != NULL)
		return SOURCE_JSON;
	if (said == NULL)
		said = has_ending(im->name, ".csv")   ? "csv"
		       : has_ending(im->name, ".tsv") ? "tsv"
						      : "";
	if (strcmp(said, "tsv") == 0)
		*separator = '\t';
	if (strcmp(said, "csv") == 0 || strcmp(said, "tsv") == 0)
		return SOURCE_CSV;
	return strcmp(said, "ndjson") == 0 ? SOURCE_LINES
	       : strcmp(said, "json") == 0 ? SOURCE_ARRAY
					   : SOURCE_JSON;
}

static int
open_resume(struct import *im, bool is_file)
{
	bool is_named = strcmp(im->c->words[0], "-") != 0;
	const char *state = ctl_option(im->c, "state");

	if (state == NULL && ctl_option(im->c, "resume") == NULL)
		return 0;
	if (im->is_dry)
		return ctl_usage("--dry-run writes nothing: --resume does not go with it");
	if (state == NULL && !is_named)
		return ctl_usage("standard input has no name: say --state FILE, not --resume");
	if (!is_file)
		return ctl_refuse("--resume: %s is not a file that can be read again", im->name);
	return resume_open(&im->resume, im->c, im->fd, im->name, state);
}

static int
open_input(struct import *im)
{
	const char *on_error = ctl_option(im->c, "on-error");
	bool is_file = strcmp(im->c->words[0], "-") != 0;
	struct stat info;
	bool is_regular;

	im->skips_bad = on_error != NULL && strcmp(on_error, "skip") == 0;
	im->name = is_file ? im->c->words[0] : "standard input";
	im->fd = is_file ? open(im->name, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
	if (im->fd < 0)
		return ctl_refuse("opening %s: %s", im->name, strerror(errno));
	is_regular = fstat(im->fd, &info) == 0 && S_ISREG(info.st_mode);
	progress_start(&im->progress, is_regular ? info.st_size : 0, im->c->is_quiet || im->is_dry);
	return open_resume(im, is_regular);
}

static void
print_summary(struct import *im)
{
	struct buf text;
	struct json_out o;

	if (im->is_dry) {
		ctl_hint(im->c, "%" PRIu64 " records, %" PRIu64 " bad; nothing was written",
			im->made, im->bad);
		return;
	}
	buf_init(&text, 1024);
	o = json_out_start(&text);
	json_begin_object(&o, NULL);
	json_put_int(&o, "written", (int64_t)sender_written(im->sender));
	json_put_int(&o, "skipped", (int64_t)sender_skipped(im->sender));
	json_put_int(&o, "bad", (int64_t)im->bad);
	/* in whole milliseconds, rounded up: who divides by it needs more than 0 */
	json_put_double(&o, "seconds",
		(double)((int64_t)(progress_seconds(&im->progress) * 1000) + 1) / 1000);
	json_end_object(&o);
	out_object(im->c, buf_span(&text));
	buf_fini(&text);
}

/** What a call says beside the records. */
static void
make_head(const struct import *im, struct buf *head)
{
	bool if_absent = ctl_option(im->c, "if-absent") != NULL;
	struct json_out o = json_out_start(head);

	if (im->is_restore)
		return;
	json_put_str(&o, "mode", if_absent ? "if_absent" : "skip_equal");
	if (im->mapping.category != NULL)
		json_put_str(&o, "category", im->mapping.category);
	buf_add_char(head, ',');
}

static void
start(struct import *im, const struct buf *head)
{
	size_t half = im->message_max / 2;

	im->source.item_max = im->message_max;
	buf_init(&im->row, RECORD_BYTES);
	buf_init(&im->record, RECORD_BYTES);
	if (im->is_dry)
		return;
	im->sender = sender_new(&(struct sender_options){
		.c = im->c,
		.method = im->is_restore ? "record.restore" : "record.put_many",
		.head = im->is_restore ? SPAN("") : buf_span(head),
		.batch_bytes = half < BATCH_BYTES ? half : BATCH_BYTES,
		.record_bytes = im->message_max,
		.on_bad = on_bad,
		.on_done = on_done,
		.on_failure = on_failure,
		.arg = im,
	});
}

static int
read_to_end(struct import *im)
{
	int status, saved = 0;

	interrupt_catch();
	status = read_items(im);
	if (im->resume.path != NULL)
		saved = resume_save(&im->resume);
	if (status == 0)
		status = saved;
	im->stored = im->is_dry ? 0 : count_all(im);
	progress_end(&im->progress, count_all(im), status == 0);
	print_summary(im);
	return status;
}

static int
run(struct import *im)
{
	struct buf head;
	char separator;
	enum source_format format = pick_format(im, &separator);
	int status;

	buf_init(&head, 4096);
	status = mapping_init(&im->mapping, im->c, format == SOURCE_CSV);
	im->mapping.key = im->resume.path != NULL ? im->resume.key : NULL;
	make_head(im, &head);
	columns_init(&im->columns, separator, ctl_option(im->c, "numbers") != NULL);
	source_init(&im->source, im->fd, im->name, format);
	im->source.separator = separator;
	start(im, &head);
	if (status == 0)
		status = read_to_end(im);
	sender_free(im->sender);
	source_fini(&im->source);
	columns_fini(&im->columns);
	mapping_fini(&im->mapping);
	buf_fini(&im->row);
	buf_fini(&im->record);
	buf_fini(&head);
	return status;
}

static void
hint_how_to_go_on(const struct import *im, int status)
{
	bool would_double = im->mapping.leaves_ids && im->stored > 0;

	if (im->has_stopped && !im->is_restore && !would_double)
		ctl_hint(im->c,
			"mend the line and run it again, or with --on-error skip: what is stored "
			"already is skipped");
	else if (status != 0 && im->is_restore && im->resume.path == NULL)
		ctl_hint(im->c, "what was restored stays there: begin with a new store, and with "
				"--resume where it may break off");
	else if (status != 0 && im->resume.path != NULL)
		ctl_hint(im->c, "run it again with --resume to go on");
	else if (status != 0 && would_double)
		ctl_hint(im->c,
			"records without an id would be there twice if it was run again: import "
			"what is left, and with --resume where it may break off");
	else if (status != 0 && im->stored > 0)
		ctl_hint(im->c, "run it again to go on: what is stored already is skipped");
}

/** Nothing of an export is changed on its way back. */
static int
check_restore(const struct ctl *c)
{
	static const char *const others[] = {"format", "id", "name", "map", "numbers", "preset",
		"category", "if-absent", "on-error", "dry-run"};

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (ctl_option(c, others[i]) != NULL)
			return ctl_usage(
				"--restore takes an export as it is: --%s does not go with it",
				others[i]);
	return 0;
}

int
import_run(struct ctl *c)
{
	struct import im = {.c = c, .fd = -1, .message_max = SOURCE_ITEM_MAX};
	int status;

	im.is_dry = ctl_option(c, "dry-run") != NULL;
	im.is_restore = ctl_option(c, "restore") != NULL;
	status = im.is_restore ? check_restore(c) : 0;
	if (status != 0)
		return status;
	status = im.is_dry ? 0 : ask_daemon(&im);
	if (status == 0)
		status = open_input(&im);
	if (status == 0) {
		status = run(&im);
		if (status != EXIT_USAGE)
			hint_how_to_go_on(&im, status);
	}
	if (im.fd > STDIN_FILENO)
		close(im.fd);
	resume_close(&im.resume);
	return status != 0 ? status : im.bad > 0 ? EXIT_REFUSED : EXIT_DONE;
}
