/* Connections to the HTTP port: see session.h. */

#include "daemon/peer/session.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/secret.h"
#include "common/xalloc.h"
#include "daemon/net/tls.h"
#include "daemon/peer/hello.h"
#include "daemon/peer/session_priv.h"

#define CODECS_KEPT   64
#define FEED_BYTES    4096 /* of input between two looks at whether the peer is full */
#define FRAME_BYTES   64   /* that the head of a frame costs, at least */
#define BEATS_MISSED  3
#define CLOSE_WAIT_MS 5000 /* for the other end to close too */
#define SPARE         64 /* connections without a WebSocket, besides as many as there may be with */
#define CONTROL_MAX   65536
#define REST_MAX      (1u << 20) /* more than one read of the socket, which is then paused */

static const char *const state_names[SS_COUNT] = {"head", "stranger", "open", "echo", "closing"};

#define BIT(state) (1u << (state))
static const unsigned may_enter[SS_COUNT] = {
	[SS_HEAD] = BIT(SS_STRANGER) | BIT(SS_OPEN) | BIT(SS_ECHO) | BIT(SS_CLOSING),
	[SS_STRANGER] = BIT(SS_OPEN) | BIT(SS_CLOSING),
	[SS_OPEN] = BIT(SS_CLOSING),
	[SS_ECHO] = BIT(SS_CLOSING),
	[SS_CLOSING] = 0,
};

static void
session_free(void *arg)
{
	struct session *s = arg;

	ws_close(s->shared->pool, &s->ws);
	http_reader_free(s->head);
	buf_fini(&s->rest);
	buf_fini(&s->preface);
	free(s);
}

static void
session_end(struct session *s)
{
	if (s->peer.is_gone)
		return;
	log_debug("session", "connection closed", F_INT("session", s->peer.caller.id));
	peer_fini(&s->peer);
	s->shared->n[s->state]--;
	list_remove(&s->plain);
	/* The rest goes later: this may be a callback of the codec, which reads from it. */
	loop_defer(peers_loop(s->shared->peers), session_free, s);
}

void
session_change_state(struct session *s, enum session_state next, const char *why)
{
	must((may_enter[s->state] & BIT(next)) != 0);
	log_debug("session", "state changed", F_INT("session", s->peer.caller.id),
		F_STR("from", state_names[s->state]), F_STR("to", state_names[next]),
		F_STR("why", why));
	s->shared->n[s->state]--;
	s->state = next;
	s->shared->n[next]++;
	list_remove(&s->plain);
	if (next == SS_CLOSING || next == SS_STRANGER)
		list_append(&s->shared->plain, &s->plain);
}

void
session_send(struct session *s, struct span bytes)
{
	struct frame *f;

	if (bytes.n == 0)
		return;
	f = frame_new(bytes, NULL);
	conn_send(&s->peer.conn, f);
	frame_unref(f);
}

static void
forget_rest(struct session *s)
{
	buf_fini(&s->rest);
	buf_init(&s->rest, REST_MAX);
	s->rest.wipes = true;
}

/** Says how much input is kept. */
static void
keep_input(struct session *s)
{
	if (s->peer.is_gone)
		return;
	peer_keep_input(&s->peer, s->rest.n + (s->ws != NULL ? ws_held(s->ws) : 0));
}

/** Forgets input that waits or is unfinished. Not inside ws_feed(). */
static void
drop_input(struct session *s)
{
	ws_close(s->shared->pool, &s->ws);
	forget_rest(s);
	keep_input(s);
}

void
session_start_closing(struct session *s, const char *why)
{
	session_change_state(s, SS_CLOSING, why);
	s->due_ms = now_of(s) + CLOSE_WAIT_MS;
	subscriber_fini(&s->peer.subscriber);
	conn_finish(&s->peer.conn);
	s->peer.is_held = false;
	conn_resume(&s->peer.conn);
}

void
session_close_with(struct session *s, unsigned code, const char *reason)
{
	struct buf out;

	if (s->state == SS_CLOSING || s->peer.is_gone)
		return;
	buf_init(&out, 256);
	if (s->state != SS_HEAD)
		ws_add_close(&out, (uint16_t)code, span_of(reason));
	session_send(s, buf_span(&out));
	buf_fini(&out);
	session_start_closing(s, reason);
}

