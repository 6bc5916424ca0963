/* record.*: from checked parameters to jobs. */

#include <sodium.h>

#include "common/name.h"
#include "common/uuid.h"
#include "daemon/api/methods.h"

#define PUT_MANY_MAX     10000
#define DELETE_MANY_MAX  10000
#define LIST_LIMIT       100
#define LIST_LIMIT_MAX   1000
#define OFFSET_MAX       10000000
#define CURSOR_MAX_BYTES 1024

#define SEQ_RANGE  .min = 0, .max = (INT64_C(1) << 53) - 1
#define DATA_DEPTH .max = JSON_DATA_DEPTH_MAX
#define PUT_MODES  "replace if_absent skip_equal"
/* Of one record, which is then touched so. */
#define CATEGORY(scope) .touches = (scope), .standard = "general"

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
#define PUT_PARAMETERS                                                                                                                                        \
	[PUT_CATEGORY]   = {"category",   ARG_NAME,     CATEGORY(SCOPE_WRITE),  .help = "Category; default \"general\""},                                     \
	[PUT_ID]         = {"id",         ARG_ID,                               .help = "Id; default: a new time-ordered one"},                               \
	[PUT_NAME]       = {"name",       ARG_STRING,   .max = RECORD_NAME_MAX, .help = "Name; default: the id"},                                             \
	[PUT_DATA]       = {"data",       ARG_JSON,     DATA_DEPTH,             .required = true, .help = "Any JSON value"},                                  \
	[PUT_IF_SEQ]     = {"if_seq",     ARG_INT,      SEQ_RANGE,              .help = "Write only if the record is at this seq; 0: only if there is none"}, \
	[PUT_TTL]        = {"ttl",        ARG_DURATION,                         .help = "Delete it after so long"},                                           \
	[PUT_EXPIRES_AT] = {"expires_at", ARG_TIME,                             .help = "Delete it at this time"}

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

enum err
record_keep_data(struct call *c, const struct conf_category *category, struct job *j, struct op *op,
	struct json_value value)
{
	int64_t max = c->api->conf->store.max_record;
	struct buf room = {.n = 0};

	room.p = job_room(j, &room.cap);
	room.max = room.cap;
	json_compact(value, &room);
	op->data = job_keep_written(j, room.n);
	if ((int64_t)op->data.n > max && max <= category->max_data)
		return error_set_limit(c->error, "store.max_record",
			"data has %zu bytes, at most %lld are allowed (store.max_record)",
			op->data.n, (long long)max);
	if ((int64_t)op->data.n > category->max_data)
		return error_set(c->error, ERR_LIMIT_EXCEEDED,
			"data has %zu bytes, at most %lld are allowed in the category %.*s "
			"(max_data of [category.\"%s\"])",
			op->data.n, (long long)category->max_data, SPAN_FMT(op->category),
			category->named.name);
	return OK;
}

static enum err
set_expiry(
	struct call *c, const struct conf_category *category, struct op *op, const struct arg *args)
{
	if (args[PUT_TTL].is_set && args[PUT_EXPIRES_AT].is_set)
		return error_set(
			c->error, ERR_INVALID_ARGUMENT, "give ttl or expires_at, not both");
	if (args[PUT_TTL].is_set)
		op->expires_at = c->now_ms + args[PUT_TTL].i;
	else if (args[PUT_EXPIRES_AT].is_set)
		op->expires_at = args[PUT_EXPIRES_AT].i > 0 ? args[PUT_EXPIRES_AT].i : 1;
	else if (category->ttl_ms < CONF_UNLIMITED - c->now_ms)
		op->expires_at = c->now_ms + category->ttl_ms;
	return OK;
}

/** What the configuration says of the operation's category goes with it. */
static const struct conf_category *
set_retention(struct call *c, struct op *op)
{
	const struct conf_category *category = conf_category(c->api->conf, op->category);

	op->keep = category->history.count;
	op->max_records = category->max_records != CONF_UNLIMITED ? category->max_records : 0;
	return category;
}

