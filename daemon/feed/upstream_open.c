/*
 * The way to an open upstream: see upstream.h. Each step ends in the next, in a
 * redirect, which begins again, or in the end with its reason.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/clock.h"
#include "common/xalloc.h"
#include "daemon/base/loop.h"
#include "daemon/feed/authorities.h"
#include "daemon/feed/upstream_priv.h"
#include "daemon/net/dial.h"
#include "daemon/net/tls.h"

#define REQUEST_MAX (1u << 20)
#define TEXT_MS     1000 /* for the text of a refusal, once its head is there */

/** Tells a step of the way, the first time only. */
static bool
tell_step(struct upstream *u, enum upstream_event event)
{
	if ((u->told & 1u << event) != 0)
		return true;
	u->told |= 1u << event;
	return upstream_tell(u, &(struct upstream_news){.event = event, .retry_after_ms = -1});
}

void
upstream_drop_conn(struct upstream *u)
{
	dial_free(u->dial);
	u->dial = NULL;
	loop_timer_stop(u->timer);
	if (u->has_conn)
		conn_fini(&u->conn);
	u->has_conn = false;
}

/** Asks for the WebSocket. The extra lines may hold secrets, which are for the first server only.
 */
static void
ask(struct upstream *u)
{
	char authority[URL_AUTHORITY_SIZE], key[HANDSHAKE_KEY_SIZE];
	bool is_first = url_is_same_server(&u->url, &u->first);
	unsigned char random[16];
	struct handshake_wish wish;
	struct buf request;

	url_authority(&u->url, authority);
	wish = (struct handshake_wish){
		.authority = span_of(authority),
		.target = span_of(u->url.target),
		.headers = is_first ? secret_span(u->headers) : SPAN(""),
		.protocols = (const char *const *)u->protocols,
		.protocols_n = u->protocols_n,
		.redact = u->redact,
		.arg = u->arg,
	};
	must(getrandom(random, sizeof(random), 0) == sizeof(random));
	handshake_key(random, key);
	u->state = US_SHAKING;
	handshake_free(u->handshake);
	u->handshake = handshake_new(&wish, key);
	buf_init(&request, REQUEST_MAX);
	request.wipes = true;
	handshake_add_request(&request, &wish, key);
	if (request.failed)
		conn_finish(&u->conn);
	else
		upstream_queue(u, buf_span(&request), true);
	buf_fini(&request);
}

/** There is a connection. */
static void
secure(struct upstream *u, int fd)
{
	struct error why = ERROR_NONE;
	struct tls_context *context;

	conn_name(fd, u->address);
	conn_init(&u->conn, u->all->net, fd, upstream_on_conn);
	conn_hear_out(&u->conn);
	u->has_conn = true;
	if (!tell_step(u, UPSTREAM_CONNECTED) || u->state != US_DIALING)
		return;
	if (!u->url.is_tls) {
		ask(u);
	} else if (authorities_find(u->all->authorities, u->ca, &context, &why) != OK) {
		upstream_end(u, true, -1, "%s", why.text);
	} else {
		u->state = US_SECURING;
		conn_start_tls_client(&u->conn, context, u->url.host);
	}
}

static void
on_dial(void *arg, enum dial_event event, int fd, const char *why)
{
	struct upstream *u = arg;

	switch (event) {
	case DIAL_RESOLVED:
		tell_step(u, UPSTREAM_RESOLVED);
		break;
	case DIAL_CONNECTED:
		dial_free(u->dial);
		u->dial = NULL;
		secure(u, fd);
		break;
	case DIAL_FAILED:
		upstream_end(u, false, -1, "connecting to %s%s%s",
			u->url.is_address ? "" : u->url.host, u->url.is_address ? "" : ": ", why);
		break;
	}
}

void
upstream_dial(struct upstream *u)
{
	u->state = US_DIALING;
	u->awaits_text = false;
	u->dial = dial_new(u->all->loop, u->all->resolver, u->url.host, u->url.port, on_dial, u);
}

static bool
was_visited(const struct upstream *u, const struct url *url)
{
	for (unsigned i = 0; i < u->redirects; i++)
		if (url_is_same_server(u->visited[i], url) &&
			u->visited[i]->is_tls == url->is_tls &&
			strcmp(u->visited[i]->target, url->target) == 0)
			return true;
	return false;
}

/** Whether a redirect may be followed; if not, that is the end. */
static bool
may_follow(struct upstream *u, const struct url *next)
{
	int status = handshake_status(u->handshake);

	if (u->url.is_tls && !next->is_tls)
		upstream_end(u, true, -1,
			"the server redirects (%d) from wss:// to ws:// (%s), which is not "
			"followed: it would not be encrypted any more",
			status, next->host);
	else if (u->is_loyal && !url_is_same_server(&u->first, next))
		upstream_end(u, true, -1,
			"the server redirects (%d) to another one, %s, which is not followed: what "
			"is to be said holds secrets, and they are for the first",
			status, next->host);
	else if (u->redirects == REDIRECTS_MAX)
		upstream_end(u, true, -1, "the server redirects more than %d times", REDIRECTS_MAX);
	return u->state != US_ENDED && u->state != US_FREED;
}

