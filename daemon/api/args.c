/* Parameters by table: see args.h. */

#include "daemon/api/args.h"

#include <stdlib.h>
#include <string.h>

#include "common/name.h"
#include "common/secret.h"
#include "common/time.h"
#include "common/xalloc.h"

struct reading {
	struct args *args;
	const struct arg_spec *spec;
	size_t room; /* for decoded texts, at most: the size of the params */
	struct error *error;
};

/** What a kind is called, what is said to be wanted, and bounds that hold for all of the kind. */
struct kind_info {
	const char *name;
	const char *wanted;
	bool is_number; /* its bounds are told with what is wanted */
	int64_t min;
	int64_t max;
};

/* The last year that RFC 3339 can write, so that sums cannot overflow. */
#define ARG_TIME_MAX   INT64_C(253402300799999)
#define PATTERN_WANTED "a string, {\"prefix\": string}, or an array of these"

/* clang-format off */
static const struct kind_info kinds[] = {
	/*                  name        wanted                                                     number min max */
	[ARG_NAME]       = {"name",     "a string",                                                false, 1,  NAME_TEXT_MAX},
	[ARG_PATTERN]    = {"pattern",  PATTERN_WANTED,                                            false, 1,  ARG_PATTERN_MAX},
	[ARG_ID]         = {"id",       "a string",                                                false, 1,  ID_TEXT_MAX},
	[ARG_ID_PATTERN] = {"pattern",  PATTERN_WANTED,                                            false, 1,  ARG_PATTERN_MAX},
	[ARG_STRING]     = {"string",   "a string",                                                false, 0,  0},
	[ARG_INT]        = {"integer",  "an integer",                                              true,  0,  0},
	[ARG_BOOL]       = {"boolean",  "true or false",                                           false, 0,  0},
	[ARG_TIME]       = {"time",     "an RFC 3339 string, or an integer of milliseconds",       true,  0,  ARG_TIME_MAX},
	[ARG_DURATION]   = {"duration", "a string such as \"30s\", or an integer of milliseconds", true,  1,  ARG_TIME_MAX},
	[ARG_JSON]       = {"json",     "a value",                                                 false, 0,  0},
	[ARG_ARRAY]      = {"array",    "an array",                                                false, 1,  0},
	[ARG_CHOICE]     = {"choice",   "a string",                                                false, 0,  0},
	[ARG_WHERE]      = {"where",    "an object",                                               false, 0,  0},
	[ARG_SCOPES]     = {"scopes",   "a string such as \"read:ticker\", or an array of these",  false, 0,  0},
};
/* clang-format on */

const char *
args_kind_name(enum arg_kind kind)
{
	return kinds[kind].name;
}

bool
args_bounds(const struct arg_spec *spec, int64_t *min, int64_t *max)
{
	const struct kind_info *kind = &kinds[spec->kind];

	*min = kind->min > spec->min ? kind->min : spec->min;
	*max = kind->max > 0 ? kind->max : spec->max;
	return *max > 0;
}

/** Decodes a string, in place where it has no escapes. */
static enum err
decode(struct reading *r, struct span raw, struct span *text)
{
	struct args *a = r->args;
	size_t n;

	if (json_string_is_plain(raw)) {
		*text = (struct span){raw.p + 1, raw.n - 2};
		return OK;
	}
	if (a->texts == NULL)
		a->texts = try_alloc(r->room);
	if (a->texts == NULL)
		return error_set(r->error, ERR_LIMIT_EXCEEDED, "out of memory");
	n = json_string_decode(raw, a->texts + a->texts_n);
	if (n == SIZE_MAX)
		return error_set(r->error, ERR_INVALID_ARGUMENT, "%s: a lone surrogate is not text",
			r->spec->name);
	*text = (struct span){a->texts + a->texts_n, n};
	a->texts_n += n;
	return OK;
}

static enum err
check_term(struct reading *r, const struct term *t)
{
	return r->spec->kind == ARG_PATTERN || r->spec->kind == ARG_NAME
		       ? name_check(r->spec->name, t->text, t->is_prefix, r->error)
		       : name_check_id(r->spec->name, t->text, t->is_prefix, r->error);
}

