/* ping, status, methods and system.*: the daemon about itself. */

#include <string.h>

#include "common/log.h"
#include "daemon/api/methods.h"

enum err
system_ping(struct call *c)
{
	struct json_out o = json_out_start(c->result);

	json_begin_object(&o, NULL);
	json_put_int(&o, "time", c->now_ms);
	json_end_object(&o);
	return OK;
}

enum err
system_status(struct call *c)
{
	struct json_out o = json_out_start(c->result);

	json_begin_object(&o, NULL);
	json_put_str(&o, "version", SYSRT_VERSION);
	json_put_str(&o, "protocol", API_PROTOCOL);
	json_put_int(&o, "time", c->now_ms);
	c->api->ops.add_status(c->api->ops.daemon, &o);
	store_add_status(c->api->store, &o);
	search_add_status(c->api->search, store_last_seq(c->api->store), &o);
	hub_add_status(c->api->hub, &o);
	c->api->ops.add_backups(c->api->ops.daemon, &o);
	json_end_object(&o);
	return OK;
}

static void
put_params(struct json_out *o, const struct arg_spec *specs)
{
	int64_t min, max;

	json_begin_array(o, "params");
	for (; specs->name != NULL; specs++) {
		json_begin_object(o, NULL);
		json_put_str(o, "name", specs->name);
		json_put_str(o, "kind", args_kind_name(specs->kind));
		json_put_bool(o, "required", specs->required);
		if (args_bounds(specs, &min, &max)) {
			json_put_int(o, "min", min);
			json_put_int(o, "max", max);
		}
		if (specs->choices != NULL)
			json_put_str(o, "choices", specs->choices);
		if (specs->touches != SCOPE_NONE)
			json_put_str(o, "touches", scope_name(specs->touches));
		if (specs->help != NULL)
			json_put_str(o, "help", specs->help);
		json_end_object(o);
	}
	json_end_array(o);
}

enum err
system_methods(struct call *c)
{
	struct json_out o = json_out_start(c->result);
	const struct method *rows;
	size_t n;

	rows = method_table(&n);
	json_begin_object(&o, NULL);
	json_begin_array(&o, "items");
	for (size_t i = 0; i < n; i++) {
		json_begin_object(&o, NULL);
		json_put_str(&o, "method", rows[i].name);
		json_put_str(&o, "scope", scope_name(rows[i].scope));
		json_put_int(&o, "cost", rows[i].cost);
		json_put_str(&o, "help", rows[i].help);
		put_params(&o, rows[i].args);
		json_end_object(&o);
	}
	json_end_array(&o);
	json_end_object(&o);
	return OK;
}

enum err
system_stats(struct call *c)
{
	struct json_out o = json_out_start(c->result);

	json_begin_object(&o, NULL);
	stats_add_json(c->api->stats, &o);
	json_end_object(&o);
	return OK;
}

enum err
system_config(struct call *c)
{
	struct json_out o = json_out_start(c->result);

	buf_add(c->result, "{\"items\":", 9);
	conf_add_json(c->api->conf, &o);
	buf_add_char(c->result, '}');
	return OK;
}

enum err
system_reload(struct call *c)
{
	return c->api->ops.reload(c->api->ops.daemon, c->result, c->error);
}

/* clang-format off */
const struct arg_spec log_level_args[] = {
	{"filter", ARG_STRING, .max = 1000, .help = "Such as \"info,store=debug\"; default: leave it"},
	{.name = NULL},
};
/* clang-format on */

enum err
system_log_level(struct call *c)
{
	struct json_out o = json_out_start(c->result);

	if (c->args[0].is_set && log_set_filter(c->args[0].text, c->error) != OK)
		return error_set(c->error, ERR_INVALID_ARGUMENT,
			"filter: levels are error warn info "
			"debug trace, as in \"info,store=debug\"");
	json_begin_object(&o, NULL);
	json_put_str(&o, "filter", log_filter());
	json_end_object(&o);
	return OK;
}

/* clang-format off */
const struct arg_spec backup_args[] = {
	{"descriptor", ARG_BOOL, .help = "Into the empty file whose descriptor came with the request; default: into a new file in backup.folder"},
	{"verify",     ARG_BOOL, .help = "Check all of the copy"},
	{.name = NULL},
};
/* clang-format on */

/** The work goes on: its number is the answer. */
static enum err
answer_job(struct call *c, int64_t job)
{
	struct json_out o = json_out_start(c->result);

	json_begin_object(&o, NULL);
	json_put_int(&o, "job", job);
	json_end_object(&o);
	return OK;
}

enum err
system_backup(struct call *c)
{
	bool does_pass = c->args[0].is_set && c->args[0].i != 0;
	int64_t job;
	enum err e;

	if (does_pass && c->caller->passed_fd < 0)
		return error_set(c->error, ERR_INVALID_ARGUMENT,
			"descriptor: none came with the request (SCM_RIGHTS)");
	e = c->api->ops.backup(c->api->ops.daemon, c->caller->id,
		&(struct backup_wish){.fd = does_pass ? c->caller->passed_fd : -1,
			.does_verify = c->args[1].is_set && c->args[1].i != 0},
		&job, c->error);
	return e == OK ? answer_job(c, job) : e;
}

enum err
system_check(struct call *c)
{
	int64_t job;
	enum err e = c->api->ops.check(c->api->ops.daemon, c->caller->id, &job, c->error);

	return e == OK ? answer_job(c, job) : e;
}

enum err
system_compact(struct call *c)
{
	int64_t job;
	enum err e = c->api->ops.compact(c->api->ops.daemon, c->caller->id, &job, c->error);

	return e == OK ? answer_job(c, job) : e;
}

enum err
system_shutdown(struct call *c)
{
	c->api->ops.shutdown(c->api->ops.daemon);
	buf_add(c->result, "{}", 2);
	return OK;
}
