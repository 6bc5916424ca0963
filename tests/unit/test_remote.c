/*
 * libsysrt's WebSockets, with a scripted server on a thread: what is asked, messages as
 * lines, closes with their meaning, the heartbeat with the clock passed in, and answers
 * that are none.
 * threads: yes
 */

#include <check.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/client/remote.h"
#include "common/client/stream.h"
#include "common/clock.h"
#include "common/wire/ws.h"
#include "common/xalloc.h"

#define PATIENCE_US INT64_C(60000000)

/** The server: it answers the handshake, then the test reads and writes its socket. */
static struct {
	int listener;
	int fd;
	const char *answer; /* in the place of a right one */
	const char *lines;  /* more in the right one */
	struct span behind; /* the handshake, at once */
	char request[4096];
	pthread_t thread;
} server;

static char url[64];
static struct remote *remote;
static struct rpc_lines lines;
static struct sysrt_error error;

static void
read_request(void)
{
	size_t n = 0;

	while (n < sizeof(server.request) - 1 && strstr(server.request, "\r\n\r\n") == NULL) {
		ssize_t got = recv(server.fd, server.request + n, 1, 0);

		must(got == 1);
		n += (size_t)got;
		server.request[n] = '\0';
	}
}

static void
say(struct span bytes)
{
	must(send(server.fd, bytes.p, bytes.n, MSG_NOSIGNAL) == (ssize_t)bytes.n);
}

static void *
serve(void *arg)
{
	char accept_key[WS_ACCEPT_SIZE], answer[1024];
	const char *key;

	(void)arg;
	server.fd = accept(server.listener, NULL, NULL);
	must(server.fd >= 0);
	read_request();
	key = strstr(server.request, "Sec-WebSocket-Key: ") + strlen("Sec-WebSocket-Key: ");
	ws_accept_key((struct span){key, strcspn(key, "\r")}, accept_key);
	snprintf(answer, sizeof(answer),
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		"Sec-WebSocket-Accept: %s\r\n%s\r\n",
		accept_key, server.lines);
	say(span_of(server.answer != NULL ? server.answer : answer));
	if (server.behind.n > 0)
		say(server.behind);
	if (server.answer != NULL)
		shutdown(server.fd, SHUT_WR);
	return NULL;
}

static void
set_up(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t n = sizeof(a);

	memset(&server, 0, sizeof(server));
	server.lines = "Sec-WebSocket-Protocol: sysrt.v1\r\n";
	server.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(server.listener, (struct sockaddr *)&a, sizeof(a)), 0);
	ck_assert_int_eq(listen(server.listener, 1), 0);
	ck_assert_int_eq(getsockname(server.listener, (struct sockaddr *)&a, &n), 0);
	snprintf(url, sizeof(url), "ws://127.0.0.1:%u", ntohs(a.sin_port));
	rpc_lines_init(&lines, 1 << 20);
	remote = NULL;
	server.fd = -1;
}

static void
tear_down(void)
{
	remote_close(remote);
	rpc_lines_fini(&lines);
	close(server.listener);
	if (server.fd >= 0)
		close(server.fd);
}

/** 0, or -1 and `error`. */
static int
open_remote(const char *token)
{
	struct sysrt_options options = {.token = token};
	int result;

	must(pthread_create(&server.thread, NULL, serve, NULL) == 0);
	result = remote_open(url, &options, clock_mono_us() + PATIENCE_US, &remote, &error);
	pthread_join(server.thread, NULL);
	return result;
}

static void
open_good(void)
{
	ck_assert_msg(open_remote(NULL) == 0, "%s", error.text);
}

/** The next line; NULL: it ended or failed, as `error` says. */
static const char *
next_line(void)
{
	static char text[256];
	struct span line;

	while (rpc_lines_next(&lines, false, &line) != RPC_LINE) {
		struct sysrt_error why;

		if (!remote_has_pending(remote))
			ck_assert_int_gt(stream_poll(remote_fd(remote), POLLIN,
						 clock_mono_us() + PATIENCE_US, &why),
				0);
		if (remote_read(remote, &lines, &error) != 0)
			return NULL;
	}
	snprintf(text, sizeof(text), "%.*s", SPAN_FMT(line));
	return text;
}

/** What the server hears next: so many bytes. */
static const char *
hear(size_t n)
{
	static char text[256];

	ck_assert_int_eq(recv(server.fd, text, n, MSG_WAITALL), (ssize_t)n);
	return text;
}

START_TEST(what_is_asked)
{
	ck_assert_int_eq(open_remote("sysrt_abc"), 0);
	ck_assert_ptr_nonnull(strstr(server.request, "GET /ws HTTP/1.1\r\n"));
	ck_assert_ptr_nonnull(strstr(server.request, "\r\nAuthorization: Bearer sysrt_abc\r\n"));
	ck_assert_ptr_nonnull(strstr(server.request, "\r\nSec-WebSocket-Protocol: sysrt.v1\r\n"));
	ck_assert_ptr_null(strstr(server.request, "Extensions"));
}
END_TEST

