/* feed.*: upstreams and what becomes of what they send. */

#include <stdlib.h>

#include "common/base64.h"
#include "common/xalloc.h"
#include "daemon/api/methods.h"
#include "daemon/api/reach.h"
#include "daemon/base/expand.h"
#include "daemon/feed/feeds.h"
#include "daemon/feed/playback.h"

#define TEST_MESSAGES     5
#define TEST_MESSAGES_MAX 100
#define TEST_TIMEOUT_MS   10000
#define TEST_TIMEOUT_MAX  600000
#define LOGS_LIMIT        100
#define LOGS_LIMIT_MAX    1000
#define REPLAY_MAX        10000
#define MESSAGE_MAX       (256 << 20)

/* clang-format off */
#define FEED_NAME {"name", ARG_NAME, .required = true, .help = "What it is called"}

const struct arg_spec feed_name_args[] = {
	FEED_NAME,
	{.name = NULL},
};
/* clang-format on */

enum err
feed_list(struct call *c)
{
	struct json_out o = json_out_start(c->result);

	json_begin_object(&o, NULL);
	json_begin_array(&o, "items");
	feeds_add_list(c->api->feeds, &o);
	json_end_array(&o);
	json_end_object(&o);
	return OK;
}

/** The feed that the first parameter names. */
static enum err
find(const struct call *c, struct feed **out)
{
	return feeds_get(c->api->feeds, c->args[0].text, out, c->error);
}

enum err
feed_show(struct call *c)
{
	struct json_out o = json_out_start(c->result);
	struct feed *f;
	enum err e = find(c, &f);

	if (e != OK)
		return e;
	json_begin_object(&o, NULL);
	json_begin_object(&o, "feed");
	feed_add_status(f, true, &o);
	json_end_object(&o);
	json_end_object(&o);
	return OK;
}

static enum err
answer_state(struct call *c, const struct feed *f)
{
	struct json_out o = json_out_start(c->result);

	json_begin_object(&o, NULL);
	json_put_str(&o, "name", feed_name(f));
	json_put_str(&o, "state", machine_state_name(feed_state(f)));
	json_end_object(&o);
	return OK;
}

enum err
feed_call_start(struct call *c)
{
	struct feed *f;
	enum err e = find(c, &f);

	if (e == OK)
		e = feeds_start(c->api->feeds, f, c->error);
	return e == OK ? answer_state(c, f) : e;
}

enum err
feed_call_stop(struct call *c)
{
	struct feed *f;
	enum err e = find(c, &f);

	if (e != OK)
		return e;
	feed_stop(f);
	return answer_state(c, f);
}

enum add_arg { ADD_NAME, ADD_DEFINITION, ADD_REPLACE };

/* clang-format off */
const struct arg_spec feed_add_args[] = {
	[ADD_NAME]       = FEED_NAME,
	[ADD_DEFINITION] = {"definition", ARG_JSON, .required = true, .help = "An object with the options of [feed.NAME]: see sysrt.conf(5)"},
	[ADD_REPLACE]    = {"replace",    ARG_BOOL,                   .help = "In the place of the one that has this name"},
	{.name = NULL},
};
/* clang-format on */

/** From the network no path of the file system is taken. */
static enum err
check_files(const struct call *c, struct json_value definition)
{
	struct json_value value;
	struct json_walk w;
	struct span key;

	if (c->caller->kind == ORIGIN_CONTROL || definition.raw.n == 0 ||
		definition.type != JSON_OBJECT)
		return OK;
	w = json_walk_start(definition);
	while (json_object_next(&w, &key, &value))
		if (json_string_is(key, "ca") && !span_is(value.raw, "\"\""))
			return error_set(c->error, ERR_PERMISSION_DENIED,
				"ca names a file of the daemon's machine: that is for its control "
				"socket, or its configuration");
	return OK;
}

static enum err
need_secret(void *arg, struct span name, struct error *error)
{
	const struct call *c = arg;

	return reach_need(c->method, c->caller->scopes, SCOPE_SECRETS, name, error);
}

