/* The state machine at work: see link.h. */

#include "daemon/feed/link.h"

#include <sodium.h>
#include <stdlib.h>
#include <strings.h>

#include "common/base64.h"
#include "common/clock.h"
#include "common/list.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "daemon/base/conf.h"
#include "daemon/base/expand.h"
#include "daemon/base/loop.h"
#include "daemon/feed/greeting.h"
#include "daemon/feed/upstream.h"
#include "daemon/guard/vault.h"

#define SAID_MAX      ((size_t)4 << 20)
#define CLOSE_NORMAL  1000
#define HANDSHAKE_MAX ((size_t)256 << 10)
#define TEXT_WHY_MAX  4096

struct links {
	struct loop *loop;
	struct upstreams *upstreams;
	struct vault *vault;
	struct list parting; /* connections that say good-bye */
};

/** One connection: it outlives its link while it says good-bye. */
struct connection {
	struct links *all;
	struct link *owner; /* NULL: it is parting */
	struct upstream *upstream;
	struct list in_parting;
};

struct link {
	struct links *all;
	const struct conf_feed *feed;
	struct link_ops ops;
	struct machine machine;
	struct greeting *greeting;
	struct expand *expand; /* of the connection that is there, or was last; NULL: none yet */
	struct connection *connection;
	struct loop_timer *timer;
	struct buf handshake; /* JSON of the last connection that is gone; empty: there was none */
	bool is_held;
	bool has_heard;      /* messages in this read */
	bool lacks_secret;   /* that is why it waits */
	size_t greeted;      /* bytes that were not sent yet when it was greeted */
	uint64_t read_bytes; /* by connections that are gone */
};

static void step(struct link *l, const struct machine_event *e);

struct links *
links_new(struct loop *loop, struct upstreams *upstreams, struct vault *vault)
{
	struct links *ls = xnew(struct links);

	ls->loop = loop;
	ls->upstreams = upstreams;
	ls->vault = vault;
	list_init(&ls->parting);
	return ls;
}

static void
connection_free(struct connection *c)
{
	list_remove(&c->in_parting);
	upstream_free(c->upstream);
	free(c);
}

void
links_free(struct links *ls)
{
	if (ls == NULL)
		return;
	while (!list_is_empty(&ls->parting))
		connection_free(list_item(ls->parting.next, struct connection, in_parting));
	free(ls);
}

bool
links_are_idle(const struct links *ls)
{
	return list_is_empty(&ls->parting);
}

/* The end of a connection. */

/** Appends what is known of the connection, an object; what an upstream answers may hold what it
 * was told. Where that has a secret the rest may be no JSON any more: it is left out then. */
static void
add_handshake(const struct link *l, struct buf *out)
{
	struct json_value value;
	struct json_fault fault;
	struct buf all;
	struct json_out o;

	buf_init(&all, HANDSHAKE_MAX);
	o = json_out_start(&all);
	json_begin_object(&o, NULL);
	upstream_add_handshake(l->connection->upstream, &o);
	json_end_object(&o);
	if (!link_redact(l, buf_span(&all), out))
		buf_add_span(out, buf_span(&all));
	if (all.failed || out->failed ||
		json_check(buf_span(out), JSON_DEPTH_MAX, &value, &fault) != OK)
		buf_reset(out);
	buf_fini(&all);
}

/** Keeps that of a connection that goes. */
static void
keep_handshake(struct link *l)
{
	buf_reset(&l->handshake);
	add_handshake(l, &l->handshake);
	l->read_bytes += upstream_read_bytes(l->connection->upstream);
}

/** All of a read was told, or nothing more of it will be. */
static void
tell_batch(struct link *l)
{
	if (!l->has_heard)
		return;
	l->has_heard = false;
	l->ops.batch(l->ops.arg);
}

/** Gives the connection up: it says good-bye by itself, if it can. */
static void
part(struct link *l)
{
	struct connection *c = l->connection;

	if (c == NULL)
		return;
	upstream_tell_held(c->upstream);
	if (l->connection != c)
		return; /* it has ended by that */
	tell_batch(l);
	keep_handshake(l);
	l->connection = NULL;
	c->owner = NULL;
	if (!upstream_is_open(c->upstream)) {
		connection_free(c);
		return;
	}
	list_append(&l->all->parting, &c->in_parting);
	if (l->is_held)
		upstream_resume(c->upstream);
	upstream_close(c->upstream, CLOSE_NORMAL, SPAN(""));
}

