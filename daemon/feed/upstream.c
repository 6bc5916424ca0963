/*
 * Open upstreams, and their life: see upstream.h. What is freed in the middle of
 * something is freed at the end of the turn; its state says so until then.
 */

#include "daemon/feed/upstream.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/xalloc.h"
#include "daemon/base/loop.h"
#include "daemon/feed/authorities.h"
#include "daemon/feed/upstream_priv.h"
#include "daemon/net/resolve.h"

static void
bury(void *arg)
{
	struct upstreams *us = arg;
	struct list *link;

	while ((link = list_shift(&us->freed)) != NULL) {
		struct upstream *u = list_item(link, struct upstream, link);

		ws_close(u->pool, &u->ws);
		ws_pool_free(u->pool);
		handshake_free(u->handshake);
		for (unsigned i = 0; i < u->redirects; i++)
			free(u->visited[i]);
		for (size_t i = 0; i < u->protocols_n; i++)
			free(u->protocols[i]);
		free(u->protocols);
		free(u->ca);
		buf_fini(&u->answers);
		buf_fini(&u->held);
		loop_timer_free(u->timer);
		free(u);
	}
}

struct upstreams *
upstreams_new(struct loop *loop, struct net *net)
{
	struct upstreams *us = xnew(struct upstreams);

	us->loop = loop;
	us->net = net;
	us->resolver = resolver_new(loop);
	us->authorities = authorities_new();
	list_init(&us->freed);
	return us;
}

void
upstreams_free(struct upstreams *us)
{
	if (us == NULL)
		return;
	must(us->n == 0);
	loop_undefer(us->loop, us);
	bury(us);
	resolver_free(us->resolver);
	authorities_free(us->authorities);
	free(us);
}

static int64_t
read_n(const void *arg)
{
	return ((const struct upstreams *)arg)->n;
}

void
upstreams_add_stats(const struct upstreams *us, struct stats *stats)
{
	stats_add_gauge(stats, "sysrt_upstream_connections", read_n, us);
	stats_add_counter(stats, "sysrt_upstream_opened_total", &us->opened);
	stats_add_counter(stats, "sysrt_upstream_read_bytes_total", &us->read_bytes);
	resolver_add_stats(us->resolver, stats);
}

bool
upstream_tell(struct upstream *u, const struct upstream_news *news)
{
	u->fn(u->arg, news);
	return u->state != US_FREED;
}

static void
tell_end(struct upstream *u)
{
	u->state = US_ENDED;
	upstream_tell(u, &(struct upstream_news){
				 .event = UPSTREAM_ENDED,
				 .code = u->code,
				 .is_permanent = u->ends_for_good,
				 .retry_after_ms = u->retry_after_ms,
				 .why = u->why,
			 });
}

void
upstream_end(struct upstream *u, bool is_permanent, int64_t retry_after_ms, const char *fmt, ...)
{
	char why[WHY_SIZE]; /* the arguments may be what is dropped */
	va_list args;

	if (u->state >= US_ENDING)
		return;
	va_start(args, fmt);
	vsnprintf(why, sizeof(why), fmt, args);
	va_end(args);
	memcpy(u->why, why, sizeof(why));
	u->ends_for_good = is_permanent;
	u->retry_after_ms = retry_after_ms;
	upstream_drop_conn(u);
	if (u->held.n > 0)
		u->state = US_ENDING; /* until go_on() has told it */
	else
		tell_end(u);
}

static void
tell_early_end(void *arg)
{
	tell_end(arg);
}

static void
start(void *arg)
{
	struct upstream *u = arg;

	if (u->has_url)
		upstream_dial(u);
	else
		upstream_end(u, true, -1, "url: %s", u->why);
}

static void
copy_protocols(struct upstream *u, const struct conf_list *list)
{
	if (list == NULL || list->n == 0)
		return;
	u->protocols = xnew_n(list->n, char *);
	for (; u->protocols_n < list->n; u->protocols_n++)
		u->protocols[u->protocols_n] = xstrdup(list->v[u->protocols_n]);
}

struct upstream *
upstream_open(struct upstreams *us, const struct upstream_wish *wish, upstream_fn fn, void *arg)
{
	struct upstream *u = xnew(struct upstream);
	struct error why = ERROR_NONE;

	*u = (struct upstream){.state = US_STARTING, .all = us, .fn = fn, .arg = arg};
	u->retry_after_ms = -1;
	u->has_url = url_parse(wish->url, &u->url, &why) == OK;
	snprintf(u->why, sizeof(u->why), "%s", why.text);
	u->first = u->url;
	u->ca = xstrdup(wish->ca != NULL ? wish->ca : "");
	u->is_loyal = wish->is_loyal;
	u->redact = wish->redact;
	if (wish->headers.n > 0)
		u->headers = secret_copy(wish->headers);
	copy_protocols(u, wish->subprotocols);
	u->pool = ws_pool_new(WS_CLIENT, wish->max_message, 0);
	buf_init(&u->answers, SIZE_MAX);
	buf_init(&u->held, SIZE_MAX);
	u->timer = loop_timer_new(us->loop, upstream_on_timer, u);
	list_init(&u->link);
	us->n++;
	counter_add(&us->opened, 1);
	loop_defer(us->loop, start, u);
	return u;
}

