/*
 * Listening sockets: see listen.h. Out of descriptors, accepting pauses and is
 * tried again by a timer; peers wait in the kernel's queue meanwhile. When that
 * lasts, the reserve descriptor is given up for a moment to take and close what
 * waits, so that peers hear a refusal instead of silence.
 */

#include "daemon/net/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/log.h"
#include "common/wire/http.h"
#include "common/xalloc.h"
#include "daemon/base/loop.h"

#define ACCEPTS_PER_TURN 64
#define PAUSE_MS         100
#define PATIENCE_MS      1000 /* how long peers wait before they are refused */

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_un local;
	struct sockaddr_storage storage;
};

struct listener {
	struct loop *loop;
	accept_fn fn;
	void *arg;
	int fd;                   /* -1: stopped */
	struct loop_watch *watch; /* NULL while paused or stopped */
	struct loop_timer *retry;
	int reserve;             /* a descriptor to give up; -1 when it could not be had */
	int64_t paused_since_ms; /* -1: not paused */
	unsigned long pauses;
	char *name;
	int port;
	bool is_loopback;
	bool is_preferred; /* served before the crowd ... */
	bool is_resting;   /* ... and was, in this turn */
	char *path;        /* of a Unix socket */
	struct stat file;
};

static void on_acceptable(void *arg);

static void
watch(struct listener *l)
{
	l->watch = loop_watch_new(l->loop, l->fd, on_acceptable, l);
	if (l->is_preferred)
		loop_watch_prefer(l->watch);
}

static void
unwatch(struct listener *l)
{
	loop_watch_free(l->watch);
	l->watch = NULL;
}

static void
open_reserve(struct listener *l)
{
	if (l->reserve < 0)
		l->reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/** Takes and closes what waits, on the reserve descriptor. */
static void
refuse_waiting(struct listener *l)
{
	unsigned refused = 0;
	int fd;

	if (l->reserve < 0)
		return;
	close(l->reserve);
	l->reserve = -1;
	while (refused < ACCEPTS_PER_TURN && (fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		close(fd);
		refused++;
	}
	open_reserve(l);
	if (refused == 0)
		return;
	log_warn("net", "connections refused: no file descriptors", F_STR("listener", l->name),
		F_INT("refused", refused));
}

static void
pause_accepting(struct listener *l, int cause)
{
	int64_t now_ms = loop_now_ms(l->loop);

	if (l->paused_since_ms < 0) {
		l->paused_since_ms = now_ms;
		l->pauses++;
		log_warn("net", "accepting paused", F_STR("listener", l->name),
			F_STR("cause", strerror(cause)));
	} else if (now_ms - l->paused_since_ms >= PATIENCE_MS) {
		refuse_waiting(l);
	}
	unwatch(l);
	loop_timer_start(l->retry, PAUSE_MS);
}

static void
on_retry(void *arg)
{
	struct listener *l = arg;

	open_reserve(l);
	watch(l);
}

static bool
is_shortage(int errnum)
{
	return errnum == EMFILE || errnum == ENFILE || errnum == ENOBUFS || errnum == ENOMEM;
}

static void
accept_some(struct listener *l)
{
	for (int i = 0; i < ACCEPTS_PER_TURN && l->watch != NULL; i++) {
		int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0 && is_shortage(errno))
			pause_accepting(l, errno);
		if (fd < 0)
			return;
		if (l->paused_since_ms >= 0) {
			l->paused_since_ms = -1;
			log_info("net", "accepting again", F_STR("listener", l->name));
		}
		l->fn(l->arg, l, fd);
	}
}

static void
on_rested(void *arg)
{
	struct listener *l = arg;

	l->is_resting = false;
	if (l->watch == NULL && l->fd >= 0)
		watch(l);
}

/** One that goes before the crowd does so once a turn: who connects without end would keep all
 * others out. */
static void
on_acceptable(void *arg)
{
	struct listener *l = arg;

	accept_some(l);
	if (!l->is_preferred || l->watch == NULL)
		return;
	unwatch(l);
	l->is_resting = true;
	loop_defer(l->loop, on_rested, l);
}

/** Makes a listener of a bound socket; takes fd and name. */
static struct listener *
listener_new(struct loop *loop, int fd, char *name, accept_fn fn, void *arg)
{
	struct listener *l = xnew(struct listener);

	l->loop = loop;
	l->fn = fn;
	l->arg = arg;
	l->fd = fd;
	l->name = name;
	l->reserve = -1;
	l->paused_since_ms = -1;
	l->retry = loop_timer_new(loop, on_retry, l);
	open_reserve(l);
	watch(l);
	return l;
}

static enum err
open_failed(struct error *error, int errnum, const char *address)
{
	enum err e = errnum == EADDRINUSE      ? ERR_UNAVAILABLE
		     : errnum == EACCES        ? ERR_PERMISSION_DENIED
		     : errnum == EADDRNOTAVAIL ? ERR_CONFIG_ERROR
					       : ERR_IO_ERROR;

	return error_set_errno(error, e, errnum, "listening on %s", address);
}

/** "HOST:PORT" into the kernel's form. */
static enum err
resolve(const char *text, union address *out, socklen_t *size, struct error *error)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found;
	char host[NI_MAXHOST], service[16];
	struct span name;
	bool is_address;
	int port, failure;

	if (!http_authority_split(span_of(text), &name, &port, &is_address) || port < 0 ||
		name.n >= sizeof(host))
		return error_set(error, ERR_CONFIG_ERROR,
			"listening on \"%s\": not an address and a port, as in \"127.0.0.1:7117\"",
			text);
	/* Never asked of a resolver (RFC 6761, 6.3). */
	if (span_is(name, "localhost"))
		name = SPAN("127.0.0.1");
	snprintf(host, sizeof(host), "%.*s", SPAN_FMT(name));
	snprintf(service, sizeof(service), "%d", port);
	failure = getaddrinfo(host, service, &hints, &found);
	if (failure != 0)
		return error_set(error, ERR_CONFIG_ERROR, "listening on %s: %s", text,
			gai_strerror(failure));
	memcpy(out, found->ai_addr, found->ai_addrlen);
	*size = found->ai_addrlen;
	freeaddrinfo(found);
	return OK;
}