void
session_start_heartbeat(struct session *s)
{
	int64_t heartbeat_ms = conf_of(s)->websocket.heartbeat_ms;

	/* Spread, so that many that came together are not beaten together. */
	s->due_ms = now_of(s) + heartbeat_ms / 2 +
		    (int64_t)randombytes_uniform((uint32_t)(heartbeat_ms / 2 + 1));
}

unsigned
sessions_count(const struct sessions *ss)
{
	return ss->n[SS_OPEN] + ss->n[SS_ECHO];
}

static void
echo(struct session *s, enum ws_opcode opcode, struct span payload)
{
	char head[WS_HEADER_MAX];
	struct body *body = body_new(payload.n);
	struct frame *f;
	size_t n;

	if (body == NULL) {
		session_close_with(s, CLOSE_INTERNAL, "out of memory");
		return;
	}
	if (payload.n > 0)
		memcpy(body->bytes, payload.p, payload.n);
	n = ws_header(head, opcode, payload.n);
	f = frame_new((struct span){head, n}, body);
	conn_send(&s->peer.conn, f);
	frame_unref(f);
	body_unref(body);
}

/** A piece of input on its way through the codec, and the control frames that answer it. */
struct feed {
	struct session *s;
	struct buf out;
};

static void
send_control(struct feed *f)
{
	session_send(f->s, buf_span(&f->out));
	buf_reset(&f->out);
}

static void
run_message(struct session *s, struct span message)
{
	peer_message(&s->peer, message);
	if (s->peer.had_secret) {
		secret_wipe(message);
		s->wipes_codec = true;
	}
	s->peer.had_secret = false;
}

static void
take_message(struct feed *f, enum ws_opcode opcode, struct span payload)
{
	struct session *s = f->s;

	if (s->state == SS_CLOSING)
		return;
	send_control(f); /* a pong goes before what is said to a message that ended later */
	if (s->state == SS_ECHO)
		echo(s, opcode, payload);
	else if (opcode == WS_TEXT)
		run_message(s, payload);
	else
		session_close_with(s, CLOSE_UNSUPPORTED, "messages are JSON in text frames");
}

static void
on_message(void *arg, enum ws_opcode opcode, struct span payload, uint16_t code)
{
	struct feed *f = arg;
	struct session *s = f->s;

	(void)code;
	if (opcode == WS_PING)
		limited_owe(&s->peer.limited, LIMITS_BYTES);
	if (opcode == WS_TEXT || opcode == WS_BINARY) /* else the codec makes the answer */
		take_message(f, opcode, payload);
	limits_settle(peers_api(s->shared->peers)->limits, &s->peer.limited, clock_mono_ms());
}

/** Counts a message that was too large. */
static void
note_excess(struct session *s)
{
	static const char *const limits[] = {
		[WS_EXCESS_NONE] = NULL,
		[WS_EXCESS_BYTES] = "websocket.max_message",
		[WS_EXCESS_FRAGMENTS] = "websocket.max_fragments",
	};

	peer_reach(&s->peer, limits[ws_excess(s->ws)]);
}

/** Gives the codec a piece, up to the end of a message; returns how much that was. */
static size_t
feed_frames(struct session *s, struct span piece)
{
	struct feed f = {.s = s};
	size_t used;
	bool is_over;

	if (s->ws == NULL)
		s->ws = ws_open(s->shared->pool);
	buf_init(&f.out, CONTROL_MAX);
	used = ws_step(s->ws, piece, on_message, &f, &f.out);
	is_over = ws_is_over(s->ws);
	limited_owe(&s->peer.limited, used + (uint64_t)ws_take_frames(s->ws) * FRAME_BYTES);
	note_excess(s);
	if (s->state != SS_CLOSING) {
		send_control(&f);
		if (is_over)
			session_start_closing(s, "closed by the client, or for what it sent");
	}
	buf_fini(&f.out);
	if (s->wipes_codec && ws_is_idle(s->ws)) {
		ws_wipe(s->ws);
		s->wipes_codec = false;
	}
	if (is_over || ws_is_idle(s->ws))
		ws_close(s->shared->pool, &s->ws);
	return used;
}

