#pragma once
/* How the sources of libsysrt fail: each fills *error and returns -1. Any thread. */

#include "common/client/sysrt.h"
#include "common/err.h"

#define FAIL_NOT_RUNNING 3 /* exit statuses that no code of common/err.h has */
#define FAIL_INTERRUPTED 130

int fail_named(struct sysrt_error *error, const char *name, int exit_status, const char *text);
int fail_code(struct sysrt_error *error, enum err code, const char *text);
int fail_with(struct sysrt_error *error, const struct error *from);
/** By errno: "DOING: what it says". */
int fail_errno(struct sysrt_error *error, const char *doing);
int fail_closed(struct sysrt_error *error, const char *text);
int fail_interrupted(struct sysrt_error *error);
