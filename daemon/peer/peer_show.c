/* What is told of peers: see peer.h. */

#include "common/clock.h"
#include "daemon/peer/peer_priv.h"

/** Writes the members of session.list. */
static void
put_members(struct peer *p, struct json_out *o)
{
	json_put_int(o, "session", (int64_t)p->caller.id);
	p->ops->add_status(p, o);
	if (p->caller.token != NULL)
		json_put_str(o, "token", p->caller.token->name);
	scopes_put_list(p->caller.scopes, o, "scopes");
	json_put_int(o, "opened_at", p->opened_ms);
	json_put_int(o, "requests", (int64_t)p->requests);
	json_put_int(o, "in_flight", p->in_flight);
	json_put_int(o, "unsent", (int64_t)conn_unsent(&p->conn));
	limited_add_status(p->peers->api->limits, &p->limited, clock_mono_ms(), o);
	json_begin_array(o, "subscriptions");
	subscriber_add_status(&p->subscriber, o);
	json_end_array(o);
}

static void
add_one(struct peer *p, void *arg)
{
	struct json_out *o = arg;

	json_begin_object(o, NULL);
	put_members(p, o);
	json_end_object(o);
}

void
peers_add_list(struct peers *ps, struct json_out *o)
{
	peers_each(ps, add_one, o);
}

/** Why it is slow now. */
static void
put_state(struct peer *p, struct json_out *o, int64_t now_ms)
{
	const char *why = peer_held_why(p);

	if (why != NULL) {
		json_begin_object(o, "held");
		json_put_str(o, "why", why);
		json_put_int(o, "for_ms", now_ms - p->held_ms);
		json_end_object(o);
	}
	if (conn_unsent(&p->conn) > 0)
		json_put_int(o, "stalled_ms", now_ms - p->conn.progress_ms);
	json_put_int(o, "held_back", (int64_t)p->limited.holds);
	subscriber_add_lags(&p->subscriber, o);
}

enum err
peers_show(struct peers *ps, uint64_t id, struct json_out *o, struct error *error)
{
	struct peer *p = peers_find(ps, id);
	int64_t now_ms = clock_mono_ms();

	if (p == NULL)
		return error_set(
			error, ERR_NOT_FOUND, "there is no session %llu", (unsigned long long)id);
	json_begin_object(o, "session");
	put_members(p, o);
	put_state(p, o, now_ms);
	limited_add_buckets(ps->api->limits, &p->limited, now_ms, o);
	trail_add(p->trail, o);
	json_end_object(o);
	return OK;
}