/** Fills an operation from the parameters of one record. `category` is its own if it names none. */
static enum err
set_put(struct call *c, struct job *j, struct op *op, const struct arg *args, struct span category)
{
	const struct conf_category *settings;
	unsigned char random[UUID_RANDOM_N];
	char uuid[UUID_SIZE];
	enum err e;

	op->kind = OP_PUT;
	op->now_ms = c->now_ms;
	op->category = args[PUT_CATEGORY].is_set ? job_keep(j, args[PUT_CATEGORY].text) : category;
	settings = set_retention(c, op);
	e = set_expiry(c, settings, op, args);
	if (e != OK)
		return e;
	if (args[PUT_ID].is_set) {
		op->id = job_keep(j, args[PUT_ID].text);
	} else {
		randombytes_buf(random, sizeof(random));
		uuid_write(c->now_ms, random, uuid);
		op->id = job_keep(j, span_of(uuid));
	}
	op->name = args[PUT_NAME].is_set ? job_keep(j, args[PUT_NAME].text) : op->id;
	if (args[PUT_IF_SEQ].is_set)
		op->if_seq = args[PUT_IF_SEQ].i;
	return record_keep_data(c, settings, j, op, args[PUT_DATA].value);
}

enum err
record_put(struct call *c)
{
	struct job *j = call_job(c, JOB_WRITE, 1, c->params_n + UUID_SIZE);
	enum err e;

	if (j == NULL)
		return c->error->code;
	j->ops[0].mode = (enum put_mode)c->args[PUT_MODE].i;
	e = set_put(c, j, &j->ops[0], c->args, c->args[PUT_CATEGORY].text);
	if (e == OK)
		return call_submit(c, j);
	job_free(j);
	return e;
}

enum put_many_arg { MANY_RECORDS, MANY_CATEGORY, MANY_MODE, MANY_RESULTS, MANY_CHAINED };

/* clang-format off */
const struct arg_spec record_put_many_args[] = {
	[MANY_RECORDS]  = {"records",  ARG_ARRAY,  .required = true, .max = PUT_MANY_MAX, .items = item_args, .touches = SCOPE_WRITE, .help = "Objects with the parameters of record.put"},
	[MANY_CATEGORY] = {"category", ARG_NAME,   .standard = "general",                 .help = "Category of records that name none; default \"general\""},
	[MANY_MODE]     = {"mode",     ARG_CHOICE, .choices = PUT_MODES,                  .help = "What to do about records that are there; default \"replace\""},
	[MANY_RESULTS]  = {"results",  ARG_BOOL,                                          .help = "Answer one result a record"},
	[MANY_CHAINED]  = {"chained",  ARG_BOOL,                                          .help = "Only if the write before it on this session was done"},
	{.name = NULL},
};
/* clang-format on */

static enum err
set_item(struct call *c, struct job *j, struct op *op, struct json_value item, struct span category)
{
	struct args args;
	enum err e = args_read_item(&args, item_args, item, c->error);

	if (e == OK)
		e = set_put(c, j, op, args.v, category);
	args_fini(&args);
	return e;
}

static enum err
set_items(struct call *c, struct job *j)
{
	struct span standard = call_keep(j, &c->args[MANY_CATEGORY]);
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
	j->is_chained = c->args[MANY_CHAINED].i != 0;
	e = set_items(c, j);
	if (e == OK)
		return call_submit(c, j);
	job_free(j);
	return e;
}

enum patch_arg { PATCH_CATEGORY, PATCH_ID, PATCH_PATCH, PATCH_IF_SEQ };

