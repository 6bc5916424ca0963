#pragma once
/* Long work of the daemon, followed to its end: the notifications `job` behind {job}. */

#include <stdint.h>

#include "ctl/ctl.h"

/** Called with each notification: how far it is. */
typedef void follow_fn(void *arg, int64_t done, int64_t total);

/** Hears of the job until it is over: 0 and *result (to be freed), or an exit status after telling
 * why. */
int follow_job(struct ctl *c, int64_t job, follow_fn *fn, void *arg, char **result);
/** Begins it by a method without parameters, and hears of it. */
int follow_method(struct ctl *c, const char *method, follow_fn *fn, void *arg, char **result);
