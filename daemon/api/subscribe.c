/* subscribe, unsubscribe, changes: positions and patterns to the hub or the store. */

#include <stdlib.h>

#include "daemon/api/methods.h"

#define EPOCH_MAX_BYTES   64
#define CHANGES_LIMIT     100
#define CHANGES_LIMIT_MAX 1000
#define SEQ_RANGE         .min = 0, .max = (INT64_C(1) << 53) - 1

enum subscribe_arg {
	SUB_CATEGORIES,
	SUB_TOPICS,
	SUB_IDS,
	SUB_WHERE,
	SUB_SINCE,
	SUB_EPOCH,
	SUB_BASE,
	SUB_HISTORY
};

/* clang-format off */
const struct arg_spec subscribe_args[] = {
	[SUB_CATEGORIES] = {"categories", ARG_PATTERN,    .touches = SCOPE_READ,  .help = "Names, or prefixes ending in *; \"*\" is all of them"},
	[SUB_TOPICS]     = {"topics",     ARG_PATTERN,    .touches = SCOPE_READ,  .help = "Topics, in the same way"},
	[SUB_IDS]        = {"ids",        ARG_ID_PATTERN,                         .help = "Ids, or prefixes ending in *; default: all"},
	[SUB_WHERE]      = {"where",      ARG_WHERE,                              .help = "Only records whose data meets this condition"},
	[SUB_SINCE]      = {"since",      ARG_INT,        SEQ_RANGE,              .help = "Position to go on from; 0: everything first; default: from now on"},
	[SUB_EPOCH]      = {"epoch",      ARG_STRING,     .max = EPOCH_MAX_BYTES, .help = "The epoch that the position belongs to"},
	[SUB_BASE]       = {"base",       ARG_INT,        SEQ_RANGE,              .help = "What the answer to a subscribe from 0 gave, when that broke off"},
	[SUB_HISTORY]    = {"history",    ARG_BOOL,                               .help = "Replay every version that is kept, not only the newest"},
	{.name = NULL},
};
/* clang-format on */

static struct position
position_of(const struct arg *since, const struct arg *epoch, const struct arg *base)
{
	return (struct position){
		.epoch = epoch->text,
		.since = since->is_set ? since->i : -1,
		.base = base->i,
	};
}

static enum err
subscribe_to_changes(struct call *c, struct pattern **pattern, struct subscribed *out)
{
	struct position from =
		position_of(&c->args[SUB_SINCE], &c->args[SUB_EPOCH], &c->args[SUB_BASE]);

	from.history = c->args[SUB_HISTORY].i != 0;
	if (from.history && c->args[SUB_WHERE].is_set)
		return error_set(c->error, ERR_INVALID_ARGUMENT,
			"history and where do not go together: of a version that does not match there "
			"is nothing to leave");
	return hub_subscribe(c->caller->subscriber, pattern, &from, out, c->error);
}

static enum err
subscribe_to_topics(struct call *c, struct pattern **pattern, struct subscribed *out)
{
	if (c->args[SUB_SINCE].is_set || c->args[SUB_EPOCH].is_set || c->args[SUB_BASE].is_set ||
		c->args[SUB_IDS].is_set || c->args[SUB_WHERE].is_set || c->args[SUB_HISTORY].is_set)
		return error_set(c->error, ERR_INVALID_ARGUMENT,
			"topics are not stored: ids, where, since, epoch, base and history do not go "
			"with them");
	return hub_subscribe_topics(c->caller->subscriber, pattern, out, c->error);
}

static void
put_subscribed(struct call *c, const struct subscribed *s)
{
	struct json_out o = json_out_start(c->result);

	json_begin_object(&o, NULL);
	json_put_int(&o, "subscription", s->number);
	json_put_str(&o, "epoch", store_epoch(c->api->store));
	json_put_int(&o, "seq", s->seq);
	if (s->base > 0 || (c->args[SUB_SINCE].is_set && c->args[SUB_SINCE].i == 0))
		json_put_int(&o, "base", s->base);
	json_end_object(&o);
}