void
upstream_free(struct upstream *u)
{
	struct upstreams *us;

	if (u == NULL)
		return;
	must(u->state != US_FREED);
	us = u->all;
	upstream_drop_conn(u);
	loop_undefer(us->loop, u);
	secret_free(u->headers);
	u->headers = NULL;
	u->state = US_FREED;
	us->n--;
	if (list_is_empty(&us->freed))
		loop_defer(us->loop, bury, us);
	list_append(&us->freed, &u->link);
}

bool
upstream_is_open(const struct upstream *u)
{
	return u->state == US_OPEN || u->state == US_ENDING;
}

size_t
upstream_unsent(const struct upstream *u)
{
	return u->has_conn ? conn_unsent(&u->conn) : 0;
}

uint64_t
upstream_read_bytes(const struct upstream *u)
{
	return u->read_bytes;
}

/** Reads, or does not, as all say that have a say in it. Behind a close nothing comes but the end.
 */
static void
update_reading(struct upstream *u)
{
	bool rests = u->is_paused || u->is_choked || u->is_resuming || u->held.n > 0;

	if (!u->has_conn || (u->state != US_OPEN && u->state != US_CLOSING))
		return;
	if (rests && !ws_is_over(u->ws))
		conn_pause(&u->conn);
	else
		conn_resume(&u->conn);
}

void
upstream_queue(struct upstream *u, struct span bytes, bool is_secret)
{
	struct frame *f = frame_new(bytes, NULL);

	f->is_secret = is_secret;
	conn_send(&u->conn, f);
	frame_unref(f);
}

static void
fill_mask(unsigned char mask[WS_MASK_SIZE])
{
	must(getrandom(mask, WS_MASK_SIZE, 0) == WS_MASK_SIZE);
}

/** A frame of ours; what we say may be a login. */
static void
send_frame(struct upstream *u, enum ws_opcode opcode, struct span payload)
{
	unsigned char mask[WS_MASK_SIZE];
	struct buf frame;

	if (u->state != US_OPEN)
		return;
	fill_mask(mask);
	buf_init(&frame, SIZE_MAX);
	frame.wipes = true;
	ws_add_masked(&frame, opcode, payload, mask);
	upstream_queue(u, buf_span(&frame), opcode != WS_PING);
	buf_fini(&frame);
}

void
upstream_send(struct upstream *u, enum ws_opcode opcode, struct span payload)
{
	send_frame(u, opcode, payload);
}

void
upstream_ping(struct upstream *u)
{
	send_frame(u, WS_PING, SPAN(""));
}

void
upstream_close(struct upstream *u, uint16_t code, struct span reason)
{
	unsigned char mask[WS_MASK_SIZE];
	struct buf frame;

	if (u->state > US_OPEN)
		return;
	snprintf(u->why, sizeof(u->why), "it was closed from here");
	if (u->state < US_OPEN) {
		upstream_drop_conn(u);
		loop_undefer(u->all->loop, u);
		u->state = US_ENDED;
		loop_defer(u->all->loop, tell_early_end, u);
		return;
	}
	fill_mask(mask);
	buf_init(&frame, 256);
	ws_add_masked_close(&frame, code, reason, mask);
	upstream_queue(u, buf_span(&frame), false);
	buf_fini(&frame);
	u->has_closed = true;
	u->state = US_CLOSING;
	loop_timer_start(u->timer, UPSTREAM_CLOSE_MS);
}

static void
on_message(void *arg, enum ws_opcode opcode, struct span payload, uint16_t code)
{
	struct upstream *u = arg;

	if (u->state == US_FREED || opcode == WS_PING)
		return;
	if (opcode == WS_CLOSE) {
		u->code = code;
		if (!u->has_closed)
			snprintf(u->why, sizeof(u->why), "the server closed it: %u%s%.*s", code,
				payload.n > 0 ? ", " : "", SPAN_FMT(payload));
		return;
	}
	u->has_news = true;
	upstream_tell(u, &(struct upstream_news){
				 .event = opcode == WS_PONG ? UPSTREAM_PONG : UPSTREAM_MESSAGE,
				 .opcode = opcode,
				 .payload = payload,
				 .retry_after_ms = -1,
			 });
}

