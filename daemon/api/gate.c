/* The gate and the table of methods: see gate.h. */

#include "daemon/api/gate.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/name.h"
#include "daemon/api/methods.h"
#include "daemon/api/reach.h"

#define METHOD_NAME_MAX 256 /* as it is sent: longer than any name with all of it escaped */

const struct arg_spec no_args[] = {{.name = NULL}};

/* clang-format off */
static const struct method methods[] = {
	/* name              scope         cost kind          batch  audit  handler           parameters            help */
	{"auth",             SCOPE_NONE,     5, METHOD_OPEN,  false, false, token_show,       auth_args,            "Show a token: from then on the session may do what it says"},
	{"category.list",    SCOPE_READ,     5, METHOD_READ,  true,  false, category_list,    category_list_args,   "List the categories with their numbers of records"},
	{"changes",          SCOPE_READ,     5, METHOD_READ,  true,  false, changes_read,     changes_args,         "Read a page of changes behind a position, for pollers"},
	{"feed.add",         SCOPE_ADMIN,    5, METHOD_WRITE, true,  true,  feed_add,         feed_add_args,        "Add a feed, or put one in the place of another, which the store keeps"},
	{"feed.list",        SCOPE_ADMIN,    5, METHOD_LOCAL, true,  false, feed_list,        no_args,              "List the feeds and how they are"},
	{"feed.logs",        SCOPE_ADMIN,    5, METHOD_LOCAL, true,  false, feed_logs,        feed_logs_args,       "Tell what happened to a feed"},
	{"feed.remove",      SCOPE_ADMIN,    5, METHOD_WRITE, true,  true,  feed_remove,      feed_name_args,       "Remove a feed that was added"},
	{"feed.replay",      SCOPE_ADMIN,   50, METHOD_LOCAL, true,  false, feed_replay,      feed_replay_args,     "Write what recorded messages are by the mapping of a feed"},
	{"feed.show",        SCOPE_ADMIN,    1, METHOD_LOCAL, true,  false, feed_show,        feed_name_args,       "Show a feed: how it is, its handshake, its definition"},
	{"feed.start",       SCOPE_ADMIN,    5, METHOD_LOCAL, true,  true,  feed_call_start,  feed_name_args,       "Start a feed, or let one that waits try again now"},
	{"feed.stop",        SCOPE_ADMIN,    5, METHOD_LOCAL, true,  true,  feed_call_stop,   feed_name_args,       "Stop a feed"},
	{"feed.test",        SCOPE_ADMIN,   50, METHOD_LOCAL, true,  true,  feed_test,        feed_test_args,       "Connect once, and tell what the first messages would be; nothing is stored"},
	{"limits.list",      SCOPE_ADMIN,    5, METHOD_LOCAL, true,  false, limits_list,      limits_list_args,     "List the limits, and the addresses that are nearest to them"},
	{"limits.test",      SCOPE_ADMIN,    5, METHOD_LOCAL, true,  false, limits_test,      limits_test_args,     "Tell what would become of requests at a steady rate"},
	{"methods",          SCOPE_NONE,     1, METHOD_LOCAL, true,  false, system_methods,   no_args,              "List the methods with their parameters"},
	{"ping",             SCOPE_NONE,     1, METHOD_LOCAL, true,  false, system_ping,      no_args,              "Answer with the time"},
	{"publish",          SCOPE_PUBLISH,  2, METHOD_LOCAL, true,  false, topic_publish,    publish_args,         "Tell a message to all who listen to a topic now"},
	{"record.count",     SCOPE_READ,     5, METHOD_READ,  true,  false, record_count,     record_count_args,    "Count records"},
	{"record.delete",    SCOPE_WRITE,    5, METHOD_WRITE, true,  false, record_delete,    record_delete_args,   "Delete a record, several, or those that meet a condition"},
	{"record.get",       SCOPE_READ,     1, METHOD_READ,  true,  false, record_get,       record_get_args,      "Get one record"},
	{"record.history",   SCOPE_READ,     5, METHOD_READ,  true,  false, record_history,   record_history_args,  "List the versions of a record that are kept, the newest first"},
	{"record.list",      SCOPE_READ,     5, METHOD_READ,  true,  false, record_list,      record_list_args,     "List records, a page at a time"},
	{"record.patch",     SCOPE_WRITE,    5, METHOD_WRITE, true,  false, record_patch,     record_patch_args,    "Change parts of a record's data"},
	{"record.put",       SCOPE_WRITE,    5, METHOD_WRITE, true,  false, record_put,       record_put_args,      "Write one record"},
	{"record.put_many",  SCOPE_WRITE,   50, METHOD_WRITE, true,  false, record_put_many,  record_put_many_args, "Write many records, all or none"},
	{"record.restore",   SCOPE_ADMIN,   50, METHOD_WRITE, true,  true,  record_restore,   record_restore_args,  "Write records out of an export into an empty store, as they were"},
	{"record.search",    SCOPE_READ,    10, METHOD_READ,  true,  false, record_search,    record_search_args,   "Search records by what is in their names and data"},
	{"secret.export",    SCOPE_SECRETS, 50, METHOD_SECRET, false, true, secret_export,   secret_export_args,   "Give a secret out, sealed by a passphrase for other programs"},
	{"secret.import",    SCOPE_ADMIN,   50, METHOD_SECRET, false, true, secret_import,   secret_import_args,   "Set a secret to what another program has sealed by a passphrase"},
	{"secret.list",      SCOPE_ADMIN,    5, METHOD_LOCAL, true,  false, secret_list,      no_args,              "List the secrets, without their values"},
	{"secret.remove",    SCOPE_ADMIN,    5, METHOD_LOCAL, true,  true,  secret_remove,    secret_remove_args,   "Remove a secret"},
	{"secret.rotate",    SCOPE_ADMIN,   50, METHOD_LOCAL, true,  true,  secret_rotate,    secret_rotate_args,   "Seal a secret, or all of them, with new keys"},
	{"secret.set",       SCOPE_ADMIN,    5, METHOD_SECRET, false, true, secret_set,      secret_set_args,      "Set the value of a secret"},
	{"secret.show",      SCOPE_SECRETS,  5, METHOD_SECRET, false, true, secret_show,     secret_show_args,     "Tell the value of a secret, where vault.allow_read allows it"},
	{"secret.test",      SCOPE_ADMIN,   50, METHOD_LOCAL, true,  true,  secret_test,      secret_test_args,     "Read a secret, or all of them, anew, and tell whether they open"},
	{"session.close",    SCOPE_ADMIN,    1, METHOD_LOCAL, true,  true,  session_close,    session_close_args,   "Close a session"},
	{"session.list",     SCOPE_ADMIN,    5, METHOD_LOCAL, true,  false, session_list,     no_args,              "List the sessions"},
	{"session.show",     SCOPE_ADMIN,    5, METHOD_LOCAL, true,  false, session_show,     session_show_args,    "Show a session: what it was refused or held back for, and what it may use now"},
	{"status",           SCOPE_NONE,     1, METHOD_LOCAL, true,  false, system_status,    no_args,              "Tell how the daemon and its parts are"},
	{"subscribe",        SCOPE_READ,     5, METHOD_LOCAL, false, false, subscribe_start,  subscribe_args,       "Hear of changes, or of messages to topics"},
	{"system.backup",    SCOPE_ADMIN,   50, METHOD_LOCAL, true,  true,  system_backup,    backup_args,          "Make a copy of the store while it is in use"},
	{"system.check",     SCOPE_ADMIN,   50, METHOD_LOCAL, true,  true,  system_check,     no_args,              "Check whether the store is whole, while it is in use"},
	{"system.compact",   SCOPE_ADMIN,   50, METHOD_LOCAL, true,  true,  system_compact,   no_args,              "Give back what is free in the store, while it is in use"},
	{"system.config",    SCOPE_ADMIN,    1, METHOD_LOCAL, true,  false, system_config,    no_args,              "Show the configuration in force and where each value came from"},
	{"system.log_level", SCOPE_ADMIN,    1, METHOD_LOCAL, true,  true,  system_log_level, log_level_args,       "Show the filter of the log, or set it until the next reload"},
	{"system.reload",    SCOPE_ADMIN,   10, METHOD_LOCAL, true,  true,  system_reload,    no_args,              "Read the configuration again"},
	{"system.shutdown",  SCOPE_ADMIN,    1, METHOD_LOCAL, true,  true,  system_shutdown,  no_args,              "Stop the daemon"},
	{"system.stats",     SCOPE_ADMIN,    1, METHOD_LOCAL, true,  false, system_stats,     no_args,              "Show the counters"},
	{"token.create",     SCOPE_ADMIN,    5, METHOD_WRITE, true,  true,  token_create,     token_create_args,    "Make a token for clients of the network, which is told only now"},
	{"token.list",       SCOPE_ADMIN,    5, METHOD_LOCAL, true,  false, token_list,       no_args,              "List the tokens"},
	{"token.revoke",     SCOPE_ADMIN,    5, METHOD_WRITE, true,  true,  token_revoke,     token_revoke_args,    "Make a token void, and close the sessions that use it"},
	{"unsubscribe",      SCOPE_NONE,     1, METHOD_LOCAL, true,  false, subscribe_end,    unsubscribe_args,     "End a subscription"},
	{"vault.lock",       SCOPE_ADMIN,    5, METHOD_LOCAL, true,  true,  vault_call_lock,  no_args,              "Forget the key of the vault: its secrets are out of reach until it is unlocked"},
	{"vault.rekey",      SCOPE_ADMIN,   50, METHOD_SECRET, false, true, vault_call_rekey, vault_rekey_args,     "Give the vault another key: a passphrase, or the one that is in the key file now"},
	{"vault.status",     SCOPE_ADMIN,    1, METHOD_LOCAL, true,  false, vault_call_status, no_args,              "Tell how the vault is"},
	{"vault.unlock",     SCOPE_ADMIN,   50, METHOD_SECRET, false, true, vault_call_unlock, vault_unlock_args,  "Open the vault, or make it"},
};
/* clang-format on */