enum err
subscribe_start(struct call *c)
{
	bool to_topics = c->args[SUB_TOPICS].is_set;
	struct subscribed out = {.number = 0};
	struct pattern *pattern;
	enum err e;

	if (to_topics == c->args[SUB_CATEGORIES].is_set)
		return error_set(c->error, ERR_INVALID_ARGUMENT,
			"give categories or topics: a subscription is to one or the other");
	pattern = args_pattern(&c->args[to_topics ? SUB_TOPICS : SUB_CATEGORIES], &c->args[SUB_IDS],
		&c->args[SUB_WHERE]);
	if (pattern == NULL)
		return error_set(c->error, ERR_LIMIT_EXCEEDED, "out of memory");
	e = to_topics ? subscribe_to_topics(c, &pattern, &out)
		      : subscribe_to_changes(c, &pattern, &out);
	free(pattern);
	if (e == OK)
		put_subscribed(c, &out);
	return e;
}

/* clang-format off */
const struct arg_spec unsubscribe_args[] = {
	{"subscription", ARG_INT, .required = true, .min = 1, .max = UINT32_MAX, .help = "Its number"},
	{.name = NULL},
};
/* clang-format on */

enum err
subscribe_end(struct call *c)
{
	enum err e = hub_unsubscribe(c->caller->subscriber, (unsigned)c->args[0].i, c->error);

	if (e == OK)
		buf_add(c->result, "{}", 2);
	return e;
}

enum changes_arg { CH_CATEGORIES, CH_IDS, CH_WHERE, CH_SINCE, CH_EPOCH, CH_BASE, CH_LIMIT };

/* clang-format off */
const struct arg_spec changes_args[] = {
	[CH_CATEGORIES] = {"categories", ARG_PATTERN,    .touches = SCOPE_READ,              .help = "Names, or prefixes ending in *; default: all"},
	[CH_IDS]        = {"ids",        ARG_ID_PATTERN,                                     .help = "Ids, in the same way"},
	[CH_WHERE]      = {"where",      ARG_WHERE,                                          .help = "Only records whose data meets this condition"},
	[CH_SINCE]      = {"since",      ARG_INT,        .required = true, SEQ_RANGE,        .help = "Position to go on from; 0: from the beginning"},
	[CH_EPOCH]      = {"epoch",      ARG_STRING,     .max = EPOCH_MAX_BYTES,             .help = "The epoch that the position belongs to"},
	[CH_BASE]       = {"base",       ARG_INT,        SEQ_RANGE,                          .help = "What the page before gave, as long as it gives one"},
	[CH_LIMIT]      = {"limit",      ARG_INT,        .min = 1, .max = CHANGES_LIMIT_MAX, .help = "Changes of a page; default 100"},
	{.name = NULL},
};
/* clang-format on */

enum err
changes_read(struct call *c)
{
	const struct arg *a = c->args;
	struct job *j;
	enum err e = store_check_position(
		c->api->store, a[CH_EPOCH].text, a[CH_SINCE].i, a[CH_BASE].i, c->error);

	if (e != OK)
		return e;
	j = call_job(c, JOB_CHANGES, 0, 0);
	if (j == NULL)
		return c->error->code;
	j->read.since = a[CH_SINCE].i;
	j->read.base = a[CH_BASE].i;
	j->read.limit = a[CH_LIMIT].is_set ? (unsigned)a[CH_LIMIT].i : CHANGES_LIMIT;
	if (a[CH_CATEGORIES].is_set || a[CH_IDS].is_set || a[CH_WHERE].is_set) {
		j->read.pattern = args_pattern(&a[CH_CATEGORIES], &a[CH_IDS], &a[CH_WHERE]);
		if (j->read.pattern == NULL) {
			job_free(j);
			return error_set(c->error, ERR_LIMIT_EXCEEDED, "out of memory");
		}
	}
	return call_submit(c, j);
}