static bool
is_loopback(const union address *a)
{
	if (a->any.sa_family == AF_INET)
		return ntohl(a->v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	if (a->any.sa_family == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(&a->v6.sin6_addr) ||
		       (IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr) &&
			       a->v6.sin6_addr.s6_addr[12] == IN_LOOPBACKNET);
	return false;
}

static char *
address_text(const union address *a, int *port)
{
	char host[INET6_ADDRSTRLEN] = "";

	if (a->any.sa_family == AF_INET6) {
		*port = ntohs(a->v6.sin6_port);
		inet_ntop(AF_INET6, &a->v6.sin6_addr, host, sizeof(host));
		return xasprintf("[%s]:%d", host, *port);
	}
	*port = ntohs(a->v4.sin_port);
	inet_ntop(AF_INET, &a->v4.sin_addr, host, sizeof(host));
	return xasprintf("%s:%d", host, *port);
}

/** Binds a TCP socket and reads back what it is bound to; -1 and errno on failure. */
static int
bind_tcp(const union address *want, socklen_t size, union address *bound)
{
	int fd = socket(want->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	socklen_t bound_size = sizeof(*bound);
	int one = 1, cause;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (want->any.sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (bind(fd, &want->any, size) == 0 && getsockname(fd, &bound->any, &bound_size) == 0)
		return fd;
	cause = errno;
	close(fd);
	errno = cause;
	return -1;
}

enum err
listener_open_tcp(struct loop *loop, const char *address, accept_fn fn, void *arg,
	struct listener **out, struct error *error)
{
	union address want = {0}, bound = {0};
	socklen_t size = 0;
	enum err e = resolve(address, &want, &size, error);
	char *name;
	int fd, port;

	if (e != OK)
		return e;
	fd = bind_tcp(&want, size, &bound);
	if (fd < 0)
		return open_failed(error, errno, address);
	if (listen(fd, SOMAXCONN) != 0) {
		e = open_failed(error, errno, address);
		close(fd);
		return e;
	}
	name = address_text(&bound, &port);
	*out = listener_new(loop, fd, name, fn, arg);
	(*out)->port = port;
	(*out)->is_loopback = is_loopback(&bound);
	return OK;
}

/** Removes a socket that nobody listens on; refuses to touch anything else. */
static enum err
clear_path(const union address *a, const char *path, struct error *error)
{
	struct stat st;
	int fd, cause;

	if (lstat(path, &st) != 0)
		return errno == ENOENT ? OK : open_failed(error, errno, path);
	if (!S_ISSOCK(st.st_mode))
		return error_set(error, ERR_CONFIG_ERROR,
			"listening on %s: there is a file that is not a socket", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return open_failed(error, errno, path);
	cause = connect(fd, &a->any, sizeof(a->local)) == 0 ? 0 : errno;
	close(fd);
	if (cause == 0 || cause == EAGAIN)
		return error_set(error, ERR_UNAVAILABLE,
			"listening on %s: another daemon answers there", path);
	if (cause != ECONNREFUSED || unlink(path) != 0)
		return open_failed(error, cause != ECONNREFUSED ? cause : errno, path);
	return OK;
}

/** Binds with the right mode from the first moment on. */
static enum err
bind_unix(int fd, const union address *a, const struct listener_file *file, struct error *error)
{
	const char *path = file->path;
	gid_t gid = file->gid;
	mode_t before = umask(0777 & ~file->mode);
	int failed = bind(fd, &a->any, sizeof(a->local));
	enum err e = OK;

	umask(before);
	if (failed != 0)
		return open_failed(error, errno, path);
	if (gid != (gid_t)-1 && lchown(path, (uid_t)-1, gid) != 0)
		e = error_set_errno(error, ERR_PERMISSION_DENIED, errno, "giving %s to group %u",
			path, (unsigned)gid);
	else if (listen(fd, SOMAXCONN) != 0)
		e = open_failed(error, errno, path);
	if (e != OK)
		unlink(path);
	return e;
}

enum err
listener_open_unix(struct loop *loop, const struct listener_file *file, accept_fn fn, void *arg,
	struct listener **out, struct error *error)
{
	const char *path = file->path;
	union address a = {.local = {.sun_family = AF_UNIX}};
	struct listener *l;
	enum err e;
	int fd;

	if (strlen(path) >= sizeof(a.local.sun_path))
		return error_set(error, ERR_CONFIG_ERROR,
			"listening on %s: the path is longer than %zu bytes", path,
			sizeof(a.local.sun_path) - 1);
	memcpy(a.local.sun_path, path, strlen(path));
	e = clear_path(&a, path, error);
	if (e != OK)
		return e;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return open_failed(error, errno, path);
	e = bind_unix(fd, &a, file, error);
	if (e != OK) {
		close(fd);
		return e;
	}
	l = listener_new(loop, fd, xstrdup(path), fn, arg);
	l->path = xstrdup(path);
	if (stat(path, &l->file) != 0)
		l->file = (struct stat){0}; /* gone already: nothing to remove */
	l->is_preferred = true;
	loop_watch_prefer(l->watch);
	*out = l;
	return OK;
}

/** Somebody may have put a socket of their own there since, even with the same inode number. */
static bool
is_same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino &&
	       a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

void
listener_set_mode(struct listener *l, mode_t mode)
{
	struct stat st;

	if (l->path == NULL || stat(l->path, &st) != 0 || !is_same_file(&st, &l->file))
		return;
	if (chmod(l->path, mode) != 0)
		log_warn("net", "the mode of a socket could not be set", F_STR("listener", l->name),
			F_STR("cause", strerror(errno)));
	if (stat(l->path, &st) == 0)
		l->file = st; /* it has changed by that */
}

void
listener_stop(struct listener *l)
{
	if (l->fd < 0)
		return;
	unwatch(l);
	if (l->is_resting)
		loop_undefer(l->loop, l);
	loop_timer_stop(l->retry);
	close(l->fd);
	l->fd = -1;
}

void
listener_close(struct listener *l)
{
	struct stat st;

	if (l == NULL)
		return;
	listener_stop(l);
	if (l->path != NULL && stat(l->path, &st) == 0 && is_same_file(&st, &l->file))
		unlink(l->path);
	if (l->reserve >= 0)
		close(l->reserve);
	loop_timer_free(l->retry);
	free(l->name);
	free(l->path);
	free(l);
}

const char *
listener_address(const struct listener *l)
{
	return l->name;
}

bool
listener_is_loopback(const struct listener *l)
{
	return l->is_loopback;
}

int
listener_port(const struct listener *l)
{
	return l->port;
}

unsigned long
listener_pauses(const struct listener *l)
{
	return l->pauses;
}
