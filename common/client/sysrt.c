/* libsysrt: see sysrt.h. */

#include "common/client/sysrt.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/rpc.h"
#include "common/xalloc.h"

#define DEFAULT_SOCKET   "/run/sysrt/control.sock"
#define LINE_MAX_BYTES   (256u << 20)
#define READ_BYTES       65536
#define EXIT_NOT_RUNNING 3

/** A message that came while something else was waited for. */
struct kept {
	struct kept *next;
	int64_t id; /* of an answer; -1: a notification */
	size_t n;
	char text[];
};

struct sysrt {
	int fd;
	int64_t last_id;
	struct rpc_lines lines;
	struct kept *first;
	struct kept **last;
	struct kept *shown; /* the notification that the caller looks at */
	char method[64];
};

static int
fail(struct sysrt_error *error, const char *name, int exit_status, const char *text)
{
	*error = (struct sysrt_error){.seq = -1, .exit_status = exit_status};
	snprintf(error->name, sizeof(error->name), "%s", name);
	snprintf(error->text, sizeof(error->text), "%s", text);
	return -1;
}

static int
fail_with(struct sysrt_error *error, const struct error *from)
{
	const struct err_info *info = err_info(from->code);

	fail(error, info->name, info->exit_status, from->text);
	error->seq = from->seq;
	return -1;
}

static int
fail_io(struct sysrt_error *error, const char *doing)
{
	struct error e = ERROR_NONE;

	error_set_errno(&e, ERR_IO_ERROR, errno, "%s", doing);
	return fail_with(error, &e);
}

static int
fail_connect(struct sysrt_error *error, const char *path)
{
	char text[SYSRT_TEXT_MAX];

	if (errno == EACCES || errno == EPERM) {
		snprintf(text, sizeof(text),
			"no permission for %s: become a member of the group \"sysrt\", or root",
			path);
		return fail(error, "PERMISSION_DENIED",
			err_info(ERR_PERMISSION_DENIED)->exit_status, text);
	}
	snprintf(text, sizeof(text),
		"the daemon is not running (%s: %s): start sysrtd, or name its socket with "
		"--socket",
		path, strerror(errno));
	return fail(error, "NOT_RUNNING", EXIT_NOT_RUNNING, text);
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

int
sysrt_connect(const char *wanted, struct sysrt **out, struct sysrt_error *error)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	const char *path = socket_path(wanted);
	struct sysrt *s;
	int fd;

	if (strlen(path) >= sizeof(a.sun_path)) {
		errno = ENAMETOOLONG;
		return fail_connect(error, path);
	}
	strcpy(a.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fail_io(error, "making a socket");
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) != 0) {
		fail_connect(error, path);
		close(fd);
		return -1;
	}
	s = xnew(struct sysrt);
	s->fd = fd;
	s->last = &s->first;
	rpc_lines_init(&s->lines, LINE_MAX_BYTES);
	*out = s;
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
	rpc_lines_fini(&s->lines);
	close(s->fd);
	free(s);
}

int
sysrt_fd(const struct sysrt *s)
{
	return s->fd;
}

static int
write_all(struct sysrt *s, const char *p, size_t n, struct sysrt_error *error)
{
	while (n > 0) {
		ssize_t sent = send(s->fd, p, n, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && (errno == EPIPE || errno == ECONNRESET))
			return fail(error, "CLOSED", EXIT_NOT_RUNNING,
				"the daemon closed the connection");
		if (sent < 0)
			return fail_io(error, "writing to the daemon");
		p += sent;
		n -= (size_t)sent;
	}
	return 0;
}

int
sysrt_send(struct sysrt *s, const char *method, const char *params, int64_t *id,
	struct sysrt_error *error)
{
	struct json_out o;
	struct buf line;
	int result;

	buf_init(&line, LINE_MAX_BYTES);
	o = json_out_start(&line);
	json_begin_object(&o, NULL);
	json_put_str(&o, "jsonrpc", "2.0");
	json_put_int(&o, "id", ++s->last_id);
	json_put_str(&o, "method", method);
	if (params != NULL)
		json_put_raw(&o, "params", span_of(params));
	json_end_object(&o);
	/* What a person typed may hold line feeds; a message is one line. */
	for (size_t i = 0; i < line.n; i++)
		if (line.p[i] == '\n')
			line.p[i] = ' ';
	buf_add_char(&line, '\n');
	if (line.failed)
		result = fail(error, "LIMIT_EXCEEDED", err_info(ERR_LIMIT_EXCEEDED)->exit_status,
			"the request is too large");
	else
		result = write_all(s, line.p, line.n, error);
	buf_fini(&line);
	*id = s->last_id;
	return result;
}

/** Waits until bytes can be read: 1; 0: the time is up. */
static int
wait_readable(struct sysrt *s, int64_t until_us)
{
	struct pollfd p = {.fd = s->fd, .events = POLLIN};
	int64_t left = until_us == INT64_MAX ? -1 : (until_us - clock_mono_us() + 999) / 1000;
	int n;

	if (until_us != INT64_MAX && left < 0)
		left = 0;
	n = poll(&p, 1, left > INT32_MAX ? INT32_MAX : (int)left);
	return n > 0 ? 1 : n < 0 && errno == EINTR ? -1 : 0;
}