const struct method *
method_table(size_t *n)
{
	*n = sizeof(methods) / sizeof(methods[0]);
	return methods;
}

static int
compare_name(const void *key, const void *row)
{
	const struct span *name = key;
	const struct method *m = row;

	return span_compare(*name, span_of(m->name));
}

const struct method *
method_find(struct span name)
{
	return bsearch(&name, methods, sizeof(methods) / sizeof(methods[0]), sizeof(methods[0]),
		compare_name);
}

/** The row of a name as it was sent: strings are compared decoded. */
static const struct method *
find_sent(struct span raw)
{
	char name[METHOD_NAME_MAX];
	size_t n = raw.n <= sizeof(name) ? json_string_decode(raw, name) : SIZE_MAX;

	return n != SIZE_MAX ? method_find((struct span){name, n}) : NULL;
}

static enum err
unknown_method(struct span raw, struct error *error)
{
	char name[64];

	json_string_text(raw, name, sizeof(name));
	return error_set(error, ERR_METHOD_NOT_FOUND,
		"there is no method \"%s\": `methods` lists those there are", name);
}

/** Reads the params, and judges what they name. Who may not call the method at all is told that,
 * whatever the params are. */
static enum err
read_args(const struct method *m, const struct caller *caller, struct json_value params,
	struct args *args, struct error *error)
{
	enum err e = args_read(args, m->args, params, error);

