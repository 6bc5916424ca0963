/* limits list and test. */

#include <stdlib.h>

#include "ctl/commands.h"
#include "ctl/out.h"
#include "ctl/text.h"

int
limits_list(struct ctl *c)
{
	static const char *const columns[] = {"address", "level", "connections", "refused", NULL};
	struct buf params;
	struct json_out o = ctl_params(&params);
	char *result;
	int status;

	json_end_object(&o);
	status = ctl_call(c, "limits.list", &params, &result);
	if (status == 0)
		out_list(c, result, columns);
	free(result);
	return status;
}

int
limits_test(struct ctl *c)
{
	const char *rate = c->words_n > 0 ? c->words[0] : ctl_option(c, "rate");
	struct buf params;
	struct json_out o;

	if (rate == NULL)
		return ctl_usage("which rate? Such as: sysrtctl limits test 50/s");
	o = ctl_params(&params);
	json_put_str(&o, "rate", rate);
	text_put_option(c, &o, "method", "method");
	text_put_option(c, &o, "for", "for");
	text_put_option(c, &o, "token", "token");
	json_end_object(&o);
	return ctl_call_and_print(c, "limits.test", &params);
}
