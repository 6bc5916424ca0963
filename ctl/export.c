/*
 * export: all records, as JSON lines or as a table. It is the replay of a
 * subscription from 0 until it is live: what it printed is then the store as of
 * that seq, although no snapshot was held. What changes meanwhile comes again
 * later on, what is deleted comes as a deletion. After a lost connection it goes
 * on where it was.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/xalloc.h"
#include "ctl/answer.h"
#include "ctl/commands.h"
#include "ctl/door.h"
#include "ctl/interrupt.h"
#include "ctl/out.h"
#include "ctl/position.h"
#include "ctl/progress.h"
#include "ctl/table.h"
#include "ctl/text.h"

#define LINE_BYTES  ((size_t)256 << 20)
#define PRINT_BYTES ((size_t)64 << 10) /* that are gathered before they are printed */
#define WAIT_MS     100                /* before it connects again */

/* What a step results in, beside an exit status above 0. */
enum { GO_ON = 0, DONE = -1, AGAIN = -2 };

struct export
{
	struct ctl *c;
	FILE *out;        /* the file; NULL: standard output */
	const char *name; /* of the file */
	char *fresh;      /* its name until it is whole */
	bool is_table;
	struct table table;
	struct position position; /* behind what was written */
	int64_t head;             /* the seq that the store was at when it began */
	bool has_begun;           /* the first line is written */
	uint64_t records;
	uint64_t late; /* changes that came while it ran */
	struct progress progress;
	struct buf line;
	struct buf lines; /* for standard output, not printed yet */
};

/** Prints what is gathered. What cannot be printed is not tried again. */
static int
print(struct export *ex)
{
	size_t at = 0;
	int status;

	interrupt_hold();
	status = out_write(buf_span(&ex->lines), &at);
	interrupt_release();
	buf_reset(&ex->lines);
	return status;
}

/** Gathers the line that is there, on a terminal as one that is safe there. */
static int
print_line(struct export *ex)
{
	if (ex->is_table)
		buf_add_span(&ex->lines, buf_span(&ex->line));
	else
		out_add_json(ex->c, &ex->lines, buf_span(&ex->line));
	if (ex->lines.failed)
		return ctl_refuse("a record is too large for the memory");
	return ex->c->is_terminal || ex->lines.n >= PRINT_BYTES ? print(ex) : GO_ON;
}

/** Writes the line that is there. */
static int
write_line(struct export *ex)
{
	struct buf *line = &ex->line;
	int status = GO_ON;

	if (line->failed)
		return ctl_refuse("a record is too large for the memory");
	if (ex->out == NULL) {
		status = print_line(ex);
	} else {
		fwrite(line->p, 1, line->n, ex->out);
		if (!ex->is_table)
			fputc('\n', ex->out);
		if (ferror(ex->out))
			status = ctl_refuse("writing %s: %s", ex->name, strerror(errno));
	}
	buf_reset(line);
	return status;
}

/** The first line and the last one of JSON lines, which are no records. */
static int
write_mark(struct export *ex, const char *what, int64_t seq)
{
	struct json_out o = json_out_start(&ex->line);

	json_begin_object(&o, NULL);
	json_put_str(&o, "export", what);
	if (strcmp(what, "begin") == 0)
		json_put_str(&o, "epoch", ex->position.epoch);
	json_put_int(&o, "seq", seq);
	json_end_object(&o);
	return write_line(ex);
}

static int
begin(struct export *ex)
{
	ex->has_begun = true;
	if (!ex->is_table)
		return write_mark(ex, "begin", ex->head);
	table_add_heading(&ex->table, &ex->line);
	return write_line(ex);
}

/** A change as a line: a record as it is stored, or what was deleted, with `op`. */
static void
add_json(struct buf *line, struct json_value change, bool is_delete)
{
	struct json_walk w = json_walk_start(change);
	struct json_out o = json_out_start(line);
	struct json_value value;
	struct span key;

	json_begin_object(&o, NULL);
	while (json_object_next(&w, &key, &value)) {
		if (json_string_is(key, "subscription") || json_string_is(key, "prev") ||
			(!is_delete && json_string_is(key, "op")))
			continue;
		json_put_raw(&o, NULL, key);
		buf_add_char(line, ':');
		buf_add_span(line, value.raw);
	}
	json_end_object(&o);
}