/** What the codec has to say goes out, but behind a close nothing does. */
static void
queue_answers(struct upstream *u)
{
	if (u->answers.n > 0 && !u->has_closed && u->has_conn)
		upstream_queue(u, buf_span(&u->answers), false);
	buf_reset(&u->answers);
	if (!u->has_conn)
		return;
	/* Only what is left by a write is told of when it is gone. */
	u->is_choked = conn_unsent(&u->conn) > UPSTREAM_UNSENT_MAX &&
		       conn_flush(&u->conn) > UPSTREAM_UNSENT_MAX;
}

/** The last frame has come. */
static void
finish(struct upstream *u)
{
	if (u->code == 0) {
		queue_answers(u);
		conn_flush(&u->conn);
		if (ws_excess(u->ws) == WS_EXCESS_BYTES)
			upstream_end(u, false, -1,
				"the server sends a larger message than "
				"max_message lets in");
		else
			upstream_end(u, false, -1, "the server breaks the rules of WebSocket: %s",
				ws_why(u->ws));
		return;
	}
	if (!u->has_closed)
		loop_timer_start(u->timer, UPSTREAM_CLOSE_MS);
	queue_answers(u);
	u->has_closed = true;
	u->state = US_CLOSING;
	conn_finish(&u->conn); /* it is the server who ends the connection first */
	update_reading(u);
}

/** Takes frames until it is paused, and keeps what is behind; false: it was freed. */
static bool
take_frames(struct upstream *u, struct span input)
{
	u->is_taking = true;
	while (input.n > 0 && (!u->is_paused || u->is_hasty) && !ws_is_over(u->ws)) {
		size_t used = ws_step(u->ws, input, on_message, u, &u->answers);

		if (u->state == US_FREED)
			return false;
		input = (struct span){input.p + used, input.n - used};
	}
	u->is_taking = false;
	if (!ws_is_over(u->ws))
		buf_add_span(&u->held, input);
	return true;
}

void
upstream_take(struct upstream *u, struct span input)
{
	if (!take_frames(u, input))
		return;
	if (!ws_is_over(u->ws))
		queue_answers(u);
	if (u->has_news) {
		u->has_news = false;
		if (!upstream_tell(u,
			    &(struct upstream_news){.event = UPSTREAM_BATCH, .retry_after_ms = -1}))
			return;
	}
	if (u->state == US_ENDING && u->held.n == 0)
		tell_end(u);
	else if (u->state < US_ENDING && ws_is_over(u->ws))
		finish(u);
	else
		update_reading(u);
}

void
upstream_begin(struct upstream *u, struct span early)
{
	secret_free(u->headers);
	u->headers = NULL;
	loop_timer_stop(u->timer);
	u->ws = ws_open(u->pool);
	u->state = US_OPEN;
	if (!upstream_tell(
		    u, &(struct upstream_news){.event = UPSTREAM_OPEN, .retry_after_ms = -1}))
		return;
	upstream_take(u, early);
}

void
upstream_drained(struct upstream *u)
{
	if (u->state != US_OPEN && u->state != US_CLOSING)
		return;
	u->is_choked = false;
	update_reading(u);
	upstream_tell(u, &(struct upstream_news){.event = UPSTREAM_DRAINED, .retry_after_ms = -1});
}

void
upstream_pause(struct upstream *u)
{
	u->is_paused = true;
	update_reading(u);
}

/** Takes what was read before. */
static void
take_held(struct upstream *u)
{
	struct buf held = u->held;

	buf_init(&u->held, SIZE_MAX);
	upstream_take(u, buf_span(&held));
	buf_fini(&held);
}

static void
go_on(void *arg)
{
	struct upstream *u = arg;

	u->is_resuming = false;
	if (!u->is_paused && u->state >= US_OPEN && u->state < US_ENDED)
		take_held(u);
}

void
upstream_tell_held(struct upstream *u)
{
	if (u->held.n == 0 || u->is_taking)
		return;
	u->is_hasty = true;
	take_held(u);
	u->is_hasty = false;
}

void
upstream_resume(struct upstream *u)
{
	if (!u->is_paused)
		return;
	u->is_paused = false;
	if (u->is_resuming)
		return;
	u->is_resuming = true;
	loop_defer(u->all->loop, go_on, u);
}

void
upstream_add_handshake(const struct upstream *u, struct json_out *o)
{
	struct buf url;

	if (u->has_url) {
		buf_init(&url, 2 * URL_MAX);
		url_add(&url, &u->url);
		json_put_string(o, "url", buf_span(&url));
		buf_fini(&url);
	}
	if (u->address[0] != '\0')
		json_put_str(o, "address", u->address);
	if (u->tls_version != NULL) {
		json_begin_object(o, "tls");
		json_put_str(o, "version", u->tls_version);
		json_put_str(o, "cipher", u->tls_cipher);
		json_end_object(o);
	}
	if (u->handshake != NULL)
		handshake_add_response(u->handshake, o);
}