/** Whoever says where secrets are sent to reads them. */
static enum err
check_secrets(struct call *c, struct span name, struct json_value definition)
{
	struct conf_feed *def = NULL;
	enum err e = conf_feed_read(name, definition, &def, c->error);

	if (e == OK)
		e = expand_each_secret(def, need_secret, c, c->error);
	conf_feed_free(def);
	return e;
}

/** Of the rest of the daemon only the store's answer is told. */
static enum err
submit_definition(struct call *c, bool replaces)
{
	struct job *j = call_job(c, JOB_WRITE, 1, c->params_n);
	struct buf room = {.n = 0};

	if (j == NULL)
		return c->error->code;
	j->ops[0].kind = OP_FEED_SET;
	j->ops[0].now_ms = c->now_ms;
	j->ops[0].if_seq = replaces ? -1 : 0;
	j->ops[0].name = job_keep(j, c->args[ADD_NAME].text);
	room.p = job_room(j, &room.cap);
	room.max = room.cap;
	json_compact(c->args[ADD_DEFINITION].value, &room);
	j->ops[0].data = job_keep_written(j, room.n);
	return call_submit(c, j);
}

enum err
feed_add(struct call *c)
{
	bool replaces = c->args[ADD_REPLACE].i != 0;
	enum err e = check_files(c, c->args[ADD_DEFINITION].value);

	if (e == OK)
		e = feeds_check_new(c->api->feeds, c->args[ADD_NAME].text,
			c->args[ADD_DEFINITION].value, replaces, c->error);
	if (e == OK)
		e = check_secrets(c, c->args[ADD_NAME].text, c->args[ADD_DEFINITION].value);
	return e == OK ? submit_definition(c, replaces) : e;
}

enum err
feed_remove(struct call *c)
{
	enum err e = feeds_check_remove(c->api->feeds, c->args[0].text, c->error);
	struct job *j = e == OK ? call_job(c, JOB_WRITE, 1, c->params_n) : NULL;

	if (e != OK)
		return e;
	if (j == NULL)
		return c->error->code;
	j->ops[0].kind = OP_FEED_DROP;
	j->ops[0].now_ms = c->now_ms;
	j->ops[0].name = job_keep(j, c->args[0].text);
	return call_submit(c, j);
}

enum test_arg { TEST_NAME, TEST_DEFINITION, TEST_MESSAGES_N, TEST_TIMEOUT };

/* clang-format off */
const struct arg_spec feed_test_args[] = {
	[TEST_NAME]       = {"name",       ARG_NAME,                                     .help = "What it is called; with a definition: what it would be"},
	[TEST_DEFINITION] = {"definition", ARG_JSON,                                     .help = "An object with the options of [feed.NAME]; default: those of the feed"},
	[TEST_MESSAGES_N] = {"messages",   ARG_INT, .min = 1, .max = TEST_MESSAGES_MAX,  .help = "How many messages to wait for; default 5"},
	[TEST_TIMEOUT]    = {"timeout_ms", ARG_INT, .min = 1, .max = TEST_TIMEOUT_MAX,   .help = "At most so long; default 10000"},
	{.name = NULL},
};
/* clang-format on */

enum err
feed_test(struct call *c)
{
	const struct arg *a = c->args;
	struct span name = a[TEST_NAME].is_set ? a[TEST_NAME].text : SPAN("test");
	struct json_value definition = {0};
	enum err e = OK;

	if (!a[TEST_NAME].is_set && !a[TEST_DEFINITION].is_set)
		return error_set(c->error, ERR_INVALID_ARGUMENT, "give name or definition");
	if (a[TEST_DEFINITION].is_set) {
		definition = a[TEST_DEFINITION].value;
		e = check_files(c, definition);
		if (e == OK)
			e = check_secrets(c, name, definition);
	}
	if (e != OK)
		return e;
	return feeds_try(c->api->feeds, &c->origin,
		&(struct feeds_trial){
			.name = name,
			.definition = definition,
			.messages =
				a[TEST_MESSAGES_N].is_set ? a[TEST_MESSAGES_N].i : TEST_MESSAGES,
			.timeout_ms = a[TEST_TIMEOUT].is_set ? a[TEST_TIMEOUT].i : TEST_TIMEOUT_MS,
		},
		c->error);
}

