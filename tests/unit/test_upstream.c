/*
 * The way to an open upstream, with a scripted server: plain and TLS, every kind of
 * refusal and redirect, what is told on the way, and freeing and closing at each step.
 * threads: yes
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/json.h"
#include "daemon/base/loop.h"
#include "daemon/net/tls.h"
#include "tests/unit/tls_rig.h"
#include "tests/unit/upstream_rig.h"

static void
expect_diary(const char *text)
{
	ck_assert_msg(span_is(buf_span(&rig_end.diary), text), "\"%.*s\", not \"%s\"",
		SPAN_FMT(rig_end.diary), text);
}

static void
expect_end(bool is_permanent, const char *why)
{
	rig_until_ended();
	ck_assert_msg(strstr(rig_end.why, why) != NULL, "%s", rig_end.why);
	ck_assert_int_eq(rig_end.is_permanent, is_permanent);
}

static void
expect_handshake(const char *text)
{
	struct json_out o;
	struct buf out;

	buf_init(&out, 65536);
	o = json_out_start(&out);
	json_begin_object(&o, NULL);
	upstream_add_handshake(rig_end.upstream, &o);
	json_end_object(&o);
	ck_assert_msg(memmem(out.p, out.n, text, strlen(text)) != NULL, "%.*s", SPAN_FMT(out));
	buf_fini(&out);
}

START_TEST(it_opens)
{
	static char mqtt[] = "mqtt", *names[] = {mqtt};
	struct conf_list subprotocols = {names, 1};
	struct upstream_wish wish = {
		.headers = SPAN("Authorization: Bearer abc\r\n"), .subprotocols = &subprotocols};
	char text[64];

	rig_open("/a?b", &wish);
	ck_assert_uint_eq(rig_end.diary.n, 0);
	ck_assert(!upstream_is_open(rig_end.upstream));
	rig_until_input("\r\n\r\n");
	expect_diary("resolved connected ");
	snprintf(
		text, sizeof(text), "GET /a?b HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n", rig_server.port);
	ck_assert(span_has_prefix(buf_span(&rig_server.input), span_of(text)));
	rig_until_input("Sec-WebSocket-Protocol: mqtt\r\n");
	rig_until_input("Authorization: Bearer abc\r\n");
	rig_accept("Sec-WebSocket-Protocol: mqtt\r\nX-Here: yes\r\n");
	rig_until_diary("open ");
	expect_diary("resolved connected open ");
	ck_assert(upstream_is_open(rig_end.upstream));
	snprintf(text, sizeof(text),
		"{\"url\":\"ws://127.0.0.1:%u/a?b\",\"address\":\"127.0.0.1:%u\",", rig_server.port,
		rig_server.port);
	expect_handshake(text);
	expect_handshake("\"status\":101,\"subprotocol\":\"mqtt\",\"headers\":{");
	expect_handshake("\"X-Here\":\"yes\"}}");
}
END_TEST

START_TEST(a_message_right_behind_the_handshake)
{
	rig_open("/", NULL);
	rig_accept("");
	rig_say(SPAN("\x81\x02hi\x81\x01"));
	rig_until_diary("batch ");
	expect_diary("resolved connected open text:hi batch ");
	rig_say(SPAN("x"));
	rig_until_diary("text:x batch ");
}
END_TEST

START_TEST(a_name)
{
	char url[64];

	snprintf(url, sizeof(url), "ws://localhost:%u/", rig_server.port);
	rig_open(url, NULL);
	rig_accept("");
	rig_until_diary("open ");
	expect_diary("resolved connected open ");
}
END_TEST

START_TEST(names_that_are_none)
{
	rig_open("ws://no-such-host.invalid/", NULL);
	expect_end(false, "connecting to no-such-host.invalid: ");
	expect_diary("ended:0 ");
}
END_TEST

START_TEST(nobody_listens)
{
	char url[64];

	snprintf(url, sizeof(url), "ws://127.0.0.1:%u/", rig_server.port);
	loop_watch_free(rig_server.watch);
	rig_server.watch = NULL;
	ck_assert_int_eq(shutdown(rig_server.fd, SHUT_RDWR), 0);
	rig_open(url, NULL);
	expect_end(false, "Connection refused");
	expect_diary("resolved ended:0 ");
}
END_TEST

START_TEST(wishes_that_are_wrong)
{
	struct upstream_wish wish = {.ca = "/no/such/file"};

	rig_open("https://x", NULL);
	expect_end(true, "url: the URL must begin with ws:// or wss://");
	expect_diary("ended:0 ");
	upstream_free(rig_end.upstream);
	buf_reset(&rig_end.diary);
	rig_end.has_ended = false;
	rig_server.tls = (struct tls_context *)&wish; /* only for the scheme: nothing is said */
	rig_open("/", &wish);
	rig_server.tls = NULL;
	expect_end(true, "ca: opening /no/such/file: No such file");
}
END_TEST