/* clang-format off */
const struct arg_spec record_patch_args[] = {
	[PATCH_CATEGORY] = {"category", ARG_NAME, CATEGORY(SCOPE_WRITE), .help = "Category; default \"general\""},
	[PATCH_ID]       = {"id",       ARG_ID,   .required = true, .help = "Id"},
	[PATCH_PATCH]    = {"patch",    ARG_JSON, DATA_DEPTH, .required = true, .help = "A JSON Merge Patch: members to set, those to take away as null"},
	[PATCH_IF_SEQ]   = {"if_seq",   ARG_INT,  SEQ_RANGE,        .help = "Write only if the record is at this seq"},
	{.name = NULL},
};
/* clang-format on */

enum err
record_patch(struct call *c)
{
	const struct arg *a = c->args;
	const struct conf_category *settings;
	struct job *j = call_job(c, JOB_WRITE, 1, c->params_n);
	int64_t max = c->api->conf->store.max_record;
	struct op *op;
	enum err e;

	if (j == NULL)
		return c->error->code;
	op = &j->ops[0];
	op->kind = OP_PATCH;
	op->now_ms = c->now_ms;
	op->category = call_keep(j, &a[PATCH_CATEGORY]);
	op->id = job_keep(j, a[PATCH_ID].text);
	settings = set_retention(c, op);
	op->max_data = settings->max_data < max ? settings->max_data : max;
	if (a[PATCH_IF_SEQ].is_set)
		op->if_seq = a[PATCH_IF_SEQ].i;
	e = record_keep_data(c, settings, j, op, a[PATCH_PATCH].value);
	if (e == OK)
		return call_submit(c, j);
	job_free(j);
	return e;
}

enum get_arg { GET_CATEGORY, GET_ID, GET_REV, GET_AT_SEQ, GET_AT_TIME };

/* clang-format off */
const struct arg_spec record_get_args[] = {
	[GET_CATEGORY] = {"category", ARG_NAME, CATEGORY(SCOPE_READ), .help = "Category; default \"general\""},
	[GET_ID]       = {"id",       ARG_ID,   .required = true, .help = "Id"},
	[GET_REV]      = {"rev",      ARG_INT,  SEQ_RANGE,        .help = "The version with this rev"},
	[GET_AT_SEQ]   = {"at_seq",   ARG_INT,  SEQ_RANGE,        .help = "The version that was there at this seq"},
	[GET_AT_TIME]  = {"at_time",  ARG_TIME,                   .help = "The version that was there at this time"},
	{.name = NULL},
};
/* clang-format on */

static enum err
set_version(struct call *c, struct job *j)
{
	static const enum version_by by[] = {
		[GET_REV] = VERSION_REV,
		[GET_AT_SEQ] = VERSION_SEQ,
		[GET_AT_TIME] = VERSION_TIME,
	};

	for (unsigned i = GET_REV; i <= GET_AT_TIME; i++) {
		if (!c->args[i].is_set)
			continue;
		if (j->read.version != VERSION_NEWEST)
			return error_set(c->error, ERR_INVALID_ARGUMENT,
				"give one of rev, at_seq and at_time");
		j->read.version = by[i];
		j->read.number = c->args[i].i;
	}
	return OK;
}

enum err
record_get(struct call *c)
{
	struct job *j = call_job(c, JOB_GET, 0, c->params_n);

	if (j == NULL)
		return c->error->code;
	if (set_version(c, j) != OK) {
		job_free(j);
		return c->error->code;
	}
	j->read.category = call_keep(j, &c->args[GET_CATEGORY]);
	j->read.id = job_keep(j, c->args[GET_ID].text);
	return call_submit(c, j);
}

enum delete_arg {
	DELETE_CATEGORY,
	DELETE_ID,
	DELETE_IDS,
	DELETE_WHERE,
	DELETE_IF_SEQ,
	DELETE_LIMIT,
	DELETE_CURSOR
};

