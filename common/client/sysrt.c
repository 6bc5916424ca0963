/*
 * libsysrt: see sysrt.h. Owns the connection, the bytes that were read ahead, and
 * the messages that came while something else was waited for (bounded). Over a
 * WebSocket each message is made a line, and from there on all is the same.
 */

#include "common/client/sysrt.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/client/fail.h"
#include "common/client/remote.h"
#include "common/client/stream.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/rpc.h"
#include "common/xalloc.h"

#define DEFAULT_SOCKET "/run/sysrt/control.sock"
#define CONNECT_S      10 /* for a daemon that takes no connections */
#define MESSAGE_MAX    ((size_t)256 << 20)
#define KEPT_MAX       ((size_t)256 << 20)
#define READ_BYTES     65536
#define REQUEST_KEPT   ((size_t)1 << 20) /* memory of requests that is not given back */

/* Ids of messages that answer no request of ours; those count from 1. */
enum { ID_NOTIFICATION = -1, ID_UNKNOWN = 0 };

/** A message that came while something else was waited for. */
struct kept {
	struct kept *next;
	int64_t id;
	size_t n;
	char text[];
};

struct sysrt {
	int fd;
	struct remote *remote; /* owned: a WebSocket, whose descriptor it is; NULL: a Unix socket */
	int passed_fd;         /* goes with the next request; -1: none */
	bool is_torn;          /* half a request was written */
	int64_t last_id;
	struct buf request; /* empty between calls */
	struct rpc_lines lines;
	struct kept *first;
	struct kept **last;
	size_t kept_bytes;
	struct kept *shown; /* the notification that the caller looks at, when it was kept */
	int64_t *forgone;   /* ids whose answers nobody waits for any more, and none has come */
	size_t forgone_n;
	char method[64];
};

static int
fail_connect(struct sysrt_error *error, const char *path)
{
	char text[SYSRT_TEXT_MAX];

	switch (errno) {
	case EACCES:
	case EPERM:
		snprintf(text, sizeof(text),
			"no permission for %s: become a member of the group \"sysrt\", or root",
			path);
		return fail_code(error, ERR_PERMISSION_DENIED, text);
	case ENOENT:
	case ENOTDIR:
	case ECONNREFUSED:
		snprintf(text, sizeof(text),
			"the daemon is not running (%s: %s): start sysrtd, or name its socket with "
			"--socket or $SYSRT_SOCKET",
			path, strerror(errno));
		return fail_named(error, "NOT_RUNNING", FAIL_NOT_RUNNING, text);
	case EAGAIN:
		snprintf(text, sizeof(text),
			"the daemon does not take the connection in time (%s): it hangs, or has too "
			"much to do",
			path);
		return fail_code(error, ERR_TIMEOUT, text);
	case EINTR:
		return fail_interrupted(error);
	default:
		snprintf(text, sizeof(text), "connecting to %s", path);
		return fail_errno(error, text);
	}
}

static const char *
socket_path(const char *path)
{
	const char *from_environment = getenv("SYSRT_SOCKET");

	if (path != NULL)
		return path;
	return from_environment != NULL && from_environment[0] != '\0' ? from_environment
								       : DEFAULT_SOCKET;
}

static struct sysrt *
new_sysrt(int fd, struct remote *remote)
{
	struct sysrt *s = xnew(struct sysrt);

	s->fd = fd;
	s->remote = remote;
	s->passed_fd = -1;
	s->last = &s->first;
	rpc_lines_init(&s->lines, MESSAGE_MAX);
	buf_init(&s->request, MESSAGE_MAX);
	return s;
}

static int64_t
deadline(int timeout_ms)
{
	return timeout_ms < 0 ? INT64_MAX : clock_mono_us() + (int64_t)timeout_ms * 1000;
}