/* clang-format off */
const struct arg_spec feed_logs_args[] = {
	FEED_NAME,
	{"limit", ARG_INT, .min = 1, .max = LOGS_LIMIT_MAX, .help = "How many of the last things that happened; default 100"},
	{.name = NULL},
};
/* clang-format on */

enum err
feed_logs(struct call *c)
{
	struct json_out o = json_out_start(c->result);
	struct feed *f;
	enum err e = find(c, &f);

	if (e != OK)
		return e;
	json_begin_object(&o, NULL);
	json_begin_array(&o, "items");
	feed_add_logs(f, c->args[1].is_set ? (size_t)c->args[1].i : LOGS_LIMIT, &o);
	json_end_array(&o);
	json_end_object(&o);
	return OK;
}

enum message_arg { MESSAGE_AT, MESSAGE_TEXT, MESSAGE_BASE64 };

/* clang-format off */
static const struct arg_spec message_args[] = {
	[MESSAGE_AT]     = {"at",     ARG_TIME,   .required = true,    .help = "When it came"},
	[MESSAGE_TEXT]   = {"text",   ARG_STRING, .max = MESSAGE_MAX,  .help = "The message"},
	[MESSAGE_BASE64] = {"base64", ARG_STRING, .max = MESSAGE_MAX,  .help = "The same, of one that is no text"},
	{.name = NULL},
};

const struct arg_spec feed_replay_args[] = {
	FEED_NAME,
	{"items", ARG_ARRAY, .required = true, .max = REPLAY_MAX, .items = message_args, .help = "Messages as the recorder keeps them"},
	{.name = NULL},
};
/* clang-format on */

static enum err
play_bytes(struct playback *p, const struct arg *args, struct error *error)
{
	struct span text = args[MESSAGE_BASE64].text;
	unsigned char *bytes = try_alloc(base64_room(text.n));
	size_t n = 0;
	enum err e = OK;

	if (bytes == NULL)
		return error_set(error, ERR_LIMIT_EXCEEDED, "out of memory");
	if (base64_read(text, bytes, base64_room(text.n), &n))
		playback_add(p, args[MESSAGE_AT].i, (struct span){(const char *)bytes, n});
	else
		e = error_set(error, ERR_INVALID_ARGUMENT, "base64 is none");
	free(bytes);
	return e;
}

static enum err
play_item(struct playback *p, struct json_value item, struct error *error)
{
	struct args args;
	enum err e = args_read_item(&args, message_args, item, error);

	if (e == OK && args.v[MESSAGE_TEXT].is_set == args.v[MESSAGE_BASE64].is_set)
		e = error_set(error, ERR_INVALID_ARGUMENT, "give text or base64");
	else if (e == OK && args.v[MESSAGE_TEXT].is_set)
		playback_add(p, args.v[MESSAGE_AT].i, args.v[MESSAGE_TEXT].text);
	else if (e == OK)
		e = play_bytes(p, args.v, error);
	args_fini(&args);
	return e;
}

enum err
feed_replay(struct call *c)
{
	struct json_walk w = json_walk_start(c->args[1].value);
	struct playback *p = NULL;
	struct json_value item;
	enum err e = feeds_play(c->api->feeds, c->args[0].text, &p, c->error);

	for (size_t i = 0; e == OK && json_array_next(&w, &item); i++) {
		e = play_item(p, item, c->error);
		if (e != OK)
			error_wrap(c->error, "item %zu", i);
	}
	if (e == OK)
		return feeds_end_play(
			c->api->feeds, &p, &c->origin, c->caller->store, c->result, c->error);
	playback_free(p);
	return e;
}