/* clang-format off */
const struct arg_spec record_delete_args[] = {
	[DELETE_CATEGORY] = {"category", ARG_NAME,   CATEGORY(SCOPE_WRITE),         .help = "Category; default \"general\""},
	[DELETE_ID]       = {"id",       ARG_ID,                                    .help = "Id"},
	[DELETE_IDS]      = {"ids",      ARG_ARRAY,  .max = DELETE_MANY_MAX,        .help = "Ids of several, all or none"},
	[DELETE_WHERE]    = {"where",    ARG_WHERE,                                 .help = "Records whose data meets this condition, some at a time"},
	[DELETE_IF_SEQ]   = {"if_seq",   ARG_INT,    SEQ_RANGE,                     .help = "Delete only if the record is at this seq"},
	[DELETE_LIMIT]    = {"limit",    ARG_INT,    .min = 1, .max = SWEEP_DELETES, .help = "Records to delete by where at a time; default 1000"},
	[DELETE_CURSOR]   = {"cursor",   ARG_STRING, .max = CURSOR_MAX_BYTES,       .help = "Go on where the answer that gave it ended"},
	{.name = NULL},
};
/* clang-format on */

/** One id out of an array, checked like any other. */
static enum err
keep_id(struct call *c, struct job *j, struct json_value value, struct span *id)
{
	char *text;
	size_t n;

	if (value.type != JSON_STRING || value.raw.n > 6 * ID_TEXT_MAX + 2)
		return error_set(c->error, ERR_INVALID_ARGUMENT,
			"must be a string of 1 to %d bytes", ID_TEXT_MAX);
	text = job_room(j, &n);
	n = json_string_decode(value.raw, text);
	if (n == SIZE_MAX)
		return error_set(c->error, ERR_INVALID_ARGUMENT, "a lone surrogate is not text");
	*id = job_keep_written(j, n);
	return name_check_id("id", *id, false, c->error);
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
		set_retention(c, &j->ops[i]);
	}
	if (c->args[DELETE_IF_SEQ].is_set)
		j->ops[0].if_seq = c->args[DELETE_IF_SEQ].i;
	return e;
}

/** What goes together. */
static enum err
check_deletes(struct call *c)
{
	const struct arg *a = c->args;
	bool has_where = a[DELETE_WHERE].is_set;

	if (a[DELETE_ID].is_set + a[DELETE_IDS].is_set + has_where != 1)
		return error_set(c->error, ERR_INVALID_ARGUMENT, "give one of id, ids and where");
	if (a[DELETE_IF_SEQ].is_set && !a[DELETE_ID].is_set)
		return error_set(c->error, ERR_INVALID_ARGUMENT, "if_seq goes with id alone");
	if ((a[DELETE_LIMIT].is_set || a[DELETE_CURSOR].is_set) && !has_where)
		return error_set(c->error, ERR_INVALID_ARGUMENT, "%s goes with where alone",
			a[DELETE_LIMIT].is_set ? "limit" : "cursor");
	if (has_where && !a[DELETE_CATEGORY].is_set)
		return error_set(c->error, ERR_INVALID_ARGUMENT,
			"category is missing: with where it has to be given");
	return OK;
}

static enum err
delete_where(struct call *c)
{
	const struct arg *a = c->args;
	int64_t since = 0;
	struct job *j;
	struct op *op;

	if (a[DELETE_CURSOR].is_set && !span_number(a[DELETE_CURSOR].text, &since))
		return error_set(c->error, ERR_INVALID_ARGUMENT,
			"cursor: not one that a deletion by where gave");
	j = call_job(c, JOB_WRITE, 1, c->params_n);
	if (j == NULL)
		return c->error->code;
	op = &j->ops[0];
	op->kind = OP_DELETE_WHERE;
	op->category = job_keep(j, a[DELETE_CATEGORY].text);
	op->now_ms = c->now_ms;
	op->limit = a[DELETE_LIMIT].is_set ? (unsigned)a[DELETE_LIMIT].i : SWEEP_DELETES;
	set_retention(c, op);
	op->sweep = sweep_new(a[DELETE_WHERE].where, since);
	if (op->sweep != NULL)
		return call_submit(c, j);
	job_free(j);
	return error_set(c->error, ERR_LIMIT_EXCEEDED, "out of memory");
}

