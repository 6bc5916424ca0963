#pragma once
/*
 * Parameters by table: one piece of code checks them all and words all the
 * errors. Texts are decoded into memory that lives for the call. Pure.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/json.h"
#include "daemon/guard/scope.h"
#include "daemon/store/pattern.h"

enum arg_kind {
	ARG_NAME,    /* category: decoded text that is a name */
	ARG_PATTERN, /* name, or prefix ending in "*", or {"prefix": ...}, or an array of these */
	ARG_ID,      /* 1 to 512 bytes of UTF-8 without control characters */
	ARG_ID_PATTERN, /* as ARG_PATTERN, for ids */
	ARG_STRING,     /* decoded text of at most `max` bytes, without NUL */
	ARG_INT,        /* min..max */
	ARG_BOOL,
	ARG_TIME,     /* integer milliseconds or RFC 3339 */
	ARG_DURATION, /* "30s" or integer milliseconds, above 0 */
	ARG_JSON,     /* anything, at most `max` deep (0: as deep as it came): arg.value */
	ARG_ARRAY,    /* an array of 1 to max items: arg.value; arg.i is how many */
	ARG_CHOICE,   /* one of `choices`, parted by spaces: arg.i is its place */
	ARG_WHERE,    /* a condition on data: arg.where */
	ARG_SCOPES,   /* a scope as text, or an array of these: arg.scopes */
};

#define ARGS_MAX        16
#define ARG_PATTERN_MAX 100 /* terms of one pattern */

struct arg_spec {
	const char *name; /* NULL ends the list */
	enum arg_kind kind;
	bool required;
	int64_t min;
	int64_t max;
	const char *choices;
	const char *help;
	const char *standard;         /* of a name: what it is when it is not given */
	const struct arg_spec *items; /* of an array: the members of its objects */
	enum scope touches; /* what it names is touched so; an item that does not say takes what
			       stands beside the array under the same name */
	bool narrows;       /* a pattern: not given, it is all that the caller may touch so */
};

struct arg {
	bool is_set;
	struct json_value value; /* as sent */
	struct span text;        /* decoded */
	int64_t i;
	struct term *terms; /* owned by struct args */
	size_t terms_n;
	struct where *where;   /* owned by struct args */
	struct scopes *scopes; /* likewise */
};

/** Checked parameters, in the order of their specs, and the memory that they live in. */
struct args {
	struct arg v[ARGS_MAX];
	char *texts; /* decoded ones that could not be used in place */
	size_t texts_n;
};

/** Reads `params` (raw.n == 0: none were given) by the table. ERR_INVALID_ARGUMENT or
 * ERR_LIMIT_EXCEEDED names the parameter. args_fini() also after a failure. */
enum err args_read(struct args *a, const struct arg_spec *specs, struct json_value params,
	struct error *error);
/** The same for an item of an array, which has to be an object. */
enum err args_read_item(
	struct args *a, const struct arg_spec *specs, struct json_value item, struct error *error);
void args_fini(struct args *a);
/** Overwrites decoded texts: one of them is secret. */
void args_wipe(struct args *a);

/** What `methods` calls a kind: "name", "pattern", ... */
const char *args_kind_name(enum arg_kind kind);
/** The least and the most of an integer, of the milliseconds of a time or a duration, of the bytes
 * of a text, of the items of an array or a pattern; false for kinds that have no such bounds. */
bool args_bounds(const struct arg_spec *spec, int64_t *min, int64_t *max);

/** The pattern of two arguments of terms and a condition, any of which may be unset, or NULL when
 * out of memory. */
struct pattern *args_pattern(
	const struct arg *categories, const struct arg *ids, const struct arg *where);
