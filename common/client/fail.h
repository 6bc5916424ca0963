#pragma once
/* How the sources of libsysrt fail: each fills *error and returns -1. Any thread. */

#include "common/client/sysrt.h"
#include "common/err.h"

#define FAIL_NOT_RUNNING 3 /* exit statuses that no code of common/err.h has */
#define FAIL_INTERRUPTED 130

void fail_fill(struct sysrt_error *error, const char *name, int exit_status, const char *text);
/** By errno: "DOING: what it says". */
void fail_fill_errno(struct sysrt_error *error, const char *doing);

static inline int
fail_named(struct sysrt_error *error, const char *name, int exit_status, const char *text)
{
	fail_fill(error, name, exit_status, text);
	return -1;
}

static inline int
fail_code(struct sysrt_error *error, enum err code, const char *text)
{
	return fail_named(error, err_info(code)->name, err_info(code)->exit_status, text);
}

static inline int
fail_with(struct sysrt_error *error, const struct error *from)
{
	fail_code(error, from->code, from->text);
	error->seq = from->seq;
	return -1;
}

static inline int
fail_errno(struct sysrt_error *error, const char *doing)
{
	fail_fill_errno(error, doing);
	return -1;
}

static inline int
fail_closed(struct sysrt_error *error, const char *text)
{
	return fail_named(error, "CLOSED", FAIL_NOT_RUNNING, text);
}

static inline int
fail_interrupted(struct sysrt_error *error)
{
	return fail_named(error, "INTERRUPTED", FAIL_INTERRUPTED, "interrupted");
}