static const struct {
	const char *response;
	bool is_permanent;
	int64_t retry_after_ms;
	const char *why;
} refusals[] = {
	{"HTTP/1.1 401 Unauthorized\r\nContent-Length: 4\r\n\r\nnope",                                    true,  -1,
         "401 Unauthorized): nope"													   },
	{"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
         false,												  7000, "503 Busy): no"       },
 /* Whose text never ends, and comes by itself. */
	{"HTTP/1.1 403 x\r\nContent-Length: 400\r\n\r\nbegun",                                            true,  -1,   "403 x): begun"       },
	{"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
	 "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n",			   false, -1,   "Sec-WebSocket-Accept"},
	{"SSH-2.0\r\n",										   false, -1,   "no HTTP"             },
};

START_TEST(refusals_say_why)
{
	rig_open("/", NULL);
	rig_answer(refusals[_i].response);
	expect_end(refusals[_i].is_permanent, refusals[_i].why);
	ck_assert_int_eq(rig_end.retry_after_ms, refusals[_i].retry_after_ms);
	expect_diary("resolved connected ended:0 ");
}
END_TEST

START_TEST(a_refusal_that_ends_with_the_connection)
{
	rig_open("/", NULL);
	rig_answer("HTTP/1.1 404 x\r\n\r\nnowhere");
	rig_hang_up(false);
	expect_end(true, "404 x): nowhere");
	expect_handshake("\"status\":404");
}
END_TEST

START_TEST(hanging_up_in_the_middle)
{
	rig_open("/", NULL);
	rig_until_input("\r\n\r\n");
	if (_i == 1)
		rig_say(SPAN("HTTP/1.1 101 x\r\n"));
	rig_hang_up(_i == 2);
	expect_end(false, _i == 0   ? "nothing came"
			  : _i == 1 ? "not whole"
				    : "broke the connection off");
}
END_TEST

/** Goes on to another path of the same server, or another one of this host. */
static void
redirect(const char *location)
{
	char response[256];

	snprintf(response, sizeof(response),
		"HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n", location);
	rig_answer(response);
	buf_reset(&rig_server.input);
}

START_TEST(redirects_are_followed)
{
	struct upstream_wish wish = {.headers = SPAN("X-Key: 1\r\n")};
	char url[64];

	rig_open("/0", &wish);
	redirect("/1");
	rig_until_input("GET /1 ");
	rig_until_input("X-Key: 1");
	redirect("2?x");
	rig_until_input("GET /2?x ");
	/* Another name of the host is another host: what may be secret is not for it. */
	snprintf(url, sizeof(url), "http://localhost:%u/3", rig_server.port);
	redirect(url);
	rig_until_input("GET /3 ");
	rig_until_input("\r\n\r\n");
	ck_assert_ptr_null(memmem(rig_server.input.p, rig_server.input.n, "X-Key", 5));
	rig_accept("");
	rig_until_diary("open ");
	expect_diary("resolved connected open ");
	ck_assert_uint_eq(rig_server.accepted, 4);
	expect_handshake("localhost");
}
END_TEST

START_TEST(a_loyal_one_stays)
{
	struct upstream_wish wish = {.is_loyal = true};
	char url[64];

	rig_open("/0", &wish);
	redirect("/1");
	rig_until_input("GET /1 ");
	snprintf(url, sizeof(url), "http://localhost:%u/3", rig_server.port);
	redirect(url);
	expect_end(true, "redirects (302) to another one, localhost, which is not followed");
}
END_TEST

START_TEST(three_are_enough)
{
	rig_open("/0", NULL);
	redirect("/1");
	redirect("/2");
	redirect("/3");
	redirect("/4");
	expect_end(true, "more than 3 times");
}
END_TEST

START_TEST(circles)
{
	rig_open("/0", NULL);
	redirect("/1");
	redirect(_i == 0 ? "/0" : "/x/../1#y");
	expect_end(true, "in a circle");
}
END_TEST

