/*
 * del: records by their ids, or all of a category that meet a condition. These the
 * daemon deletes some at a time, so requests follow each other until it has looked
 * at all; on a terminal it asks first.
 */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/answer.h"
#include "ctl/commands.h"
#include "ctl/interrupt.h"
#include "ctl/out.h"
#include "ctl/progress.h"
#include "ctl/text.h"

#define RESULT_BYTES 256
#define LINE_BYTES   64

/** A deletion by a condition. */
struct deletion {
	struct ctl *c;
	char *cursor; /* owned; NULL: at the beginning, or at the end */
	int64_t deleted;
	int64_t seq; /* of the last one */
	struct progress progress;
};

/** "Not there" is an exit status of its own, for scripts. */
static bool
is_nothing(struct json_value deleted)
{
	return deleted.type == JSON_FALSE ||
	       (deleted.type == JSON_NUMBER && span_is(deleted.raw, "0"));
}

static int
delete_ids(struct ctl *c)
{
	struct buf params;
	struct json_out o = ctl_params(&params);
	char *result;
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
	if (status == 0) {
		out_object(c, span_of(result));
		if (is_nothing(answer_member(answer_value(span_of(result)), "deleted")))
			status = EXIT_NOT_FOUND;
	}
	free(result);
	return status;
}

/** The category and the condition, which are not closed yet. */
static int
put_where(struct ctl *c, struct buf *params, struct json_out *o)
{
	int status;

	*o = ctl_params(params);
	json_put_str(o, "category", c->words[0]);
	status = text_put_where(c, o);
	if (status != 0)
		buf_fini(params);
	return status;
}

static int
count(struct ctl *c, int64_t *n)
{
	struct buf params;
	struct json_out o;
	char *result;
	int status = put_where(c, &params, &o);

	if (status != 0)
		return status;
	json_end_object(&o);
	status = ctl_call(c, "record.count", &params, &result);
	if (status == 0)
		*n = answer_int(answer_value(span_of(result)), "count", 0);
	free(result);
	return status;
}

/** Prints {name: n}, with the seq when there is one. */
static void
print_sum(const struct ctl *c, const char *name, int64_t n, int64_t seq)
{
	struct buf text;
	struct json_out o;

	buf_init(&text, RESULT_BYTES);
	o = json_out_start(&text);
	json_begin_object(&o, NULL);
	json_put_int(&o, name, n);
	if (seq > 0)
		json_put_int(&o, "seq", seq);
	json_end_object(&o);
	out_object(c, buf_span(&text));
	buf_fini(&text);
}

/** The name of the category is good: the daemon has counted in it. */
static bool
is_confirmed(struct ctl *c, int64_t n)
{
	char line[LINE_BYTES] = "";

	ctl_disconnect(c); /* the answer may take long */
	fprintf(stderr, "Delete %" PRId64 " record%s of %s? [y/N] ", n, n == 1 ? "" : "s",
		c->words[0]);
	if (fgets(line, sizeof(line), stdin) == NULL)
		fputc('\n', stderr);
	line[strcspn(line, "\n")] = '\0';
	return strcmp(line, "y") == 0 || strcmp(line, "Y") == 0 || strcmp(line, "yes") == 0;
}

static void
take_answer(struct deletion *d, struct json_value answer)
{
	free(d->cursor);
	d->cursor = answer_dup(answer, "cursor");
	d->deleted += answer_int(answer, "deleted", 0);
	d->seq = answer_int(answer, "seq", d->seq);
	progress_show(&d->progress, (uint64_t)d->deleted, d->deleted);
}

/** What the daemon looks at in one request. */
static int
delete_some(struct deletion *d)
{
	struct ctl *c = d->c;
	struct sysrt_error error;
	struct buf params;
	struct json_out o;
	char *result = NULL;
	int status = put_where(c, &params, &o);

	if (status != 0)
		return status;
	if (d->cursor != NULL)
		json_put_str(&o, "cursor", d->cursor);
	json_end_object(&o);
	buf_add_char(&params, '\0');
	if (sysrt_call(c->sysrt, "record.delete", params.p, c->timeout_ms, &result, &error) == 0) {
		take_answer(d, answer_value(span_of(result)));
	} else {
		progress_clear(&d->progress);
		status = interrupt_status() != 0 ? interrupt_status() : ctl_fail(&error);
	}
	buf_fini(&params);
	free(result);
	return status;
}

/** n: how many there are, as far as is known; 0: it is not. */
static int
delete_all(struct ctl *c, int64_t n)
{
	struct deletion d = {.c = c};
	int status = ctl_connect(c);

	interrupt_catch();
	progress_start(&d.progress, n, c->is_quiet);
	while (status == 0) {
		status = delete_some(&d);
		if (status == 0 && d.cursor == NULL)
			break;
		if (interrupt_status() != 0)
			status = interrupt_status();
	}
	free(d.cursor);
	if (status == 0) {
		progress_end(&d.progress, (uint64_t)d.deleted, true);
		print_sum(c, "deleted", d.deleted, d.seq);
		return status;
	}
	progress_clear(&d.progress);
	if (d.deleted > 0)
		ctl_warn("%" PRId64 " records were deleted; the same command goes on", d.deleted);
	return status;
}

static int
delete_where(struct ctl *c)
{
	bool is_dry = ctl_option(c, "dry-run") != NULL, is_sure = ctl_option(c, "yes") != NULL;
	int64_t n = 0;
	int status = 0;

	if (c->words_n > 1)
		return ctl_usage("give ids or --where, not both");
	if (ctl_option(c, "if-seq") != NULL)
		return ctl_usage("--if-seq goes with an id, not with --where");
	if (strchr(c->words[0], '*') != NULL)
		return ctl_usage("--where looks at one category, and %s is none", c->words[0]);
	if (!is_dry && !is_sure && (isatty(STDIN_FILENO) != 1 || isatty(STDERR_FILENO) != 1))
		return ctl_usage("there is no terminal to ask on: say --yes, or --dry-run to hear "
				 "how many it would be");
	if (is_dry || !is_sure)
		status = count(c, &n);
	if (status != 0)
		return status;
	if (is_dry || (!is_sure && n == 0))
		print_sum(c, is_dry ? "matching" : "deleted", n, 0);
	else if (!is_sure && !is_confirmed(c, n))
		status = ctl_refuse("nothing was deleted");
	else
		status = delete_all(c, n);
	return status;
}

int
delete_run(struct ctl *c)
{
	if (ctl_option(c, "where") != NULL)
		return delete_where(c);
	if (c->words_n < 2)
		return ctl_usage("which records of %s? Give ids, or --where", c->words[0]);
	if (ctl_option(c, "yes") != NULL || ctl_option(c, "dry-run") != NULL)
		return ctl_usage("--yes and --dry-run go with --where");
	return delete_ids(c);
}
