/* Failures of libsysrt: see fail.h. */

#include "common/client/fail.h"

#include <errno.h>
#include <stdio.h>

int
fail_named(struct sysrt_error *error, const char *name, int exit_status, const char *text)
{
	*error = (struct sysrt_error){.seq = -1, .exit_status = exit_status};
	snprintf(error->name, sizeof(error->name), "%s", name);
	snprintf(error->text, sizeof(error->text), "%s", text);
	return -1;
}

int
fail_code(struct sysrt_error *error, enum err code, const char *text)
{
	return fail_named(error, err_info(code)->name, err_info(code)->exit_status, text);
}

int
fail_with(struct sysrt_error *error, const struct error *from)
{
	fail_code(error, from->code, from->text);
	error->seq = from->seq;
	return -1;
}

int
fail_errno(struct sysrt_error *error, const char *doing)
{
	struct error e = ERROR_NONE;

	error_set_errno(&e, ERR_IO_ERROR, errno, "%s", doing);
	return fail_with(error, &e);
}

int
fail_closed(struct sysrt_error *error, const char *text)
{
	return fail_named(error, "CLOSED", FAIL_NOT_RUNNING, text);
}

int
fail_interrupted(struct sysrt_error *error)
{
	return fail_named(error, "INTERRUPTED", FAIL_INTERRUPTED, "interrupted");
}
