/*
 * Stream sockets on the loop: see conn.h. What all of them share is in struct
 * net: its buffers, and the list of connections that have something to do at
 * the end of the turn (write what was queued, or hear that they failed).
 *
 * An owner may conn_fini() and free its conn inside any event: nothing touches
 * it after the call unless it is still the net's current one.
 */

#include "daemon/net/conn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/xalloc.h"
#include "daemon/base/loop.h"
#include "daemon/net/conn_priv.h"

#define PACK_PART        1024 /* parts are small when they have so many bytes on average */
#define READS_PER_EVENT  4
#define FRAMES_PER_WRITE 64
#define RING_MIN         16
#define RING_GROWTH      4

struct net *
net_new(struct loop *loop)
{
	struct net *n = xnew(struct net);

	n->loop = loop;
	list_init(&n->dirty);
	conn_tls_init_net(n);
	return n;
}

void
net_free(struct net *n)
{
	if (n == NULL)
		return;
	must(n->conns == 0);
	loop_undefer(n->loop, n);
	conn_tls_fini_net(n);
	free(n);
}

static void
wipe_buffers(void *arg)
{
	struct net *n = arg;

	explicit_bzero(n->buffer, sizeof(n->buffer));
	explicit_bzero(n->packed, sizeof(n->packed));
	conn_tls_wipe(n);
	n->is_wipe_due = false;
}

void
net_wipe(struct net *n)
{
	if (n->is_wipe_due)
		return;
	n->is_wipe_due = true;
	loop_defer(n->loop, wipe_buffers, n);
}

static int64_t
read_conns(const void *arg)
{
	const struct net *n = arg;

	return n->conns;
}

void
net_add_stats(const struct net *n, struct stats *stats)
{
	stats_add_gauge(stats, "sysrt_net_connections", read_conns, n);
	stats_add_counter(stats, "sysrt_net_read_bytes_total", &n->read_bytes);
	stats_add_counter(stats, "sysrt_net_written_bytes_total", &n->written_bytes);
	stats_add_counter(stats, "sysrt_net_writes_total", &n->writes);
	stats_add_counter(stats, "sysrt_net_failures_total", &n->failures);
	conn_tls_add_stats(n, stats);
}

bool
conn_tell(struct conn *c, enum conn_event event, struct span input)
{
	struct net *n = c->net;

	n->current = c;
	c->on_event(c, event, input);
	return n->current == c;
}

static void on_ready(evutil_socket_t fd, short what, void *arg);

static void
assign(struct conn *c, short want)
{
	must(event_assign(&c->event, loop_base(c->net->loop), c->fd, (short)(want | EV_PERSIST),
		     on_ready, c) == 0);
	if (c->is_preferred)
		must(event_priority_set(&c->event, LOOP_FIRST) == 0);
	must(event_add(&c->event, NULL) == 0);
}

void
conn_update(struct conn *c)
{
	short want = 0;

	if (!c->failed && !c->paused && !c->at_eof && !conn_tls_waits(c))
		want |= EV_READ;
	if (!c->failed && c->wants_write)
		want |= EV_WRITE;
	if (want == event_pending(&c->event, EV_READ | EV_WRITE, NULL))
		return;
	event_del(&c->event);
	if (want != 0)
		assign(c, want);
}

/** A frame has gone out, or never will. */
static void
let_go(struct net *net, struct frame *f)
{
	if (f->is_secret) /* it may have been packed */
		net_wipe(net);
	frame_unref(f);
}

static void
drop_queue(struct conn *c)
{
	for (; c->ring_n > 0; c->ring_n--) {
		let_go(c->net, c->ring[c->ring_first]);
		c->ring_first = (c->ring_first + 1) & (c->ring_cap - 1);
	}
	free(c->ring);
	c->ring = NULL;
	c->ring_cap = c->ring_first = c->sent = 0;
	c->unsent = 0;
	if (c->tls != NULL)
		conn_tls_drop(c);
}

static void flush_dirty(void *arg);

