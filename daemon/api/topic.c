/* publish: messages to topics, which are not stored. */

#include "daemon/api/methods.h"

enum publish_arg { PUB_TOPIC, PUB_DATA };

/* clang-format off */
const struct arg_spec publish_args[] = {
	[PUB_TOPIC] = {"topic", ARG_NAME, .required = true, .touches = SCOPE_PUBLISH, .help = "Topic"},
	[PUB_DATA]  = {"data",  ARG_JSON, .max = JSON_DATA_DEPTH_MAX, .required = true, .help = "Any JSON value"},
	{.name = NULL},
};
/* clang-format on */

enum err
topic_publish(struct call *c)
{
	struct span data = c->args[PUB_DATA].value.raw;
	struct json_out o = json_out_start(c->result);

	if ((int64_t)data.n > c->api->conf->store.max_record)
		return error_set_limit(c->error, "store.max_record",
			"data has %zu bytes, at most %lld are allowed (store.max_record)", data.n,
			(long long)c->api->conf->store.max_record);
	json_begin_object(&o, NULL);
	json_put_int(
		&o, "receivers", hub_publish_topic(c->api->hub, c->args[PUB_TOPIC].text, data));
	json_end_object(&o);
	return OK;
}