int
sysrt_connect(const char *path, struct sysrt **s, struct sysrt_error *error)
{
	static const struct timeval limit = {.tv_sec = CONNECT_S};
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd;

	path = socket_path(path);
	if (strlen(path) >= sizeof(a.sun_path)) {
		errno = ENAMETOOLONG;
		return fail_connect(error, path);
	}
	memcpy(a.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail_errno(error, "making a socket");
	/* It is for connect() alone: nothing is sent that would wait. */
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) != 0 ||
		connect(fd, (struct sockaddr *)&a, sizeof(a)) != 0) {
		fail_connect(error, path);
		close(fd);
		return -1;
	}
	*s = new_sysrt(fd, NULL);
	return 0;
}

int
sysrt_connect_url(const char *url, const struct sysrt_options *options, struct sysrt **s,
	struct sysrt_error *error)
{
	static const struct sysrt_options none = {.timeout_ms = -1};
	struct remote *remote;

	if (options == NULL)
		options = &none;
	if (remote_open(url, options, deadline(options->timeout_ms), &remote, error) != 0)
		return -1;
	*s = new_sysrt(remote_fd(remote), remote);
	return 0;
}

void
sysrt_close(struct sysrt *s)
{
	if (s == NULL)
		return;
	while (s->first != NULL) {
		struct kept *k = s->first;

		s->first = k->next;
		free(k);
	}
	free(s->shown);
	free(s->forgone);
	buf_fini(&s->request);
	rpc_lines_fini(&s->lines);
	if (s->remote != NULL)
		remote_close(s->remote);
	else
		close(s->fd);
	free(s);
}

int
sysrt_fd(const struct sysrt *s)
{
	return s->fd;
}

int
sysrt_wait_ms(const struct sysrt *s)
{
	int64_t left_us;

	if (s->remote == NULL)
		return -1;
	left_us = remote_beat_us(s->remote) - clock_mono_us();
	return left_us > 0 ? (int)(left_us / 1000) + 1 : 0;
}

/** Waits on a WebSocket, as wait_for(), and sends meanwhile what has to be sent. */
static int
wait_remote(struct sysrt *s, short events, int64_t until_us, struct sysrt_error *error)
{
	struct remote *r = s->remote;

	for (;;) {
		int64_t next_us;
		int ready;

		if ((events & POLLIN) != 0 && remote_has_pending(r))
			return POLLIN;
		if (remote_beat(r, clock_mono_us(), error) != 0)
			return -1;
		next_us = remote_beat_us(r) < until_us ? remote_beat_us(r) : until_us;
		ready = stream_poll(s->fd, (short)(events | (remote_has_unsent(r) ? POLLOUT : 0)),
			next_us, error);
		if (ready > 0 && remote_flush(r, error) < 0)
			return -1;
		if (ready < 0 || (ready & ~POLLOUT) != 0 || (ready & events) != 0)
			return ready;
		if (ready == 0 && clock_mono_us() >= until_us)
			return 0;
	}
}

/** Waits until one of the events can be had: them; 0: the time is up; -1: failed, or a signal. */
static int
wait_for(struct sysrt *s, short events, int64_t until_us, struct sysrt_error *error)
{
	return s->remote != NULL ? wait_remote(s, events, until_us, error)
				 : stream_poll(s->fd, events, until_us, error);
}

/** Reads what is there. */
static int
fill(struct sysrt *s, struct sysrt_error *error)
{
	char *room;
	ssize_t n;

	if (s->remote != NULL)
		return remote_read(s->remote, &s->lines, error);
	room = rpc_lines_room(&s->lines, READ_BYTES);
	if (room == NULL)
		return fail_code(error, ERR_LIMIT_EXCEEDED, "the daemon's message is too large");
	n = recv(s->fd, room, READ_BYTES, MSG_DONTWAIT);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n < 0 && errno != ECONNRESET)
		return fail_errno(error, "reading from the daemon");
	if (n <= 0)
		return fail_closed(error, "the daemon closed the connection");
	rpc_lines_filled(&s->lines, (size_t)n);
	return 0;
}