static int
on_change(struct export *ex, struct json_value change)
{
	int64_t seq = answer_int(change, "seq", 0);
	struct json_value op = answer_member(change, "op");
	bool is_delete = op.type == JSON_STRING && json_string_is(op.raw, "delete");
	int status;

	if (seq <= ex->position.seq)
		return GO_ON; /* it was told before */
	ex->late += seq > ex->head;
	if (!ex->is_table)
		add_json(&ex->line, change, is_delete);
	else if (!is_delete || table_has_op(&ex->table))
		table_add_row(&ex->table, change, &ex->line);
	status = ex->line.n > 0 ? write_line(ex) : GO_ON;
	ex->records += !is_delete;
	ex->position.seq = seq;
	progress_show(&ex->progress, ex->records, seq);
	return status;
}

/** The daemon says that we may not read any longer. */
static int
on_unsubscribed(struct json_value params)
{
	char *reason = answer_dup(params, "reason");

	ctl_refuse("the export has ended: %s", reason != NULL ? reason : "no reason is told");
	free(reason);
	return EXIT_DENIED;
}

static int
on_notice(struct export *ex, const struct sysrt_notice *n)
{
	struct json_value params = answer_value((struct span){n->params, n->params_n});

	if (strcmp(n->method, "change") == 0)
		return on_change(ex, params);
	if (strcmp(n->method, "resync") == 0)
		return ctl_refuse(
			"fell behind what the store still knows of deletions: run it again");
	if (strcmp(n->method, "unsubscribed") == 0)
		return on_unsubscribed(params);
	if (strcmp(n->method, "synced") != 0)
		return GO_ON;
	ex->position.seq = answer_int(params, "seq", ex->position.seq);
	return DONE;
}

/** Connects again where the connection ended in the midst of it. */
static int
on_failure(struct export *ex, const struct sysrt_error *error)
{
	static const char *const passing[] = {"CLOSED", "NOT_RUNNING", "UNAVAILABLE"};

	if (interrupt_status() != 0)
		return interrupt_status();
	for (size_t i = 0; ex->has_begun && i < sizeof(passing) / sizeof(passing[0]); i++)
		if (strcmp(error->name, passing[i]) == 0)
			return AGAIN;
	return ctl_fail(error);
}

static int
subscribe(struct export *ex)
{
	static const char *const everything[] = {"*"};
	struct ctl *c = ex->c;
	struct sysrt_error error;
	struct json_value answer;
	struct buf params;
	struct json_out o = ctl_params(&params);
	char *result = NULL;
	int got;

	text_put_words(&o, "categories", c->words_n > 0 ? c->words : everything,
		c->words_n > 0 ? c->words_n : 1);
	position_put(&ex->position, &o);
	json_end_object(&o);
	buf_add_char(&params, '\0');
	got = sysrt_call(c->sysrt, "subscribe", params.p, c->timeout_ms, &result, &error);
	buf_fini(&params);
	if (got != 0)
		return on_failure(ex, &error);
	answer = answer_value(span_of(result));
	position_set_epoch(&ex->position, answer);
	ex->position.base = answer_int(answer, "base", 0);
	if (!ex->has_begun)
		ex->head = ex->position.base;
	free(result);
	return ex->has_begun ? GO_ON : begin(ex);
}

static int
heard_nothing(const struct export *ex)
{
	ctl_refuse("nothing came from the daemon for %d ms (--timeout)", ex->c->timeout_ms);
	return EXIT_TIMEOUT;
}

