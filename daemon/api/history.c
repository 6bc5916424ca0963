/* record.history: the versions of a record. */

#include "daemon/api/methods.h"

#define HISTORY_LIMIT     100
#define HISTORY_LIMIT_MAX 1000
#define CURSOR_MAX_BYTES  32

enum history_arg { HIST_CATEGORY, HIST_ID, HIST_LIMIT, HIST_CURSOR };

/* clang-format off */
const struct arg_spec record_history_args[] = {
	[HIST_CATEGORY] = {"category", ARG_NAME,   .touches = SCOPE_READ, .standard = "general", .help = "Category; default \"general\""},
	[HIST_ID]       = {"id",       ARG_ID,     .required = true,                      .help = "Id"},
	[HIST_LIMIT]    = {"limit",    ARG_INT,    .min = 1, .max = HISTORY_LIMIT_MAX,    .help = "Versions of a page; default 100"},
	[HIST_CURSOR]   = {"cursor",   ARG_STRING, .max = CURSOR_MAX_BYTES,               .help = "Go on where the page that gave it ended"},
	{.name = NULL},
};
/* clang-format on */

enum err
record_history(struct call *c)
{
	const struct arg *a = c->args;
	struct job *j = call_job(c, JOB_HISTORY, 0, c->params_n);

	if (j == NULL)
		return c->error->code;
	j->read.category = call_keep(j, &a[HIST_CATEGORY]);
	j->read.id = job_keep(j, a[HIST_ID].text);
	j->read.limit = a[HIST_LIMIT].is_set ? (unsigned)a[HIST_LIMIT].i : HISTORY_LIMIT;
	j->read.cursor = job_keep(j, a[HIST_CURSOR].text);
	return call_submit(c, j);
}
