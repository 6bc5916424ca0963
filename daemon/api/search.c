/* record.search: from checked parameters to a job. */

#include "daemon/api/methods.h"
#include "daemon/search/query.h"

#define SEARCH_LIMIT     20
#define SEARCH_LIMIT_MAX 1000
#define SNIPPET          160
#define SNIPPET_MAX      1000
#define CURSOR_MAX_BYTES 1024

enum search_arg {
	SEARCH_QUERY,
	SEARCH_CATEGORY,
	SEARCH_AFTER,
	SEARCH_BEFORE,
	SEARCH_WHERE,
	SEARCH_ORDER,
	SEARCH_LIMIT_ARG,
	SEARCH_CURSOR,
	SEARCH_SNIPPET,
	SEARCH_DATA
};

/* clang-format off */
const struct arg_spec record_search_args[] = {
	[SEARCH_QUERY]     = {"query",          ARG_STRING,  .required = true, .max = QUERY_MAX_BYTES, .help = "What to look for: words, \"phrases\", prefix*, OR, -not, name:word"},
	[SEARCH_CATEGORY]  = {"category",       ARG_PATTERN, .touches = SCOPE_READ,                    .help = "Categories: a name, a prefix ending in *, or several; default: all"},
	[SEARCH_AFTER]     = {"updated_after",  ARG_TIME,                                              .help = "Only records written after this time"},
	[SEARCH_BEFORE]    = {"updated_before", ARG_TIME,                                              .help = "Only records written before this time"},
	[SEARCH_WHERE]     = {"where",          ARG_WHERE,                                             .help = "Only records whose data meets this condition"},
	[SEARCH_ORDER]     = {"order",          ARG_CHOICE,  .choices = "rank newest",                 .help = "Default \"rank\""},
	[SEARCH_LIMIT_ARG] = {"limit",          ARG_INT,     .min = 1, .max = SEARCH_LIMIT_MAX,        .help = "Records of a page; default 20"},
	[SEARCH_CURSOR]    = {"cursor",         ARG_STRING,  .max = CURSOR_MAX_BYTES,                  .help = "Go on where the page that gave it ended"},
	[SEARCH_SNIPPET]   = {"snippet",        ARG_INT,     .min = 0, .max = SNIPPET_MAX,             .help = "Characters of a snippet, 0: none; default 160"},
	[SEARCH_DATA]      = {"data",           ARG_BOOL,                                              .help = "Give the records' data too"},
	{.name = NULL},
};
/* clang-format on */

static enum err
set_filters(struct call *c, struct job *j)
{
	static const struct arg none = {.is_set = false};
	const struct arg *a = c->args;

	if (a[SEARCH_AFTER].is_set)
		j->read.updated_after = a[SEARCH_AFTER].i;
	if (a[SEARCH_BEFORE].is_set)
		j->read.updated_before = a[SEARCH_BEFORE].i;
	if (!a[SEARCH_CATEGORY].is_set && !a[SEARCH_WHERE].is_set)
		return OK;
	j->read.pattern = args_pattern(&a[SEARCH_CATEGORY], &none, &a[SEARCH_WHERE]);
	return j->read.pattern != NULL ? OK
				       : error_set(c->error, ERR_LIMIT_EXCEEDED, "out of memory");
}

enum err
record_search(struct call *c)
{
	static const enum order orders[] = {ORDER_RANK, ORDER_NEWEST};
	const struct arg *a = c->args;
	struct job *j = call_job(c, JOB_SEARCH, 0, c->params_n);
	enum err e;

	if (j == NULL)
		return c->error->code;
	j->read.query = job_keep(j, a[SEARCH_QUERY].text);
	j->read.cursor = job_keep(j, a[SEARCH_CURSOR].text);
	j->read.order = orders[a[SEARCH_ORDER].i];
	j->read.limit = a[SEARCH_LIMIT_ARG].is_set ? (unsigned)a[SEARCH_LIMIT_ARG].i : SEARCH_LIMIT;
	j->read.snippet = a[SEARCH_SNIPPET].is_set ? (unsigned)a[SEARCH_SNIPPET].i : SNIPPET;
	j->read.wants_data = a[SEARCH_DATA].i != 0;
	j->read.is_apart = !scopes_cover(c->caller->scopes, SCOPE_READ, SPAN(""), true);
	j->read.rank_limit = (unsigned)c->api->conf->search.rank_limit;
	e = set_filters(c, j);
	if (e == OK)
		return call_submit(c, j);
	job_free(j);
	return e;
}
