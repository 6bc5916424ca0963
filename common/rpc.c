/*
 * JSON-RPC 2.0: reading requests (strictly: they are what a peer asks us to do)
 * and messages from the server (tolerantly: it may be newer than we are),
 * writing answers, and cutting a stream into lines. Pure; any thread.
 */

#include "common/rpc.h"

#include "common/utf8.h"

#define SHOWN_MAX 64 /* bytes of a peer's text in an error */

/** What may stand in an envelope; a bit each for "seen". */
enum member { JSONRPC, ID, METHOD, PARAMS, RESULT, ERROR, MEMBER_COUNT };

static const char *const member_names[MEMBER_COUNT] = {
	[JSONRPC] = "jsonrpc",
	[ID] = "id",
	[METHOD] = "method",
	[PARAMS] = "params",
	[RESULT] = "result",
	[ERROR] = "error",
};

/** The known members of an envelope; raw.n == 0 where one is absent. */
struct envelope {
	struct json_value members[MEMBER_COUNT];
	struct span unknown; /* the first key that is none of them */
	enum member twice;   /* MEMBER_COUNT: none */
};

static enum member
find_member(struct span key)
{
	enum member m = JSONRPC;

	while (m < MEMBER_COUNT && !json_string_is(key, member_names[m]))
		m++;
	return m;
}

static bool
has(const struct envelope *env, enum member m)
{
	return env->members[m].raw.n > 0;
}

static void
read_envelope(struct json_value object, struct envelope *env)
{
	struct json_walk w = json_walk_start(object);
	struct json_value value;
	struct span key;

	*env = (struct envelope){.twice = MEMBER_COUNT};
	while (json_object_next(&w, &key, &value)) {
		enum member m = find_member(key);

		if (m == MEMBER_COUNT) {
			if (env->unknown.n == 0)
				env->unknown = key;
			continue;
		}
		if (has(env, m))
			env->twice = m;
		env->members[m] = value;
	}
}

/** What requests and messages have in common. */
static enum err
check_envelope(const struct envelope *env, struct error *error)
{
	const struct json_value *version = &env->members[JSONRPC];

	if (env->twice != MEMBER_COUNT)
		return error_set(error, ERR_INVALID_REQUEST, "the member \"%s\" is given twice",
			member_names[env->twice]);
	if (version->raw.n == 0 || version->type != JSON_STRING ||
		!json_string_is(version->raw, "2.0"))
		return error_set(
			error, ERR_INVALID_REQUEST, "the member \"jsonrpc\" must be \"2.0\"");
	return OK;
}

static enum err
check_json(struct span text, unsigned depth_max, struct json_value *value, struct error *error)
{
	struct json_fault fault;

	if (json_check(text, depth_max, value, &fault) == OK)
		return OK;
	error_set(error, ERR_PARSE_ERROR, "the message is not JSON: %s at byte %zu", fault.what,
		fault.offset + 1);
	if (strcmp(fault.what, JSON_TOO_DEEP) == 0)
		error_name_limit(error, "nesting");
	return ERR_PARSE_ERROR;
}

static size_t
count_items(struct json_value array, size_t stop_at)
{
	struct json_walk w = json_walk_start(array);
	struct json_value item;
	size_t n = 0;

	while (n < stop_at && json_array_next(&w, &item))
		n++;
	return n;
}

static enum err
batch_too_large(struct error *error)
{
	error_set(error, ERR_INVALID_REQUEST, "the batch has more than %d requests", RPC_BATCH_MAX);
	error_name_limit(error, "requests in a batch");
	return ERR_INVALID_REQUEST;
}

enum err
rpc_check(struct span message, enum rpc_kind *kind, struct json_value *value, struct error *error)
{
	struct json_value v;
	enum err e = check_json(message, RPC_DEPTH_MAX, &v, error);
	size_t n;

	if (e != OK)
		return e;
	if (v.type == JSON_ARRAY) {
		n = count_items(v, RPC_BATCH_MAX + 1);
		if (n == 0)
			return error_set(error, ERR_INVALID_REQUEST, "the batch is empty");
		if (n > RPC_BATCH_MAX)
			return batch_too_large(error);
	} else if (v.type != JSON_OBJECT) {
		return error_set(error, ERR_INVALID_REQUEST,
			"a message is an object, or an array of objects");
	}
	*kind = v.type == JSON_ARRAY ? RPC_BATCH : RPC_SINGLE;
	*value = v;
	return OK;
}

