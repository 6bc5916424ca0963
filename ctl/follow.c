/* Long work of the daemon: see follow.h. */

#include "ctl/follow.h"

#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/xalloc.h"
#include "ctl/answer.h"
#include "ctl/interrupt.h"

/** Prints the error of a job; returns its exit status. */
static int
fail_job(struct json_value error)
{
	char *text = answer_dup(error, "message");
	char *name = answer_dup(answer_member(error, "data"), "code");
	int status = ctl_refuse("%s", text != NULL ? text : "it failed");

	if (name != NULL)
		status = err_info(err_by_name(span_of(name)))->exit_status;
	free(text);
	free(name);
	return status;
}

int
follow_job(struct ctl *c, int64_t job, follow_fn *fn, void *arg, char **result)
{
	struct sysrt_notice notice;
	struct sysrt_error error;

	for (;;) {
		int got = sysrt_next(c->sysrt, -1, &notice, &error);
		struct json_value params, value;

		if (got < 0)
			return ctl_fail(&error);
		if (interrupt_status() != 0)
			return interrupt_status();
		if (got == 0 || strcmp(notice.method, "job") != 0)
			continue;
		params = answer_value((struct span){notice.params, notice.params_n});
		if (answer_int(params, "job", 0) != job)
			continue;
		value = answer_member(params, "error");
		if (value.type == JSON_OBJECT)
			return fail_job(value);
		value = answer_member(params, "result");
		if (value.type == JSON_OBJECT) {
			*result = xstrndup(value.raw.p, value.raw.n);
			return 0;
		}
		fn(arg, answer_int(params, "done", 0), answer_int(params, "total", 0));
	}
}

int
follow_method(struct ctl *c, const char *method, follow_fn *fn, void *arg, char **result)
{
	struct buf params;
	struct json_out o = ctl_params(&params);
	int64_t job;
	char *begun;
	int status;

	json_end_object(&o);
	status = ctl_call(c, method, &params, &begun);
	if (status != 0)
		return status;
	job = answer_int(answer_value(span_of(begun)), "job", 0);
	free(begun);
	return follow_job(c, job, fn, arg, result);
}
