/* session.*: who is connected. */

#include "daemon/api/methods.h"

#define SESSION_NUMBER ARG_INT, .required = true, .min = 1, .max = (INT64_C(1) << 53) - 1

enum err
session_list(struct call *c)
{
	struct json_out o = json_out_start(c->result);

	json_begin_object(&o, NULL);
	json_begin_array(&o, "items");
	c->api->ops.list_sessions(c->api->ops.daemon, &o);
	json_end_array(&o);
	json_end_object(&o);
	return OK;
}

/* clang-format off */
const struct arg_spec session_close_args[] = {
	{"session", SESSION_NUMBER, .help = "Its number"},
	{.name = NULL},
};
/* clang-format on */

enum err
session_close(struct call *c)
{
	enum err e =
		c->api->ops.close_session(c->api->ops.daemon, (uint64_t)c->args[0].i, c->error);

	if (e == OK)
		buf_add(c->result, "{}", 2);
	return e;
}

/* clang-format off */
const struct arg_spec session_show_args[] = {
	{"session", SESSION_NUMBER, .help = "Its number"},
	{.name = NULL},
};
/* clang-format on */

enum err
session_show(struct call *c)
{
	struct json_out o = json_out_start(c->result);
	enum err e;

	json_begin_object(&o, NULL);
	e = c->api->ops.show_session(c->api->ops.daemon, (uint64_t)c->args[0].i, &o, c->error);
	json_end_object(&o);
	return e;
}