/** The next message: 1, 0 when the time is up, -1 on a failure. */
static int
next_message(struct sysrt *s, int64_t until_us, struct span *line, struct rpc_message *m,
	struct sysrt_error *error)
{
	struct error why = ERROR_NONE;
	enum rpc_line what;
	int ready;

	while ((what = rpc_lines_next(&s->lines, false, line)) == RPC_LINE_NONE) {
		ready = wait_for(s, POLLIN, until_us, error);
		if (ready <= 0)
			return ready;
		if (fill(s, error) != 0)
			return -1;
	}
	if (what == RPC_LINE_TOO_LONG)
		return fail_code(error, ERR_LIMIT_EXCEEDED, "the daemon's message is too large");
	if (rpc_read_message(*line, m, &why) == OK)
		return 1;
	return fail_with(error, &why);
}

static int64_t
id_of(const struct rpc_message *m)
{
	int64_t id;

	if (m->id.n == 0)
		return ID_NOTIFICATION;
	/* Ours are integers from 1; an error about no request in particular has null. */
	return m->id.p[0] >= '1' && m->id.p[0] <= '9' && json_number_int64(m->id, &id) ? id
										       : ID_UNKNOWN;
}

/** Nobody knows the id of a call that has failed before its answer came. */
static void
forgo(struct sysrt *s, int64_t id)
{
	s->forgone = xrealloc(s->forgone, s->forgone_n + 1, sizeof(*s->forgone));
	s->forgone[s->forgone_n++] = id;
}

/** True if this is the late answer to such a call. */
static bool
take_forgone(struct sysrt *s, int64_t id)
{
	for (size_t i = 0; i < s->forgone_n; i++) {
		if (s->forgone[i] != id)
			continue;
		s->forgone[i] = s->forgone[--s->forgone_n];
		return true;
	}
	return false;
}

static int
keep(struct sysrt *s, int64_t id, struct span line, struct sysrt_error *error)
{
	struct kept *k;

	if (take_forgone(s, id))
		return 0;
	if (s->kept_bytes + line.n > KEPT_MAX)
		return fail_code(error, ERR_LIMIT_EXCEEDED,
			"too many messages wait to be taken from the connection");
	k = xcalloc(1, sizeof(*k) + line.n + 1);
	k->id = id;
	k->n = line.n;
	memcpy(k->text, line.p, line.n);
	*s->last = k;
	s->last = &k->next;
	s->kept_bytes += line.n;
	return 0;
}

/** Unlinks the first kept message with this id, or one that answers no known request: an error
 * without an id is about what was sent last (a refusal at the door, a request too large). */
static struct kept *
take_kept(struct sysrt *s, int64_t id)
{
	for (struct kept **at = &s->first; *at != NULL; at = &(*at)->next) {
		struct kept *k = *at;

		if (k->id != id && k->id != ID_UNKNOWN)
			continue;
		*at = k->next;
		if (s->last == &k->next)
			s->last = at;
		s->kept_bytes -= k->n;
		return k;
	}
	return NULL;
}

/** Waits until more can be written; what the daemon has to say first is read and kept. */
static int
wait_for_room(struct sysrt *s, int64_t until_us, struct sysrt_error *error)
{
	int ready = wait_for(s, POLLIN | POLLOUT, until_us, error);
	struct rpc_message m;
	struct span line;
	int got;

	if (ready == 0)
		return fail_code(error, ERR_TIMEOUT, "the daemon takes no requests (--timeout)");
	if (ready < 0)
		return -1;
	if ((ready & POLLIN) == 0)
		return 0;
	if (fill(s, error) != 0)
		return -1;
	while ((got = next_message(s, 0, &line, &m, error)) == 1)
		if (keep(s, id_of(&m), line, error) != 0)
			return -1;
	return got;
}

