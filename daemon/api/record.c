/* record.*: from checked parameters to jobs. */

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "daemon/api/methods.h"

#define NAME_MAX_BYTES   1024
#define PUT_MANY_MAX     10000
#define DELETE_MANY_MAX  10000
#define LIST_LIMIT       100
#define LIST_LIMIT_MAX   1000
#define OFFSET_MAX       10000000
#define CURSOR_MAX_BYTES 1024
#define UUID_SIZE        37

#define SEQ_RANGE .min = 0, .max = (INT64_C(1) << 53) - 1
#define PUT_MODES "replace if_absent skip_equal"

/* The order of these is that of record_put_args and of item_args. */
enum put_arg {
	PUT_CATEGORY,
	PUT_ID,
	PUT_NAME,
	PUT_DATA,
	PUT_IF_SEQ,
	PUT_TTL,
	PUT_EXPIRES_AT,
	PUT_MODE
};

/* clang-format off */
#define PUT_PARAMETERS                                                                                                                                       \
	[PUT_CATEGORY]   = {"category",   ARG_NAME,                            .help = "Category; default \"general\""},                                     \
	[PUT_ID]         = {"id",         ARG_ID,                              .help = "Id; default: a new time-ordered one"},                               \
	[PUT_NAME]       = {"name",       ARG_STRING,   .max = NAME_MAX_BYTES, .help = "Name; default: the id"},                                             \
	[PUT_DATA]       = {"data",       ARG_JSON,     .required = true,      .help = "Any JSON value"},                                                    \
	[PUT_IF_SEQ]     = {"if_seq",     ARG_INT,      SEQ_RANGE,             .help = "Write only if the record is at this seq; 0: only if there is none"}, \
	[PUT_TTL]        = {"ttl",        ARG_DURATION,                        .help = "Delete it after so long"},                                           \
	[PUT_EXPIRES_AT] = {"expires_at", ARG_TIME,                            .help = "Delete it at this time"}

const struct arg_spec record_put_args[] = {
	PUT_PARAMETERS,
	[PUT_MODE] = {"mode", ARG_CHOICE, .choices = PUT_MODES, .help = "What to do about a record that is there; default \"replace\""},
	{.name = NULL},
};
/* clang-format on */

static const struct arg_spec item_args[] = {
	PUT_PARAMETERS,
	{.name = NULL},
};