/* What it says. */

static void
show(struct link *l, struct span text)
{
	struct buf safe;

	if (l->ops.said == NULL)
		return;
	buf_init(&safe, SAID_MAX);
	l->ops.said(l->ops.arg, link_redact(l, text, &safe) ? buf_span(&safe) : text);
	buf_fini(&safe);
}

/** Gives the connection up, for this reason. */
static void
break_off(struct link *l, bool is_permanent, const char *why)
{
	part(l);
	step(l, &(struct machine_event){
			.kind = MACHINE_ENDED, .is_permanent = is_permanent, .why = why});
}

/** False: it cannot be said, and that was the end of the connection. */
static bool
say(struct link *l, struct span message)
{
	struct error error = ERROR_NONE;
	struct buf text;
	enum err e;

	buf_init(&text, SAID_MAX);
	text.wipes = true;
	e = expand_add_message(l->expand, message, &text, &error);
	if (e == OK && text.failed)
		e = error_set(&error, ERR_LIMIT_EXCEEDED, "a message is too large");
	if (e == OK) {
		upstream_send(l->connection->upstream, WS_TEXT, buf_span(&text));
		show(l, buf_span(&text));
	}
	buf_fini(&text);
	if (e == OK)
		return true;
	break_off(l, true, error.text);
	return false;
}

/** Of a binary message the base64 is shown. */
static void
say_binary(struct link *l, struct span base64)
{
	size_t room = base64_room(base64.n), n;
	unsigned char *bytes = xnew_n(room, unsigned char);

	must(base64_read(base64, bytes, room, &n));
	upstream_send(l->connection->upstream, WS_BINARY, (struct span){(char *)bytes, n});
	show(l, base64);
	free(bytes);
}

static void
greet(struct link *l)
{
	struct greeting_step s;

	while (l->connection != NULL && greeting_next(l->greeting, &s)) {
		if (s.is_binary)
			say_binary(l, s.send);
		else if (s.send.n > 0 && !say(l, s.send))
			return;
		if (s.wait_ms > 0) {
			step(l, &(struct machine_event){
					.kind = MACHINE_AWAITS, .wait_ms = s.wait_ms});
			return;
		}
	}
	if (l->connection != NULL)
		l->greeted = upstream_unsent(l->connection->upstream);
	step(l, &(struct machine_event){.kind = MACHINE_GREETED});
}

/* What comes. */

static void
on_open(struct link *l)
{
	greeting_begin(l->greeting);
	step(l, &(struct machine_event){.kind = MACHINE_OPENED});
	if (l->is_held && l->connection != NULL) {
		upstream_pause(l->connection->upstream);
		step(l, &(struct machine_event){.kind = MACHINE_HELD});
	}
	greet(l);
}

static void
on_message(struct link *l, const struct upstream_news *news)
{
	l->has_heard = true;
	l->ops.message(l->ops.arg, news->opcode, news->payload);
	if (l->machine.state == FEED_GREETING && news->opcode == WS_TEXT &&
		greeting_hear(l->greeting, news->payload))
		greet(l);
}

static void
on_batch(struct link *l)
{
	if (l->has_heard)
		step(l, &(struct machine_event){.kind = MACHINE_MESSAGE});
	tell_batch(l);
}

/** The same of what a server says, which may end in the middle of a secret. */
static bool
redact_said(const struct link *l, struct span text, struct buf *out)
{
	return l->expand != NULL && expand_redact(l->expand, text, true, out);
}

static bool
on_said(void *arg, struct span text, struct buf *out)
{
	const struct connection *c = arg;

	return c->owner != NULL && redact_said(c->owner, text, out);
}

/** It ends with the first secret: what is behind may be half of another, where the server's text
 * was cut. */
static void
end_at_stars(struct buf *text)
{
	const char *stars = memmem(text->p, text->n, "***", 3);

	if (stars != NULL)
		text->n = (size_t)(stars - text->p) + 3;
}

static void
on_ended(struct link *l, const struct upstream_news *news)
{
	struct connection *c = l->connection;
	struct buf safe;
	const char *why = news->why;

	keep_handshake(l);
	l->connection = NULL;
	connection_free(c);
	buf_init(&safe, TEXT_WHY_MAX);
	if (redact_said(l, span_of(news->why), &safe)) {
		end_at_stars(&safe);
		buf_add_char(&safe, '\0');
		why = safe.failed ? "it ended, for a reason that holds a secret" : safe.p;
	}
	step(l, &(struct machine_event){.kind = MACHINE_ENDED,
			.is_permanent = news->is_permanent,
			.wait_ms = news->retry_after_ms > 0 ? news->retry_after_ms : 0,
			.why = why});
	buf_fini(&safe);
}