START_TEST(messages_are_lines)
{
	server.behind = SPAN("\x81\x02{}\x81\x03[1]");
	open_good();
	ck_assert_str_eq(next_line(), "{}");
	ck_assert_str_eq(next_line(), "[1]");
	say(SPAN("\x81\x05[1,\n2"));
	say(SPAN("\x82\x03"
		 "bin\x01\x02"
		 "ab\x89\x00\x80\x02"
		 "c\n"));
	ck_assert_str_eq(next_line(), "[1, 2");
	ck_assert_str_eq(next_line(), "abc ");
	ck_assert_mem_eq(hear(2), "\x8a\x80", 2); /* the ping was answered */
	hear(4);
	remote_queue(remote, SPAN("hello"));
	ck_assert_int_eq(remote_flush(remote, &error), 1);
	ck_assert(!remote_has_unsent(remote));
	ck_assert_mem_eq(hear(2), "\x81\x85", 2);
}
END_TEST

/** Larger than what is read at once, and than what the lines take at once. */
START_TEST(a_large_message)
{
	const size_t n = 1000000;
	char *bytes = xcalloc(n + 10, 1);
	struct span line;

	memset(bytes, 'x', n + 10);
	memcpy(bytes, "\x81\x7f\0\0\0\0\0\x0f\x42\x40", 10);
	open_good();
	for (size_t at = 0; at < n + 10; at += 10000) {
		size_t part = n + 10 - at < 10000 ? n + 10 - at : 10000;

		say((struct span){bytes + at, part});
		ck_assert_int_eq(remote_read(remote, &lines, &error), 0);
	}
	while (rpc_lines_next(&lines, false, &line) != RPC_LINE)
		ck_assert_int_eq(remote_read(remote, &lines, &error), 0);
	ck_assert_uint_eq(line.n, n);
	ck_assert_mem_eq(line.p, bytes + 10, n);
	free(bytes);
}
END_TEST

static const struct {
	struct span bytes;
	const char *name;
	int exit_status;
	const char *text;
} closes[] = {
	{{"\x88\x02\x03\xe9", 4},            "CLOSED",            3, "the daemon closed the connection"},
	{{"\x88\x0b\x03\xe9restart: x", 13}, "CLOSED",            3, "restart: "                       },
	{{"\x88\x0a\x10\x05no token", 12},   "UNAUTHENTICATED",   6, "no token"                        },
	{{"\x88\x06\x10\x07nope", 8},        "PERMISSION_DENIED", 6, "nope"                            },
	{{"\x88\x05\x03\xf1"
	  "big",
		 7},
         "LIMIT_EXCEEDED",					1, "big"                             },
	{{"\x88\x00", 2},                    "CLOSED",            3, "the daemon closed the connection"},
	{{"\xff\xff", 2},                    "CLOSED",            3, "breaks the rules of WebSocket"   },
};

START_TEST(ends_and_what_they_mean)
{
	server.behind = SPAN("\x81\x02{}");
	open_good();
	say(closes[_i].bytes);
	shutdown(server.fd, SHUT_WR);
	ck_assert_str_eq(next_line(), "{}");
	ck_assert_ptr_null(next_line());
	ck_assert_str_eq(error.name, closes[_i].name);
	ck_assert_int_eq(error.exit_status, closes[_i].exit_status);
	ck_assert_msg(strstr(error.text, closes[_i].text) != NULL, "%s", error.text);
	ck_assert(remote_has_pending(remote)); /* it is told again, without a wait */
	ck_assert_int_eq(remote_read(remote, &lines, &error), -1);
	ck_assert_str_eq(error.name, closes[_i].name);
}
END_TEST

START_TEST(an_end_without_a_word)
{
	open_good();
	shutdown(server.fd, SHUT_WR);
	ck_assert_ptr_null(next_line());
	ck_assert_str_eq(error.name, "CLOSED");
}
END_TEST

START_TEST(the_heartbeat)
{
	int64_t due_us;

	open_good();
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 3; i++) {
			due_us = remote_beat_us(remote);
			ck_assert_int_eq(remote_beat(remote, due_us - 1, &error), 0);
			ck_assert_int_eq(remote_beat_us(remote), due_us);
			ck_assert_int_eq(remote_beat(remote, due_us, &error), 0);
			ck_assert_int_eq(remote_beat_us(remote), due_us + 30000000);
			ck_assert_mem_eq(hear(6), "\x89\x80", 2);
		}
		say(SPAN("\x8a\x00\x81\x01"
			 "z"));
		if (round == 0)
			ck_assert_str_eq(
				next_line(), "z"); /* it is alive, and three are free again */
	}
	ck_assert_int_eq(remote_beat(remote, remote_beat_us(remote), &error), -1);
	ck_assert_str_eq(error.name, "CLOSED");
	ck_assert_ptr_nonnull(strstr(error.text, "does not answer"));
}
END_TEST

