/* What the commands of sysrtctl share: see ctl.h. */

#include "ctl/ctl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/door.h"
#include "ctl/out.h"

#define PARAMS_MAX     ((size_t)256 << 20)
#define ERROR_LINE_MAX 8192
#define WHO            "sysrtctl: "

const char *
ctl_option(const struct ctl *c, const char *name)
{
	const struct option_spec *o = c->command->options;

	for (unsigned i = 0; o != NULL && o[i].name != NULL; i++)
		if (strcmp(o[i].name, name) == 0)
			return c->values[i];
	return NULL;
}

const char *
ctl_option_next(const struct ctl *c, const char *name, unsigned *at)
{
	while (*at < c->given_n) {
		const struct given *g = &c->given[(*at)++];

		if (strcmp(g->name, name) == 0)
			return g->value;
	}
	return NULL;
}

/** One line on standard error, fit for a terminal: parts of it may come from anywhere. */
static void
complain(const char *who, const char *text)
{
	struct buf line;

	buf_init(&line, ERROR_LINE_MAX);
	buf_addf(&line, "%s", who);
	out_add_safe(&line, span_of(text));
	buf_add_char(&line, '\n');
	fwrite(line.p, 1, line.n, stderr);
	buf_fini(&line);
}

static void __attribute__((format(printf, 2, 0)))
complain_with(const char *who, const char *fmt, va_list args)
{
	char text[ERROR_LINE_MAX / 8];

	vsnprintf(text, sizeof(text), fmt, args);
	complain(who, text);
}

int
ctl_usage(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	complain_with(WHO, fmt, args);
	va_end(args);
	return EXIT_USAGE;
}

int
ctl_refuse(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	complain_with(WHO, fmt, args);
	va_end(args);
	return EXIT_REFUSED;
}

void
ctl_warn(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	complain_with(WHO, fmt, args);
	va_end(args);
}

void
ctl_hint(const struct ctl *c, const char *fmt, ...)
{
	va_list args;

	if (c->is_quiet)
		return;
	va_start(args, fmt);
	complain_with("", fmt, args);
	va_end(args);
}

int
ctl_fail(const struct sysrt_error *error)
{
	complain(WHO, error->text);
	return error->exit_status > 0 ? error->exit_status : EXIT_REFUSED;
}

int
ctl_connect(struct ctl *c)
{
	struct sysrt_error error;

	if (c->sysrt != NULL || door_open(c, &error) == 0)
		return 0;
	return ctl_fail(&error);
}

void
ctl_disconnect(struct ctl *c)
{
	sysrt_close(c->sysrt);
	c->sysrt = NULL;
}

struct json_out
ctl_params(struct buf *params)
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
	int status;

	*result = NULL;
	buf_add_char(params, '\0');
	status = params->failed ? ctl_refuse("the data is too large") : ctl_connect(c);
	if (status == 0 &&
		sysrt_call(c->sysrt, method, params->p, c->timeout_ms, result, &error) != 0)
		status = ctl_fail(&error);
	buf_fini(params);
	return status;
}

int
ctl_call_and_print(struct ctl *c, const char *method, struct buf *params)
{
	char *result;
	int status = ctl_call(c, method, params, &result);

	if (status == 0)
		out_object(c, span_of(result));
	free(result);
	return status;
}