/** As send(); the descriptor that is to go along goes with the first bytes. */
static ssize_t
write_some(struct sysrt *s, const char *p, size_t n)
{
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {.bytes = {0}};
	struct iovec part = {(void *)(uintptr_t)p, n};
	struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1};
	struct cmsghdr *m;
	ssize_t done;

	if (s->passed_fd >= 0) {
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
		m = CMSG_FIRSTHDR(&msg);
		m->cmsg_level = SOL_SOCKET;
		m->cmsg_type = SCM_RIGHTS;
		m->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(m), &s->passed_fd, sizeof(int));
	}
	done = sendmsg(s->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (done > 0)
		s->passed_fd = -1;
	return done;
}

static int
write_all(struct sysrt *s, struct span bytes, int64_t until_us, struct sysrt_error *error)
{
	size_t at = 0;

	while (at < bytes.n) {
		ssize_t n = write_some(s, bytes.p + at, bytes.n - at);

		if (n >= 0) {
			at += (size_t)n;
		} else if (errno == EAGAIN) {
			if (wait_for_room(s, until_us, error) == 0)
				continue;
			s->is_torn = at > 0;
			return -1;
		} else if (errno == EPIPE || errno == ECONNRESET) {
			return 0; /* why is still to be read */
		} else if (errno != EINTR) {
			return fail_errno(error, "writing to the daemon");
		}
	}
	return 0;
}

static int
write_remote(struct sysrt *s, struct span message, int64_t until_us, struct sysrt_error *error)
{
	int done;

	if (s->passed_fd >= 0)
		return fail_code(error, ERR_INVALID_ARGUMENT,
			"this passes a file to the daemon, which goes over its Unix socket only: "
			"run it on the daemon's machine, without a URL");
	remote_queue(s->remote, message);
	while ((done = remote_flush(s->remote, error)) == 0)
		if (wait_for_room(s, until_us, error) != 0)
			return -1;
	return done < 0 ? -1 : 0;
}

/** Appends a request. What a person typed may hold line feeds; a message is one line. */
static void
add_request(struct buf *line, int64_t id, const char *method, const char *params)
{
	struct json_out o = json_out_start(line);
	char *p;

	json_begin_object(&o, NULL);
	json_put_str(&o, "jsonrpc", "2.0");
	json_put_int(&o, "id", id);
	json_put_str(&o, "method", method);
	if (params != NULL)
		json_put_raw(&o, "params", span_of(params));
	json_end_object(&o);
	for (p = line->p; (p = memchr(p, '\n', line->n - (size_t)(p - line->p))) != NULL;)
		*p = ' ';
	buf_add_char(line, '\n');
}

static void
empty_request(struct sysrt *s)
{
	if (s->request.cap > REQUEST_KEPT) {
		buf_fini(&s->request);
		buf_init(&s->request, MESSAGE_MAX);
	}
	buf_reset(&s->request);
}

static int
send_request(struct sysrt *s, const char *method, const char *params, int64_t until_us, int64_t *id,
	struct sysrt_error *error)
{
	int result;

	*id = ++s->last_id;
	if (s->is_torn)
		return fail_closed(error, "the daemon closed the connection");
	add_request(&s->request, *id, method, params);
	if (s->request.failed)
		result = fail_code(error, ERR_LIMIT_EXCEEDED, "the request is too large");
	else if (s->remote != NULL)
		result = write_remote(
			s, (struct span){s->request.p, s->request.n - 1}, until_us, error);
	else
		result = write_all(s, buf_span(&s->request), until_us, error);
	empty_request(s);
	s->passed_fd = -1;
	return result;
}

int
sysrt_send(struct sysrt *s, const char *method, const char *params, int timeout_ms, int64_t *id,
	struct sysrt_error *error)
{
	return send_request(s, method, params, deadline(timeout_ms), id, error);
}

void
sysrt_pass(struct sysrt *s, int fd)
{
	s->passed_fd = fd;
}

static int
take_answer(const struct rpc_message *m, char **result, struct sysrt_error *error)
{
	if (m->is_error)
		return fail_with(error, &m->error);
	*result = xstrndup(m->result.raw.p, m->result.raw.n);
	return 0;
}

