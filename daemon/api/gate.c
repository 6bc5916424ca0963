/* The gate and the table of methods: see gate.h. */

#include "daemon/api/gate.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "daemon/api/methods.h"

#define METHOD_NAME_MAX 256 /* as it is sent: longer than any name with all of it escaped */

const struct arg_spec no_args[] = {{.name = NULL}};

/* clang-format off */
static const struct method methods[] = {
	/* name              scope         cost kind          batch  audit  handler           parameters            help */
	{"category.list",    SCOPE_READ,     5, METHOD_READ,  true,  false, category_list,    category_list_args,   "List the categories with their numbers of records"},
	{"changes",          SCOPE_READ,     5, METHOD_READ,  true,  false, changes_read,     changes_args,         "Read a page of changes behind a position, for pollers"},
	{"methods",          SCOPE_NONE,     1, METHOD_LOCAL, true,  false, system_methods,   no_args,              "List the methods with their parameters"},
	{"ping",             SCOPE_NONE,     1, METHOD_LOCAL, true,  false, system_ping,      no_args,              "Answer with the time"},
	{"publish",          SCOPE_PUBLISH,  2, METHOD_LOCAL, true,  false, topic_publish,    publish_args,         "Tell a message to all who listen to a topic now"},
	{"record.count",     SCOPE_READ,     5, METHOD_READ,  true,  false, record_count,     record_count_args,    "Count records"},
	{"record.delete",    SCOPE_WRITE,    5, METHOD_WRITE, true,  false, record_delete,    record_delete_args,   "Delete a record, or several"},
	{"record.get",       SCOPE_READ,     1, METHOD_READ,  true,  false, record_get,       record_get_args,      "Get one record"},
	{"record.list",      SCOPE_READ,     5, METHOD_READ,  true,  false, record_list,      record_list_args,     "List records, a page at a time"},
	{"record.put",       SCOPE_WRITE,    5, METHOD_WRITE, true,  false, record_put,       record_put_args,      "Write one record"},
	{"record.put_many",  SCOPE_WRITE,   50, METHOD_WRITE, true,  false, record_put_many,  record_put_many_args, "Write many records, all or none"},
	{"session.close",    SCOPE_ADMIN,    1, METHOD_LOCAL, true,  true,  session_close,    session_close_args,   "Close a session"},
	{"session.list",     SCOPE_ADMIN,    5, METHOD_LOCAL, true,  false, session_list,     no_args,              "List the sessions"},
	{"status",           SCOPE_NONE,     1, METHOD_LOCAL, true,  false, system_status,    no_args,              "Tell how the daemon and its parts are"},
	{"subscribe",        SCOPE_READ,     5, METHOD_LOCAL, false, false, subscribe_start,  subscribe_args,       "Hear of changes, or of messages to topics"},
	{"system.config",    SCOPE_ADMIN,    1, METHOD_LOCAL, true,  false, system_config,    no_args,              "Show the configuration in force and where each value came from"},
	{"system.log_level", SCOPE_ADMIN,    1, METHOD_LOCAL, true,  true,  system_log_level, log_level_args,       "Show the filter of the log, or set it until the next reload"},
	{"system.reload",    SCOPE_ADMIN,   10, METHOD_LOCAL, true,  true,  system_reload,    no_args,              "Read the configuration again"},
	{"system.shutdown",  SCOPE_ADMIN,    1, METHOD_LOCAL, true,  true,  system_shutdown,  no_args,              "Stop the daemon"},
	{"system.stats",     SCOPE_ADMIN,    1, METHOD_LOCAL, true,  false, system_stats,     no_args,              "Show the counters"},
	{"unsubscribe",      SCOPE_READ,     1, METHOD_LOCAL, true,  false, subscribe_end,    unsubscribe_args,     "End a subscription"},
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

const char *
scope_name(unsigned scope)
{
	switch (scope) {
	case SCOPE_NONE:
		return "none";
	case SCOPE_READ:
		return "read";
	case SCOPE_WRITE:
		return "write";
	case SCOPE_PUBLISH:
		return "publish";
	default:
		return "admin";
	}
}

static enum err
refuse_scope(const struct method *m, const struct caller *caller, struct error *error)
{
	if (m->scope == SCOPE_ADMIN && caller->kind == ORIGIN_WEBSOCKET)
		return error_set(error, ERR_PERMISSION_DENIED,
			"%s is only for the control socket: use sysrtctl on the daemon's machine",
			m->name);
	return error_set(error, ERR_PERMISSION_DENIED,
		"%s needs the scope \"%s\", which this session does not have "
		"(websocket.anonymous)",
		m->name, scope_name(m->scope));
}

static enum err
check_columns(
	const struct method *m, const struct caller *caller, uint64_t batch, struct error *error)
{
	if ((m->scope & ~caller->scopes) != 0)
		return refuse_scope(m, caller, error);
	if (batch != 0 && !m->in_batch)
		return error_set(
			error, ERR_INVALID_REQUEST, "%s is not possible inside a batch", m->name);
	return OK;
}

enum err
gate_call(struct api *api, const struct caller *caller, const struct rpc_request *request,
	uint64_t batch, struct buf *result, struct error *error)
{
	const struct method *m = find_sent(request->method);
	struct args args;
	struct call c;
	enum err e;

	if (m == NULL)
		return unknown_method(request->method, error);
	e = check_columns(m, caller, batch, error);
	if (e != OK)
		return e;
	e = args_read(&args, m->args, request->params, error);
	if (e == OK) {
		c = (struct call){
			.method = m,
			.api = api,
			.caller = caller,
			.origin = {caller->kind, caller->id, batch, request->id},
			.args = args.v,
			.params_n = request->params.raw.n,
			.result = result,
			.error = error,
			.now_ms = clock_wall_ms(),
		};
		if (m->is_audited)
			log_info("audit", "admin method called", F_STR("method", m->name),
				F_INT("session", caller->id));
		e = m->handle(&c);
	}
	args_fini(&args);
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

enum err
call_submit(struct call *c, struct job *j)
{
	enum err e = store_submit(c->api->store, c->caller->store, &j, c->error);

	job_free(j);
	return e;
}