void
conn_mark_dirty(struct conn *c)
{
	struct net *n = c->net;

	if (list_is_linked(&c->dirty))
		return;
	list_append(&n->dirty, &c->dirty);
	if (n->is_flush_due)
		return;
	n->is_flush_due = true;
	loop_defer(n->loop, flush_dirty, n);
}

void
conn_fail(struct conn *c)
{
	c->failed = true;
	c->wants_write = false;
	counter_add(&c->net->failures, 1);
	drop_queue(c);
	conn_update(c);
	conn_mark_dirty(c);
}

/** The parts of the first frames as one gather list; returns how many, *total their bytes. */
static int
gather(const struct conn *c, struct iovec iov[2 * FRAMES_PER_WRITE], size_t *total)
{
	uint32_t frames = c->ring_n < FRAMES_PER_WRITE ? c->ring_n : FRAMES_PER_WRITE;
	size_t skip = c->sent;
	int n = 0;

	*total = 0;
	for (uint32_t i = 0; i < frames; i++) {
		struct frame *f = c->ring[(c->ring_first + i) & (c->ring_cap - 1)];

		*total += frame_size(f) - skip;
		if (skip < f->head_n) {
			iov[n++] = (struct iovec){f->head + skip, f->head_n - skip};
			skip = 0;
		} else {
			skip -= f->head_n;
		}
		if (f->body != NULL)
			iov[n++] = (struct iovec){f->body->bytes + skip, f->body->n - skip};
		skip = 0;
	}
	return n;
}

/** Makes one of small parts: the kernel's work for each costs more than the copy (measured: a
 * quarter more deliveries per second of 300-byte frames). Returns how many there are then. */
static int
pack(struct net *net, struct iovec *iov, int n, size_t total)
{
	char *to = net->packed;

	if (n < 2 || total > PACK_SIZE || total > (size_t)n * PACK_PART)
		return n;
	for (int i = 0; i < n; i++) {
		memcpy(to, iov[i].iov_base, iov[i].iov_len);
		to += iov[i].iov_len;
	}
	iov[0] = (struct iovec){net->packed, total};
	return 1;
}

void
conn_advance(struct conn *c, size_t nbytes)
{
	c->unsent -= nbytes;
	nbytes += c->sent;
	while (c->ring_n > 0 && nbytes >= frame_size(c->ring[c->ring_first])) {
		struct frame *f = c->ring[c->ring_first];

		nbytes -= frame_size(f);
		c->ring_first = (c->ring_first + 1) & (c->ring_cap - 1);
		c->ring_n--;
		let_go(c->net, f);
	}
	c->sent = (uint32_t)nbytes;
}

void
conn_fail_errno(struct conn *c)
{
	c->why = errno;
	conn_fail(c);
}

/** A write has failed. */
static void
stop_writing(struct conn *c)
{
	if (!c->hears_out) {
		conn_fail_errno(c);
		return;
	}
	c->why = errno;
	c->is_mute = true;
	c->wants_write = false;
	drop_queue(c);
	conn_update(c);
}

ssize_t
conn_write(struct conn *c, struct iovec *iov, int parts, size_t total)
{
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t)parts};
	ssize_t n;

	do
		n = sendmsg(c->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno != EAGAIN && errno != ENOBUFS) {
		stop_writing(c);
		return -1;
	}
	counter_add(&c->net->writes, 1);
	if (n > 0) {
		counter_add(&c->net->written_bytes, (uint64_t)n);
		c->progress_ms = loop_now_ms(c->net->loop);
	}
	c->wants_write = n < 0 || (size_t)n < total;
	return n < 0 ? 0 : n;
}

/** One write; false when the socket takes no more, or failed. */
static bool
write_some(struct conn *c)
{
	struct iovec iov[2 * FRAMES_PER_WRITE];
	size_t total;
	ssize_t n;
	int parts;

	parts = gather(c, iov, &total);
	parts = pack(c->net, iov, parts, total);
	n = conn_write(c, iov, parts, total);
	if (n > 0)
		conn_advance(c, (size_t)n);
	return n >= 0 && !c->wants_write;
}

/** Nothing is left to be written, and nothing more will be queued. */
static void
finish(struct conn *c)
{
	if (c->tls == NULL || conn_tls_end(c))
		shutdown(c->fd, SHUT_WR);
}

