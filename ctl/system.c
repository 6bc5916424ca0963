/* The commands about the daemon itself. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/xalloc.h"
#include "ctl/commands.h"
#include "ctl/out.h"
#include "ctl/text.h"

/** Calls a method without params and prints the result as an object. */
static int
simple(struct ctl *c, const char *method)
{
	struct buf params;
	struct json_out o = params_start(&params);
	char *result = NULL;
	int status;

	json_end_object(&o);
	status = ctl_call(c, method, &params, &result);
	if (status == 0)
		out_object(c, result);
	free(result);
	return status;
}

/** Calls a method without params and prints its items. */
static int
simple_list(struct ctl *c, const char *method, const char *const *columns)
{
	struct buf params;
	struct json_out o = params_start(&params);
	char *result = NULL;
	int status;

	json_end_object(&o);
	status = ctl_call(c, method, &params, &result);
	if (status == 0)
		out_list(c, result, columns);
	free(result);
	return status;
}

int
system_status(struct ctl *c)
{
	return simple(c, "status");
}

int
system_ping(struct ctl *c)
{
	int64_t start_us;
	struct buf params;
	struct json_out o = params_start(&params);
	char *result = NULL;
	int status = ctl_connect(c);

	if (status != 0) {
		buf_fini(&params);
		return status;
	}
	json_end_object(&o);
	start_us = clock_mono_us();
	status = ctl_call(c, "ping", &params, &result);
	if (status == 0 && c->format == FORMAT_TABLE)
		printf("answered in %.3f ms\n", (double)(clock_mono_us() - start_us) / 1000);
	else if (status == 0)
		out_raw(span_of(result));
	free(result);
	return status;
}

int
system_call(struct ctl *c)
{
	struct buf params;
	char *result = NULL;
	int status;

	buf_init(&params, SIZE_MAX / 4);
	buf_addf(&params, "%s", c->words_n > 1 ? c->words[1] : "{}");
	status = ctl_call(c, c->words[0], &params, &result);
	if (status == 0)
		out_raw(span_of(result));
	free(result);
	return status;
}

int
system_methods(struct ctl *c)
{
	static const char *const columns[] = {"method", "scope", "help", NULL};

	return simple_list(c, "methods", columns);
}

int
system_publish(struct ctl *c)
{
	struct buf params;
	struct json_out o = params_start(&params);
	char *result = NULL;
	int status;

	json_put_str(&o, "topic", c->words[0]);
	json_put_raw(&o, "data", SPAN(""));
	status = text_add_data(&params, c->words_n > 1 ? c->words[1] : NULL, false);
	json_end_object(&o);
	if (status != 0) {
		buf_fini(&params);
		return status;
	}
	status = ctl_call(c, "publish", &params, &result);
	if (status == 0)
		out_object(c, result);
	free(result);
	return status;
}

int
session_ls(struct ctl *c)
{
	static const char *const columns[] = {
		"session", "door", "address", "uid", "requests", "unsent", "opened_at", NULL};

	return simple_list(c, "session.list", columns);
}

int
session_close(struct ctl *c)
{
	struct buf params;
	struct json_out o = params_start(&params);
	char *result = NULL;
	int64_t id;
	int status;

	if (!json_number_int64(span_of(c->words[0]), &id)) {
		buf_fini(&params);
		return ctl_usage("a session is named by its number: see sysrtctl session list");
	}
	json_put_int(&o, "session", id);
	json_end_object(&o);
	status = ctl_call(c, "session.close", &params, &result);
	free(result);
	return status;
}

int
system_config(struct ctl *c)
{
	static const char *const columns[] = {"name", "value", "origin", NULL};

	return simple_list(c, "system.config", columns);
}

int
system_reload(struct ctl *c)
{
	return simple(c, "system.reload");
}

int
system_log_level(struct ctl *c)
{
	struct buf params;
	struct json_out o = params_start(&params);
	char *result = NULL;
	int status;

	if (c->words_n > 0)
		json_put_str(&o, "filter", c->words[0]);
	json_end_object(&o);
	status = ctl_call(c, "system.log_level", &params, &result);
	if (status == 0)
		out_object(c, result);
	free(result);
	return status;
}

int
system_shutdown(struct ctl *c)
{
	return simple(c, "system.shutdown");
}

int
system_version(struct ctl *c)
{
	struct sysrt_error error;
	char *result = NULL;
	struct json_value v;

	printf("sysrtctl %s\n", SYSRT_VERSION);
	/* The daemon's is told when there is one. */
	if (sysrt_connect(c->socket, &c->sysrt, &error) == 0 &&
		sysrt_call(c->sysrt, "status", NULL, c->timeout_ms, &result, &error) == 0) {
		v = out_member(span_of(result), "version");
		printf("sysrtd   %.*s\n", (int)v.raw.n - 2, v.raw.p + 1);
	}
	free(result);
	return EXIT_DONE;
}

/** The sysrtd beside this program, else the one on the PATH. */
static char *
find_daemon(const struct ctl *c)
{
	const char *slash = strrchr(c->program, '/');
	char *beside = slash != NULL
			       ? xasprintf("%.*s/sysrtd", (int)(slash - c->program), c->program)
			       : xstrdup("sysrtd");

	if (slash != NULL && access(beside, X_OK) != 0) {
		free(beside);
		return xstrdup("sysrtd");
	}
	return beside;
}

int
system_migrate(struct ctl *c)
{
	static const char *const passed[] = {"store", "config", "to"};
	struct sysrt_error error;
	char *args[16], *program;
	unsigned n = 0;

	if (sysrt_connect(c->socket, &c->sysrt, &error) == 0 && ctl_option(c, "store") == NULL)
		return ctl_usage("the daemon is running, so its store is up to date: stop it first "
				 "to go to another version");
	program = find_daemon(c);
	args[n++] = program;
	args[n++] = xstrdup("store");
	args[n++] = xstrdup("migrate");
	for (unsigned i = 0; i < 3; i++)
		if (ctl_option(c, passed[i]) != NULL)
			args[n++] = xasprintf("--%s=%s", passed[i], ctl_option(c, passed[i]));
	args[n] = NULL;
	execvp(program, args);
	fprintf(stderr, "sysrtctl: running %s: %s\n", program, strerror(errno));
	while (n > 0)
		free(args[--n]);
	return EXIT_REFUSED;
}
