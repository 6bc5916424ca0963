/* TCP connections out: see dial.h. */

#include "daemon/net/dial.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/xalloc.h"
#include "daemon/base/loop.h"
#include "daemon/net/resolve.h"

#define WHY_SIZE     256
#define ADDRESS_SIZE (INET6_ADDRSTRLEN + 10)

struct dial {
	struct loop *loop;
	struct resolve *resolve; /* NULL once that is done */
	struct resolved found;
	unsigned next; /* of what was found */
	int fd;        /* of the attempt under way; -1: none */
	struct event event;
	struct loop_timer *timer; /* until the next address has its turn */
	char why[WHY_SIZE];       /* the last attempt failed */
	dial_fn fn;
	void *arg;
};

static void
stop_attempt(struct dial *d)
{
	loop_timer_stop(d->timer);
	if (d->fd < 0)
		return;
	event_del(&d->event);
	close(d->fd);
	d->fd = -1;
}

static void
name_address(const union resolve_address *a, char out[ADDRESS_SIZE])
{
	char host[INET6_ADDRSTRLEN] = "";

	if (a->any.sa_family == AF_INET) {
		inet_ntop(AF_INET, &a->v4.sin_addr, host, sizeof(host));
		snprintf(out, ADDRESS_SIZE, "%s:%u", host, ntohs(a->v4.sin_port));
	} else {
		inet_ntop(AF_INET6, &a->v6.sin6_addr, host, sizeof(host));
		snprintf(out, ADDRESS_SIZE, "[%s]:%u", host, ntohs(a->v6.sin6_port));
	}
}

static void
note_failure(struct dial *d, const char *why)
{
	char name[ADDRESS_SIZE];

	stop_attempt(d);
	name_address(&d->found.v[d->next - 1], name);
	snprintf(d->why, sizeof(d->why), "%s%s: %s", d->found.n > 1 ? "the last address, " : "",
		name, why);
}

static void
tell(struct dial *d, enum dial_event event, int fd, const char *why)
{
	d->fn(d->arg, event, fd, why);
}

/** Nobody listens at a port from which a connection to itself succeeds: on this machine a port may
 * be its own other end. */
static bool
is_own_end(int fd)
{
	union resolve_address here = {0}, there = {0};
	socklen_t here_n = sizeof(here), there_n = sizeof(there);

	return getsockname(fd, &here.any, &here_n) == 0 &&
	       getpeername(fd, &there.any, &there_n) == 0 && here_n == there_n &&
	       memcmp(&here, &there, here_n) == 0;
}

static void try_next(struct dial *d);

static void
on_ready(evutil_socket_t fd, short what, void *arg)
{
	struct dial *d = arg;
	int failed = 0;
	socklen_t n = sizeof(failed);

	(void)what;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &n) != 0)
		failed = errno;
	if (failed == 0 && is_own_end(fd))
		failed = ECONNREFUSED;
	if (failed != 0) {
		note_failure(d, strerror(failed));
		try_next(d);
		return;
	}
	loop_timer_stop(d->timer);
	event_del(&d->event);
	d->fd = -1;
	tell(d, DIAL_CONNECTED, fd, "");
}

static void
on_timer(void *arg)
{
	struct dial *d = arg;

	note_failure(d, "it does not answer");
	try_next(d);
}

/** False: it failed at once. */
static bool
try_address(struct dial *d, const union resolve_address *a)
{
	d->fd = socket(a->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (d->fd < 0)
		return false;
	must(event_assign(&d->event, loop_base(d->loop), d->fd, EV_WRITE, on_ready, d) == 0);
	if (connect(d->fd, &a->any, resolve_address_size(a)) != 0 && errno != EINPROGRESS)
		return false;
	must(event_add(&d->event, NULL) == 0);
	if (d->next < d->found.n)
		loop_timer_start(d->timer, DIAL_NEXT_MS);
	return true;
}

static void
try_next(struct dial *d)
{
	while (d->next < d->found.n) {
		if (try_address(d, &d->found.v[d->next++]))
			return;
		note_failure(d, strerror(errno));
	}
	tell(d, DIAL_FAILED, -1, d->why);
}

static void
start_trying(void *arg)
{
	try_next(arg);
}

static void
on_resolved(void *arg, const struct resolved *found)
{
	struct dial *d = arg;

	d->resolve = NULL;
	d->found = *found;
	if (found->n == 0) {
		tell(d, DIAL_FAILED, -1, found->why);
		return;
	}
	loop_defer(d->loop, start_trying, d);
	tell(d, DIAL_RESOLVED, -1, "");
}

struct dial *
dial_new(struct loop *loop, struct resolver *resolver, const char *host, uint16_t port, dial_fn fn,
	void *arg)
{
	struct dial *d = xnew(struct dial);

	d->loop = loop;
	d->fd = -1;
	d->fn = fn;
	d->arg = arg;
	d->timer = loop_timer_new(loop, on_timer, d);
	d->resolve = resolve_start(resolver, host, port, on_resolved, d);
	return d;
}

void
dial_free(struct dial *d)
{
	if (d == NULL)
		return;
	resolve_cancel(d->resolve);
	loop_undefer(d->loop, d);
	stop_attempt(d);
	loop_timer_free(d->timer);
	free(d);
}