/** Behind what a proxy sent first; returns how much of the input was used. */
static size_t
start_tls(struct session *s, struct span input)
{
	if (s->shared->tls == NULL || s->state != SS_HEAD)
		return 0;
	conn_start_tls(&s->peer.conn, s->shared->tls, input);
	return input.n;
}

/** Runs input until it is used up or the peer is full; returns how much was used. */
static size_t
run_input(struct session *s, struct span input)
{
	size_t used = 0;

	while (used < input.n && s->state != SS_CLOSING && !peer_hold_if_full(&s->peer)) {
		size_t left = input.n - used;
		struct span piece = {input.p + used, left < FEED_BYTES ? left : FEED_BYTES};

		if (s->state == SS_HEAD && s->awaits_preface) {
			used += session_read_preface(s, piece);
			if (!s->awaits_preface)
				used += start_tls(s, (struct span){input.p + used, input.n - used});
		} else if (s->state == SS_HEAD) {
			used += session_read_head(s, piece);
		} else {
			used += feed_frames(s, piece);
		}
	}
	return s->state == SS_CLOSING ? input.n : used;
}

static void
on_input(struct session *s, struct span input)
{
	size_t used = run_input(s, input);

	s->unanswered = 0;
	buf_add(&s->rest, input.p + used, input.n - used);
	if (s->rest.failed)
		session_close_with(s, CLOSE_INTERNAL, "out of memory");
	keep_input(s);
}

/** The client will send no more. What is queued still goes out; what is not answered yet is not
 * waited for, since a WebSocket that ends without a close frame is gone. */
static void
on_end(struct session *s)
{
	s->peer.at_end = true;
	if (s->state != SS_CLOSING)
		session_start_closing(s, "the client ended its input");
	if (conn_flush(&s->peer.conn) == 0)
		session_end(s);
}

static void
on_conn(struct conn *conn, enum conn_event event, struct span input)
{
	struct session *s = session_of(list_item(conn, struct peer, conn));

	switch (event) {
	case CONN_INPUT:
		on_input(s, input);
		break;
	case CONN_EOF:
		on_end(s);
		break;
	case CONN_DRAINED:
		subscriber_drained(&s->peer.subscriber);
		peer_check_room(&s->peer);
		break;
	case CONN_FAILED:
		session_end(s);
		break;
	case CONN_NOT_TLS:
		session_refuse_plain(s);
		break;
	case CONN_SECURED: /* it is no client */
		break;
	}
}

static void
on_resume(struct peer *p)
{
	struct session *s = session_of(p);

	if (p->at_end) {
		on_end(s);
		return;
	}
	buf_consume(&s->rest, run_input(s, buf_span(&s->rest)));
	if (s->rest.n == 0)
		forget_rest(s);
	keep_input(s);
	if (!p->is_held)
		conn_resume(&p->conn);
}

static void
on_close(struct peer *p, unsigned close_code, const char *reason)
{
	struct session *s = session_of(p);
	struct json_out o;
	struct buf params;

	buf_init(&params, 1024);
	o = json_out_start(&params);
	json_begin_object(&o, NULL);
	json_put_str(&o, "reason", reason);
	if (close_code < CLOSE_FINAL) /* spread, so that all do not come back at once */
		json_put_int(&o, "retry_after_ms", 500 + (int64_t)randombytes_uniform(2000));
	json_end_object(&o);
	if (s->state == SS_OPEN)
		peer_notify(p, "closing", buf_span(&params));
	buf_fini(&params);
	session_close_with(s, close_code, reason);
	drop_input(s);
	conn_flush(&p->conn);
}

static void
beat(struct session *s, int64_t now_ms)
{
	static const char ping[] = {(char)(0x80 | WS_PING), 0};
	const struct conf *conf = conf_of(s);

	if (s->unanswered >= BEATS_MISSED) {
		log_info("session", "heartbeat lost", F_INT("session", s->peer.caller.id));
		session_close_with(s, CLOSE_HEARTBEAT, "three pings were left unanswered");
		return;
	}
	s->due_ms = now_ms + conf->websocket.heartbeat_ms;
	if (s->peer.is_held)
		return; /* it is not read: its silence means nothing */
	s->unanswered++;
	session_send(s, (struct span){ping, sizeof(ping)});
	subscriber_beat(&s->peer.subscriber);
}

