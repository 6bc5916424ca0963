/*
 * Connections with TLS: see conn.h. Handshakes are worked at for a part of each turn
 * only, so that a thousand that come at once do not keep the others waiting; what
 * they sent waits in the kernel.
 */

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "daemon/base/loop.h"
#include "daemon/net/conn_priv.h"
#include "daemon/net/tls.h"

#define TLS_READ_SIZE     (32 * 1024) /* a read; the smallest records take a few ms then */
#define RECORDS_PER_WRITE 4
#define BUFFER_MAX        (1u << 20)
#define SHAKE_US          5000 /* of a turn, for handshakes */

struct conn_tls {
	struct tls *tls; /* owned */
	struct conn *conn;
	struct list shaking; /* linked in the net's while its handshake is under way ... */
	struct list waiting; /* ... and while that waits for its turn */
	char *rest;          /* owned: sealed, and not taken by the socket yet */
	size_t rest_n;
	bool is_client;      /* this end is */
	bool is_early;       /* what was read before it was TLS is not looked at yet */
	bool has_said_end;   /* so no more can be said */
	bool has_untold_end; /* the peer has said so, while reading was paused */
};

void
conn_tls_init_net(struct net *n)
{
	list_init(&n->shaking);
	list_init(&n->waiting);
	n->shaking_max = INT64_MAX;
	buf_init(&n->plain, BUFFER_MAX);
	n->plain.wipes = true;
	buf_init(&n->sealed, BUFFER_MAX);
}

void
conn_tls_fini_net(struct net *n)
{
	buf_fini(&n->plain);
	buf_fini(&n->sealed);
}

void
conn_tls_wipe(struct net *n)
{
	if (n->plain.cap > 0)
		explicit_bzero(n->plain.p, n->plain.cap);
}

static int64_t
read_conns(const void *arg)
{
	return ((const struct net *)arg)->tls_conns;
}

static int64_t
read_shaking(const void *arg)
{
	return ((const struct net *)arg)->shaking_n;
}

void
conn_tls_add_stats(const struct net *n, struct stats *stats)
{
	stats_add_gauge(stats, "sysrt_tls_connections", read_conns, n);
	stats_add_gauge(stats, "sysrt_tls_handshakes", read_shaking, n);
	stats_add_counter(stats, "sysrt_tls_handshakes_total", &n->shaken);
	stats_add_counter(stats, "sysrt_tls_handshakes_failed_total", &n->not_shaken);
}

void
net_note_bounds(struct net *n, struct bounds *bounds)
{
	n->bounds = bounds;
}

void
net_set_max_handshakes(struct net *n, int64_t max)
{
	n->shaking_max = max;
}

static void
leave_shaking(struct conn_tls *t)
{
	if (!list_is_linked(&t->shaking))
		return;
	list_remove(&t->shaking);
	t->conn->net->shaking_n--;
}

/** One handshake more that holds memory: if there are too many, the oldest has to go. */
static void
join_shaking(struct conn_tls *t)
{
	struct net *n = t->conn->net;
	struct conn_tls *oldest;

	if (list_is_linked(&t->shaking))
		return;
	list_append(&n->shaking, &t->shaking);
	if (++n->shaking_n <= n->shaking_max)
		return;
	oldest = list_item(n->shaking.next, struct conn_tls, shaking);
	leave_shaking(oldest);
	bounds_reach(n->bounds, BOUND_TLS_HANDSHAKES, loop_now_ms(n->loop), 0);
	conn_fail(oldest->conn);
}

/** True while there is time for handshakes in this turn. */
static bool
may_shake(struct net *n)
{
	uint64_t turn = loop_turn(n->loop);
	int64_t now_us = clock_mono_us();

	if (n->shake_turn != turn) {
		n->shake_turn = turn;
		n->shake_ends_us = now_us + SHAKE_US;
	}
	return now_us < n->shake_ends_us;
}

void
conn_tls_drop(struct conn *c)
{
	free(c->tls->rest);
	c->tls->rest = NULL;
	c->tls->rest_n = 0;
}

void
conn_tls_free(struct conn *c)
{
	struct conn_tls *t = c->tls;

	if (t == NULL)
		return;
	list_remove(&t->waiting);
	leave_shaking(t);
	conn_tls_drop(c);
	tls_free(t->tls);
	free(t);
	c->tls = NULL;
	c->net->tls_conns--;
}

const char *
conn_tls_why(const struct conn *c, bool *is_distrusted)
{
	bool is_broken = c->tls != NULL && tls_state(c->tls->tls) == TLS_BROKEN;

	if (is_distrusted != NULL)
		*is_distrusted = is_broken && tls_is_distrusted(c->tls->tls);
	return is_broken ? tls_why(c->tls->tls) : NULL;
}