static enum err
wrong_kind(struct reading *r)
{
	const struct kind_info *kind = &kinds[r->spec->kind];
	int64_t min, max;

	if (!kind->is_number)
		return error_set(r->error, ERR_INVALID_ARGUMENT, "%s must be %s", r->spec->name,
			kind->wanted);
	args_bounds(r->spec, &min, &max);
	return error_set(r->error, ERR_INVALID_ARGUMENT, "%s must be %s between %lld and %lld",
		r->spec->name, kind->wanted, (long long)min, (long long)max);
}

/** {"prefix": "..."} */
static enum err
read_prefix(struct reading *r, struct json_value value, struct term *t)
{
	struct json_walk w = json_walk_start(value);
	struct json_value text = {.type = JSON_NULL}, more;
	struct span key;

	if (!json_object_next(&w, &key, &text) || !json_string_is(key, "prefix") ||
		text.type != JSON_STRING || json_object_next(&w, &key, &more))
		return wrong_kind(r);
	t->is_prefix = true;
	return decode(r, text.raw, &t->text);
}

static enum err
read_term(struct reading *r, struct json_value value, struct term *t)
{
	enum err e;

	*t = (struct term){.is_prefix = false};
	if (value.type == JSON_OBJECT) {
		e = read_prefix(r, value, t);
	} else if (value.type == JSON_STRING) {
		e = decode(r, value.raw, &t->text);
		if (e == OK && t->text.n > 0 && t->text.p[t->text.n - 1] == '*') {
			t->is_prefix = true;
			t->text.n--;
		}
	} else {
		e = wrong_kind(r);
	}
	return e == OK ? check_term(r, t) : e;
}

static enum err
read_pattern(struct reading *r, struct arg *arg)
{
	struct json_walk w;
	struct json_value item;
	enum err e = OK;

	arg->terms = xnew_n(ARG_PATTERN_MAX, struct term);
	if (arg->value.type != JSON_ARRAY) {
		arg->terms_n = 1;
		return read_term(r, arg->value, arg->terms);
	}
	w = json_walk_start(arg->value);
	while (e == OK && json_array_next(&w, &item)) {
		if (arg->terms_n == ARG_PATTERN_MAX)
			return error_set(r->error, ERR_LIMIT_EXCEEDED, "%s: at most %d of them",
				r->spec->name, ARG_PATTERN_MAX);
		e = read_term(r, item, &arg->terms[arg->terms_n++]);
	}
	if (e == OK && arg->terms_n == 0)
		return error_set(
			r->error, ERR_INVALID_ARGUMENT, "%s must not be empty", r->spec->name);
	return e;
}

static enum err
read_text(struct reading *r, struct arg *arg)
{
	enum err e;

	if (arg->value.type != JSON_STRING)
		return wrong_kind(r);
	e = decode(r, arg->value.raw, &arg->text);
	if (e != OK)
		return e;
	if (r->spec->kind == ARG_NAME)
		return name_check(r->spec->name, arg->text, false, r->error);
	if (r->spec->kind == ARG_ID)
		return name_check_id(r->spec->name, arg->text, false, r->error);
	if ((int64_t)arg->text.n > r->spec->max)
		return error_set(r->error, ERR_INVALID_ARGUMENT, "%s: at most %lld bytes",
			r->spec->name, (long long)r->spec->max);
	if (memchr(arg->text.p, '\0', arg->text.n) != NULL)
		return error_set(
			r->error, ERR_INVALID_ARGUMENT, "%s must not hold a NUL", r->spec->name);
	return OK;
}

static bool
is_within_bounds(const struct arg_spec *spec, int64_t i)
{
	int64_t min, max;

	args_bounds(spec, &min, &max);
	return i >= min && i <= max;
}

static enum err
read_int(struct reading *r, struct arg *arg)
{
	if (arg->value.type != JSON_NUMBER || !json_number_int64(arg->value.raw, &arg->i) ||
		!is_within_bounds(r->spec, arg->i))
		return wrong_kind(r);
	return OK;
}