static enum err
on_welcome(struct peer *p, struct error *error)
{
	struct session *s = session_of(p);
	enum err e = session_check_room(s, error);

	if (e != OK)
		return e;
	session_change_state(s, SS_OPEN, "has shown a token");
	session_start_heartbeat(s);
	hello_say(p);
	return OK;
}

static void
on_abandon(struct peer *p)
{
	session_end(session_of(p));
}

static void
on_look(struct peer *p, int64_t now_ms)
{
	struct session *s = session_of(p);

	if (conn_unsent(&p->conn) > 0 &&
		now_ms - p->conn.progress_ms > conf_of(s)->websocket.stall_timeout_ms) {
		log_debug("session", "connection stalled", F_INT("session", p->caller.id));
		peer_reach(p, "websocket.stall_timeout");
		session_end(s);
		return;
	}
	if (now_ms < s->due_ms)
		return;
	if (s->state == SS_HEAD && p->is_held) {
		s->due_ms = now_ms + conf_of(s)->websocket.header_timeout_ms; /* it is not read */
	} else if (s->state == SS_CLOSING) {
		session_end(s);
	} else if (conn_is_shaking(&p->conn)) {
		peer_reach(p, "websocket.header_timeout");
		session_end(s);
	} else if (s->state == SS_HEAD) {
		session_refuse_late(s);
	} else if (s->state == SS_STRANGER) {
		peer_reach(p, "websocket.auth_timeout");
		session_close_with(
			s, CLOSE_TOKEN, "no token was shown in time (websocket.auth_timeout)");
	} else {
		beat(s, now_ms);
	}
}

static void
on_describe(struct peer *p, char out[AUDIT_WHO_SIZE])
{
	const struct session *s = session_of(p);
	char name[CONN_NAME_SIZE], client[ADDRESS_TEXT_SIZE];

	conn_name(p->conn.fd, name);
	address_format(&s->client, false, client);
	snprintf(out, AUDIT_WHO_SIZE, "%s%s%s", name, s->is_proxied ? " for " : "",
		s->is_proxied ? client : "");
}

static void
on_add_status(struct peer *p, struct json_out *o)
{
	const struct session *s = session_of(p);
	char name[CONN_NAME_SIZE], client[ADDRESS_TEXT_SIZE];
	const struct tls *tls = conn_tls(&p->conn);

	conn_name(p->conn.fd, name);
	json_put_str(o, "door", "websocket");
	json_put_str(o, "state", state_names[s->state]);
	json_put_str(o, "address", name);
	if (s->is_proxied) {
		address_format(&s->client, false, client);
		json_put_str(o, "client", client);
	}
	if (tls == NULL)
		return;
	json_begin_object(o, "tls");
	json_put_str(o, "version", tls_version(tls));
	json_put_str(o, "cipher", tls_cipher(tls));
	if (tls_client(tls) != NULL)
		json_put_str(o, "client", tls_client(tls));
	json_end_object(o);
}

static const struct peer_ops ops = {
	on_resume, on_close, on_abandon, on_welcome, on_look, on_describe, on_add_status};

static struct scopes *
anonymous_scopes(const struct conf *conf)
{
	const struct conf_list *list = &conf->websocket.anonymous;
	struct scopes *scopes = scopes_new("websocket.anonymous");

	for (size_t i = 0; i < list->n; i++)
		must(scopes_add(scopes, span_of(list->v[i]), SCOPE_DATA, NULL) == OK);
	return scopes;
}

static void
set_trusted(struct sessions *ss)
{
	const struct conf_list *list = &peers_api(ss->peers)->conf->websocket.trusted_proxies;

	free(ss->trusted.v);
	ss->trusted = (struct networks){xnew_n(list->n + 1, struct network), list->n};
	for (size_t i = 0; i < list->n; i++)
		must(network_parse(span_of(list->v[i]), &ss->trusted.v[i]));
}