/** Takes what is in the net's `sealed` over: it is written behind what waits. */
static void
keep_sealed(struct conn *c, size_t from)
{
	struct conn_tls *t = c->tls;
	size_t n = c->net->sealed.n - from;

	if (n == 0)
		return;
	t->rest = xrealloc(t->rest, t->rest_n + n, 1);
	memcpy(t->rest + t->rest_n, c->net->sealed.p + from, n);
	t->rest_n += n;
	c->unsent += n;
}

/** Writes what is in `sealed`, and keeps what the socket does not take. */
static bool
write_sealed(struct conn *c)
{
	struct buf *sealed = &c->net->sealed;
	struct iovec iov = {sealed->p, sealed->n};
	ssize_t n = conn_write(c, &iov, 1, sealed->n);

	if (n >= 0)
		keep_sealed(c, (size_t)n);
	return n >= 0 && !c->wants_write;
}

static bool
write_rest(struct conn *c)
{
	struct conn_tls *t = c->tls;
	struct iovec iov = {t->rest, t->rest_n};
	ssize_t n = conn_write(c, &iov, 1, t->rest_n);

	if (n <= 0)
		return false;
	c->unsent -= (size_t)n;
	t->rest_n -= (size_t)n;
	memmove(t->rest, t->rest + n, t->rest_n);
	if (t->rest_n == 0)
		conn_tls_drop(c);
	return !c->wants_write;
}

/** Copies bytes from the head of the queue; returns how many. */
static size_t
copy_queue(const struct conn *c, char *to, size_t max)
{
	size_t skip = c->sent, n = 0;

	for (uint32_t i = 0; i < c->ring_n && n < max; i++) {
		const struct frame *f = c->ring[(c->ring_first + i) & (c->ring_cap - 1)];
		struct span parts[2] = {
			{f->head,                                 f->head_n},
                        {f->body != NULL ? f->body->bytes : NULL,
                         f->body != NULL ? f->body->n : 0                  }
                };

		for (int k = 0; k < 2 && n < max; k++) {
			size_t from = skip < parts[k].n ? skip : parts[k].n;
			size_t left = parts[k].n - from, part = left < max - n ? left : max - n;

			if (part > 0)
				memcpy(to + n, parts[k].p + from, part);
			n += part;
			skip -= from;
		}
	}
	return n;
}

bool
conn_tls_write(struct conn *c)
{
	struct conn_tls *t = c->tls;
	struct buf *sealed = &c->net->sealed;

	if (t->rest_n > 0)
		return write_rest(c);
	if (conn_tls(c) == NULL)
		return false;
	buf_reset(sealed);
	for (int i = 0; i < RECORDS_PER_WRITE && c->ring_n > 0; i++) {
		size_t n = copy_queue(c, c->net->packed, TLS_PLAIN_MAX);

		if (!tls_seal(t->tls, (struct span){c->net->packed, n}, sealed)) {
			conn_fail(c);
			return false;
		}
		conn_advance(c, n);
	}
	return write_sealed(c);
}

bool
conn_tls_end(struct conn *c)
{
	struct conn_tls *t = c->tls;

	if (t->has_said_end || conn_tls(c) == NULL)
		return !c->failed;
	t->has_said_end = true;
	buf_reset(&c->net->sealed);
	tls_end(t->tls, &c->net->sealed);
	return write_sealed(c);
}

/** Sends what the handshake says, or an alert. */
static void
say(struct conn *c)
{
	if (c->net->sealed.n == 0 || c->failed)
		return;
	if (c->unsent == 0 || c->tls->rest_n == 0)
		write_sealed(c);
	else
		keep_sealed(c, 0);
	if (!c->failed)
		conn_update(c);
}

/** Acknowledges what came: the client's last word needs no answer, and many a client's kernel waits
 * for one, or for 40 ms, before it sends the first request (Nagle's algorithm). */
static void
acknowledge(const struct conn *c)
{
	int one = 1;

	setsockopt(c->fd, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof(one)); /* not for Unix sockets */
}

/** Hands are shaken, or cannot be. */
static void
stop_shaking(struct conn *c, enum tls_state state)
{
	bool is_done = state == TLS_OPEN || state == TLS_ENDED;

	leave_shaking(c->tls);
	if (!c->tls->is_client)
		counter_add(is_done ? &c->net->shaken : &c->net->not_shaken, 1);
	if (!c->tls->is_client && is_done)
		acknowledge(c);
	if (c->ring_n > 0)
		conn_mark_dirty(c);
}

