/* The greeting: see hello.h. */

#include "daemon/peer/hello.h"

#define PARAMS_MAX (256u << 10) /* a token may have 256 names, of 128 bytes each */

static void
put_limits(struct json_out *o, const struct conf *conf)
{
	json_begin_object(o, "limits");
	json_put_int(o, "max_message", conf->websocket.max_message);
	json_put_int(o, "max_record", conf->store.max_record);
	json_put_int(o, "max_in_flight", conf->websocket.max_in_flight);
	json_put_int(o, "max_subscriptions", conf->websocket.max_subscriptions);
	json_put_int(o, "send_queue", conf->websocket.send_queue);
	json_end_object(o);
}

void
hello_say(struct peer *p)
{
	struct api *api = peers_api(p->peers);
	struct json_out o;
	struct buf params;

	buf_init(&params, PARAMS_MAX);
	o = json_out_start(&params);
	json_begin_object(&o, NULL);
	json_put_str(&o, "version", SYSRT_VERSION);
	json_put_str(&o, "protocol", API_PROTOCOL);
	json_put_int(&o, "session", (int64_t)p->caller.id);
	json_put_str(&o, "epoch", store_epoch(api->store));
	json_put_int(&o, "seq", hub_published(api->hub));
	json_put_str(&o, "durability",
		api->conf->store.durability == DURABILITY_FULL ? "full" : "normal");
	json_put_int(&o, "heartbeat_ms", api->conf->websocket.heartbeat_ms);
	if (p->caller.token != NULL)
		json_put_str(&o, "token", p->caller.token->name);
	scopes_put_list(p->caller.scopes, &o, "scopes");
	put_limits(&o, api->conf);
	limits_add_hello(api->limits, &p->limited, &o);
	json_end_object(&o);
	peer_notify(p, "hello", buf_span(&params));
	buf_fini(&params);
}
