/*
 * record.restore: records out of an export into a store that has nothing else,
 * with the seq, rev and times that they had.
 */

#include "common/name.h"
#include "daemon/api/methods.h"

#define RESTORE_MAX 10000

#define SEQ_RANGE .min = 1, .max = (INT64_C(1) << 53) - 1

enum item_arg {
	IT_CATEGORY,
	IT_ID,
	IT_NAME,
	IT_DATA,
	IT_SEQ,
	IT_REV,
	IT_CREATED,
	IT_UPDATED,
	IT_EXPIRES,
	IT_OP,
	IT_DELETED
};

/* clang-format off */
static const struct arg_spec item_args[] = {
	[IT_CATEGORY] = {"category",   ARG_NAME,   .required = true, .touches = SCOPE_WRITE, .help = "Category"},
	[IT_ID]       = {"id",         ARG_ID,     .required = true,            .help = "Id"},
	[IT_NAME]     = {"name",       ARG_STRING, .max = RECORD_NAME_MAX,      .help = "Name; default: the id"},
	[IT_DATA]     = {"data",       ARG_JSON,   .max = JSON_STORED_DEPTH_MAX, .help = "Of a record"},
	[IT_SEQ]      = {"seq",        ARG_INT,    .required = true, SEQ_RANGE, .help = "Its seq"},
	[IT_REV]      = {"rev",        ARG_INT,    .required = true, SEQ_RANGE, .help = "Its rev"},
	[IT_CREATED]  = {"created_at", ARG_TIME,                                .help = "Of a record"},
	[IT_UPDATED]  = {"updated_at", ARG_TIME,                                .help = "Of a record"},
	[IT_EXPIRES]  = {"expires_at", ARG_TIME,                                .help = "Of a record that expires"},
	[IT_OP]       = {"op",         ARG_CHOICE, .choices = "put delete",     .help = "Default \"put\""},
	[IT_DELETED]  = {"deleted_at", ARG_TIME,                                .help = "Of a deletion"},
	{.name = NULL},
};

enum restore_arg { RESTORE_RECORDS, RESTORE_SEQ, RESTORE_CHAINED };

const struct arg_spec record_restore_args[] = {
	[RESTORE_RECORDS] = {"records", ARG_ARRAY, .max = RESTORE_MAX, .items = item_args, .touches = SCOPE_WRITE, .help = "Objects as an export has them, in the order of their seq"},
	[RESTORE_SEQ]     = {"seq",     ARG_INT,   SEQ_RANGE,          .help = "All is there: the seq that the store is at from now on"},
	[RESTORE_CHAINED] = {"chained", ARG_BOOL,                      .help = "Only if the write before it on this session was done"},
	{.name = NULL},
};
/* clang-format on */

static enum err
missing(struct call *c, const char *name)
{
	return error_set(c->error, ERR_INVALID_ARGUMENT, "%s is missing", name);
}

static enum err
set_record(struct call *c, struct job *j, struct op *op, const struct arg *a)
{
	if (!a[IT_DATA].is_set)
		return missing(c, "data");
	if (!a[IT_CREATED].is_set || !a[IT_UPDATED].is_set)
		return missing(c, a[IT_CREATED].is_set ? "updated_at" : "created_at");
	op->kind = OP_REFILL;
	op->name = a[IT_NAME].is_set ? job_keep(j, a[IT_NAME].text) : op->id;
	op->given.created_at = a[IT_CREATED].i;
	op->now_ms = a[IT_UPDATED].i;
	op->expires_at = a[IT_EXPIRES].is_set ? a[IT_EXPIRES].i : 0;
	return record_keep_data(
		c, conf_category(c->api->conf, op->category), j, op, a[IT_DATA].value);
}

static enum err
set_item(struct call *c, struct job *j, struct op *op, const struct arg *a)
{
	op->category = job_keep(j, a[IT_CATEGORY].text);
	op->id = job_keep(j, a[IT_ID].text);
	op->given.seq = a[IT_SEQ].i;
	op->given.rev = a[IT_REV].i;
	if (a[IT_OP].i == 0)
		return set_record(c, j, op, a);
	if (!a[IT_DELETED].is_set)
		return missing(c, "deleted_at");
	op->kind = OP_REFILL_DELETED;
	op->now_ms = a[IT_DELETED].i;
	return OK;
}

static enum err
read_item(struct call *c, struct job *j, struct op *op, struct json_value item)
{
	struct args args;
	enum err e = args_read_item(&args, item_args, item, c->error);

	if (e == OK)
		e = set_item(c, j, op, args.v);
	args_fini(&args);
	return e;
}

static enum err
read_items(struct call *c, struct job *j)
{
	struct json_walk w = json_walk_start(c->args[RESTORE_RECORDS].value);
	struct json_value item;
	enum err e = OK;

	for (size_t i = 0; e == OK && json_array_next(&w, &item); i++) {
		e = read_item(c, j, &j->ops[i + 1], item);
		if (e != OK)
			error_wrap(c->error, "record %zu", i);
	}
	return e;
}

enum err
record_restore(struct call *c)
{
	const struct arg *records = &c->args[RESTORE_RECORDS], *seq = &c->args[RESTORE_SEQ];
	size_t n = records->is_set ? (size_t)records->i : 0;
	struct job *j;
	enum err e;

	if (!records->is_set && !seq->is_set)
		return error_set(c->error, ERR_INVALID_ARGUMENT, "give records, or seq, or both");
	j = call_job(c, JOB_WRITE, n + 2, c->params_n);
	if (j == NULL)
		return c->error->code;
	j->is_chained = c->args[RESTORE_CHAINED].i != 0;
	j->ops[0].kind = OP_REFILL_CHECK;
	j->ops[n + 1].kind = OP_REFILL_MARK;
	j->ops[0].given.seq = n == 0 ? seq->i : 0;
	j->ops[n + 1].given.seq = seq->i;
	e = read_items(c, j);
	if (e == OK)
		return call_submit(c, j);
	job_free(j);
	return e;
}