struct sessions *
sessions_new(struct peers *ps)
{
	struct sessions *ss = xnew(struct sessions);

	ss->peers = ps;
	list_init(&ss->plain);
	ss->anonymous = anonymous_scopes(peers_api(ps)->conf);
	set_trusted(ss);
	ss->pool = ws_pool_new(
		WS_SERVER, (size_t)peers_api(ps)->conf->websocket.max_message, CODECS_KEPT);
	ws_pool_set_max_fragments(ss->pool, (unsigned)peers_api(ps)->conf->websocket.max_fragments);
	return ss;
}

void
sessions_free(struct sessions *ss)
{
	if (ss == NULL)
		return;
	ws_pool_free(ss->pool);
	scopes_unref(ss->anonymous);
	tls_context_unref(ss->tls);
	free(ss->trusted.v);
	free(ss);
}

/** What those without a token may do is something else now, or nothing. */
static void
grant_anew(struct peer *p, void *arg)
{
	if (p->caller.kind != ORIGIN_WEBSOCKET || p->caller.token != NULL ||
		session_of(p)->state != SS_OPEN)
		return;
	if (session_must_auth(session_of(p)))
		on_close(p, CLOSE_TOKEN, "a token is needed from now on (websocket.auth)");
	else
		peer_grant(p, arg);
}

void
sessions_reload(struct sessions *ss)
{
	const struct conf *conf = peers_api(ss->peers)->conf;

	ws_pool_set_max_message(ss->pool, (size_t)conf->websocket.max_message);
	ws_pool_set_max_fragments(ss->pool, (unsigned)conf->websocket.max_fragments);
	scopes_unref(ss->anonymous);
	ss->anonymous = anonymous_scopes(conf);
	set_trusted(ss);
	peers_each(ss->peers, grant_anew, ss->anonymous);
	peers_bound_input(ss->peers);
}

void
sessions_set_tls(struct sessions *ss, struct tls_context *x)
{
	tls_context_unref(ss->tls);
	ss->tls = x;
}

const struct tls_context *
sessions_tls(const struct sessions *ss)
{
	return ss->tls;
}

void
sessions_drain(struct sessions *ss)
{
	ss->is_draining = true;
}

/** One connection more without a WebSocket: if there are too many, the oldest has to go. */
static void
add_plain(struct sessions *ss, struct session *s)
{
	unsigned most = (unsigned)peers_api(ss->peers)->conf->websocket.max_sessions + SPARE;

	ss->n[SS_HEAD]++;
	list_append(&ss->plain, &s->plain);
	if (ss->n[SS_HEAD] + ss->n[SS_STRANGER] + ss->n[SS_CLOSING] > most) {
		peer_reach(&s->peer, "half-open connections");
		session_end(list_item(ss->plain.next, struct session, plain));
	}
}

void
session_accept(struct sessions *ss, struct listener *l, int fd)
{
	struct api *api = peers_api(ss->peers);
	const struct conf *conf = api->conf;
	struct address address;
	bool is_there = address_of_peer(fd, &address);
	bool is_proxied = is_there && networks_have(&ss->trusted, &address);
	struct session *s;

	/* What a proxy brings counts for whom it is from. */
	if (!is_there || (!is_proxied && !limits_admit(api->limits, &address, clock_mono_ms()))) {
		close(fd);
		return;
	}
	s = xnew(struct session);
	s->shared = ss;
	s->port = listener_port(l);
	s->is_local = listener_is_loopback(l);
	buf_init(&s->preface, PROXY_HEAD_MAX + FEED_BYTES);
	s->client = address;
	s->is_proxied = s->is_from_proxy = is_proxied;
	s->awaits_preface = is_proxied && conf->websocket.proxy_protocol;
	s->head = http_reader_new((size_t)conf->websocket.max_header);
	forget_rest(s);
	s->due_ms = loop_now_ms(peers_loop(ss->peers)) + conf->websocket.header_timeout_ms;
	peer_init(&s->peer, ss->peers, ORIGIN_WEBSOCKET, fd, on_conn, &ops);
	limited_init(&s->peer.limited, &address);
	if (ss->tls != NULL && !s->awaits_preface)
		conn_start_tls(&s->peer.conn, ss->tls, SPAN(""));
	add_plain(ss, s);
}