/** A time or a duration: an integer, or a text that the parser understands. */
static enum err
read_time(struct reading *r, struct arg *arg, bool (*parse)(struct span text, int64_t *ms))
{
	bool is_valid = false;
	struct span text = {NULL, 0};
	enum err e;

	if (arg->value.type == JSON_NUMBER) {
		is_valid = json_number_int64(arg->value.raw, &arg->i);
	} else if (arg->value.type == JSON_STRING) {
		e = decode(r, arg->value.raw, &text);
		if (e != OK)
			return e;
		is_valid = parse(text, &arg->i);
	}
	return is_valid && is_within_bounds(r->spec, arg->i) ? OK : wrong_kind(r);
}

static enum err
read_array(struct reading *r, struct arg *arg)
{
	struct json_walk w;
	struct json_value item;

	if (arg->value.type != JSON_ARRAY)
		return wrong_kind(r);
	w = json_walk_start(arg->value);
	while (json_array_next(&w, &item))
		arg->i++;
	if (arg->i == 0)
		return error_set(
			r->error, ERR_INVALID_ARGUMENT, "%s must not be empty", r->spec->name);
	if (arg->i > r->spec->max)
		return error_set(r->error, ERR_LIMIT_EXCEEDED, "%s: at most %lld, these are %lld",
			r->spec->name, (long long)r->spec->max, (long long)arg->i);
	return OK;
}

static enum err
read_choice(struct reading *r, struct arg *arg)
{
	const char *p = r->spec->choices;
	struct span text = {NULL, 0};
	enum err e;

	if (arg->value.type != JSON_STRING)
		return wrong_kind(r);
	e = decode(r, arg->value.raw, &text);
	if (e != OK)
		return e;
	for (arg->i = 0; *p != '\0'; arg->i++) {
		size_t n = strcspn(p, " ");

		if (span_eq(text, (struct span){p, n}))
			return OK;
		p += n + (p[n] == ' ');
	}
	return error_set(r->error, ERR_INVALID_ARGUMENT, "%s must be one of: %s", r->spec->name,
		r->spec->choices);
}

static enum err
read_where(struct reading *r, struct arg *arg)
{
	enum err e;

	if (arg->value.type != JSON_OBJECT)
		return wrong_kind(r);
	e = where_new(arg->value, &arg->where, r->error);
	if (e != OK)
		error_wrap(r->error, "%s", r->spec->name);
	return e;
}

static enum err
read_scope(struct reading *r, struct json_value value, struct scopes *scopes)
{
	struct span text;
	enum err e;

	if (value.type != JSON_STRING)
		return wrong_kind(r);
	e = decode(r, value.raw, &text);
	if (e != OK)
		return e;
	e = scopes_add(scopes, text, SCOPE_ALL, r->error);
	if (e != OK)
		error_wrap(r->error, "%s", r->spec->name);
	return e;
}

static enum err
read_scopes(struct reading *r, struct arg *arg)
{
	struct json_walk w;
	struct json_value item;
	enum err e = OK;

	arg->scopes = scopes_new(r->spec->name);
	if (arg->value.type != JSON_ARRAY)
		return read_scope(r, arg->value, arg->scopes);
	w = json_walk_start(arg->value);
	while (e == OK && json_array_next(&w, &item))
		e = read_scope(r, item, arg->scopes);
	if (e == OK && scopes_verbs(arg->scopes) == SCOPE_NONE)
		return error_set(
			r->error, ERR_INVALID_ARGUMENT, "%s must not be empty", r->spec->name);
	return e;
}

static enum err
check_depth(const struct reading *r, const struct arg *arg)
{
	size_t max = (size_t)r->spec->max, depth;

	/* Each level has two bytes, so that most values need not be looked at. */
	if (max == 0 || arg->value.raw.n <= 2 * max || (depth = json_depth(arg->value)) <= max)
		return OK;
	return error_set_limit(r->error, "nesting",
		"%s is nested %zu deep, at most %zu are allowed", r->spec->name, depth, max);
}