	if (e == OK)
		return reach_check(m, caller->scopes, args, error);
	return reach_is_possible(m, caller->scopes) ? e : reach_refuse(m, caller->scopes, error);
}

/** Strangers are told nothing but that they are. */
static enum err
check_token(const struct call *c)
{
	const struct caller *caller = c->caller;

	if (c->method != NULL && c->method->kind == METHOD_OPEN)
		return OK;
	if (caller->must_auth)
		return error_set(c->error, ERR_UNAUTHENTICATED,
			"show a token first, with the method auth (websocket.auth)");
	if (caller->token == NULL)
		return OK;
	caller->token->used_at = c->now_ms;
	return auth_token_check(caller->token, c->now_ms, c->error);
}

enum err
gate_charge(struct api *api, const struct caller *caller, unsigned cost, struct error *error)
{
	return limits_take(api->limits, caller->limited, cost, clock_mono_ms(), error);
}

static enum err
check_call(const struct call *c, const struct rpc_request *request)
{
	unsigned cost = c->method != NULL ? c->method->cost : 1;
	enum err e = gate_charge(c->api, c->caller, cost, c->error);

	if (e == OK)
		e = check_token(c);
	if (e != OK)
		return e;
	if (c->method == NULL)
		return unknown_method(request->method, c->error);
	if (c->origin.batch != 0 && !c->method->in_batch)
		return error_set(c->error, ERR_INVALID_REQUEST, "%s is not possible inside a batch",
			c->method->name);
	return OK;
}

