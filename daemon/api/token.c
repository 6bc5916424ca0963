/* auth and token.*: showing a token, making and revoking tokens. */

#include <sodium.h>
#include <string.h>

#include "daemon/api/methods.h"
#include "daemon/guard/grant_text.h"

/* clang-format off */
const struct arg_spec auth_args[] = {
	{"token", ARG_STRING, .required = true, .max = 256, .help = "Its text"},
	{.name = NULL},
};
/* clang-format on */

enum err
token_show(struct call *c)
{
	struct json_out o = json_out_start(c->result);
	struct auth_token *token = NULL;
	enum err e;

	if (c->caller->kind == ORIGIN_CONTROL)
		return error_set(c->error, ERR_INVALID_REQUEST,
			"the control socket knows who you are: tokens are for WebSockets");
	e = auth_find(c->api->auth, c->args[0].text, c->now_ms, &token, c->error);
	if (e == OK)
		e = c->api->ops.admit(c->api->ops.daemon, c->caller->id, token, c->error);
	if (e != OK)
		return e;
	json_begin_object(&o, NULL);
	json_put_str(&o, "name", token->name);
	scopes_put_list(token->scopes, &o, "scopes");
	auth_token_put_rate(token, &o);
	if (token->expires_at != INT64_MAX)
		json_put_int(&o, "expires_at", token->expires_at);
	json_end_object(&o);
	return OK;
}

enum create_arg { CREATE_NAME, CREATE_SCOPES, CREATE_TTL, CREATE_EXPIRES, CREATE_RATE };

/* clang-format off */
const struct arg_spec token_create_args[] = {
	[CREATE_NAME]    = {"name",       ARG_NAME,   .required = true, .help = "What it is called"},
	[CREATE_SCOPES]  = {"scopes",     ARG_SCOPES, .required = true, .help = "What it may do: read, write, publish, secrets, each also of some names, and admin: \"read:ticker,sensor.*\""},
	[CREATE_TTL]     = {"ttl",        ARG_DURATION,                 .help = "It is good for so long; default: for ever"},
	[CREATE_EXPIRES] = {"expires_at", ARG_TIME,                     .help = "It is good until this time"},
	[CREATE_RATE]    = {"rate",       ARG_STRING, .max = RATE_TEXT_SIZE, .help = "What all its sessions together may use: \"50/s\", \"30/m burst 60\"; default: what everybody may"},
	{.name = NULL},
};
/* clang-format on */

/** Nobody grants more than what is theirs. */
static enum err
check_scopes(struct call *c, const struct scopes *wanted)
{
	struct buf missing;
	enum err e = OK;

	buf_init(&missing, ERROR_TEXT_MAX);
	if (!scopes_contain(c->caller->scopes, wanted, &missing))
		e = error_set(c->error, ERR_PERMISSION_DENIED,
			"token.create needs %.*s, to grant it, which this session does not have (%s)",
			SPAN_FMT(buf_span(&missing)), scopes_source(c->caller->scopes));
	buf_fini(&missing);
	return e;
}

static enum err
set_expiry(struct call *c, struct op *op)
{
	const struct arg *ttl = &c->args[CREATE_TTL], *at = &c->args[CREATE_EXPIRES];

	if (ttl->is_set && at->is_set)
		return error_set(
			c->error, ERR_INVALID_ARGUMENT, "give ttl or expires_at, not both");
	if (at->is_set && at->i <= c->now_ms)
		return error_set(c->error, ERR_INVALID_ARGUMENT, "expires_at is in the past");
	op->expires_at = ttl->is_set ? c->now_ms + ttl->i : at->i;
	return OK;
}

/** Writes what it is granted. */
static enum err
write_grant(struct call *c, struct buf *text)
{
	const struct arg *a = &c->args[CREATE_RATE];
	struct rate rate = RATE_UNLIMITED;

	if (a->is_set && !rate_parse(a->text, &rate))
		return error_set(c->error, ERR_INVALID_ARGUMENT,
			"rate: not one such as \"50/s\" or \"30/m burst 60\"");
	scopes_add_text(c->args[CREATE_SCOPES].scopes, text);
	grant_text_add_rate(text, &rate);
	return OK;
}

/** Makes the text; what is kept of it is its hash. */
static enum err
set_token(struct call *c, struct job *j, struct op *op)
{
	char text[TOKEN_TEXT_SIZE], hash[TOKEN_HASH_SIZE];
	enum err e;

	token_make(text);
	e = auth_hash(c->api->auth, span_of(text), hash, c->error);
	if (e == OK) {
		j->is_secret = j->reply.wipes = true;
		op->category = job_keep(j, span_of(text));
		op->id = job_keep(j, span_of(hash));
	}
	sodium_memzero(text, sizeof(text));
	return e;
}

/** The job, with what the token is granted. */
static enum err
make_job(struct call *c, struct span grant, struct job **out)
{
	struct job *j = call_job(
		c, JOB_WRITE, 1, AUTH_NAME_MAX + grant.n + TOKEN_TEXT_SIZE + TOKEN_HASH_SIZE);

	if (j == NULL)
		return ERR_LIMIT_EXCEEDED;
	j->ops[0].kind = OP_GRANT;
	j->ops[0].now_ms = c->now_ms;
	j->ops[0].name = job_keep(j, c->args[CREATE_NAME].text);
	j->ops[0].data = job_keep(j, grant);
	*out = j;
	return OK;
}

enum err
token_create(struct call *c)
{
	struct job *j = NULL;
	struct buf grant;
	enum err e = check_scopes(c, c->args[CREATE_SCOPES].scopes);

	buf_init(&grant, SIZE_MAX / 2);
	if (e == OK)
		e = write_grant(c, &grant);
	if (e == OK)
		e = make_job(c, buf_span(&grant), &j);
	buf_fini(&grant);
	if (e == OK)
		e = set_expiry(c, &j->ops[0]);
	if (e == OK)
		e = set_token(c, j, &j->ops[0]);
	if (e == OK)
		return call_submit(c, j);
	job_free(j);
	return e;
}

enum err
token_list(struct call *c)
{
	struct json_out o = json_out_start(c->result);

	json_begin_object(&o, NULL);
	json_begin_array(&o, "items");
	auth_add_list(c->api->auth, &o);
	json_end_array(&o);
	json_end_object(&o);
	return OK;
}

/* clang-format off */
const struct arg_spec token_revoke_args[] = {
	{"name", ARG_NAME, .required = true, .help = "What it is called"},
	{.name = NULL},
};
/* clang-format on */

enum err
token_revoke(struct call *c)
{
	struct job *j = call_job(c, JOB_WRITE, 1, AUTH_NAME_MAX);

	if (j == NULL)
		return c->error->code;
	j->ops[0].kind = OP_WITHDRAW;
	j->ops[0].name = job_keep(j, c->args[0].text);
	return call_submit(c, j);
}