static void
write_queue(struct conn *c)
{
	while (c->unsent > 0 && (c->tls != NULL ? conn_tls_write(c) : write_some(c)))
		;
	if (!c->failed && c->unsent == 0) {
		c->wants_write = false;
		drop_queue(c);
		if (c->is_finishing)
			finish(c);
	}
	if (!c->failed)
		conn_update(c);
}

static void
keep_fd(struct conn *c, int fd)
{
	if (c->passed_fd >= 0)
		close(c->passed_fd);
	c->passed_fd = fd;
}

/** As recv(). There is room for one descriptor: of more the kernel closes the others. */
static ssize_t
receive(struct conn *c, char *to, size_t n)
{
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec part = {to, n};
	struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1};
	struct cmsghdr *m;
	ssize_t got;
	int fd;

	if (!c->accepts_fds)
		return recv(c->fd, to, n, MSG_DONTWAIT);
	msg.msg_control = &control;
	msg.msg_controllen = CMSG_LEN(sizeof(int)); /* with its padding it would take two */
	got = recvmsg(c->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	m = got > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
	if (m != NULL && m->cmsg_level == SOL_SOCKET && m->cmsg_type == SCM_RIGHTS &&
		m->cmsg_len == CMSG_LEN(sizeof(int))) {
		memcpy(&fd, CMSG_DATA(m), sizeof(int));
		keep_fd(c, fd);
	}
	return got;
}

bool
conn_tell_eof(struct conn *c)
{
	c->at_eof = true;
	conn_update(c);
	return conn_tell(c, CONN_EOF, SPAN(""));
}

/** Reads until the socket is empty, but not for ever; false if the conn is gone. */
static bool
read_input(struct conn *c)
{
	struct net *n = c->net;

	for (int i = 0; i < READS_PER_EVENT && !c->paused && !c->failed && c->tls == NULL; i++) {
		ssize_t got = receive(c, n->buffer, sizeof(n->buffer));

		if (got < 0 && errno != EAGAIN && errno != EINTR)
			conn_fail_errno(c);
		if (got < 0)
			return true;
		if (got == 0)
			return conn_tell_eof(c);
		counter_add(&n->read_bytes, (uint64_t)got);
		if (!conn_tell(c, CONN_INPUT, (struct span){n->buffer, (size_t)got}))
			return false;
		if ((size_t)got < sizeof(n->buffer))
			return true;
	}
	return true;
}

static void
serve(struct conn *c, short what)
{
	if ((what & EV_WRITE) != 0) {
		write_queue(c);
		if (!c->failed && c->unsent == 0 && !conn_tell(c, CONN_DRAINED, SPAN("")))
			return;
	}
	if ((what & EV_READ) != 0 && c->tls != NULL)
		conn_tls_read(c);
	else if ((what & EV_READ) != 0)
		read_input(c);
}

static void
on_ready(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;
	struct loop *crowded = c->is_preferred ? NULL : c->net->loop;

	(void)fd;
	serve(c, what);
	if (crowded != NULL)
		loop_yield_if_late(crowded);
}

/** End of the turn: writes what was queued, tells who failed. */
static void
flush_dirty(void *arg)
{
	struct net *n = arg;
	struct list *link;

	n->is_flush_due = false;
	while ((link = list_shift(&n->dirty)) != NULL) {
		struct conn *c = list_item(link, struct conn, dirty);

		if (c->failed)
			conn_tell(c, CONN_FAILED, SPAN(""));
		else
			conn_flush(c);
	}
}

void
conn_init(struct conn *c, struct net *n, int fd, conn_fn fn)
{
	int one = 1;

	*c = (struct conn){.net = n, .on_event = fn, .fd = fd, .passed_fd = -1};
	list_init(&c->dirty);
	must(fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK) == 0);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* not for Unix sockets */
	assign(c, EV_READ);
	c->progress_ms = loop_now_ms(n->loop);
	n->conns++;
}