static bool
is_integer_token(struct span raw)
{
	for (size_t i = raw.p[0] == '-'; i < raw.n; i++)
		if (raw.p[i] < '0' || raw.p[i] > '9')
			return false;
	return true;
}

static enum err
check_id(struct json_value id, struct error *error)
{
	char decoded[RPC_ID_RAW_MAX];

	if (id.type == JSON_NUMBER && !is_integer_token(id.raw))
		return error_set(
			error, ERR_INVALID_REQUEST, "an id that is a number is an integer");
	if (id.type != JSON_NUMBER && id.type != JSON_STRING)
		return error_set(
			error, ERR_INVALID_REQUEST, "the id must be a string or an integer");
	if (id.raw.n > RPC_ID_RAW_MAX)
		return error_set(error, ERR_INVALID_REQUEST, "the id takes more than %d bytes",
			RPC_ID_RAW_MAX);
	if (id.type == JSON_STRING && json_string_decode(id.raw, decoded) > RPC_ID_MAX)
		return error_set(error, ERR_INVALID_REQUEST,
			"the id is longer than %d bytes, or not Unicode", RPC_ID_MAX);
	return OK;
}

/** What only a request has to obey, but for its id. */
static enum err
check_request(const struct envelope *env, struct error *error)
{
	if (env->unknown.n > 0)
		return error_set(error, ERR_INVALID_REQUEST, "unknown member %.*s",
			(int)utf8_cut(env->unknown.p,
				env->unknown.n < SHOWN_MAX ? env->unknown.n : SHOWN_MAX),
			env->unknown.p);
	for (enum member m = RESULT; m <= ERROR; m++)
		if (has(env, m))
			return error_set(error, ERR_INVALID_REQUEST,
				"unknown member \"%s\": only answers have one", member_names[m]);
	if (!has(env, METHOD) || env->members[METHOD].type != JSON_STRING)
		return error_set(error, ERR_INVALID_REQUEST,
			has(env, METHOD) ? "the method must be a string"
					 : "the member \"method\" is missing");
	if (has(env, PARAMS) && env->members[PARAMS].type != JSON_OBJECT)
		return error_set(error, ERR_INVALID_REQUEST, "params must be an object");
	return OK;
}

enum err
rpc_read_request(struct json_value value, struct rpc_request *request, struct error *error)
{
	struct envelope env;
	enum err e;

	*request = (struct rpc_request){0};
	if (value.type != JSON_OBJECT)
		return error_set(error, ERR_INVALID_REQUEST, "a request is an object");
	read_envelope(value, &env);
	if (has(&env, ID) && env.twice != ID) {
		e = check_id(env.members[ID], error);
		if (e != OK)
			return e;
		request->id = env.members[ID].raw;
	}
	e = check_envelope(&env, error);
	if (e == OK)
		e = check_request(&env, error);
	if (e != OK)
		return e;
	request->method = env.members[METHOD].raw;
	request->params = env.members[PARAMS];
	return OK;
}

/** The code for JSON-RPC's integer, for servers that say no more. */
static enum err
code_by_rpc_code(int64_t rpc_code)
{
	for (enum err code = ERR_PARSE_ERROR; code < ERR_COUNT; code++)
		if (err_info(code)->rpc_code == rpc_code)
			return code;
	return ERR_INTERNAL_ERROR;
}

static void
read_error_data(struct json_value data, struct error *out)
{
	struct json_walk w = json_walk_start(data);
	struct json_value value;
	struct span key;
	char name[64];

	while (json_object_next(&w, &key, &value)) {
		if (value.type == JSON_STRING && json_string_is(key, "code")) {
			json_string_text(value.raw, name, sizeof(name));
			out->code = err_by_name(span_of(name));
		} else if (value.type == JSON_NUMBER && json_string_is(key, "seq")) {
			if (!json_number_int64(value.raw, &out->seq))
				out->seq = -1;
		} else if (value.type == JSON_NUMBER && json_string_is(key, "retry_after_ms")) {
			if (!json_number_int64(value.raw, &out->limit.retry_after_ms))
				out->limit.retry_after_ms = 0;
		}
	}
}

