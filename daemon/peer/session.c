/* Connections to the HTTP port: see session.h. */

#include "daemon/peer/session.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/wire/http.h"
#include "common/wire/ws.h"
#include "common/xalloc.h"
#include "daemon/base/loop.h"
#include "daemon/net/http.h"
#include "daemon/peer/hello.h"

#define CODECS_KEPT   64
#define FEED_BYTES    4096 /* of input between two looks at whether the peer is full */
#define BEATS_MISSED  3
#define CLOSE_WAIT_MS 5000 /* for the other end to close too */
#define SPARE         64 /* connections without a WebSocket, besides as many as there may be with */
#define CONTROL_MAX   65536
#define REST_MAX      (1u << 20) /* more than one read of the socket, which is then paused */

#define CLOSE_NORMAL      1000
#define CLOSE_UNSUPPORTED 1003
#define CLOSE_INTERNAL    1011
#define CLOSE_HEARTBEAT   4000

enum session_state {
	SS_HEAD,    /* waiting for the head of a request */
	SS_OPEN,    /* a WebSocket of the API */
	SS_ECHO,    /* a WebSocket that gets back what it sends */
	SS_CLOSING, /* all is said; the rest is flushed, then the other end closes */
	SS_COUNT
};

static const char *const state_names[SS_COUNT] = {"head", "open", "echo", "closing"};

#define BIT(state) (1u << (state))
static const unsigned may_enter[SS_COUNT] = {
	[SS_HEAD] = BIT(SS_OPEN) | BIT(SS_ECHO) | BIT(SS_CLOSING),
	[SS_OPEN] = BIT(SS_CLOSING),
	[SS_ECHO] = BIT(SS_CLOSING),
	[SS_CLOSING] = 0,
};

struct sessions {
	struct peers *peers;
	struct ws_pool *pool;
	bool is_draining;
	unsigned n[SS_COUNT]; /* by state */
	struct list plain;    /* those that have no WebSocket (any more), oldest first */
	struct counter cut;   /* of them, since there were too many */
};

struct session {
	struct peer peer;
	enum session_state state;
	unsigned char unanswered; /* pings in a row */
	struct sessions *shared;
	struct list plain;        /* linked while it has no WebSocket */
	struct http_reader *head; /* owned; in SS_HEAD only */
	struct ws *ws;            /* owned; while a message is under way */
	struct buf rest;          /* input that waits until there is room */
	int port;                 /* of the listener */
	int64_t due_ms; /* head: when it is too late; open: the next ping; closing: the end */
};

static struct session *
session_of(struct peer *p)
{
	return list_item(p, struct session, peer);
}

static const struct conf *
conf_of(const struct session *s)
{
	return peers_api(s->shared->peers)->conf;
}

static int64_t
now_of(const struct session *s)
{
	return loop_now_ms(peers_loop(s->shared->peers));
}

