/* token create, list and revoke. */

#include <stdlib.h>

#include "common/time.h"
#include "ctl/commands.h"
#include "ctl/out.h"
#include "ctl/text.h"

static void
put_scopes(const struct ctl *c, struct json_out *o)
{
	const char *scope;
	unsigned at = 0;

	json_begin_array(o, "scopes");
	while ((scope = ctl_option_next(c, "scope", &at)) != NULL)
		json_put_str(o, NULL, scope);
	json_end_array(o);
}

int
token_create(struct ctl *c)
{
	const char *expires = ctl_option(c, "expires");
	struct buf params;
	struct json_out o;
	int64_t ms;
	int status;

	if (ctl_option(c, "scope") == NULL)
		return ctl_usage(
			"what may it do? Say so with --scope, such as --scope read:ticker");
	o = ctl_params(&params);
	json_put_str(&o, "name", c->words[0]);
	put_scopes(c, &o);
	if (expires != NULL)
		text_put_time(c, &o, "expires",
			duration_parse(span_of(expires), &ms) ? "ttl" : "expires_at");
	text_put_option(c, &o, "rate", "rate");
	json_end_object(&o);
	status = ctl_call_and_print(c, "token.create", &params);
	if (status == EXIT_DONE)
		ctl_hint(c, "sysrtctl: the token is told only now: keep it where nobody reads it");
	return status;
}

int
token_ls(struct ctl *c)
{
	static const char *const columns[] = {
		"name", "scopes", "rate", "created_at", "used_at", "expires_at", NULL};
	struct buf params;
	struct json_out o = ctl_params(&params);
	char *result;
	int status;

	json_end_object(&o);
	status = ctl_call(c, "token.list", &params, &result);
	if (status == 0)
		out_list(c, result, columns);
	free(result);
	return status;
}

int
token_revoke(struct ctl *c)
{
	struct buf params;
	struct json_out o = ctl_params(&params);

	json_put_str(&o, "name", c->words[0]);
	json_end_object(&o);
	return ctl_call_and_print(c, "token.revoke", &params);
}