static const struct {
	const char *answer;
	const char *name;
	const char *text;
} refusals[] = {
	{"HTTP/1.1 401 x\r\n\r\nwho are you",                "UNAUTHENTICATED",   "401 x): who are you"       },
	{"HTTP/1.1 403 x\r\n\r\n",                           "PERMISSION_DENIED", "403"                       },
	{"HTTP/1.1 429 x\r\n\r\n",                           "RATE_LIMITED",      "429"                       },
	{"HTTP/1.1 503 x\r\n\r\n",                           "UNAVAILABLE",       "503"                       },
	{"HTTP/1.1 500 x\r\n\r\n",                           "UNAVAILABLE",       "500"                       },
	{"HTTP/1.1 521 x\r\n\r\n",                           "UNAVAILABLE",       "521"                       },
	{"HTTP/1.1 408 x\r\n\r\n",                           "UNAVAILABLE",       "408"                       },
	{"HTTP/1.1 501 x\r\n\r\n",                           "INVALID_ARGUMENT",  "501"                       },
	{"HTTP/1.1 200 x\r\n\r\n",                           "INVALID_ARGUMENT",  "200"                       },
	{"HTTP/1.1 302 x\r\n\r\n",                           "INVALID_ARGUMENT",  "refuses it (it answers 302"},
	{"HTTP/1.1 404 x\r\n\r\n",                           "INVALID_ARGUMENT",  "404"                       },
	{"HTTP/1.1 302 x\r\nLocation: wss://other/\r\n\r\n", "INVALID_ARGUMENT",
         "redirects to wss://other/"									  },
	{"",						 "CLOSED",            "nothing came"              },
};

START_TEST(refusals_and_what_they_mean)
{
	server.answer = refusals[_i].answer;
	ck_assert_int_eq(open_remote(NULL), -1);
	ck_assert_str_eq(error.name, refusals[_i].name);
	ck_assert_msg(strstr(error.text, refusals[_i].text) != NULL, "%s", error.text);
}
END_TEST

/** What the network says of a connection that it lost is its end. A socket of another kind, to a
 * port where nobody is, stands for that. */
START_TEST(a_lost_connection_is_closed)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t n = sizeof(a);
	int nobody = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int lost = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	open_good();
	ck_assert_int_eq(bind(nobody, (struct sockaddr *)&a, sizeof(a)), 0);
	ck_assert_int_eq(getsockname(nobody, (struct sockaddr *)&a, &n), 0);
	ck_assert_int_eq(connect(lost, (struct sockaddr *)&a, sizeof(a)), 0);
	close(nobody);
	ck_assert_int_eq(send(lost, "x", 1, 0), 1);
	ck_assert_int_eq(dup3(lost, remote_fd(remote), O_CLOEXEC), remote_fd(remote));
	close(lost);
	ck_assert_ptr_null(next_line());
	ck_assert_str_eq(error.name, "CLOSED");
	ck_assert_str_eq(error.text, "the connection to the daemon broke: Connection refused");
}
END_TEST

START_TEST(another_websocket)
{
	server.lines = "";
	ck_assert_int_eq(open_remote(NULL), -1);
	ck_assert_ptr_nonnull(strstr(error.text, "not sysrt's"));
}
END_TEST

START_TEST(wishes_that_are_wrong)
{
	struct sysrt_options options = {.token = "a\r\nX: y"};

	ck_assert_int_eq(remote_open(url, &options, 0, &remote, &error), -1);
	ck_assert_str_eq(error.name, "INVALID_ARGUMENT");
	ck_assert_int_eq(remote_open("ws:/x", &options, 0, &remote, &error), -1);
	ck_assert_str_eq(error.name, "INVALID_ARGUMENT");
}
END_TEST

/** Nobody accepts: the handshake has no answer. */
START_TEST(a_time_limit)
{
	struct sysrt_options options = {.token = NULL};

	ck_assert_int_eq(remote_open(url, &options, clock_mono_us() + 50000, &remote, &error), -1);
	ck_assert_str_eq(error.name, "TIMEOUT");
	ck_assert_int_eq(error.exit_status, 5);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("remote");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 90);
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, what_is_asked);
	tcase_add_test(t, messages_are_lines);
	tcase_add_test(t, a_large_message);
	tcase_add_loop_test(t, ends_and_what_they_mean, 0, sizeof(closes) / sizeof(closes[0]));
	tcase_add_test(t, an_end_without_a_word);
	tcase_add_test(t, the_heartbeat);
	tcase_add_loop_test(
		t, refusals_and_what_they_mean, 0, sizeof(refusals) / sizeof(refusals[0]));
	tcase_add_test(t, a_lost_connection_is_closed);
	tcase_add_test(t, another_websocket);
	tcase_add_test(t, wishes_that_are_wrong);
	tcase_add_test(t, a_time_limit);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