static void
session_free(void *arg)
{
	struct session *s = arg;

	ws_close(s->shared->pool, &s->ws);
	http_reader_free(s->head);
	buf_fini(&s->rest);
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

static void
change_state(struct session *s, enum session_state next, const char *why)
{
	must((may_enter[s->state] & BIT(next)) != 0);
	log_debug("session", "state changed", F_INT("session", s->peer.caller.id),
		F_STR("from", state_names[s->state]), F_STR("to", state_names[next]),
		F_STR("why", why));
	s->shared->n[s->state]--;
	s->state = next;
	s->shared->n[next]++;
	list_remove(&s->plain);
	if (next == SS_CLOSING)
		list_append(&s->shared->plain, &s->plain);
}

static void
send_bytes(struct session *s, struct span bytes)
{
	struct frame *f;

	if (bytes.n == 0)
		return;
	f = frame_new(bytes, NULL);
	conn_send(&s->peer.conn, f);
	frame_unref(f);
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
	buf_fini(&s->rest);
	buf_init(&s->rest, REST_MAX);
	keep_input(s);
}

/** Nothing more will be said: what is queued goes out, then the sending side closes. What comes in
 * is passed over, up to its end. */
static void
start_closing(struct session *s, const char *why)
{
	change_state(s, SS_CLOSING, why);
	s->due_ms = now_of(s) + CLOSE_WAIT_MS;
	subscriber_fini(&s->peer.subscriber);
	conn_finish(&s->peer.conn);
	s->peer.is_held = false;
	conn_resume(&s->peer.conn);
}

static void
close_with(struct session *s, unsigned code, const char *reason)
{
	struct buf out;

	if (s->state == SS_CLOSING || s->peer.is_gone)
		return;
	buf_init(&out, 256);
	if (s->state != SS_HEAD)
		ws_add_close(&out, (uint16_t)code, span_of(reason));
	send_bytes(s, buf_span(&out));
	buf_fini(&out);
	start_closing(s, reason);
}

/* HTTP. */

static void
answer(struct session *s, int status, bool keep_alive, const char *extra, const char *text)
{
	struct buf out;

	buf_init(&out, 4096);
	http_add_answer(
		&out, status, "text/plain; charset=utf-8", keep_alive, extra, span_of(text));
	send_bytes(s, buf_span(&out));
	buf_fini(&out);
	if (!keep_alive)
		start_closing(s, "answered");
}

static void
answer_error(struct session *s, int status, const char *extra, const struct error *error)
{
	char text[ERROR_TEXT_MAX + 2];

	snprintf(text, sizeof(text), "%s\n", error->text);
	log_debug("session", "request refused", F_INT("session", s->peer.caller.id),
		F_INT("status", status), F_ERROR(error));
	answer(s, status, false, extra, text);
}

static unsigned
anonymous_scopes(const struct conf *conf)
{
	unsigned scopes = SCOPE_NONE;

	for (size_t i = 0; i < conf->websocket.anonymous.n; i++) {
		const char *name = conf->websocket.anonymous.v[i];

		if (strcmp(name, scope_name(SCOPE_READ)) == 0)
			scopes |= SCOPE_READ;
		else if (strcmp(name, scope_name(SCOPE_WRITE)) == 0)
			scopes |= SCOPE_WRITE;
		else if (strcmp(name, scope_name(SCOPE_PUBLISH)) == 0)
			scopes |= SCOPE_PUBLISH;
	}
	return scopes;
}

static void
become_websocket(struct session *s, const struct http_upgrade *up, enum session_state next)
{
	const struct conf *conf = conf_of(s);
	struct buf out;

	buf_init(&out, 4096);
	http_add_upgrade(&out, up);
	send_bytes(s, buf_span(&out));
	buf_fini(&out);
	change_state(s, next, "upgraded");
	s->peer.caller.scopes = anonymous_scopes(conf);
	/* Spread, so that many that came together are not beaten together. */
	s->due_ms = now_of(s) + conf->websocket.heartbeat_ms / 2 +
		    (int64_t)randombytes_uniform((uint32_t)(conf->websocket.heartbeat_ms / 2 + 1));
	if (next == SS_OPEN)
		hello_say(&s->peer);
	http_reader_free(s->head);
	s->head = NULL;
}

unsigned
sessions_count(const struct sessions *ss)
{
	return ss->n[SS_OPEN] + ss->n[SS_ECHO];
}

static void
upgrade(struct session *s, const struct http_request *q, enum session_state next)
{
	const struct conf *conf = conf_of(s);
	struct error error = ERROR_NONE;
	struct http_upgrade up;
	int status = 400;

	if (http_upgrade_check(q, &up, &status, &error) != OK) {
		answer_error(s, status,
			status == 426 ? "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" : "",
			&error);
		return;
	}
	if (next == SS_OPEN && up.offers_any && !up.offers_sysrt_v1) {
		error_set(&error, ERR_INVALID_REQUEST,
			"of the subprotocols only sysrt.v1 is spoken here");
		answer_error(s, 400, "", &error);
		return;
	}
	if (sessions_count(s->shared) >= conf->websocket.max_sessions) {
		error_set(&error, ERR_LIMIT_EXCEEDED,
			"there are as many sessions as there may be (websocket.max_sessions)");
		answer_error(s, 503, "Retry-After: 5\r\n", &error);
		return;
	}
	become_websocket(s, &up, next);
}

/** /livez and /readyz: for probes, which come with any Host. */
static bool
answer_probe(struct session *s, const struct http_request *q)
{
	bool is_ready = !s->shared->is_draining;

	if (span_is(q->path, "/livez"))
		answer(s, 200, q->keep_alive, "", "ok\n");
	else if (span_is(q->path, "/readyz"))
		answer(s, is_ready ? 200 : 503, q->keep_alive, "",
			is_ready ? "ready\n" : "stopping\n");
	else
		return false;
	return true;
}

static int
status_of(const struct error *error)
{
	return err_info(error->code)->http_status;
}

static void
route(struct session *s, const struct http_request *q)
{
	struct error error = ERROR_NONE;

	if (span_is(q->method, "HEAD")) {
		answer(s, 405, false, "Allow: GET\r\n", ""); /* it expects no body */
	} else if (q->has_body || !span_is(q->method, "GET")) {
		error_set(&error, ERR_INVALID_REQUEST, "only GET without a body is served here");
		answer_error(
			s, q->has_body ? 400 : 405, q->has_body ? "" : "Allow: GET\r\n", &error);
	} else if (answer_probe(s, q)) {
		return;
	} else if (http_host_check(q, conf_of(s), &error) != OK ||
		   http_origin_check(q, s->port, conf_of(s), &error) != OK) {
		answer_error(s, status_of(&error), "", &error);
	} else if (span_is(q->path, "/ws")) {
		upgrade(s, q, SS_OPEN);
	} else if (span_is(q->path, "/echo") && conf_of(s)->websocket.echo) {
		upgrade(s, q, SS_ECHO);
	} else {
		error_set(&error, ERR_NOT_FOUND, "there is /ws, /livez and /readyz");
		answer_error(s, 404, "", &error);
	}
}

/** Reads a head, or a part of it, out of the input; returns how much was used. */
static size_t
feed_head(struct session *s, struct span input)
{
	struct error error = ERROR_NONE;
	size_t used = 0;
	enum http_result r = http_reader_feed(s->head, input, &used);

	if (r == HTTP_DONE) {
		route(s, http_reader_request(s->head));
		if (s->state == SS_HEAD) {
			http_reader_reset(s->head);
			s->due_ms = now_of(s) + conf_of(s)->websocket.header_timeout_ms;
		}
	} else if (r != HTTP_NEED_MORE) {
		error_set(&error, ERR_INVALID_REQUEST, "%s", http_reader_why(s->head));
		answer_error(s, r == HTTP_TOO_LARGE ? 431 : 400, "", &error);
	}
	return used;
}

/* WebSocket. */

static void
echo(struct session *s, enum ws_opcode opcode, struct span payload)
{
	char head[WS_HEADER_MAX];
	struct body *body = body_new(payload.n);
	struct frame *f;
	size_t n;

	if (body == NULL) {
		close_with(s, CLOSE_INTERNAL, "out of memory");
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
	send_bytes(f->s, buf_span(&f->out));
	buf_reset(&f->out);
}

static void
on_message(void *arg, enum ws_opcode opcode, struct span payload, uint16_t code)
{
	struct feed *f = arg;
	struct session *s = f->s;

	(void)code;
	if (s->state == SS_CLOSING || (opcode != WS_TEXT && opcode != WS_BINARY))
		return;  /* to a control frame the codec makes the answer */
	send_control(f); /* a pong goes before what is said to a message that ended later */
	if (s->state == SS_ECHO)
		echo(s, opcode, payload);
	else if (opcode == WS_TEXT)
		peer_message(&s->peer, payload);
	else
		close_with(s, CLOSE_UNSUPPORTED, "messages are JSON in text frames");
}

/** Gives the codec a piece. */
static void
feed_frames(struct session *s, struct span piece)
{
	struct feed f = {.s = s};
	bool goes_on;

	if (s->ws == NULL)
		s->ws = ws_open(s->shared->pool);
	buf_init(&f.out, CONTROL_MAX);
	goes_on = ws_feed(s->ws, piece, on_message, &f, &f.out);
	if (s->state != SS_CLOSING) {
		send_control(&f);
		if (!goes_on)
			start_closing(s, "closed by the client, or for what it sent");
	}
	buf_fini(&f.out);
	if (!goes_on || ws_is_idle(s->ws))
		ws_close(s->shared->pool, &s->ws);
}

/** Runs input until it is used up or the peer is full; returns how much was used. */
static size_t
run_input(struct session *s, struct span input)
{
	size_t used = 0;

	while (used < input.n && s->state != SS_CLOSING && !peer_hold_if_full(&s->peer)) {
		size_t left = input.n - used;
		struct span piece = {input.p + used, left < FEED_BYTES ? left : FEED_BYTES};

		if (s->state == SS_HEAD) {
			used += feed_head(s, piece);
		} else {
			feed_frames(s, piece);
			used += piece.n;
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
		close_with(s, CLOSE_INTERNAL, "out of memory");
	keep_input(s);
}

/** The client will send no more. What is queued still goes out; what is not answered yet is not
 * waited for, since a WebSocket that ends without a close frame is gone. */
static void
on_end(struct session *s)
{
	s->peer.at_end = true;
	if (s->state != SS_CLOSING)
		start_closing(s, "the client ended its input");
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
	if (s->rest.n == 0) {
		buf_fini(&s->rest);
		buf_init(&s->rest, REST_MAX);
	}
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
	/* Spread, so that all do not come back at once. */
	json_put_int(&o, "retry_after_ms", 500 + (int64_t)randombytes_uniform(2000));
	json_end_object(&o);
	if (s->state == SS_OPEN)
		peer_notify(p, "closing", buf_span(&params));
	buf_fini(&params);
	close_with(s, close_code, reason);
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
		close_with(s, CLOSE_HEARTBEAT, "three pings were left unanswered");
		return;
	}
	s->due_ms = now_ms + conf->websocket.heartbeat_ms;
	if (s->peer.is_held)
		return; /* it is not read: its silence means nothing */
	s->unanswered++;
	send_bytes(s, (struct span){ping, sizeof(ping)});
	subscriber_beat(&s->peer.subscriber);
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
	struct error error = ERROR_NONE;

	if (conn_unsent(&p->conn) > 0 &&
		now_ms - p->conn.progress_ms > conf_of(s)->websocket.stall_timeout_ms) {
		log_info("session", "connection stalled", F_INT("session", p->caller.id));
		session_end(s);
		return;
	}
	if (now_ms < s->due_ms)
		return;
	if (s->state == SS_HEAD && p->is_held) {
		s->due_ms = now_ms + conf_of(s)->websocket.header_timeout_ms; /* it is not read */
	} else if (s->state == SS_HEAD) {
		error_set(&error, ERR_TIMEOUT,
			"the head of the request did not arrive in time "
			"(websocket.header_timeout)");
		answer_error(s, 408, "", &error);
	} else if (s->state == SS_CLOSING) {
		session_end(s);
	} else {
		beat(s, now_ms);
	}
}

static void
on_add_status(struct peer *p, struct json_out *o)
{
	char name[CONN_NAME_SIZE];

	conn_name(p->conn.fd, name);
	json_put_str(o, "door", "websocket");
	json_put_str(o, "state", state_names[session_of(p)->state]);
	json_put_str(o, "address", name);
}

static const struct peer_ops ops = {on_resume, on_close, on_abandon, on_look, on_add_status};

struct sessions *
sessions_new(struct peers *ps)
{
	struct sessions *ss = xnew(struct sessions);

	ss->peers = ps;
	list_init(&ss->plain);
	ss->pool = ws_pool_new(
		WS_SERVER, (size_t)peers_api(ps)->conf->websocket.max_message, CODECS_KEPT);
	return ss;
}

void
sessions_free(struct sessions *ss)
{
	if (ss == NULL)
		return;
	ws_pool_free(ss->pool);
	free(ss);
}

void
sessions_reload(struct sessions *ss)
{
	ws_pool_set_max_message(
		ss->pool, (size_t)peers_api(ss->peers)->conf->websocket.max_message);
}

void
sessions_add_stats(const struct sessions *ss, struct stats *stats)
{
	stats_add_counter(stats, "sysrt_session_cut_total", &ss->cut);
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
	if (ss->n[SS_HEAD] + ss->n[SS_CLOSING] > most) {
		counter_add(&ss->cut, 1);
		session_end(list_item(ss->plain.next, struct session, plain));
	}
}

void
session_accept(struct sessions *ss, struct listener *l, int fd)
{
	const struct conf *conf = peers_api(ss->peers)->conf;
	struct session *s = xnew(struct session);

	s->shared = ss;
	s->port = listener_port(l);
	s->head = http_reader_new((size_t)conf->websocket.max_header);
	buf_init(&s->rest, REST_MAX);
	s->due_ms = loop_now_ms(peers_loop(ss->peers)) + conf->websocket.header_timeout_ms;
	peer_init(&s->peer, ss->peers, ORIGIN_WEBSOCKET, fd, on_conn, &ops);
	add_plain(ss, s);
}
