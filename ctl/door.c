/* Where the daemon is: see door.h. The token is read anew each time: it may be another one. */

#include "ctl/door.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/secret.h"
#include "common/url.h"
#include "ctl/interrupt.h"

#define TOKEN_MAX   4096
#define WAIT_MAX_MS 60000 /* at once */

/** An option, or what the environment has instead; NULL: neither. */
static const char *
setting(const char *given, const char *variable)
{
	const char *value = given != NULL ? given : getenv(variable);

	return value != NULL && value[0] != '\0' ? value : NULL;
}

/** A socket that was asked for goes before the environment's URL. */
static const char *
find_url(const struct ctl *c)
{
	return c->url != NULL ? c->url : c->socket == NULL ? setting(NULL, "SYSRT_URL") : NULL;
}

bool
door_is_remote(const struct ctl *c)
{
	return find_url(c) != NULL;
}

static int __attribute__((format(printf, 2, 3)))
refuse(struct sysrt_error *error, const char *fmt, ...)
{
	va_list args;

	*error = (struct sysrt_error){
		.name = "INVALID_ARGUMENT", .seq = -1, .exit_status = EXIT_REFUSED};
	va_start(args, fmt);
	vsnprintf(error->text, sizeof(error->text), fmt, args);
	va_end(args);
	return -1;
}

/** Whoever else can read the token can use it. */
static int
check_file(int fd, const char *path, struct sysrt_error *error)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return refuse(error, "%s: %s", path, strerror(errno));
	if (S_ISREG(st.st_mode) && (st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
		return refuse(error,
			"%s: others than its owner may read or write the token (mode %04o): chmod "
			"600 %s",
			path, (unsigned)st.st_mode & 07777, path);
	return 0;
}

/** Reads the token, which is the file's one line: its length, or -1. */
static ssize_t
read_token(const char *path, char token[TOKEN_MAX], struct sysrt_error *error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = 0, got = 1;

	if (fd < 0)
		return refuse(error, "opening %s: %s", path, strerror(errno));
	if (check_file(fd, path, error) != 0) {
		close(fd);
		return -1;
	}
	while (n < TOKEN_MAX - 1 && got > 0) {
		got = read(fd, token + n, (size_t)(TOKEN_MAX - 1 - n));
		n += got > 0 ? got : 0;
	}
	close(fd);
	if (got < 0)
		return refuse(error, "reading %s: %s", path, strerror(errno));
	while (n > 0 && strchr(" \t\r\n", token[n - 1]) != NULL)
		n--;
	token[n] = '\0';
	if (n == 0 || got > 0 || strpbrk(token, " \t\r\n") != NULL || strlen(token) != (size_t)n)
		return refuse(error, "%s: a token is one word in one line", path);
	return n;
}

/** Over ws:// everybody on the way can read along. */
static void
warn_of_plain(struct ctl *c, const char *text)
{
	struct url url;

	if (c->has_warned || url_parse(span_of(text), &url, NULL) != OK || url.is_tls ||
		strcmp(url.host, "localhost") == 0 || strcmp(url.host, "::1") == 0 ||
		(url.is_address && strncmp(url.host, "127.", 4) == 0))
		return;
	c->has_warned = true;
	ctl_warn("the token goes over the network unencrypted: wss:// would be safe");
}

static int
open_url(struct ctl *c, const char *url, struct sysrt_error *error)
{
	const char *path = setting(c->token_file, "SYSRT_TOKEN_FILE");
	struct sysrt_options options = {
		.ca = setting(c->ca, "SYSRT_CA"), .timeout_ms = c->timeout_ms};
	char token[TOKEN_MAX];
	int result = -1;

	if (path == NULL)
		return sysrt_connect_url(url, &options, &c->sysrt, error);
	if (read_token(path, token, error) > 0) {
		options.token = token;
		warn_of_plain(c, url);
		result = sysrt_connect_url(url, &options, &c->sysrt, error);
	}
	secret_wipe((struct span){token, sizeof(token)});
	return result;
}

int
door_open(struct ctl *c, struct sysrt_error *error)
{
	const char *url = find_url(c);

	return url != NULL ? open_url(c, url, error) : sysrt_connect(c->socket, &c->sysrt, error);
}

/** Answers what a heartbeat asks: false when the connection has ended. */
static bool
keep_alive(struct ctl *c)
{
	struct sysrt_notice notice;
	struct sysrt_error error;
	int got;

	while ((got = sysrt_next(c->sysrt, 0, &notice, &error)) > 0)
		;
	return got == 0;
}

/** How long until it is due, or until the connection wants something (-1: never, of either). */
static int
wait_ms(int64_t due_ms, int alive_ms)
{
	int64_t ms = due_ms < 0 ? -1 : due_ms - clock_mono_ms();

	if (due_ms >= 0 && ms < 0)
		ms = 0;
	if (ms < 0 || (alive_ms >= 0 && alive_ms < ms))
		return alive_ms;
	return ms < WAIT_MAX_MS ? (int)ms : WAIT_MAX_MS;
}

void
door_await(struct ctl *c, int fd, int64_t timeout_ms)
{
	int64_t due_ms = timeout_ms < 0 ? -1 : clock_mono_ms() + timeout_ms;
	bool is_remote = c->sysrt != NULL && door_is_remote(c), is_over = false;

	interrupt_hold();
	while (!is_over && interrupt_status() == 0) {
		struct pollfd fds[] = {
			{.fd = fd,                                  .events = POLLIN},
			{.fd = is_remote ? sysrt_fd(c->sysrt) : -1, .events = POLLIN},
		};

		if (interrupt_poll(
			    fds, 2, wait_ms(due_ms, is_remote ? sysrt_wait_ms(c->sysrt) : -1)) < 0)
			is_over = errno != EINTR;
		else
			is_over = fds[0].revents != 0 || (is_remote && !keep_alive(c)) ||
				  (due_ms >= 0 && clock_mono_ms() >= due_ms);
	}
	interrupt_release();
}
