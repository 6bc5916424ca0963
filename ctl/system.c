/* ping, call, methods, publish, and the commands that steer the daemon. */

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/xalloc.h"
#include "ctl/answer.h"
#include "ctl/commands.h"
#include "ctl/door.h"
#include "ctl/out.h"
#include "ctl/program.h"
#include "ctl/text.h"

/** Calls a method without params: as ctl_call(). */
static int
call_plain(struct ctl *c, const char *method, char **result)
{
	struct buf params;
	struct json_out o = ctl_params(&params);

	json_end_object(&o);
	return ctl_call(c, method, &params, result);
}

static int
call_and_print(struct ctl *c, const char *method)
{
	char *result;
	int status = call_plain(c, method, &result);

	if (status == 0)
		out_object(c, span_of(result));
	free(result);
	return status;
}

static int
call_and_list(struct ctl *c, const char *method, const char *const *columns)
{
	char *result;
	int status = call_plain(c, method, &result);

	if (status == 0)
		out_list(c, result, columns);
	free(result);
	return status;
}

int
system_ping(struct ctl *c)
{
	int status = ctl_connect(c);
	int64_t start_us = clock_mono_us();
	char *result = NULL;

	if (status == 0)
		status = call_plain(c, "ping", &result);
	if (status == 0 && c->format == FORMAT_TABLE)
		printf("answered in %.3f ms\n", (double)(clock_mono_us() - start_us) / 1000);
	else if (status == 0)
		out_json(c, span_of(result));
	free(result);
	return status;
}

int
system_call(struct ctl *c)
{
	struct buf params;
	char *result = NULL;
	int status;

	buf_init(&params, (size_t)256 << 20);
	status = text_add_data(&params, c->words_n > 1 ? c->words[1] : "{}", false);
	if (status == 0)
		status = ctl_call(c, c->words[0], &params, &result);
	else
		buf_fini(&params);
	if (status == 0)
		out_json(c, span_of(result));
	free(result);
	return status;
}

int
system_methods(struct ctl *c)
{
	static const char *const columns[] = {"method", "scope", "cost", "help", NULL};

	return call_and_list(c, "methods", columns);
}

int
system_publish(struct ctl *c)
{
	const char *word = c->words_n > 1 ? c->words[1] : NULL;
	struct buf params;
	struct json_out o = ctl_params(&params);
	int status;

	json_put_str(&o, "topic", c->words[0]);
	json_put_raw(&o, "data", SPAN(""));
	status = text_add_data(&params, word, ctl_option(c, "text") != NULL);
	json_end_object(&o);
	if (status == 0)
		return ctl_call_and_print(c, "publish", &params);
	buf_fini(&params);
	return status;
}

int
system_config(struct ctl *c)
{
	static const char *const columns[] = {"name", "value", "origin", NULL};

	return call_and_list(c, "system.config", columns);
}

int
system_reload(struct ctl *c)
{
	return call_and_print(c, "system.reload");
}

int
system_log_level(struct ctl *c)
{
	struct buf params;
	struct json_out o = ctl_params(&params);

	if (c->words_n > 0)
		json_put_str(&o, "filter", c->words[0]);
	json_end_object(&o);
	return ctl_call_and_print(c, "system.log_level", &params);
}

/** A descriptor of the daemon's process, or -1: it is in a world of its own (another namespace), or
 * somebody else made its socket. */
static int
open_process(struct ctl *c)
{
	struct ucred peer = {.pid = 0};
	socklen_t n = sizeof(peer);
	int64_t pid;
	char *result;

	if (call_plain(c, "status", &result) != 0)
		return -1;
	pid = answer_int(answer_value(span_of(result)), "pid", 0);
	free(result);
	if (getsockopt(sysrt_fd(c->sysrt), SOL_SOCKET, SO_PEERCRED, &peer, &n) != 0 ||
		peer.pid != pid || pid <= 0)
		return -1;
	return pidfd_open((pid_t)pid, 0);
}

int
system_shutdown(struct ctl *c)
{
	struct pollfd daemon = {.events = POLLIN};
	int status = ctl_connect(c);

	if (status != 0)
		return status;
	daemon.fd = open_process(c);
	status = call_and_print(c, "system.shutdown");
	if (status == 0 && daemon.fd >= 0 && poll(&daemon, 1, c->timeout_ms) == 0) {
		ctl_refuse("the daemon is still stopping (--timeout)");
		status = EXIT_TIMEOUT;
	}
	if (daemon.fd >= 0)
		close(daemon.fd);
	return status;
}