START_TEST(redirects_to_nowhere)
{
	rig_open("/0", NULL);
	redirect("mailto:x@y");
	expect_end(true, "but not to a URL");
}
END_TEST

static void
pause_it(struct rig_end *c)
{
	upstream_pause(c->upstream);
}

static void
use_tls(const char *hosts)
{
	struct tls_files files = {.client_ca = ""};

	rig_init();
	rig_make_for("shown", hosts, -1, 1, false);
	files.cert = rig_path("shown.crt");
	files.key = rig_path("shown.key");
	ck_assert_int_eq(tls_context_open(&files, &rig_server.tls, NULL), OK);
}

static void
drop_tls(void)
{
	tls_context_unref(rig_server.tls);
	rig_server.tls = NULL;
	rig_fini();
}

START_TEST(it_opens_with_tls)
{
	struct upstream_wish wish = {.ca = NULL};

	use_tls("IP:127.0.0.1");
	wish.ca = rig_path("ca.crt");
	rig_open("/", &wish);
	rig_accept("");
	rig_say(SPAN("\x81\x05Hello"));
	rig_until_diary("batch ");
	expect_diary("resolved connected secured open text:Hello batch ");
	expect_handshake("\"tls\":{\"version\":\"TLSv1.3\",\"cipher\":\"TLS_");
	upstream_send(rig_end.upstream, WS_TEXT, SPAN("x"));
	rig_until_input("\x81\x81");
	rig_say(SPAN("\x88\x02\x03\xe8"));
	rig_until_input("\x88\x82");
	rig_hang_up(false);
	expect_end(false, "the server closed it: 1000");
	drop_tls();
}
END_TEST

START_TEST(a_certificate_for_somebody_else)
{
	struct upstream_wish wish = {.ca = NULL};

	use_tls("DNS:elsewhere.example");
	wish.ca = rig_path("ca.crt");
	rig_open("/", &wish);
	expect_end(true, "TLS with 127.0.0.1: the server's certificate is not for 127.0.0.1, but "
			 "for elsewhere.example");
	expect_diary("resolved connected ended:0 ");
	drop_tls();
}
END_TEST

START_TEST(tls_where_there_is_none)
{
	char url[64];

	snprintf(url, sizeof(url), "wss://127.0.0.1:%u/", rig_server.port);
	rig_open(url, NULL);
	rig_until_input("\x16\x03");
	rig_say(SPAN("HTTP/1.1 400 Bad Request\r\n\r\n"));
	expect_end(false, "the server does not speak TLS there");
}
END_TEST

/** The bound of handshakes is for those of clients, however many there are. */
START_TEST(a_handshake_of_ours_is_not_cut)
{
	char url[64];

	snprintf(url, sizeof(url), "wss://127.0.0.1:%u/", rig_server.port);
	net_set_max_handshakes(rig_net, 0);
	rig_open(url, NULL);
	rig_until_input("\x16\x03");
	rig_say(SPAN("\x16\x03\x03"));
	for (int i = 0; i < 20; i++)
		rig_turn();
	ck_assert(!rig_end.has_ended);
	rig_say(SPAN("\x00\x04\xff\xff\xff\xff"));
	expect_end(false, "TLS with 127.0.0.1: ");
}
END_TEST

/** A record that is none comes with messages, in the middle of which it is paused. */
START_TEST(messages_before_broken_tls)
{
	struct upstream_wish wish = {.ca = NULL};

	use_tls("IP:127.0.0.1");
	wish.ca = rig_path("ca.crt");
	rig_open("/", &wish);
	rig_accept("");
	rig_until_diary("open ");
	rig_end.acts_at = UPSTREAM_MESSAGE;
	rig_end.act = pause_it;
	rig_say(SPAN("\x81\x01"
		     "a\x81\x01"
		     "b"));
	ck_assert_uint_eq(conn_flush(&rig_server.conn), 0);
	ck_assert_int_eq(send(rig_server.conn.fd, "\x17\x03\x03\x00\x02xx", 7, 0), 7);
	rig_until_diary("text:a batch ");
	for (int i = 0; i < 20; i++)
		rig_turn();
	ck_assert(!rig_end.has_ended);
	ck_assert(upstream_is_open(rig_end.upstream));
	upstream_resume(rig_end.upstream);
	expect_end(false, "");
	expect_diary("resolved connected secured open text:a batch text:b batch ended:0 ");
	drop_tls();
}
END_TEST

