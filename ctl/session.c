/* session list, show and close. */

#include <stdlib.h>

#include "ctl/commands.h"
#include "ctl/out.h"

int
session_ls(struct ctl *c)
{
	static const char *const columns[] = {
		"session", "door", "address", "uid", "requests", "unsent", "opened_at", NULL};
	struct buf params;
	struct json_out o = ctl_params(&params);
	char *result;
	int status;

	json_end_object(&o);
	status = ctl_call(c, "session.list", &params, &result);
	if (status == 0)
		out_list(c, result, columns);
	free(result);
	return status;
}

/** Calls a method for the session that the first word names. */
static int
call_for_number(struct ctl *c, const char *method)
{
	struct buf params;
	struct json_out o = ctl_params(&params);
	int64_t number;

	if (!span_number(span_of(c->words[0]), &number)) {
		buf_fini(&params);
		return ctl_usage("a session is named by its number: see sysrtctl session list");
	}
	json_put_int(&o, "session", number);
	json_end_object(&o);
	return ctl_call_and_print(c, method, &params);
}

int
session_show(struct ctl *c)
{
	return call_for_number(c, "session.show");
}

int
session_close(struct ctl *c)
{
	return call_for_number(c, "session.close");
}