/** The server says that it is elsewhere. */
static void
redirect(struct upstream *u)
{
	struct span location = handshake_location(u->handshake);
	int status = handshake_status(u->handshake);
	struct error why = ERROR_NONE;
	struct url *here;
	struct url next;

	if (url_resolve(&u->url, location, &next, &why) != OK) {
		upstream_end(u, true, -1, "the server redirects (%d), but not to a URL: %s", status,
			why.text);
		return;
	}
	if (!may_follow(u, &next))
		return;
	here = xnew(struct url);
	*here = u->url;
	u->visited[u->redirects++] = here;
	if (was_visited(u, &next)) {
		upstream_end(u, true, -1, "the server redirects (%d) in a circle, to %s", status,
			next.host);
		return;
	}
	upstream_drop_conn(u);
	u->url = next;
	u->tls_version = u->tls_cipher = NULL;
	upstream_dial(u);
}

/** Where the handshake has come to. */
static void
judge(struct upstream *u, enum handshake_state state, struct span rest)
{
	int64_t retry_after_ms;

	switch (state) {
	case HANDSHAKE_READING:
		if (handshake_status(u->handshake) != 0 && !u->awaits_text)
			loop_timer_start(u->timer, TEXT_MS);
		u->awaits_text = handshake_status(u->handshake) != 0;
		break;
	case HANDSHAKE_OPEN:
		upstream_begin(u, rest);
		break;
	case HANDSHAKE_REDIRECT:
		redirect(u);
		break;
	case HANDSHAKE_REFUSED:
	case HANDSHAKE_BROKEN:
		retry_after_ms = handshake_retry_after_ms(u->handshake, clock_wall_ms());
		upstream_end(u, handshake_is_permanent(u->handshake), retry_after_ms, "%s",
			handshake_why(u->handshake));
		break;
	}
}

static void
take_response(struct upstream *u, struct span input)
{
	size_t used;
	enum handshake_state state = handshake_take(u->handshake, input, &used);

	judge(u, state, (struct span){input.p + used, input.n - used});
}

static void
on_secured(struct upstream *u)
{
	const struct tls *tls = conn_tls(&u->conn);

	u->tls_version = tls_version(tls);
	u->tls_cipher = tls_cipher(tls);
	if (tell_step(u, UPSTREAM_SECURED) && u->state == US_SECURING)
		ask(u);
}

/** The connection has failed, or ended in the middle of something. */
static void
on_broken(struct upstream *u)
{
	bool is_distrusted;
	const char *why = conn_why(&u->conn, &is_distrusted);

	switch (u->state) {
	case US_SECURING:
		upstream_end(u, is_distrusted, -1, "TLS with %s: %s", u->url.host, why);
		break;
	case US_SHAKING:
		upstream_end(u, false, -1, "%s in the middle of the handshake", why);
		break;
	case US_CLOSING:
		upstream_end(u, false, -1, "%s", u->why);
		break;
	case US_STARTING:
	case US_DIALING:
	case US_OPEN:
	case US_ENDING:
	case US_ENDED:
	case US_FREED:
		upstream_end(u, false, -1, "%s", why);
		break;
	}
}

static void
on_eof(struct upstream *u)
{
	if (u->state == US_SHAKING)
		judge(u, handshake_end(u->handshake), SPAN(""));
	else
		on_broken(u);
}

/** The text of a refusal does not come, or the answer to a close. */
void
upstream_on_timer(void *arg)
{
	struct upstream *u = arg;

	if (u->state == US_SHAKING)
		judge(u, handshake_end(u->handshake), SPAN(""));
	else
		upstream_end(u, false, -1, "%s", u->why);
}

void
upstream_on_conn(struct conn *c, enum conn_event event, struct span input)
{
	struct upstream *u = list_item(c, struct upstream, conn);

	switch (event) {
	case CONN_INPUT:
		u->read_bytes += input.n;
		counter_add(&u->all->read_bytes, input.n);
		if (u->state == US_SHAKING)
			take_response(u, input);
		else if (u->state == US_OPEN || u->state == US_CLOSING)
			upstream_take(u, input);
		break;
	case CONN_EOF:
		on_eof(u);
		break;
	case CONN_DRAINED:
		upstream_drained(u);
		break;
	case CONN_SECURED:
		on_secured(u);
		break;
	case CONN_FAILED:
	case CONN_NOT_TLS: /* of servers only */
		on_broken(u);
		break;
	}
}