void
conn_fini(struct conn *c)
{
	if (c->fd < 0)
		return;
	event_del(&c->event);
	close(c->fd);
	c->fd = -1;
	keep_fd(c, -1);
	drop_queue(c);
	conn_tls_free(c);
	list_remove(&c->dirty);
	if (c->net->current == c)
		c->net->current = NULL;
	c->net->conns--;
}

static void
grow_ring(struct conn *c)
{
	uint32_t cap = c->ring_cap > 0 ? c->ring_cap * RING_GROWTH : RING_MIN;
	struct frame **ring = xrealloc(NULL, cap, sizeof(struct frame *));

	for (uint32_t i = 0; i < c->ring_n; i++)
		ring[i] = c->ring[(c->ring_first + i) & (c->ring_cap - 1)];
	free(c->ring);
	c->ring = ring;
	c->ring_cap = cap;
	c->ring_first = 0;
}

void
conn_queue(struct conn *c, struct frame *f)
{
	if (c->fd < 0 || c->failed || c->is_finishing || c->is_mute)
		return;
	if (c->ring_n == c->ring_cap)
		grow_ring(c);
	if (c->ring_n == 0)
		c->progress_ms = loop_now_ms(c->net->loop);
	c->ring[(c->ring_first + c->ring_n) & (c->ring_cap - 1)] = frame_ref(f);
	c->ring_n++;
	c->unsent += frame_size(f);
}

void
conn_send(struct conn *c, struct frame *f)
{
	conn_queue(c, f);
	if (c->ring_n > 0 && !c->wants_write)
		conn_mark_dirty(c);
}

size_t
conn_flush(struct conn *c)
{
	if (c->fd < 0 || c->failed || c->wants_write || c->unsent == 0)
		return c->unsent;
	list_remove(&c->dirty);
	write_queue(c);
	return c->unsent;
}

const char *
conn_why(const struct conn *c, bool *is_distrusted)
{
	const char *why = conn_tls_why(c, is_distrusted);

	if (why != NULL)
		return why;
	switch (c->why) {
	case 0:
		return "the other side ended the connection";
	case ECONNRESET:
	case EPIPE:
		return "the other side broke the connection off";
	case ETIMEDOUT:
		return "the other side does not answer any more";
	default:
		return strerror(c->why);
	}
}

void
conn_hear_out(struct conn *c)
{
	c->hears_out = true;
}

void
conn_accept_fds(struct conn *c)
{
	c->accepts_fds = true;
}

void
conn_prefer(struct conn *c)
{
	c->is_preferred = true;
	event_del(&c->event);
	assign(c, EV_READ);
}

void
conn_pause(struct conn *c)
{
	if (c->fd < 0 || c->paused)
		return;
	c->paused = true;
	conn_update(c);
}

void
conn_resume(struct conn *c)
{
	if (c->fd < 0 || !c->paused)
		return;
	c->paused = false;
	conn_update(c);
	if (c->tls != NULL)
		conn_tls_resume(c);
}

void
conn_finish(struct conn *c)
{
	if (c->fd < 0 || c->is_finishing)
		return;
	c->is_finishing = true;
	if (c->unsent > 0 || c->failed)
		return;
	finish(c);
	if (!c->failed)
		conn_update(c);
}

void
conn_name(int fd, char out[CONN_NAME_SIZE])
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
		struct sockaddr_storage storage;
	} a = {0};
	socklen_t size = sizeof(a);
	char host[INET6_ADDRSTRLEN] = "";

	if (getpeername(fd, &a.any, &size) != 0) {
		snprintf(out, CONN_NAME_SIZE, "unknown");
	} else if (a.any.sa_family == AF_INET) {
		inet_ntop(AF_INET, &a.v4.sin_addr, host, sizeof(host));
		snprintf(out, CONN_NAME_SIZE, "%s:%u", host, ntohs(a.v4.sin_port));
	} else if (a.any.sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &a.v6.sin6_addr, host, sizeof(host));
		snprintf(out, CONN_NAME_SIZE, "[%s]:%u", host, ntohs(a.v6.sin6_port));
	} else {
		snprintf(out, CONN_NAME_SIZE, "unix");
	}
}