/** Works on what was read; false if the conn is gone. */
static bool
take(struct conn *c, struct span input)
{
	struct net *n = c->net;
	struct conn_tls *t = c->tls;
	bool was_shaking = conn_is_shaking(c);
	enum tls_state state;

	buf_reset(&n->plain);
	buf_reset(&n->sealed);
	state = tls_take(t->tls, input, &n->plain, &n->sealed);
	say(c);
	if (!t->is_client && tls_is_costly(t->tls))
		join_shaking(t);
	else if (was_shaking && state != TLS_SHAKING)
		stop_shaking(c, state);
	if (t->is_client && was_shaking && conn_tls(c) != NULL &&
		!conn_tell(c, CONN_SECURED, SPAN("")))
		return false;
	if (state == TLS_FOREIGN) {
		conn_tls_free(c);
		return conn_tell(c, CONN_NOT_TLS, SPAN(""));
	}
	if (c->failed)
		return true;
	if (n->plain.n > 0 && !conn_tell(c, CONN_INPUT, buf_span(&n->plain)))
		return false;
	if (state == TLS_BROKEN && !c->failed) {
		log_debug("net", "TLS failed", F_STR("why", tls_why(t->tls)));
		conn_fail(c);
	}
	if (state != TLS_ENDED)
		return true;
	t->has_untold_end = c->paused;
	return c->paused || conn_tell_eof(c);
}

static bool
read_input(struct conn *c)
{
	struct net *n = c->net;
	ssize_t got;

	got = recv(c->fd, n->buffer, TLS_READ_SIZE, MSG_DONTWAIT);
	if (got < 0 && errno != EAGAIN && errno != EINTR)
		conn_fail_errno(c);
	if (got < 0)
		return true;
	if (got == 0)
		return conn_tell_eof(c);
	counter_add(&n->read_bytes, (uint64_t)got);
	return take(c, (struct span){n->buffer, (size_t)got});
}

bool
conn_tls_waits(const struct conn *c)
{
	return c->tls != NULL && list_is_linked(&c->tls->waiting);
}

/** That came behind something that was in the way of reading on. */
static void
tell_end(struct conn *c)
{
	if (c->paused)
		return;
	c->tls->has_untold_end = false;
	conn_tell_eof(c);
}

/** Its turn has come. */
static void
work_at(struct conn *c)
{
	bool is_early = c->tls->is_early;

	c->tls->is_early = false;
	if (c->failed)
		return;
	conn_update(c);
	if (is_early)
		take(c, SPAN(""));
	else if (c->tls->has_untold_end)
		tell_end(c);
	else if (!c->paused && !c->at_eof)
		read_input(c);
}

static void
work_at_waiting(void *arg)
{
	struct net *n = arg;

	while (!list_is_empty(&n->waiting) && may_shake(n))
		work_at(list_item(list_shift(&n->waiting), struct conn_tls, waiting)->conn);
	n->is_shake_due = !list_is_empty(&n->waiting);
	if (n->is_shake_due)
		loop_defer(n->loop, work_at_waiting, n);
}

static void
wait_for_turn(struct conn *c)
{
	struct net *n = c->net;

	list_append(&n->waiting, &c->tls->waiting);
	conn_update(c);
	if (n->is_shake_due)
		return;
	n->is_shake_due = true;
	loop_defer(n->loop, work_at_waiting, n);
}

void
conn_tls_resume(struct conn *c)
{
	if (c->tls->has_untold_end && !conn_tls_waits(c))
		wait_for_turn(c);
}

bool
conn_tls_read(struct conn *c)
{
	struct net *n = c->net;

	if (c->failed || c->paused) /* what was written in this turn may have done that */
		return true;

	if (!conn_is_shaking(c) || (list_is_empty(&n->waiting) && may_shake(n)))
		return read_input(c);
	if (!conn_tls_waits(c))
		wait_for_turn(c);
	return true;
}

static struct conn_tls *
add_tls(struct conn *c)
{
	struct conn_tls *t = xnew(struct conn_tls);

	must(c->tls == NULL && c->ring_n == 0);
	t->conn = c;
	list_init(&t->shaking);
	list_init(&t->waiting);
	c->tls = t;
	c->net->tls_conns++;
	return t;
}

void
conn_start_tls(struct conn *c, struct tls_context *x, struct span early)
{
	struct conn_tls *t = add_tls(c);

	t->tls = tls_new(x);
	if (early.n == 0)
		return;
	tls_keep(t->tls, early);
	t->is_early = true;
	wait_for_turn(c);
}

void
conn_start_tls_client(struct conn *c, struct tls_context *x, const char *host)
{
	struct conn_tls *t = add_tls(c);

	buf_reset(&c->net->sealed);
	t->tls = tls_new_client(x, host, &c->net->sealed);
	t->is_client = true;
	say(c);
}

bool
conn_is_shaking(const struct conn *c)
{
	return c->tls != NULL && tls_state(c->tls->tls) == TLS_SHAKING;
}

const struct tls *
conn_tls(const struct conn *c)
{
	enum tls_state state = c->tls != NULL ? tls_state(c->tls->tls) : TLS_SHAKING;

	return state == TLS_OPEN || state == TLS_ENDED ? c->tls->tls : NULL;
}
