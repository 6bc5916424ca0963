/* Failures of libsysrt: see fail.h. */

#include "common/client/fail.h"

#include <errno.h>
#include <stdio.h>

void
fail_fill(struct sysrt_error *error, const char *name, int exit_status, const char *text)
{
	*error = (struct sysrt_error){.seq = -1, .exit_status = exit_status};
	snprintf(error->name, sizeof(error->name), "%s", name);
	snprintf(error->text, sizeof(error->text), "%s", text);
}

void
fail_fill_errno(struct sysrt_error *error, const char *doing)
{
	struct error e = ERROR_NONE;

	error_set_errno(&e, ERR_IO_ERROR, errno, "%s", doing);
	fail_with(error, &e);
}