static int
take_kept_answer(struct kept *k, char **result, struct sysrt_error *error)
{
	struct error why = ERROR_NONE;
	struct rpc_message m;
	int got = -1;

	if (rpc_read_message((struct span){k->text, k->n}, &m, &why) == OK)
		got = take_answer(&m, result, error);
	else
		fail_with(error, &why);
	free(k);
	return got;
}

/** 0; 1: the answer is an error; -1: none has come. */
static int
receive(struct sysrt *s, int64_t id, int64_t until_us, char **result, struct sysrt_error *error)
{
	struct kept *k = take_kept(s, id);
	struct rpc_message m;
	struct span line;
	int got;

	if (k != NULL)
		return take_kept_answer(k, result, error) == 0 ? 0 : 1;
	while ((got = next_message(s, until_us, &line, &m, error)) == 1) {
		if (id_of(&m) == id || id_of(&m) == ID_UNKNOWN)
			return take_answer(&m, result, error) == 0 ? 0 : 1;
		if (keep(s, id_of(&m), line, error) != 0)
			return -1;
	}
	if (got == 0)
		return fail_code(error, ERR_TIMEOUT, "no answer in time (--timeout)");
	return -1;
}

int
sysrt_receive(struct sysrt *s, int64_t id, int timeout_ms, char **result, struct sysrt_error *error)
{
	return receive(s, id, deadline(timeout_ms), result, error) == 0 ? 0 : -1;
}

int
sysrt_call(struct sysrt *s, const char *method, const char *params, int timeout_ms, char **result,
	struct sysrt_error *error)
{
	int64_t until_us = deadline(timeout_ms);
	int64_t id;
	int got = send_request(s, method, params, until_us, &id, error);

	if (got == 0)
		got = receive(s, id, until_us, result, error);
	if (got < 0)
		forgo(s, id);
	return got == 0 ? 0 : -1;
}

/** Lets the caller look at a notification; `text` is where it lies, so that it can be terminated:
 * behind the params there is at least the end of the message. */
static int
show(struct sysrt *s, char *text, const struct rpc_message *m, struct sysrt_notice *notice,
	struct sysrt_error *error)
{
	size_t end;

	if (m->is_error)
		return fail_with(error, &m->error);
	if (m->params.raw.n == 0)
		return fail_code(error, ERR_PARSE_ERROR, "the daemon's notification has no params");
	end = (size_t)(m->params.raw.p - text) + m->params.raw.n;
	json_string_text(m->method, s->method, sizeof(s->method));
	text[end] = '\0';
	*notice = (struct sysrt_notice){s->method, m->params.raw.p, m->params.raw.n};
	return 1;
}

static int
show_kept(struct sysrt *s, struct kept *k, struct sysrt_notice *notice, struct sysrt_error *error)
{
	struct error why = ERROR_NONE;
	struct rpc_message m;

	s->shown = k;
	if (rpc_read_message((struct span){k->text, k->n}, &m, &why) != OK)
		return fail_with(error, &why);
	return show(s, k->text, &m, notice, error);
}

int
sysrt_next(struct sysrt *s, int timeout_ms, struct sysrt_notice *notice, struct sysrt_error *error)
{
	int64_t until_us = deadline(timeout_ms);
	struct kept *k = take_kept(s, ID_NOTIFICATION);
	struct rpc_message m;
	struct span line;
	int got;

	free(s->shown);
	s->shown = NULL;
	if (k != NULL)
		return show_kept(s, k, notice, error);
	while ((got = next_message(s, until_us, &line, &m, error)) == 1) {
		if (id_of(&m) == ID_NOTIFICATION || id_of(&m) == ID_UNKNOWN)
			return show(
				s, s->lines.buf.p + (line.p - s->lines.buf.p), &m, notice, error);
		if (keep(s, id_of(&m), line, error) != 0)
			return -1;
	}
	return got < 0 && strcmp(error->name, "INTERRUPTED") == 0 ? 0 : got;
}