/** One connection, to its end or to the head of the store. */
static int
follow(struct export *ex)
{
	struct sysrt_error error;
	struct sysrt_notice notice;
	int status, got;

	if (door_open(ex->c, &error) != 0)
		return on_failure(ex, &error);
	status = subscribe(ex);
	while (status == GO_ON && (status = interrupt_status()) == 0) {
		got = sysrt_next(ex->c->sysrt, ex->c->timeout_ms, &notice, &error);
		if (got < 0)
			status = on_failure(ex, &error);
		else if (got > 0)
			status = on_notice(ex, &notice);
		else if (interrupt_status() != 0)
			status = interrupt_status();
		else
			status = heard_nothing(ex);
	}
	ctl_disconnect(ex->c);
	return status;
}

/** Follows until all is there; a daemon that is away may come back within the timeout. */
static int
run(struct export *ex)
{
	int64_t since_us = 0, seq = -1; /* of the last connection that brought something */
	bool is_news;
	int status;

	while ((status = follow(ex)) == AGAIN) {
		progress_clear(&ex->progress);
		is_news = ex->position.seq > seq;
		if (is_news)
			since_us = clock_mono_us();
		seq = ex->position.seq;
		if (clock_mono_us() - since_us > (int64_t)ex->c->timeout_ms * 1000) {
			ctl_refuse("the daemon went away and did not come back");
			return EXIT_NOT_RUNNING;
		}
		if (is_news)
			ctl_hint(ex->c, "sysrtctl: the connection ended, connecting again");
		interrupt_hold();
		if (interrupt_status() == 0)
			interrupt_poll(NULL, 0, WAIT_MS);
		interrupt_release();
	}
	if (status == DONE && !ex->is_table)
		status = write_mark(ex, "end", ex->position.seq);
	return status == DONE ? GO_ON : status;
}

static int
open_output(struct export *ex)
{
	ex->name = ctl_option(ex->c, "file");
	if (ex->name == NULL)
		return 0;
	ex->fresh = xasprintf("%s.new", ex->name);
	ex->out = fopen(ex->fresh, "we");
	return ex->out != NULL ? 0 : ctl_refuse("opening %s: %s", ex->fresh, strerror(errno));
}

/** The file gets its name when all of it is there. */
static int
close_output(struct export *ex, int status)
{
	bool is_whole = status == 0;

	if (ex->name == NULL)
		return status;
	if (is_whole)
		is_whole = fflush(ex->out) == 0 && fsync(fileno(ex->out)) == 0;
	is_whole = fclose(ex->out) == 0 && is_whole;
	is_whole = is_whole && rename(ex->fresh, ex->name) == 0;
	if (!is_whole && status == 0)
		status = ctl_refuse("writing %s: %s", ex->name, strerror(errno));
	if (!is_whole)
		unlink(ex->fresh);
	return status;
}

static void
tell(struct export *ex, int status)
{
	progress_end(&ex->progress, ex->records, status == 0);
	if (status == 0 && ex->is_table && ex->late > 0)
		ctl_warn("%" PRIu64 " changes came while it ran: of rows with the same id the last "
			 "one counts%s",
			ex->late,
			table_has_op(&ex->table)
				? ""
				: ", and deletions are not told without --columns op");
}

int
export_run(struct ctl *c)
{
	const char *format = ctl_option(c, "format"), *columns = ctl_option(c, "columns");
	struct export ex = {.c = c, .position = {.is_set = true}};
	int status = 0, printed;

	ex.is_table = format != NULL && strcmp(format, "csv") == 0;
	if (columns != NULL && !ex.is_table)
		return ctl_usage("--columns goes with --format csv");
	if (ex.is_table)
		status = table_init(&ex.table, columns);
	if (status == 0)
		status = open_output(&ex);
	if (status == 0) {
		buf_init(&ex.line, LINE_BYTES);
		buf_init(&ex.lines, PRINT_BYTES + LINE_BYTES);
		progress_start(&ex.progress, 0, c->is_quiet || (c->is_terminal && ex.name == NULL));
		interrupt_catch();
		status = run(&ex);
		printed = print(&ex);
		status = status != 0 ? status : printed;
		tell(&ex, status);
		status = close_output(&ex, status);
		buf_fini(&ex.line);
		buf_fini(&ex.lines);
	}
	free(ex.fresh);
	table_fini(&ex.table);
	return status;
}