void
gate_note(struct api *api, const struct audit_entry *entry)
{
	char who[AUDIT_WHO_SIZE];
	struct audit_entry whole = *entry;

	api->ops.describe(api->ops.daemon, entry->session, who);
	whole.who = who;
	audit_note(api->audit, &whole, clock_wall_ms());
}

/** The name of what a call is about: never a text that may be secret, or anything else that was
 * sent as a name and is none. */
static struct span
name_of(const struct method *m, const struct arg *args)
{
	for (size_t i = 0; m->args[i].name != NULL; i++)
		if (m->args[i].kind == ARG_NAME && args[i].is_set &&
			name_check("", args[i].text, false, NULL) == OK)
			return args[i].text;
	return SPAN("");
}

/** Notes what was done or refused; what is pending is noted when it is done. */
static void
note(const struct call *c, struct span name, enum err e)
{
	bool is_refused = e == ERR_PERMISSION_DENIED || e == ERR_UNAUTHENTICATED;
	struct audit_entry entry;

	if (e == PENDING || (c->origin.audited == NULL && !is_refused))
		return;
	entry = (struct audit_entry){
		.what = c->method != NULL ? c->method->name : "unknown method",
		.session = c->caller->id,
		.name = name,
		.result = e,
		.error = c->error,
	};
	gate_note(c->api, &entry);
}

/** True if its params are overwritten: a token that is shown is a secret, too. */
static bool
takes_secret(const struct method *m)
{
	return m->kind == METHOD_SECRET || m->kind == METHOD_OPEN;
}

static enum err
run_method(struct call *c, struct json_value params)
{
	struct args args;
	enum err e = read_args(c->method, c->caller, params, &args, c->error);

	c->args = args.v;
	if (e == OK)
		e = c->method->handle(c);
	note(c, name_of(c->method, args.v), e);
	if (takes_secret(c->method))
		args_wipe(&args);
	args_fini(&args);
	c->args = NULL;
	return e;
}

enum err
gate_call(struct api *api, const struct caller *caller, const struct rpc_request *request,
	uint64_t batch, struct buf *result, struct error *error)
{
	const struct method *m = find_sent(request->method);
	struct call c = {
		.method = m,
		.api = api,
		.caller = caller,
		.origin = {caller->kind, caller->id, batch, request->id,
			   m != NULL && m->is_audited ? m->name : NULL},
		.params_n = request->params.raw.n,
		.result = result,
		.error = error,
		.now_ms = clock_wall_ms(),
	};
	enum err e = check_call(&c, request);

	/* What is no method may be one that was mistyped. */
	api->had_secret |= m == NULL || takes_secret(m);
	if (e == OK)
		e = run_method(&c, request->params);
	else
		note(&c, SPAN(""), e);
	if (m != NULL && m->kind == METHOD_WRITE && e != PENDING)
		store_client_refuse(caller->store);
	if (e != OK && e != PENDING) {
		trail_note_refusal(caller->trail, m != NULL ? m->name : NULL, error, c.now_ms);
		bounds_reach_name(api->bounds, error->limit.name, clock_mono_ms(), caller->id);
	}
	return e;
}

struct job *
call_job(struct call *c, enum job_kind kind, size_t ops_n, size_t nbytes)
{
	struct job *j = job_new(kind, &c->origin, ops_n, nbytes);

	if (j == NULL)
		error_set(c->error, ERR_LIMIT_EXCEEDED, "out of memory");
	return j;
}

struct span
call_keep(struct job *j, const struct arg *a)
{
	return a->is_set ? job_keep(j, a->text) : a->text;
}

enum err
call_submit(struct call *c, struct job *j)
{
	enum err e = store_submit(c->api->store, c->caller->store, &j, c->error);

	job_free(j);
	return e;
}