static enum err
read_value(struct reading *r, struct arg *arg)
{
	switch (r->spec->kind) {
	case ARG_NAME:
	case ARG_ID:
	case ARG_STRING:
		return read_text(r, arg);
	case ARG_PATTERN:
	case ARG_ID_PATTERN:
		return read_pattern(r, arg);
	case ARG_INT:
		return read_int(r, arg);
	case ARG_BOOL:
		arg->i = arg->value.type == JSON_TRUE;
		return arg->i || arg->value.type == JSON_FALSE ? OK : wrong_kind(r);
	case ARG_TIME:
		return read_time(r, arg, time_parse);
	case ARG_DURATION:
		return read_time(r, arg, duration_parse);
	case ARG_ARRAY:
		return read_array(r, arg);
	case ARG_CHOICE:
		return read_choice(r, arg);
	case ARG_WHERE:
		return read_where(r, arg);
	case ARG_SCOPES:
		return read_scopes(r, arg);
	case ARG_JSON:
		return check_depth(r, arg);
	}
	return error_set(r->error, ERR_INTERNAL_ERROR, "unknown kind of parameter");
}

static enum err
unknown(struct span key, const struct arg_spec *specs, struct error *error)
{
	char name[64];
	struct buf known;

	json_string_text(key, name, sizeof(name));
	if (specs->name == NULL)
		return error_set(error, ERR_INVALID_ARGUMENT,
			"unknown parameter \"%s\": this method takes none", name);
	buf_init(&known, ERROR_TEXT_MAX);
	for (; specs->name != NULL; specs++)
		buf_addf(&known, "%s%s", known.n > 0 ? ", " : "", specs->name);
	error_set(error, ERR_INVALID_ARGUMENT, "unknown parameter \"%s\" (known: %.*s)", name,
		SPAN_FMT(buf_span(&known)));
	buf_fini(&known);
	return ERR_INVALID_ARGUMENT;
}

static enum err
read_member(
	struct reading *r, const struct arg_spec *specs, struct span key, struct json_value value)
{
	size_t i = 0;

	while (specs[i].name != NULL && !json_string_is(key, specs[i].name))
		i++;
	if (specs[i].name == NULL)
		return unknown(key, specs, r->error);
	r->spec = &specs[i];
	if (r->args->v[i].is_set)
		return error_set(
			r->error, ERR_INVALID_ARGUMENT, "%s is given twice", specs[i].name);
	r->args->v[i].is_set = true;
	r->args->v[i].value = value;
	return read_value(r, &r->args->v[i]);
}

enum err
args_read(
	struct args *a, const struct arg_spec *specs, struct json_value params, struct error *error)
{
	struct reading r = {.args = a, .room = params.raw.n, .error = error};
	struct json_walk w;
	struct json_value value;
	struct span key;
	enum err e = OK;

	*a = (struct args){.texts = NULL};
	if (params.raw.n > 0) {
		w = json_walk_start(params);
		while (e == OK && json_object_next(&w, &key, &value))
			e = read_member(&r, specs, key, value);
	}
	for (size_t i = 0; e == OK && specs[i].name != NULL; i++) {
		if (a->v[i].is_set)
			continue;
		a->v[i].text = span_of(specs[i].standard);
		if (specs[i].required)
			e = error_set(error, ERR_INVALID_ARGUMENT, "%s is missing", specs[i].name);
	}
	return e;
}

enum err
args_read_item(
	struct args *a, const struct arg_spec *specs, struct json_value item, struct error *error)
{
	if (item.type == JSON_OBJECT)
		return args_read(a, specs, item, error);
	*a = (struct args){.texts = NULL};
	return error_set(error, ERR_INVALID_ARGUMENT, "must be an object");
}

void
args_wipe(struct args *a)
{
	secret_wipe((struct span){a->texts, a->texts_n});
}

void
args_fini(struct args *a)
{
	free(a->texts);
	for (size_t i = 0; i < ARGS_MAX; i++) {
		free(a->v[i].terms);
		free(a->v[i].where);
		scopes_unref(a->v[i].scopes);
	}
}

struct pattern *
args_pattern(const struct arg *categories, const struct arg *ids, const struct arg *where)
{
	static const struct term everything = {
		{"", 0},
                true
        };
	const struct term *c = categories->is_set ? categories->terms : &everything;

	return pattern_new(c, categories->is_set ? categories->terms_n : 1, ids->terms,
		ids->terms_n, where->where);
}