/** A time-ordered id: UUID version 7 (RFC 9562, 5.7). */
static void
make_uuid(int64_t now_ms, char out[UUID_SIZE])
{
	unsigned char b[16];
	int at = 0;

	randombytes_buf(b, sizeof(b));
	for (int i = 0; i < 6; i++)
		b[i] = (unsigned char)(now_ms >> (40 - 8 * i));
	b[6] = (unsigned char)(0x70 | (b[6] & 0x0f));
	b[8] = (unsigned char)(0x80 | (b[8] & 0x3f));
	for (int i = 0; i < 16; i++)
		at += snprintf(out + at, (size_t)(UUID_SIZE - at), "%s%02x",
			i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", b[i]);
}

/** The data without white space between tokens, written straight into the job's room. */
static enum err
keep_data(struct call *c, struct job *j, struct op *op, struct json_value value)
{
	struct buf room = {.n = 0};

	room.p = job_room(j, &room.cap);
	room.max = room.cap;
	json_compact(value, &room);
	op->data = job_keep_written(j, room.n);
	if ((int64_t)op->data.n > c->api->conf->store.max_record)
		return error_set(c->error, ERR_LIMIT_EXCEEDED,
			"data has %zu bytes, at most %lld are allowed (store.max_record)",
			op->data.n, (long long)c->api->conf->store.max_record);
	return OK;
}

static enum err
set_expiry(struct call *c, struct op *op, const struct arg *args)
{
	if (args[PUT_TTL].is_set && args[PUT_EXPIRES_AT].is_set)
		return error_set(
			c->error, ERR_INVALID_ARGUMENT, "give ttl or expires_at, not both");
	if (args[PUT_TTL].is_set)
		op->expires_at = c->now_ms + args[PUT_TTL].i;
	else if (args[PUT_EXPIRES_AT].is_set)
		op->expires_at = args[PUT_EXPIRES_AT].i > 0 ? args[PUT_EXPIRES_AT].i : 1;
	return OK;
}

/** Fills an operation from the parameters of one record. `category` is the default. */
static enum err
set_put(struct call *c, struct job *j, struct op *op, const struct arg *args, struct span category)
{
	char uuid[UUID_SIZE];
	enum err e = set_expiry(c, op, args);

	if (e != OK)
		return e;
	op->kind = OP_PUT;
	op->now_ms = c->now_ms;
	op->category = args[PUT_CATEGORY].is_set ? job_keep(j, args[PUT_CATEGORY].text) : category;
	if (args[PUT_ID].is_set) {
		op->id = job_keep(j, args[PUT_ID].text);
	} else {
		make_uuid(c->now_ms, uuid);
		op->id = job_keep(j, span_of(uuid));
	}
	op->name = args[PUT_NAME].is_set ? job_keep(j, args[PUT_NAME].text) : op->id;
	if (args[PUT_IF_SEQ].is_set)
		op->if_seq = args[PUT_IF_SEQ].i;
	return keep_data(c, j, op, args[PUT_DATA].value);
}

enum err
record_put(struct call *c)
{
	struct job *j = call_job(c, JOB_WRITE, 1, c->params_n + UUID_SIZE);
	enum err e;

	if (j == NULL)
		return c->error->code;
	j->ops[0].mode = (enum put_mode)c->args[PUT_MODE].i;
	e = set_put(c, j, &j->ops[0], c->args, SPAN("general"));
	if (e == OK)
		return call_submit(c, j);
	job_free(j);
	return e;
}

enum put_many_arg { MANY_RECORDS, MANY_CATEGORY, MANY_MODE, MANY_RESULTS };

/* clang-format off */
const struct arg_spec record_put_many_args[] = {
	[MANY_RECORDS]  = {"records",  ARG_ARRAY,  .required = true, .max = PUT_MANY_MAX, .help = "Objects with the parameters of record.put"},
	[MANY_CATEGORY] = {"category", ARG_NAME,                                          .help = "Category of records that name none; default \"general\""},
	[MANY_MODE]     = {"mode",     ARG_CHOICE, .choices = PUT_MODES,                  .help = "What to do about records that are there; default \"replace\""},
	[MANY_RESULTS]  = {"results",  ARG_BOOL,                                          .help = "Answer one result a record"},
	{.name = NULL},
};
/* clang-format on */

static enum err
set_item(struct call *c, struct job *j, struct op *op, struct json_value item, struct span category)
{
	struct args args = {.texts = NULL};
	enum err e;

	if (item.type != JSON_OBJECT)
		return error_set(c->error, ERR_INVALID_ARGUMENT, "must be an object");
	e = args_read(&args, item_args, item, c->error);
	if (e == OK)
		e = set_put(c, j, op, args.v, category);
	args_fini(&args);
	return e;
}

static enum err
set_items(struct call *c, struct job *j)
{
	const struct arg *category = &c->args[MANY_CATEGORY];
	struct span standard = category->is_set ? job_keep(j, category->text) : SPAN("general");
	struct json_walk w = json_walk_start(c->args[MANY_RECORDS].value);
	struct json_value item;
	enum err e = OK;

	for (size_t i = 0; e == OK && json_array_next(&w, &item); i++) {
		j->ops[i].mode = (enum put_mode)c->args[MANY_MODE].i;
		e = set_item(c, j, &j->ops[i], item, standard);
		if (e != OK)
			error_wrap(c->error, "record %zu", i);
	}
	return e;
}

enum err
record_put_many(struct call *c)
{
	size_t n = (size_t)c->args[MANY_RECORDS].i;
	struct job *j = call_job(c, JOB_WRITE, n, c->params_n + n * UUID_SIZE);
	enum err e;

	if (j == NULL)
		return c->error->code;
	j->is_many = true;
	j->wants_results = c->args[MANY_RESULTS].i != 0;
	e = set_items(c, j);
	if (e == OK)
		return call_submit(c, j);
	job_free(j);
	return e;
}

enum get_arg { GET_CATEGORY, GET_ID };

/* clang-format off */
const struct arg_spec record_get_args[] = {
	[GET_CATEGORY] = {"category", ARG_NAME,                   .help = "Category; default \"general\""},
	[GET_ID]       = {"id",       ARG_ID,   .required = true, .help = "Id"},
	{.name = NULL},
};
/* clang-format on */

enum err
record_get(struct call *c)
{
	const struct arg *category = &c->args[GET_CATEGORY];
	struct job *j = call_job(c, JOB_GET, 0, c->params_n);

	if (j == NULL)
		return c->error->code;
	j->read.category = category->is_set ? job_keep(j, category->text) : SPAN("general");
	j->read.id = job_keep(j, c->args[GET_ID].text);
	return call_submit(c, j);
}

enum delete_arg { DELETE_CATEGORY, DELETE_ID, DELETE_IDS, DELETE_IF_SEQ };

/* clang-format off */
const struct arg_spec record_delete_args[] = {
	[DELETE_CATEGORY] = {"category", ARG_NAME,                          .help = "Category; default \"general\""},
	[DELETE_ID]       = {"id",       ARG_ID,                            .help = "Id"},
	[DELETE_IDS]      = {"ids",      ARG_ARRAY, .max = DELETE_MANY_MAX, .help = "Ids of several, all or none"},
	[DELETE_IF_SEQ]   = {"if_seq",   ARG_INT,   SEQ_RANGE,              .help = "Delete only if the record is at this seq"},
	{.name = NULL},
};
/* clang-format on */

/** One id out of an array, checked like any other. */
static enum err
keep_id(struct call *c, struct job *j, struct json_value value, struct span *id)
{
	char *text;
	size_t n;

	if (value.type != JSON_STRING || value.raw.n > 6 * ARG_ID_MAX + 2)
		return error_set(c->error, ERR_INVALID_ARGUMENT,
			"must be a string of 1 to %d bytes", ARG_ID_MAX);
	text = job_room(j, &n);
	n = json_string_decode(value.raw, text);
	if (n == SIZE_MAX)
		return error_set(c->error, ERR_INVALID_ARGUMENT, "a lone surrogate is not text");
	*id = job_keep_written(j, n);
	return args_check_id("id", *id, c->error);
}

static enum err
set_deletes(struct call *c, struct job *j, struct span category)
{
	struct json_walk w;
	struct json_value item;
	enum err e = OK;

	if (c->args[DELETE_ID].is_set)
		j->ops[0].id = job_keep(j, c->args[DELETE_ID].text);
	if (c->args[DELETE_IDS].is_set) {
		w = json_walk_start(c->args[DELETE_IDS].value);
		for (size_t i = 0; e == OK && json_array_next(&w, &item); i++) {
			e = keep_id(c, j, item, &j->ops[i].id);
			if (e != OK)
				error_wrap(c->error, "ids, item %zu", i);
		}
	}
	for (size_t i = 0; i < j->ops_n; i++) {
		j->ops[i].kind = OP_DELETE;
		j->ops[i].category = category;
		j->ops[i].now_ms = c->now_ms;
	}
	if (c->args[DELETE_IF_SEQ].is_set)
		j->ops[0].if_seq = c->args[DELETE_IF_SEQ].i;
	return e;
}

enum err
record_delete(struct call *c)
{
	const struct arg *category = &c->args[DELETE_CATEGORY], *ids = &c->args[DELETE_IDS];
	struct job *j;
	enum err e;

	if (c->args[DELETE_ID].is_set == ids->is_set)
		return error_set(c->error, ERR_INVALID_ARGUMENT, "give id or ids");
	if (ids->is_set && c->args[DELETE_IF_SEQ].is_set)
		return error_set(c->error, ERR_INVALID_ARGUMENT, "if_seq goes with id, not ids");
	j = call_job(c, JOB_WRITE, ids->is_set ? (size_t)ids->i : 1, c->params_n);
	if (j == NULL)
		return c->error->code;
	j->is_many = ids->is_set;
	e = set_deletes(c, j, category->is_set ? job_keep(j, category->text) : SPAN("general"));
	if (e == OK)
		return call_submit(c, j);
	job_free(j);
	return e;
}

enum list_arg {
	LIST_CATEGORY,
	LIST_IDS,
	LIST_NAME,
	LIST_NAME_LIKE,
	LIST_AFTER,
	LIST_BEFORE,
	LIST_ORDER,
	LIST_LIMIT_ARG,
	LIST_OFFSET,
	LIST_CURSOR
};

/* clang-format off */
const struct arg_spec record_list_args[] = {
	[LIST_CATEGORY]  = {"category",       ARG_PATTERN,                                     .help = "Categories: a name, a prefix ending in *, or several; default: all"},
	[LIST_IDS]       = {"id",             ARG_ID_PATTERN,                                  .help = "Ids, in the same way"},
	[LIST_NAME]      = {"name",           ARG_STRING,     .max = NAME_MAX_BYTES,           .help = "Only names that hold this text, letter case of ASCII ignored"},
	[LIST_NAME_LIKE] = {"name_like",      ARG_STRING,     .max = NAME_MAX_BYTES,           .help = "Only names that match this LIKE pattern (% and _; \\ escapes)"},
	[LIST_AFTER]     = {"updated_after",  ARG_TIME,                                        .help = "Only records written after this time"},
	[LIST_BEFORE]    = {"updated_before", ARG_TIME,                                        .help = "Only records written before this time"},
	[LIST_ORDER]     = {"order",          ARG_CHOICE,     .choices = "newest oldest id",   .help = "Default \"newest\""},
	[LIST_LIMIT_ARG] = {"limit",          ARG_INT,        .min = 1, .max = LIST_LIMIT_MAX, .help = "Records of a page; default 100"},
	[LIST_OFFSET]    = {"offset",         ARG_INT,        .min = 0, .max = OFFSET_MAX,     .help = "Records to pass over; a cursor is better"},
	[LIST_CURSOR]    = {"cursor",         ARG_STRING,     .max = CURSOR_MAX_BYTES,         .help = "Go on where the page that gave it ended"},
	{.name = NULL},
};
/* clang-format on */

static enum err
set_name_filter(struct call *c, struct job *j)
{
	const struct arg *name = &c->args[LIST_NAME], *like = &c->args[LIST_NAME_LIKE];

	if (name->is_set && like->is_set)
		return error_set(
			c->error, ERR_INVALID_ARGUMENT, "give name or name_like, not both");
	if (name->is_set) {
		j->read.name_match = NAME_SUBSTRING;
		j->read.name = job_keep(j, name->text);
	} else if (like->is_set) {
		j->read.name_match = NAME_LIKE;
		j->read.name = job_keep(j, like->text);
	}
	return OK;
}

static enum err
set_pattern(struct call *c, struct job *j, const struct arg *categories, const struct arg *ids)
{
	if (!categories->is_set && !ids->is_set)
		return OK;
	j->read.pattern = args_pattern(categories, ids);
	return j->read.pattern != NULL ? OK
				       : error_set(c->error, ERR_LIMIT_EXCEEDED, "out of memory");
}

enum err
record_list(struct call *c)
{
	const struct arg *a = c->args;
	struct job *j = call_job(c, JOB_LIST, 0, c->params_n);
	enum err e;

	if (j == NULL)
		return c->error->code;
	j->read.order = (enum order)a[LIST_ORDER].i;
	j->read.limit = a[LIST_LIMIT_ARG].is_set ? (unsigned)a[LIST_LIMIT_ARG].i : LIST_LIMIT;
	j->read.offset = (unsigned)a[LIST_OFFSET].i;
	j->read.cursor = job_keep(j, a[LIST_CURSOR].text);
	if (a[LIST_AFTER].is_set)
		j->read.updated_after = a[LIST_AFTER].i;
	if (a[LIST_BEFORE].is_set)
		j->read.updated_before = a[LIST_BEFORE].i;
	e = set_name_filter(c, j);
	if (e == OK)
		e = set_pattern(c, j, &a[LIST_CATEGORY], &a[LIST_IDS]);
	if (e == OK)
		return call_submit(c, j);
	job_free(j);
	return e;
}

enum count_arg { COUNT_CATEGORY, COUNT_IDS };

/* clang-format off */
const struct arg_spec record_count_args[] = {
	[COUNT_CATEGORY] = {"category", ARG_PATTERN,    .help = "Categories: a name, a prefix ending in *, or several; default: all"},
	[COUNT_IDS]      = {"id",       ARG_ID_PATTERN, .help = "Ids, in the same way"},
	{.name = NULL},
};
/* clang-format on */

static enum err
submit_counting(struct call *c, enum job_kind kind, const struct arg *ids)
{
	struct job *j = call_job(c, kind, 0, c->params_n);
	enum err e;

	if (j == NULL)
		return c->error->code;
	e = set_pattern(c, j, &c->args[COUNT_CATEGORY], ids);
	if (e == OK)
		return call_submit(c, j);
	job_free(j);
	return e;
}

enum err
record_count(struct call *c)
{
	return submit_counting(c, JOB_COUNT, &c->args[COUNT_IDS]);
}

/* clang-format off */
const struct arg_spec category_list_args[] = {
	[COUNT_CATEGORY] = {"category", ARG_PATTERN, .help = "A name, a prefix ending in *, or several; default: all"},
	{.name = NULL},
};
/* clang-format on */

enum err
category_list(struct call *c)
{
	static const struct arg no_ids = {.is_set = false};

	return submit_counting(c, JOB_CATEGORIES, &no_ids);
}