static bool
wants_tls(const struct link *l)
{
	return strncasecmp(l->feed->url, "wss:", 4) == 0;
}

static void
on_news(void *arg, const struct upstream_news *news)
{
	struct connection *c = arg;
	struct link *l = c->owner;

	if (l == NULL) {
		if (news->event == UPSTREAM_ENDED)
			connection_free(c);
		return;
	}
	switch (news->event) {
	case UPSTREAM_RESOLVED:
		step(l, &(struct machine_event){.kind = MACHINE_RESOLVED});
		break;
	case UPSTREAM_CONNECTED:
		step(l, &(struct machine_event){.kind = MACHINE_CONNECTED, .is_tls = wants_tls(l)});
		break;
	case UPSTREAM_SECURED:
		step(l, &(struct machine_event){.kind = MACHINE_SECURED});
		break;
	case UPSTREAM_OPEN:
		on_open(l);
		break;
	case UPSTREAM_MESSAGE:
		on_message(l, news);
		break;
	case UPSTREAM_PONG:
		step(l, &(struct machine_event){.kind = MACHINE_PONG});
		break;
	case UPSTREAM_BATCH:
		on_batch(l);
		break;
	case UPSTREAM_DRAINED:
		break;
	case UPSTREAM_ENDED:
		on_ended(l, news);
		break;
	}
}

/* What the machine wants. */

static enum err
fetch_secret(void *arg, struct span name, struct secret **value, struct error *error)
{
	const struct safe_row *row;

	return vault_reveal(arg, name, value, &row, error);
}

/** Makes what it says, with its secrets. */
static enum err
prepare(struct link *l, struct buf *headers, struct error *error)
{
	struct expand *next = NULL;
	enum err e =
		expand_new(l->feed, clock_wall_ms(), fetch_secret, l->all->vault, &next, error);

	if (e == OK)
		e = expand_add_headers(next, headers, error);
	if (e == OK && headers->failed)
		e = error_set(error, ERR_LIMIT_EXCEEDED, "the headers are larger than %zu KiB",
			headers->max >> 10);
	if (e != OK) {
		expand_free(next);
		return e;
	}
	expand_free(l->expand);
	l->expand = next;
	return OK;
}

static void
open_upstream(struct link *l, struct span headers)
{
	struct connection *c = xnew(struct connection);

	c->all = l->all;
	c->owner = l;
	list_init(&c->in_parting);
	c->upstream = upstream_open(l->all->upstreams,
		&(struct upstream_wish){.url = span_of(l->feed->url),
			.ca = l->feed->ca,
			.headers = headers,
			.subprotocols = &l->feed->subprotocols,
			.max_message = (size_t)l->feed->max_message,
			.is_loyal = expand_needs_secrets(l->feed),
			.redact = on_said},
		on_news, c);
	l->connection = c;
	l->has_heard = false;
}

static void
connect_now(struct link *l)
{
	struct error error = ERROR_NONE;
	struct buf headers;
	enum err e;

	buf_init(&headers, HANDSHAKE_MAX);
	headers.wipes = true;
	e = prepare(l, &headers, &error);
	l->lacks_secret = e != OK && e != ERR_VAULT_LOCKED;
	if (e == OK)
		open_upstream(l, buf_span(&headers));
	else if (e == ERR_VAULT_LOCKED)
		step(l, &(struct machine_event){.kind = MACHINE_LOCKED, .why = error.text});
	else
		step(l, &(struct machine_event){
				.kind = MACHINE_ENDED, .is_permanent = true, .why = error.text});
	buf_fini(&headers);
}

static void
ping_as_upstream_wants(struct link *l)
{
	if (upstream_unsent(l->connection->upstream) > l->greeted + UPSTREAM_UNSENT_MAX) {
		break_off(l, false, "the upstream does not read what it is sent (app_ping)");
		return;
	}
	expand_set_time(l->expand, clock_wall_ms());
	say(l, span_of(l->feed->app_ping));
}

