/*
 * A connection before it is a WebSocket: plain requests are answered, a handshake is
 * judged and its token looked at. See session_priv.h.
 */

#include <sodium.h>
#include <stdio.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "daemon/guard/bearer.h"
#include "daemon/net/http.h"
#include "daemon/net/tls.h"
#include "daemon/peer/hello.h"
#include "daemon/peer/session_priv.h"

static void
answer(struct session *s, int status, bool keep_alive, const char *extra, const char *text)
{
	struct buf out;

	buf_init(&out, 4096);
	http_add_answer(
		&out, status, "text/plain; charset=utf-8", keep_alive, extra, span_of(text));
	session_send(s, buf_span(&out));
	buf_fini(&out);
	if (!keep_alive)
		session_start_closing(s, "answered");
}

static void
answer_error(struct session *s, int status, const char *extra, const struct error *error)
{
	char text[ERROR_TEXT_MAX + 2];

	snprintf(text, sizeof(text), "%s\n", error->text);
	peer_reach(&s->peer, error->limit.name);
	log_debug("session", "request refused", F_INT("session", s->peer.caller.id),
		F_INT("status", status), F_ERROR(error));
	answer(s, status, false, extra, text);
}

static int
status_of(const struct error *error)
{
	return err_info(error->code)->http_status;
}

bool
session_must_auth(const struct session *s)
{
	enum conf_auth auth = conf_of(s)->websocket.auth;

	return auth == AUTH_REQUIRED || (auth == AUTH_OPTIONAL && !s->is_local);
}

/** Whom the client's certificate is for; NULL: he showed none. A proxy's own says nothing of whom
 * it speaks for. */
static const char *
certified(const struct session *s)
{
	const struct tls *tls = conn_tls(&s->peer.conn);

	return tls != NULL && !s->is_from_proxy ? tls_client(tls) : NULL;
}

/** A trusted proxy has said whose request it is. */
static bool
is_known(const struct session *s, const struct http_request *q)
{
	unsigned count;

	http_header_find(q, "X-Forwarded-For", &count);
	return s->is_from_proxy && count > 0;
}

/** Without a token, and let in for being near or for a certificate, not for its being written out
 * that anybody may: what another one could have sent on. */
static bool
is_by_place(const struct session *s, const struct bearer *shown)
{
	return shown->n == 0 &&
	       (certified(s) != NULL ||
		       (conf_of(s)->websocket.auth == AUTH_OPTIONAL && s->is_local));
}

static void
become_websocket(struct session *s, const struct http_upgrade *up, enum session_state next)
{
	struct buf out;

	buf_init(&out, 4096);
	http_add_upgrade(&out, up);
	session_send(s, buf_span(&out));
	buf_fini(&out);
	session_change_state(s, next, "upgraded");
	http_reader_free(s->head);
	s->head = NULL;
}

/** Lets in who showed a token, or needs none (NULL). */
static void
let_in(struct session *s, struct auth_token *token)
{
	if (token == NULL)
		peer_grant(&s->peer, s->shared->anonymous);
	else /* there is room: that was looked at */
		must(peer_admit(&s->peer, token, NULL) == OK);
	session_start_heartbeat(s);
	if (s->state == SS_OPEN)
		hello_say(&s->peer);
}

/** The token that is shown, or that a certificate stands for; NULL: none is. */
static enum err
find_token(
	struct session *s, const struct bearer *shown, struct auth_token **out, struct error *error)
{
	struct auth *auth = peers_api(s->shared->peers)->auth;
	const char *client = certified(s);

	if (shown->n > 0)
		return auth_find(
			auth, (struct span){shown->text, shown->n}, clock_wall_ms(), out, error);
	if (client == NULL)
		return OK;
	if (client[0] == '\0')
		return error_set(error, ERR_UNAUTHENTICATED,
			"the certificate has not one common name that a token could have");
	return auth_find_certified(auth, client, clock_wall_ms(), out, error);
}

/** Goes on as what was asked for, if the token is good; waits for one where one is needed. A bad
 * one is told by closing, since a page cannot see the status of an answer. */
static void
enter(struct session *s, const struct http_upgrade *up, const struct bearer *shown,
	enum session_state next)
{
	struct error error = ERROR_NONE;
	struct auth_token *token = NULL;
	enum err e = find_token(s, shown, &token, &error);
	bool waits = e == OK && token == NULL && session_must_auth(s);

	if (waits && next == SS_ECHO)
		e = error_set(&error, ERR_UNAUTHENTICATED,
			"the echo, too, needs a token (websocket.auth)");
	become_websocket(s, up, waits ? SS_STRANGER : next);
	if (e != OK) {
		gate_note(peers_api(s->shared->peers), &(struct audit_entry){.what = "connect",
							       .session = s->peer.caller.id,
							       .result = e,
							       .error = &error});
		session_close_with(s, CLOSE_TOKEN, error.text);
	} else if (waits) {
		s->peer.caller.must_auth = true;
		s->due_ms = now_of(s) + conf_of(s)->websocket.auth_timeout_ms;
	} else {
		let_in(s, token);
	}
}

enum err
session_check_room(const struct session *s, struct error *error)
{
	if (sessions_count(s->shared) < conf_of(s)->websocket.max_sessions)
		return OK;
	return error_set_limit(error, "websocket.max_sessions",
		"there are as many sessions as there may be (websocket.max_sessions)");
}

