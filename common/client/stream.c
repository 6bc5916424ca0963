/* TCP connections of clients: see stream.h. */

#include "common/client/stream.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/client/fail.h"
#include "common/clock.h"
#include "common/wire/trust.h"
#include "common/xalloc.h"

#define ADDRESS_US 5000000 /* for one address while there is another */

struct stream {
	int fd;
	SSL_CTX *context; /* this and the rest: NULL when it is plain */
	BIO_METHOD *method;
	SSL *ssl;
	struct trust_verdict verdict;
};

int
stream_poll(int fd, short events, int64_t until_us, struct sysrt_error *error)
{
	struct pollfd p = {.fd = fd, .events = events};
	int64_t left_ms = -1;
	int n;

	if (until_us != INT64_MAX) {
		left_ms = (until_us - clock_mono_us() + 999) / 1000;
		left_ms = left_ms < 0 ? 0 : left_ms > INT32_MAX ? INT32_MAX : left_ms;
	}
	n = poll(&p, 1, (int)left_ms);
	if (n >= 0)
		return n > 0 ? p.revents : 0;
	return errno == EINTR ? fail_interrupted(error)
			      : fail_errno(error, "waiting for the daemon");
}

static int
fail_timeout(struct sysrt_error *error, const struct url *url)
{
	char text[SYSRT_TEXT_MAX];

	snprintf(text, sizeof(text), "%s does not answer in time (--timeout)", url->host);
	return fail_code(error, ERR_TIMEOUT, text);
}

static int
fail_connect(struct sysrt_error *error, const struct url *url, const char *why)
{
	char authority[URL_AUTHORITY_SIZE];
	struct error e = ERROR_NONE;

	url_authority(url, authority);
	error_set(&e, ERR_UNAVAILABLE, "no connection to %s: %s", authority, why);
	return fail_named(error, "NOT_RUNNING", FAIL_NOT_RUNNING, e.text);
}

/** A descriptor; or -1: errno, or `error` when it is to end here. */
static int
try_address(const struct addrinfo *a, int64_t until_us, struct sysrt_error *error)
{
	int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int failed = 0, ready;
	socklen_t n = sizeof(failed);

	if (fd < 0)
		return -1;
	if (connect(fd, a->ai_addr, a->ai_addrlen) == 0)
		return fd;
	failed = errno;
	if (failed == EINPROGRESS) {
		ready = stream_poll(fd, POLLOUT, until_us, error);
		failed = ready == 0 ? ETIMEDOUT : EINTR;
		if (ready > 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &n) != 0)
			failed = errno;
	}
	if (failed == 0)
		return fd;
	close(fd);
	errno = failed;
	return -1;
}