static void
act(struct link *l, unsigned actions)
{
	if (actions & MACHINE_CLOSE)
		part(l);
	if ((actions & MACHINE_PING) && l->connection != NULL)
		upstream_ping(l->connection->upstream);
	if ((actions & MACHINE_APP_PING) && l->connection != NULL)
		ping_as_upstream_wants(l);
	if (actions & MACHINE_CONNECT)
		connect_now(l);
}

static void
set_timer(struct link *l)
{
	int64_t next = machine_next(&l->machine), now = loop_now_ms(l->all->loop);

	if (next == MACHINE_NEVER)
		loop_timer_stop(l->timer);
	else
		loop_timer_start(l->timer, next > now ? next - now : 0);
}

/** Only these move by chance. */
static uint64_t
random_for(enum machine_event_kind kind)
{
	uint64_t random = 0;

	if (kind == MACHINE_ENDED || kind == MACHINE_TICK || kind == MACHINE_GREETED)
		randombytes_buf(&random, sizeof(random));
	return random;
}

static void
step(struct link *l, const struct machine_event *e)
{
	enum machine_state from = l->machine.state;
	int64_t next = machine_next(&l->machine);
	unsigned actions =
		machine_step(&l->machine, e, loop_now_ms(l->all->loop), random_for(e->kind));

	if (machine_next(&l->machine) != next)
		set_timer(l);
	if (l->machine.state != from)
		l->ops.moved(l->ops.arg, from);
	act(l, actions);
}

static void
on_timer(void *arg)
{
	struct link *l = arg;

	step(l, &(struct machine_event){.kind = MACHINE_TICK});
	set_timer(l);
}

struct link *
link_new(struct links *ls, const struct conf_feed *f, const struct link_ops *ops)
{
	struct link *l = xnew(struct link);
	struct machine_limits limits = machine_limits_of(f);

	l->all = ls;
	l->feed = f;
	l->ops = *ops;
	l->greeting = greeting_new(&f->on_connect);
	l->timer = loop_timer_new(ls->loop, on_timer, l);
	buf_init(&l->handshake, HANDSHAKE_MAX);
	machine_init(&l->machine, &limits);
	return l;
}

void
link_free(struct link *l)
{
	if (l == NULL)
		return;
	part(l);
	loop_timer_free(l->timer);
	expand_free(l->expand);
	greeting_free(l->greeting);
	buf_fini(&l->handshake);
	free(l);
}

void
link_start(struct link *l)
{
	step(l, &(struct machine_event){.kind = MACHINE_START});
}

void
link_stop(struct link *l)
{
	step(l, &(struct machine_event){.kind = MACHINE_STOP});
}

void
link_hold(struct link *l, bool holds)
{
	bool is_open = l->connection != NULL && upstream_is_open(l->connection->upstream);

	if (l->is_held == holds)
		return;
	l->is_held = holds;
	if (is_open && holds)
		upstream_pause(l->connection->upstream);
	else if (is_open)
		upstream_resume(l->connection->upstream);
	if (is_open)
		step(l, &(struct machine_event){.kind = holds ? MACHINE_HELD : MACHINE_RELEASED});
}

void
link_secrets_changed(struct link *l)
{
	step(l, &(struct machine_event){.kind = MACHINE_UNLOCKED});
	if (l->lacks_secret && l->machine.state == FEED_BACKOFF)
		link_start(l);
}

enum machine_state
link_state(const struct link *l)
{
	return l->machine.state;
}

const char *
link_why(const struct link *l)
{
	return l->machine.why;
}

int64_t
link_retries(const struct link *l)
{
	return l->machine.retries;
}

int64_t
link_next_try_ms(const struct link *l)
{
	return l->machine.state == FEED_BACKOFF ? machine_next(&l->machine) : MACHINE_NEVER;
}

uint64_t
link_read_bytes(const struct link *l)
{
	return l->read_bytes +
	       (l->connection != NULL ? upstream_read_bytes(l->connection->upstream) : 0);
}

bool
link_redact(const struct link *l, struct span text, struct buf *out)
{
	return l->expand != NULL && expand_redact(l->expand, text, false, out);
}

void
link_put_handshake(const struct link *l, struct json_out *o, const char *key)
{
	struct span handshake = buf_span(&l->handshake);
	struct buf now;

	buf_init(&now, HANDSHAKE_MAX);
	if (l->connection != NULL) {
		add_handshake(l, &now);
		handshake = buf_span(&now);
	}
	json_put_raw(o, key, handshake.n > 0 ? handshake : SPAN("{}"));
	buf_fini(&now);
}