START_TEST(never_back_to_plain)
{
	struct upstream_wish wish = {.ca = NULL};
	char url[64];

	use_tls("IP:127.0.0.1");
	wish.ca = rig_path("ca.crt");
	rig_open("/", &wish);
	snprintf(url, sizeof(url), "http://127.0.0.1:%u/x", rig_server.port);
	redirect(url);
	expect_end(true, "from wss:// to ws://");
	drop_tls();
}
END_TEST

START_TEST(from_plain_to_tls)
{
	struct upstream_wish wish = {.headers = SPAN("X-Key: 1\r\n")};
	struct tls_context *context;
	char url[64];

	use_tls("IP:127.0.0.1");
	context = rig_server.tls;
	rig_server.tls = NULL;
	wish.ca = rig_path("ca.crt");
	rig_open("/", &wish);
	rig_until_input("\r\n\r\n");
	rig_server.tls = context;
	snprintf(url, sizeof(url), "https://127.0.0.1:%u/x", rig_server.port);
	redirect(url);
	rig_until_input("GET /x ");
	rig_until_input("X-Key: 1");
	rig_accept("");
	rig_until_diary("open ");
	expect_diary("resolved connected secured open ");
	drop_tls();
}
END_TEST

static void
free_it(struct rig_end *c)
{
	upstream_free(c->upstream);
	c->upstream = NULL;
}

static void
close_it(struct rig_end *c)
{
	upstream_close(c->upstream, 1000, SPAN(""));
	ck_assert(!c->has_ended);
}

START_TEST(freed_at_each_step)
{
	rig_end.acts_at = (enum upstream_event)_i;
	rig_end.act = free_it;
	rig_open("/", NULL);
	if (_i >= UPSTREAM_OPEN)
		rig_accept("");
	while (rig_end.upstream != NULL)
		rig_turn();
	for (int i = 0; i < 10; i++)
		rig_turn();
	ck_assert(!rig_end.has_ended);
}
END_TEST

START_TEST(freed_at_once)
{
	rig_open("/", NULL);
	free_it(&rig_end);
	for (int i = 0; i < 10; i++)
		rig_turn();
	ck_assert_uint_eq(rig_end.diary.n, 0);
	ck_assert_uint_eq(rig_server.accepted, 0);
}
END_TEST

START_TEST(closed_before_it_is_open)
{
	rig_end.acts_at = (enum upstream_event)_i;
	rig_end.act = close_it;
	rig_open("/", NULL);
	if (_i > UPSTREAM_CONNECTED)
		close_it(&rig_end);
	expect_end(false, "closed from here");
	ck_assert_uint_eq(upstream_unsent(rig_end.upstream), 0);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("upstream");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 90);
	tcase_add_checked_fixture(t, rig_set_up, rig_tear_down);
	tcase_add_test(t, it_opens);
	tcase_add_test(t, a_message_right_behind_the_handshake);
	tcase_add_test(t, a_name);
	tcase_add_test(t, names_that_are_none);
	tcase_add_test(t, nobody_listens);
	tcase_add_test(t, wishes_that_are_wrong);
	tcase_add_loop_test(t, refusals_say_why, 0, sizeof(refusals) / sizeof(refusals[0]));
	tcase_add_test(t, a_refusal_that_ends_with_the_connection);
	tcase_add_loop_test(t, hanging_up_in_the_middle, 0, 3);
	tcase_add_test(t, redirects_are_followed);
	tcase_add_test(t, a_loyal_one_stays);
	tcase_add_test(t, three_are_enough);
	tcase_add_loop_test(t, circles, 0, 2);
	tcase_add_test(t, redirects_to_nowhere);
	tcase_add_test(t, it_opens_with_tls);
	tcase_add_test(t, a_certificate_for_somebody_else);
	tcase_add_test(t, tls_where_there_is_none);
	tcase_add_test(t, a_handshake_of_ours_is_not_cut);
	tcase_add_test(t, messages_before_broken_tls);
	tcase_add_test(t, never_back_to_plain);
	tcase_add_test(t, from_plain_to_tls);
	tcase_add_loop_test(t, freed_at_each_step, UPSTREAM_RESOLVED, UPSTREAM_CONNECTED + 1);
	tcase_add_loop_test(t, freed_at_each_step, UPSTREAM_OPEN, UPSTREAM_OPEN + 1);
	tcase_add_test(t, freed_at_once);
	tcase_add_loop_test(t, closed_before_it_is_open, UPSTREAM_RESOLVED, UPSTREAM_SECURED + 1);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