/** Reads what is there. */
static int
fill(struct sysrt *s, struct sysrt_error *error)
{
	char *room = rpc_lines_room(&s->lines, READ_BYTES);
	ssize_t n;

	if (room == NULL)
		return fail(error, "LIMIT_EXCEEDED", 1, "the daemon's message is too large");
	n = recv(s->fd, room, READ_BYTES, 0);
	if (n < 0 && errno == EINTR)
		return 0;
	if (n < 0 && errno != ECONNRESET)
		return fail_io(error, "reading from the daemon");
	if (n <= 0)
		return fail(error, "CLOSED", EXIT_NOT_RUNNING, "the daemon closed the connection");
	rpc_lines_filled(&s->lines, (size_t)n);
	return 0;
}

/** The next line: 1, 0 when the time is up or a signal came, -1 on a failure. */
static int
next_line(struct sysrt *s, int64_t until_us, struct span *line, struct sysrt_error *error)
{
	for (;;) {
		enum rpc_line what = rpc_lines_next(&s->lines, false, line);
		int ready;

		if (what == RPC_LINE)
			return 1;
		if (what == RPC_LINE_TOO_LONG)
			return fail(
				error, "LIMIT_EXCEEDED", 1, "the daemon's message is too large");
		ready = wait_readable(s, until_us);
		if (ready < 1)
			return 0;
		if (fill(s, error) != 0)
			return -1;
	}
}

static void
keep(struct sysrt *s, int64_t id, struct span line)
{
	struct kept *k = xcalloc(1, sizeof(*k) + line.n + 1);

	k->id = id;
	k->n = line.n;
	memcpy(k->text, line.p, line.n);
	*s->last = k;
	s->last = &k->next;
}

/** Unlinks the first kept message with this id. */
static struct kept *
take_kept(struct sysrt *s, int64_t id)
{
	for (struct kept **at = &s->first; *at != NULL; at = &(*at)->next) {
		struct kept *k = *at;

		if (k->id != id)
			continue;
		*at = k->next;
		if (s->last == &k->next)
			s->last = at;
		return k;
	}
	return NULL;
}

/** The number of the request that this answers; -1: a notification; 0: an answer to nothing. */
static int64_t
id_of(const struct rpc_message *m)
{
	int64_t id;

	if (m->id.n == 0)
		return -1;
	return json_number_int64(m->id, &id) ? id : 0;
}

static int
take_answer(struct span line, char **result, struct sysrt_error *error)
{
	struct error why = ERROR_NONE;
	struct rpc_message m;

	if (rpc_read_message(line, &m, &why) != OK)
		return fail_with(error, &why);
	if (m.is_error)
		return fail_with(error, &m.error);
	*result = xstrndup(m.result.raw.p, m.result.raw.n);
	return 0;
}

static int64_t
deadline(int timeout_ms)
{
	return timeout_ms < 0 ? INT64_MAX : clock_mono_us() + (int64_t)timeout_ms * 1000;
}

int
sysrt_receive(struct sysrt *s, int64_t id, int timeout_ms, char **result, struct sysrt_error *error)
{
	int64_t until_us = deadline(timeout_ms);
	struct kept *k = take_kept(s, id);
	struct span line;
	int got;

	if (k != NULL) {
		got = take_answer((struct span){k->text, k->n}, result, error);
		free(k);
		return got;
	}
	while ((got = next_line(s, until_us, &line, error)) == 1) {
		struct error why = ERROR_NONE;
		struct rpc_message m;

		if (rpc_read_message(line, &m, &why) != OK)
			return fail_with(error, &why);
		/* An error without an id is about what was just sent: a refusal at the door. */
		if (id_of(&m) == id || (id_of(&m) == 0 && m.is_error))
			return take_answer(line, result, error);
		keep(s, id_of(&m), line);
	}
	if (got == 0)
		return fail(error, "TIMEOUT", err_info(ERR_TIMEOUT)->exit_status,
			"no answer in time (--timeout)");
	return -1;
}

int
sysrt_call(struct sysrt *s, const char *method, const char *params, int timeout_ms, char **result,
	struct sysrt_error *error)
{
	int64_t id;

	if (sysrt_send(s, method, params, &id, error) != 0)
		return -1;
	return sysrt_receive(s, id, timeout_ms, result, error);
}

/** Lets the caller look at the kept notification. */
static int
show(struct sysrt *s, struct kept *k, struct sysrt_notice *notice, struct sysrt_error *error)
{
	struct error why = ERROR_NONE;
	struct rpc_message m;

	free(s->shown);
	s->shown = k;
	if (rpc_read_message((struct span){k->text, k->n}, &m, &why) != OK)
		return fail_with(error, &why);
	if (m.is_error)
		return fail_with(error, &m.error);
	json_string_text(m.method, s->method, sizeof(s->method));
	k->text[m.params.raw.p + m.params.raw.n - k->text] = '\0';
	*notice = (struct sysrt_notice){s->method, m.params.raw.p, m.params.raw.n};
	return 1;
}

int
sysrt_next(struct sysrt *s, int timeout_ms, struct sysrt_notice *notice, struct sysrt_error *error)
{
	int64_t until_us = deadline(timeout_ms);
	struct kept *k;

	while ((k = take_kept(s, -1)) == NULL) {
		struct error why = ERROR_NONE;
		struct rpc_message m;
		struct span line;
		int got = next_line(s, until_us, &line, error);

		if (got != 1)
			return got;
		if (rpc_read_message(line, &m, &why) != OK)
			return fail_with(error, &why);
		if (id_of(&m) == 0 && m.is_error)
			return fail_with(error, &m.error);
		keep(s, id_of(&m), line);
	}
	return show(s, k, notice, error);
}