enum err
record_delete(struct call *c)
{
	const struct arg *ids = &c->args[DELETE_IDS];
	struct job *j;
	enum err e = check_deletes(c);

	if (e != OK)
		return e;
	if (c->args[DELETE_WHERE].is_set)
		return delete_where(c);
	j = call_job(c, JOB_WRITE, ids->is_set ? (size_t)ids->i : 1, c->params_n);
	if (j == NULL)
		return c->error->code;
	j->is_many = ids->is_set;
	e = set_deletes(c, j, call_keep(j, &c->args[DELETE_CATEGORY]));
	if (e == OK)
		return call_submit(c, j);
	job_free(j);
	return e;
}

enum list_arg {
	LIST_CATEGORY,
	LIST_IDS,
	LIST_WHERE,
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
	[LIST_CATEGORY]  = {"category",       ARG_PATTERN,    .touches = SCOPE_READ,           .help = "Categories: a name, a prefix ending in *, or several; default: all"},
	[LIST_IDS]       = {"id",             ARG_ID_PATTERN,                                  .help = "Ids, in the same way"},
	[LIST_WHERE]     = {"where",          ARG_WHERE,                                       .help = "Only records whose data meets this condition"},
	[LIST_NAME]      = {"name",           ARG_STRING,     .max = RECORD_NAME_MAX,          .help = "Only names that hold this text, letter case of ASCII ignored"},
	[LIST_NAME_LIKE] = {"name_like",      ARG_STRING,     .max = RECORD_NAME_MAX,          .help = "Only names that match this LIKE pattern (% and _; \\ escapes)"},
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
set_pattern(struct call *c, struct job *j, const struct arg *categories, const struct arg *ids,
	const struct arg *where)
{
	if (!categories->is_set && !ids->is_set && !where->is_set)
		return OK;
	j->read.pattern = args_pattern(categories, ids, where);
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
		e = set_pattern(c, j, &a[LIST_CATEGORY], &a[LIST_IDS], &a[LIST_WHERE]);
	if (e == OK)
		return call_submit(c, j);
	job_free(j);
	return e;
}

enum count_arg { COUNT_CATEGORY, COUNT_IDS, COUNT_WHERE };

/* clang-format off */
const struct arg_spec record_count_args[] = {
	[COUNT_CATEGORY] = {"category", ARG_PATTERN,    .touches = SCOPE_READ, .help = "Categories: a name, a prefix ending in *, or several; default: all"},
	[COUNT_IDS]      = {"id",       ARG_ID_PATTERN, .help = "Ids, in the same way"},
	[COUNT_WHERE]    = {"where",    ARG_WHERE,      .help = "Only records whose data meets this condition"},
	{.name = NULL},
};
/* clang-format on */

/** args: three, in the order of enum count_arg. */
static enum err
submit_counting(struct call *c, enum job_kind kind, const struct arg *args)
{
	struct job *j = call_job(c, kind, 0, c->params_n);
	enum err e;

	if (j == NULL)
		return c->error->code;
	e = set_pattern(c, j, &args[COUNT_CATEGORY], &args[COUNT_IDS], &args[COUNT_WHERE]);
	if (e == OK)
		return call_submit(c, j);
	job_free(j);
	return e;
}

enum err
record_count(struct call *c)
{
	return submit_counting(c, JOB_COUNT, c->args);
}

/* clang-format off */
const struct arg_spec category_list_args[] = {
	[COUNT_CATEGORY] = {"category", ARG_PATTERN, .touches = SCOPE_READ, .narrows = true, .help = "A name, a prefix ending in *, or several; default: all that may be read"},
	{.name = NULL},
};
/* clang-format on */

enum err
category_list(struct call *c)
{
	return submit_counting(c, JOB_CATEGORIES, c->args);
}
