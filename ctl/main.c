/*
 * sysrtctl: reads the command line by the table of commands, runs one of them.
 * Built on libsysrt and nothing else of the daemon's.
 */

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/time.h"
#include "ctl/ctl.h"
#include "ctl/grammar.h"
#include "ctl/out.h"

#define PARAMS_MAX (256u << 20)

const char *
ctl_option(const struct ctl *c, const char *name)
{
	const struct option_spec *o = c->command->options;

	for (unsigned i = 0; o != NULL && o[i].name != NULL; i++)
		if (strcmp(o[i].name, name) == 0)
			return c->values[i];
	return NULL;
}

int
ctl_usage(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	fputs("sysrtctl: ", stderr);
	vfprintf(stderr, fmt, args);
	fputc('\n', stderr);
	va_end(args);
	return EXIT_USAGE;
}

int
ctl_fail(const struct sysrt_error *error)
{
	struct buf text;

	buf_init(&text, 4096);
	out_add_safe(&text, (struct span){error->text, strlen(error->text)});
	fprintf(stderr, "sysrtctl: %.*s\n", (int)text.n, text.p);
	buf_fini(&text);
	return error->exit_status > 0 ? error->exit_status : EXIT_REFUSED;
}

int
ctl_connect(struct ctl *c)
{
	struct sysrt_error error;

	if (c->sysrt != NULL || sysrt_connect(c->socket, &c->sysrt, &error) == 0)
		return 0;
	return ctl_fail(&error);
}

struct json_out
params_start(struct buf *params)
{
	struct json_out o;

	buf_init(params, PARAMS_MAX);
	o = json_out_start(params);
	json_begin_object(&o, NULL);
	return o;
}

int
ctl_call(struct ctl *c, const char *method, struct buf *params, char **result)
{
	struct sysrt_error error;
	int status = ctl_connect(c);

	if (status != 0) {
		buf_fini(params);
		return status;
	}
	buf_add_char(params, '\0');
	if (params->failed)
		status = ctl_usage("the parameters are too large");
	else if (sysrt_call(c->sysrt, method, params->p, c->timeout_ms, result, &error) != 0)
		status = ctl_fail(&error);
	buf_fini(params);
	return status;
}

int
main(int argc, char **argv)
{
	struct ctl c = {.program = argv[0]};
	int status;

	signal(SIGPIPE, SIG_DFL); /* a closed pipe ends quietly */
	status = grammar_read(&c, argc, argv);
	if (status < 0)
		status = c.command->run(&c);
	if (status == EXIT_DONE)
		status = out_finish();
	sysrt_close(c.sysrt);
	return status;
}