static void
upgrade(struct session *s, const struct http_request *q, enum session_state next)
{
	struct error error = ERROR_NONE;
	struct http_upgrade up;
	struct bearer shown;
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
	if (bearer_read(q, &up, &shown, &error) != OK)
		answer_error(s, 400, "", &error);
	else if (is_by_place(s, &shown) && !is_known(s, q) && http_forwarded_check(q, &error) != OK)
		answer_error(s, status_of(&error), "", &error);
	else if (session_check_room(s, &error) != OK)
		answer_error(s, 503, "Retry-After: 5\r\n", &error);
	else
		enter(s, &up, &shown, next);
	if (shown.n > 0)
		net_wipe(s->peer.conn.net);
	sodium_memzero(&shown, sizeof(shown));
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

/** Takes over who asks, as a trusted proxy says: his address is what counts from now on. */
static enum err
set_client(struct session *s, const struct address *client, struct error *error)
{
	s->client = *client;
	s->is_local = s->is_local && address_is_loopback(client);
	limited_init(&s->peer.limited, client);
	if (limits_admit(peers_api(s->shared->peers)->limits, client, clock_mono_ms()))
		return OK;
	return error_set(error, ERR_RATE_LIMITED,
		"there are too many connections from this address: try again later");
}

/** What a trusted proxy says of who asks. */
static enum err
find_client(struct session *s, const struct http_request *q, struct error *error)
{
	struct address client = s->client;
	enum err e;

	if (!s->is_from_proxy)
		return OK;
	s->scheme = proxy_find_scheme(q);
	e = proxy_find_client(q, &s->shared->trusted, &client, error);
	return e == OK ? set_client(s, &client, error) : e;
}

static enum err
check_origin(const struct session *s, const struct http_request *q, struct error *error)
{
	struct http_here here = {.port = s->port,
		.is_tls = conn_tls(&s->peer.conn) != NULL,
		.proxy_scheme = s->scheme};

	return http_origin_check(q, &here, conf_of(s), error);
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
	} else if (find_client(s, q, &error) != OK ||
		   http_host_check(q, conf_of(s), &error) != OK ||
		   check_origin(s, q, &error) != OK) {
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

/** Waits for the next head; one more on the same connection costs. */
static void
go_on(struct session *s)
{
	struct limited *limited = &s->peer.limited;

	http_reader_reset(s->head);
	s->due_ms = now_of(s) + conf_of(s)->websocket.header_timeout_ms;
	limited_owe(limited, LIMITS_BYTES);
	limits_settle(peers_api(s->shared->peers)->limits, limited, clock_mono_ms());
}

size_t
session_read_head(struct session *s, struct span input)
{
	struct error error = ERROR_NONE;
	size_t used = 0;
	enum http_result r = http_reader_feed(s->head, input, &used);

	if (r == HTTP_DONE) {
		route(s, http_reader_request(s->head));
		if (s->state == SS_HEAD)
			go_on(s);
	} else if (r != HTTP_NEED_MORE) {
		error_set(&error, ERR_INVALID_REQUEST, "%s", http_reader_why(s->head));
		if (r == HTTP_TOO_LARGE)
			error_name_limit(&error, "websocket.max_header");
		answer_error(s, r == HTTP_TOO_LARGE ? 431 : 400, "", &error);
	}
	return used;
}

size_t
session_read_preface(struct session *s, struct span input)
{
	size_t before = s->preface.n, used = 0;
	struct error error = ERROR_NONE;
	struct proxy_head head;
	enum proxy_result r;

	buf_add_span(&s->preface, input);
	r = s->preface.failed ? PROXY_BAD : proxy_read(buf_span(&s->preface), &head, &used);
	if (r == PROXY_NEED_MORE)
		return input.n;
	buf_fini(&s->preface);
	s->awaits_preface = false;
	if (r == PROXY_BAD) {
		error_set(&error, ERR_INVALID_REQUEST,
			"this does not begin with the PROXY protocol (websocket.proxy_protocol)");
		answer_error(s, 400, "", &error);
		return input.n;
	}
	if (!head.has_client) {
		s->is_local = false; /* the proxy may speak for anybody */
	} else if (set_client(s, &head.client, &error) != OK) {
		answer_error(s, status_of(&error), "", &error);
		return input.n;
	}
	/* The HTTP is the client's own, unless he is a proxy too. */
	s->is_from_proxy = head.has_client && networks_have(&s->shared->trusted, &s->client);
	return used - before;
}

void
session_refuse_plain(struct session *s)
{
	struct error error = ERROR_NONE;

	if (s->state != SS_HEAD)
		return;
	error_set(&error, ERR_INVALID_REQUEST,
		"this port speaks TLS: ask by https:// and wss://, not by http:// and ws://");
	answer_error(s, 400, "", &error);
}

void
session_refuse_late(struct session *s)
{
	struct error error = ERROR_NONE;

	error_set(&error, ERR_TIMEOUT,
		"the head of the request did not arrive in time (websocket.header_timeout)");
	error_name_limit(&error, "websocket.header_timeout");
	answer_error(s, 408, "", &error);
}