int
system_version(struct ctl *c)
{
	struct sysrt_error error;
	struct buf text;
	struct json_out o;
	char *result = NULL, *version = NULL;

	/* The daemon's is told when there is one. */
	if (door_open(c, &error) == 0 &&
		sysrt_call(c->sysrt, "status", NULL, c->timeout_ms, &result, &error) == 0)
		version = answer_dup(answer_value(span_of(result)), "version");
	buf_init(&text, 4096);
	o = json_out_start(&text);
	json_begin_object(&o, NULL);
	json_put_str(&o, "sysrtctl", SYSRT_VERSION);
	if (version != NULL)
		json_put_str(&o, "sysrtd", version);
	json_end_object(&o);
	out_object(c, buf_span(&text));
	buf_fini(&text);
	free(version);
	free(result);
	return EXIT_DONE;
}

/** What the daemon's exit status (of sysexits) is as one of ours. */
static int
status_of_daemon(int status)
{
	switch (status) {
	case EX_OK:
		return EXIT_DONE;
	case EX_USAGE:
		return EXIT_USAGE;
	case EX_NOPERM:
		return EXIT_DENIED;
	default:
		return EXIT_REFUSED;
	}
}

/** Runs `sysrtd store VERB` with what of its options is given, and the words. */
static int
run_on_store(struct ctl *c, const char *verb)
{
	static const char *const passed[] = {"store", "config", "to"};
	char *args[16];
	unsigned n = 0;
	int status;

	args[n++] = program_find_daemon();
	args[n++] = xstrdup("store");
	args[n++] = xstrdup(verb);
	for (unsigned i = 0; i < sizeof(passed) / sizeof(passed[0]); i++)
		if (ctl_option(c, passed[i]) != NULL)
			args[n++] = xasprintf("--%s=%s", passed[i], ctl_option(c, passed[i]));
	if (ctl_option(c, "drop-tokens") != NULL)
		args[n++] = xstrdup("--drop-tokens");
	if (c->format != FORMAT_TABLE)
		args[n++] = xstrdup("--output=json");
	args[n++] = xstrdup("--");
	for (unsigned i = 0; i < c->words_n; i++)
		args[n++] = xstrdup(c->words[i]);
	args[n] = NULL;
	signal(SIGCHLD, SIG_DFL);
	status = program_run(args, NULL, &status) ? status_of_daemon(status) : EXIT_REFUSED;
	while (n > 0)
		free(args[--n]);
	return status;
}

/** Nothing of another machine's files can be reached from here. */
static int
refuse_remote(const struct ctl *c)
{
	return ctl_refuse("%s works on the files of the daemon's machine: run it there, without "
			  "a URL",
		c->command->name);
}

int
system_find_daemon(struct ctl *c, bool *is_there)
{
	struct sysrt_error error;

	*is_there = false;
	if (ctl_option(c, "store") != NULL)
		return 0;
	*is_there = door_is_remote(c) || door_open(c, &error) == 0;
	return *is_there || strcmp(error.name, "NOT_RUNNING") == 0 ? 0 : ctl_fail(&error);
}

/** Runs it when no daemon has the store; else says why not. */
static int
run_without_daemon(struct ctl *c, const char *verb, const char *why)
{
	bool is_there = false;
	int status = door_is_remote(c) ? refuse_remote(c) : system_find_daemon(c, &is_there);

	if (status != 0)
		return status;
	return is_there ? ctl_refuse("the daemon is running%s", why) : run_on_store(c, verb);
}

int
system_migrate(struct ctl *c)
{
	return run_without_daemon(c, "migrate",
		", so its store is up to date: stop it first (sysrtctl shutdown) to go to another "
		"version");
}

int
system_restore(struct ctl *c)
{
	return run_without_daemon(
		c, "restore", ": stop it first (sysrtctl shutdown), its store is to be replaced");
}

int
system_compact_file(struct ctl *c)
{
	return run_on_store(c, "compact");
}

int
system_check_file(struct ctl *c)
{
	if (ctl_option(c, "repair") == NULL)
		return run_on_store(c, "check");
	return run_without_daemon(c, "repair",
		": stop it first (sysrtctl shutdown), or look at its store without --repair");
}