/** Connects to one of the host's addresses. */
static int
connect_to(const struct url *url, int64_t until_us, struct sysrt_error *error)
{
	struct addrinfo hints = {.ai_flags = AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
	struct addrinfo *list, *a;
	int fd = -1, failed, one = 1;
	char port[8];

	snprintf(port, sizeof(port), "%u", url->port);
	failed = getaddrinfo(url_lookup_name(url->host), port, &hints, &list);
	if (failed != 0)
		return fail_connect(
			error, url, failed == EAI_SYSTEM ? strerror(errno) : gai_strerror(failed));
	*error = (struct sysrt_error){.seq = -1};
	for (a = list; fd < 0 && a != NULL; a = a->ai_next) {
		int64_t next_us = clock_mono_us() + ADDRESS_US;

		fd = try_address(
			a, a->ai_next != NULL && next_us < until_us ? next_us : until_us, error);
		if (fd < 0 && error->name[0] != '\0')
			break;
	}
	freeaddrinfo(list);
	if (fd >= 0)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	else if (error->name[0] == '\0' && clock_mono_us() >= until_us)
		fail_timeout(error, url);
	else if (error->name[0] == '\0')
		fail_connect(error, url, strerror(errno));
	return fd;
}

static int
on_bio_read(BIO *b, char *to, size_t size, size_t *n)
{
	const struct stream *s = BIO_get_data(b);
	ssize_t got = recv(s->fd, to, size, MSG_DONTWAIT);

	BIO_clear_retry_flags(b);
	*n = got > 0 ? (size_t)got : 0;
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_read(b);
	return got > 0;
}

static int
on_bio_write(BIO *b, const char *from, size_t size, size_t *n)
{
	const struct stream *s = BIO_get_data(b);
	ssize_t done = send(s->fd, from, size, MSG_DONTWAIT | MSG_NOSIGNAL);

	BIO_clear_retry_flags(b);
	*n = done > 0 ? (size_t)done : 0;
	if (done < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_write(b);
	return done > 0;
}

static long
on_bio_control(BIO *b, int what, long n, void *p)
{
	(void)b;
	(void)n;
	(void)p;
	return what == BIO_CTRL_FLUSH;
}

static int
fail_tls(const struct stream *s, const struct url *url, struct sysrt_error *error)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	ERR_clear_error();
	if (s->verdict.is_refused)
		return fail_connect(error, url, s->verdict.why);
	return fail_connect(error, url, reason != NULL ? reason : "the server ended it");
}

static int
shake(struct stream *s, const struct url *url, int64_t until_us, struct sysrt_error *error)
{
	for (;;) {
		int done, why, ready;

		ERR_clear_error();
		done = SSL_do_handshake(s->ssl);
		if (done == 1)
			return 0;
		why = SSL_get_error(s->ssl, done);
		if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
			return fail_tls(s, url, error);
		ready = stream_poll(
			s->fd, why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, until_us, error);
		if (ready < 0)
			return -1;
		if (ready == 0)
			return fail_timeout(error, url);
	}
}

static int
secure(struct stream *s, const struct url *url, const char *ca, int64_t until_us,
	struct sysrt_error *error)
{
	struct error why = ERROR_NONE;
	BIO *b;

	if (trust_open(ca, &s->context, &why) != OK)
		return fail_with(error, &why);
	SSL_CTX_set_mode(
		s->context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	s->method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "sysrt");
	s->ssl = SSL_new(s->context);
	must(s->method != NULL && s->ssl != NULL);
	BIO_meth_set_read_ex(s->method, on_bio_read);
	BIO_meth_set_write_ex(s->method, on_bio_write);
	BIO_meth_set_ctrl(s->method, on_bio_control);
	b = BIO_new(s->method);
	must(b != NULL);
	BIO_set_data(b, s);
	BIO_set_init(b, 1);
	SSL_set_bio(s->ssl, b, b);
	SSL_set_connect_state(s->ssl);
	trust_expect(s->ssl, url->host, &s->verdict);
	return shake(s, url, until_us, error);
}

static void
stream_free(struct stream *s)
{
	SSL_free(s->ssl);
	SSL_CTX_free(s->context);
	BIO_meth_free(s->method);
	close(s->fd);
	free(s);
}

int
stream_open(const struct url *url, const char *ca, int64_t until_us, struct stream **out,
	struct sysrt_error *error)
{
	int fd = connect_to(url, until_us, error);
	struct stream *s;

	if (fd < 0)
		return -1;
	s = xnew(struct stream);
	s->fd = fd;
	if (url->is_tls && secure(s, url, ca, until_us, error) != 0) {
		stream_free(s);
		return -1;
	}
	*out = s;
	return 0;
}

void
stream_close(struct stream *s)
{
	if (s == NULL)
		return;
	ERR_clear_error();
	if (s->ssl != NULL)
		SSL_shutdown(s->ssl);
	ERR_clear_error();
	stream_free(s);
}

int
stream_fd(const struct stream *s)
{
	return s->fd;
}

/** What it means that no byte went through TLS. */
static int
judge_tls(const struct stream *s, int done, struct sysrt_error *error)
{
	int why = SSL_get_error(s->ssl, done);
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	ERR_clear_error();
	if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
		return 0;
	return fail_closed(error, why == SSL_ERROR_SSL && reason != NULL
					  ? reason
					  : "the daemon closed the connection");
}

/** What it means that the kernel let no byte through, by errno. However a connection ended, another
 * one may be had. */
static int
judge_plain(struct sysrt_error *error)
{
	char text[SYSRT_TEXT_MAX];

	if (errno == EINTR || errno == EAGAIN)
		return 0;
	if (errno == EPIPE || errno == ECONNRESET)
		return fail_closed(error, "the daemon closed the connection");
	snprintf(text, sizeof(text), "the connection to the daemon broke: %s", strerror(errno));
	return fail_closed(error, text);
}

ssize_t
stream_read(struct stream *s, char *to, size_t n, struct sysrt_error *error)
{
	ssize_t got;
	size_t done = 0;
	int is_done;

	if (s->ssl != NULL) {
		ERR_clear_error();
		is_done = SSL_read_ex(s->ssl, to, n, &done);
		return is_done == 1 ? (ssize_t)done : judge_tls(s, is_done, error);
	}
	got = recv(s->fd, to, n, MSG_DONTWAIT);
	if (got < 0)
		return judge_plain(error);
	return got > 0 ? got : fail_closed(error, "the daemon closed the connection");
}

ssize_t
stream_write(struct stream *s, const char *from, size_t n, struct sysrt_error *error)
{
	ssize_t done;
	size_t part = 0;
	int is_done;

	if (s->ssl != NULL) {
		ERR_clear_error();
		is_done = SSL_write_ex(s->ssl, from, n, &part);
		return is_done == 1 ? (ssize_t)part : judge_tls(s, is_done, error);
	}
	done = send(s->fd, from, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	return done >= 0 ? done : judge_plain(error);
}

bool
stream_has_pending(const struct stream *s)
{
	/* Not SSL_has_pending(): that counts half a record too. */
	return s->ssl != NULL && SSL_pending(s->ssl) > 0;
}
