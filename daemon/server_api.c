/* What only the whole of the daemon can do, for the API. */

#include <stdio.h>
#include <unistd.h>

#include "common/clock.h"
#include "daemon/server_priv.h"

static void
put_limit(struct json_out *o, const char *key, int64_t value)
{
	if (value == CONF_UNLIMITED)
		json_put_str(o, key, "unlimited");
	else
		json_put_int(o, key, value);
}

static void
put_limits(const struct conf *c, struct json_out *o)
{
	json_begin_object(o, "limits");
	put_limit(o, "max_sessions", c->websocket.max_sessions);
	put_limit(o, "max_per_uid", c->control.max_per_uid);
	put_limit(o, "max_message", c->websocket.max_message);
	put_limit(o, "max_input", c->websocket.max_input);
	put_limit(o, "max_fragments", c->websocket.max_fragments);
	put_limit(o, "max_record", c->store.max_record);
	put_limit(o, "max_in_flight", c->websocket.max_in_flight);
	put_limit(o, "max_subscriptions", c->websocket.max_subscriptions);
	put_limit(o, "send_queue", c->websocket.send_queue);
	put_limit(o, "max_header", c->websocket.max_header);
	put_limit(o, "max_handshakes", c->tls.max_handshakes);
	put_limit(o, "max_patterns", c->hub.max_patterns);
	put_limit(o, "max_topics", c->hub.max_topics);
	put_limit(o, "queue", c->store.queue);
	put_limit(o, "queue_bytes", c->store.queue_bytes);
	put_limit(o, "tombstone_max", c->store.tombstone_max);
	put_limit(o, "wal_hard_limit", c->store.wal_hard_limit);
	json_end_object(o);
}

static void
add_status(void *arg, struct json_out *o)
{
	const struct server *s = arg;

	json_put_str(o, "state", s->phase == SERVING ? "serving" : "stopping");
	json_put_int(o, "pid", getpid());
	json_put_int(o, "uptime_ms", clock_mono_ms() - s->started_ms);
	doors_add_status(s->doors, o);
	json_begin_object(o, "vault");
	vault_add_status(s->vault, o);
	json_end_object(o);
	json_begin_object(o, "feeds");
	feeds_add_status(s->feeds, o);
	json_end_object(o);
	put_limits(s->conf, o);
}

static void
list_sessions(void *arg, struct json_out *o)
{
	peers_add_list(((struct server *)arg)->peers, o);
}

static enum err
show_session(void *arg, uint64_t id, struct json_out *o, struct error *error)
{
	return peers_show(((struct server *)arg)->peers, id, o, error);
}

static enum err
close_session(void *arg, uint64_t id, struct error *error)
{
	struct server *s = arg;
	struct peer *p = peers_find(s->peers, id);

	if (p == NULL)
		return error_set(
			error, ERR_NOT_FOUND, "there is no session %llu", (unsigned long long)id);
	peer_dismiss(p, "closed by an administrator");
	return OK;
}

static enum err
admit(void *arg, uint64_t id, struct auth_token *token, struct error *error)
{
	struct server *s = arg;

	return peer_admit(peers_find(s->peers, id), token, error);
}

static void
describe(void *arg, uint64_t id, char out[AUDIT_WHO_SIZE])
{
	struct peer *p = peers_find(((struct server *)arg)->peers, id);

	if (p != NULL)
		peer_describe(p, out);
	else
		snprintf(out, AUDIT_WHO_SIZE, "somebody who is gone");
}

static enum err
begin_backup(
	void *arg, uint64_t peer, const struct backup_wish *wish, int64_t *job, struct error *error)
{
	return backups_ask(((struct server *)arg)->backups, peer, wish, job, error);
}

static enum err
begin_check(void *arg, uint64_t peer, int64_t *job, struct error *error)
{
	return errand_ask(((struct server *)arg)->check, peer, job, error);
}

static enum err
begin_compaction(void *arg, uint64_t peer, int64_t *job, struct error *error)
{
	return errand_ask(((struct server *)arg)->compaction, peer, job, error);
}

static enum err
ask_vault(void *arg, const struct origin *origin, struct vault_wish *wish, struct error *error)
{
	return secrets_ask(((struct server *)arg)->secrets, origin, wish, error);
}

static void
add_backups(void *arg, struct json_out *o)
{
	backups_add_status(((struct server *)arg)->backups, o);
}

static enum err
reload(void *arg, struct buf *result, struct error *error)
{
	return server_reload(arg, result, error);
}

static void
begin_stop(void *arg)
{
	server_begin_stop(arg);
}

struct daemon_ops
server_api_ops(struct server *s)
{
	return (struct daemon_ops){reload, begin_stop, add_status, list_sessions, show_session,
		close_session, admit, describe, begin_backup, add_backups, begin_check,
		begin_compaction, ask_vault, s};
}