/** Reads the error object. data.code is the name that counts; the number stands in for it. */
static enum err
read_error(struct json_value object, struct error *out, struct error *error)
{
	struct json_walk w = json_walk_start(object);
	struct json_value data = {0};
	struct json_value value;
	struct span key;
	int64_t rpc_code = 0;
	bool has_code = false;
	bool has_message = false;

	if (object.type != JSON_OBJECT)
		return error_set(error, ERR_INVALID_REQUEST, "the answer's error is no object");
	*out = ERROR_NONE;
	while (json_object_next(&w, &key, &value)) {
		if (value.type == JSON_NUMBER && json_string_is(key, "code")) {
			has_code = json_number_int64(value.raw, &rpc_code);
		} else if (value.type == JSON_STRING && json_string_is(key, "message")) {
			json_string_text(value.raw, out->text, sizeof(out->text));
			has_message = true;
		} else if (value.type == JSON_OBJECT && json_string_is(key, "data")) {
			data = value;
		}
	}
	if (!has_code || !has_message)
		return error_set(
			error, ERR_INVALID_REQUEST, "the answer's error has no code or no message");
	out->code = code_by_rpc_code(rpc_code);
	if (data.raw.n > 0)
		read_error_data(data, out);
	return OK;
}

/** A message is a notification, a result or an error, and has the members of that one. */
static enum err
check_message(const struct envelope *env, struct error *error)
{
	bool has_id = has(env, ID) && env->members[ID].type != JSON_NULL;

	if (has(env, METHOD) + has(env, RESULT) + has(env, ERROR) != 1)
		return error_set(error, ERR_INVALID_REQUEST,
			"the message is neither a notification nor an answer");
	if (has(env, METHOD) && (has(env, ID) || env->members[METHOD].type != JSON_STRING))
		return error_set(error, ERR_INVALID_REQUEST, "the server sent a request");
	if (has(env, PARAMS) && env->members[PARAMS].type != JSON_OBJECT)
		return error_set(error, ERR_INVALID_REQUEST, "params must be an object");
	if ((has(env, RESULT) && !has_id) || (has(env, ERROR) && !has(env, ID)))
		return error_set(error, ERR_INVALID_REQUEST, "the answer has no id");
	return OK;
}

enum err
rpc_read_message(struct span text, struct rpc_message *message, struct error *error)
{
	struct rpc_message m = {.error = ERROR_NONE};
	struct json_value value;
	struct envelope env;
	enum err e = check_json(text, JSON_DEPTH_MAX, &value, error);

	if (e != OK)
		return e;
	if (value.type != JSON_OBJECT)
		return error_set(error, ERR_INVALID_REQUEST, "the message is no object");
	read_envelope(value, &env);
	e = check_envelope(&env, error);
	if (e == OK)
		e = check_message(&env, error);
	if (e == OK && has(&env, ERROR))
		e = read_error(env.members[ERROR], &m.error, error);
	if (e != OK)
		return e;
	m.id = env.members[ID].raw;
	m.method = env.members[METHOD].raw;
	m.params = env.members[PARAMS];
	m.result = env.members[RESULT];
	m.is_error = has(&env, ERROR);
	*message = m;
	return OK;
}

static void
add_head(struct buf *out, struct span id)
{
	buf_add_span(out, SPAN("{\"jsonrpc\":\"2.0\",\"id\":"));
	buf_add_span(out, id.n > 0 ? id : SPAN("null"));
}

void
rpc_add_result(struct buf *out, struct span id, struct span result)
{
	add_head(out, id);
	buf_add_span(out, SPAN(",\"result\":"));
	buf_add_span(out, result);
	buf_add_char(out, '}');
}

static void
put_limit(struct json_out *o, const struct error_limit *limit)
{
	char rate[RATE_TEXT_SIZE];

	rate_format(&limit->rate, rate);
	json_put_int(o, "retry_after_ms", limit->retry_after_ms);
	json_put_str(o, "bucket", limit->name);
	json_put_int(o, "level", limit->level);
	json_put_str(o, "rate", rate);
}

void
rpc_put_error(struct json_out *o, const struct error *error)
{
	const struct err_info *info = err_info(error->code);

	json_begin_object(o, "error");
	json_put_int(o, "code", info->rpc_code);
	json_put_str(o, "message", error->text);
	json_begin_object(o, "data");
	json_put_str(o, "code", info->name);
	if (error->seq >= 0)
		json_put_int(o, "seq", error->seq);
	if (error->code == ERR_RATE_LIMITED && error->limit.name != NULL)
		put_limit(o, &error->limit);
	else if (error->limit.name != NULL)
		json_put_str(o, "limit", error->limit.name);
	json_end_object(o);
	json_end_object(o);
}

void
rpc_add_error(struct buf *out, struct span id, const struct error *error)
{
	struct json_out o = json_out_start(out);

	add_head(out, id);
	o.needs_comma = true;
	rpc_put_error(&o, error);
	buf_add_char(out, '}');
}

void
rpc_lines_init(struct rpc_lines *l, size_t max)
{
	*l = (struct rpc_lines){.max = max};
	buf_init(&l->buf, max + 2 + RPC_LINES_AHEAD); /* two for the end of the line */
	l->buf.wipes = true;
}

void
rpc_lines_fini(struct rpc_lines *l)
{
	buf_fini(&l->buf);
	*l = (struct rpc_lines){0};
}

/** What one long line took is given back when all is used up. */
static void
give_back(struct rpc_lines *l)
{
	if (l->start < l->buf.n || l->buf.cap <= RPC_LINES_AHEAD)
		return;
	buf_fini(&l->buf);
	buf_init(&l->buf, l->max + 2 + RPC_LINES_AHEAD);
	l->buf.wipes = true;
	l->start = l->seen = 0;
}

char *
rpc_lines_room(struct rpc_lines *l, size_t n)
{
	char *p;

	buf_consume(&l->buf, l->start);
	l->start = 0;
	p = buf_reserve(&l->buf, n);
	l->buf.failed = false; /* nothing is lost: the caller tries again */
	return p;
}

void
rpc_lines_filled(struct rpc_lines *l, size_t n)
{
	l->buf.n += n;
}

/** The line without a "\r" at its end. */
static struct span
trim_line(const char *p, size_t n)
{
	return (struct span){p, n > 0 && p[n - 1] == '\r' ? n - 1 : n};
}

/** Takes n bytes and `newline` more off the front as a line, if it is one worth reporting. */
static enum rpc_line
take_line(struct rpc_lines *l, size_t n, size_t newline, struct span *line)
{
	struct span s = trim_line(l->buf.p + l->start, n);
	bool is_rest = l->skipping; /* of a line that was reported */

	l->start += n + newline;
	l->seen = 0;
	l->skipping = false;
	l->ended++;
	if (is_rest || s.n == 0)
		return RPC_LINE_NONE;
	if (s.n > l->max)
		return RPC_LINE_TOO_LONG;
	*line = s;
	return RPC_LINE;
}

/** The unfinished line at the end of what is buffered. */
static enum rpc_line
look_at_rest(struct rpc_lines *l)
{
	size_t n = l->buf.n - l->start;
	bool is_too_long = n > 0 && trim_line(l->buf.p + l->start, n).n > l->max;

	if (!is_too_long && !l->skipping) {
		l->seen = n;
		return RPC_LINE_NONE;
	}
	is_too_long = !l->skipping;
	l->skipping = true;
	l->start = l->buf.n;
	l->seen = 0;
	return is_too_long ? RPC_LINE_TOO_LONG : RPC_LINE_NONE;
}

enum rpc_line
rpc_lines_next(struct rpc_lines *l, bool at_end, struct span *line)
{
	for (;;) {
		size_t n = l->buf.n - l->start;
		const char *p = n > 0 ? l->buf.p + l->start : "";
		const char *newline = memchr(p + l->seen, '\n', n - l->seen);
		enum rpc_line found;

		if (newline == NULL) {
			found = at_end && n > 0 ? take_line(l, n, 0, line) : look_at_rest(l);
			if (found == RPC_LINE_NONE)
				give_back(l);
			return found;
		}
		found = take_line(l, (size_t)(newline - p), 1, line);
		if (found != RPC_LINE_NONE)
			return found;
	}
}

uint64_t
rpc_lines_number(const struct rpc_lines *l)
{
	return l->ended + l->skipping; /* one that is skipped has not ended yet */
}

void
rpc_lines_wipe(struct rpc_lines *l)
{
	if (l->buf.p == NULL)
		return;
	explicit_bzero(l->buf.p, l->start);
	explicit_bzero(l->buf.p + l->buf.n, l->buf.cap - l->buf.n);
}

size_t
rpc_lines_held(const struct rpc_lines *l)
{
	return l->buf.n - l->start;
}
