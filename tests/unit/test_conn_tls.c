/*
 * Connections with TLS over a socket pair: how much one write holds, back-pressure,
 * pausing, the end on either side, what is no TLS, too many handshakes.
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/json.h"
#include "common/xalloc.h"
#include "daemon/base/bounds.h"
#include "daemon/base/loop.h"
#include "daemon/base/stats.h"
#include "daemon/net/conn.h"
#include "tests/unit/tls_rig.h"

#define PATIENCE 100000 /* turns */

/** Our end, and a client at the other. */
struct end {
	struct conn conn;
	struct buf input;
	unsigned eofs;
	unsigned drains;
	unsigned failures;
	unsigned plains;
	bool pauses;  /* with the first input */
	int fd;       /* the client's */
	bool is_over; /* the client's end has ended */
	struct rig_client client;
};

static struct loop *loop;
static struct net *net;
static struct stats *stats;
static struct bounds *bounds;
static struct tls_context *context;
static struct end end;

static void
on_event(struct conn *c, enum conn_event event, struct span input)
{
	struct end *e = list_item(c, struct end, conn);

	switch (event) {
	case CONN_INPUT:
		buf_add_span(&e->input, input);
		if (e->pauses)
			conn_pause(c);
		break;
	case CONN_EOF:
		e->eofs++;
		break;
	case CONN_DRAINED:
		e->drains++;
		break;
	case CONN_FAILED:
		e->failures++;
		break;
	case CONN_NOT_TLS:
		e->plains++;
		break;
	case CONN_SECURED: /* it is no client */
		break;
	}
}

static void
stop(void *arg)
{
	(void)arg;
	loop_stop(loop);
}

static void
turn(void)
{
	loop_defer(loop, stop, NULL);
	loop_run(loop);
}

/** The client reads what is there, and answers. */
static void
let_client(struct end *e)
{
	char piece[65536];
	ssize_t n = recv(e->fd, piece, sizeof(piece), MSG_DONTWAIT);

	e->is_over |= n == 0;
	if (n > 0)
		rig_client_take(&e->client, (struct span){piece, (size_t)n});
	n = e->client.said.n > 0
		    ? send(e->fd, e->client.said.p, e->client.said.n, MSG_DONTWAIT | MSG_NOSIGNAL)
		    : 0;
	if (n > 0)
		buf_consume(&e->client.said, (size_t)n);
}

/** Goes on until *value has come to `wanted`. */
static void
run_to(const size_t *value, size_t wanted)
{
	for (int i = 0; *value < wanted; i++) {
		ck_assert_int_lt(i, PATIENCE);
		let_client(&end);
		turn();
	}
}

static void
end_init(struct end *e, int version, struct span early)
{
	int fds[2];

	memset(e, 0, sizeof(*e));
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	buf_init(&e->input, SIZE_MAX);
	conn_init(&e->conn, net, fds[0], on_event);
	conn_start_tls(&e->conn, context, early);
	e->fd = fds[1];
	rig_client_init(&e->client, version, NULL);
}

static void
end_fini(struct end *e)
{
	conn_fini(&e->conn);
	buf_fini(&e->input);
	close(e->fd);
	rig_client_fini(&e->client);
}

static void
shake(void)
{
	end_init(&end, TLS1_3_VERSION, SPAN(""));
	for (int i = 0; !end.client.is_open || conn_tls(&end.conn) == NULL; i++) {
		ck_assert_int_lt(i, PATIENCE);
		let_client(&end);
		turn();
	}
}

static void
set_up(void)
{
	rig_init();
	loop = loop_new();
	net = net_new(loop);
	stats = stats_new();
	bounds = bounds_new(stats);
	net_add_stats(net, stats);
	net_note_bounds(net, bounds);
	context = rig_context(false);
}

static void
tear_down(void)
{
	end_fini(&end);
	tls_context_unref(context);
	net_free(net);
	bounds_free(bounds);
	stats_free(stats);
	loop_free(loop);
	rig_fini();
}

static void
send_bytes(const char *p, size_t n)
{
	struct frame *f = frame_new((struct span){p, n}, NULL);

	conn_send(&end.conn, f);
	frame_unref(f);
}

static int64_t
stat_of(const char *name)
{
	char key[64];
	const char *at;
	struct json_out out;
	struct buf text;
	int64_t value;

	buf_init(&text, 8192);
	out = json_out_start(&text);
	json_begin_object(&out, NULL);
	stats_add_json(stats, &out);
	json_end_object(&out);
	buf_add_char(&text, '\0');
	snprintf(key, sizeof(key), "\"%s\":", name);
	at = strstr(text.p, key);
	ck_assert_ptr_nonnull(at);
	value = atoll(at + strlen(key));
	buf_fini(&text);
	return value;
}

START_TEST(data_goes_both_ways)
{
	shake();
	ck_assert_int_eq(stat_of("sysrt_tls_connections"), 1);
	ck_assert_int_eq(stat_of("sysrt_tls_handshakes"), 0);
	ck_assert_int_eq(stat_of("sysrt_tls_handshakes_total"), 1);
	rig_client_send(&end.client, SPAN("question"));
	run_to(&end.input.n, 8);
	ck_assert(span_is(buf_span(&end.input), "question"));
	send_bytes("answer", 6);
	ck_assert_uint_eq(conn_unsent(&end.conn), 6);
	run_to(&end.client.heard.n, 6);
	ck_assert(span_is(buf_span(&end.client.heard), "answer"));
	ck_assert_uint_eq(conn_unsent(&end.conn), 0);
	ck_assert_ptr_null(end.conn.ring);
}
END_TEST

START_TEST(what_is_queued_before_waits_for_the_handshake)
{
	end_init(&end, TLS1_2_VERSION, SPAN(""));
	send_bytes("welcome", 7);
	turn();
	ck_assert(conn_is_shaking(&end.conn));
	ck_assert_uint_eq(conn_flush(&end.conn), 7);
	run_to(&end.client.heard.n, 7);
	ck_assert(!conn_is_shaking(&end.conn));
	ck_assert_uint_eq(conn_unsent(&end.conn), 0);
}
END_TEST

START_TEST(small_frames_share_a_record_and_a_write)
{
	int64_t writes, bytes;

	shake();
	writes = stat_of("sysrt_net_writes_total");
	bytes = stat_of("sysrt_net_written_bytes_total");
	for (int i = 0; i < 640; i++)
		send_bytes("0123456789", 10);
	turn();
	ck_assert_int_eq(stat_of("sysrt_net_writes_total") - writes, 1);
	ck_assert_int_lt(stat_of("sysrt_net_written_bytes_total") - bytes, 6400 + 64);
	run_to(&end.client.heard.n, 6400);
	ck_assert_mem_eq(end.client.heard.p + 6390, "0123456789", 10);
}
END_TEST

static void
fill(char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		bytes[i] = (char)(i * 7 + (i >> 9));
}

START_TEST(a_blocked_queue_tells_when_it_is_drained)
{
	const size_t total = 4 << 20;
	char *bytes = xcalloc(total, 1);

	fill(bytes, total);
	shake();
	for (size_t at = 0; at < total; at += total / 8)
		send_bytes(bytes + at, total / 8);
	ck_assert_uint_gt(conn_flush(&end.conn), total / 2);
	ck_assert_uint_eq(end.drains, 0);
	run_to(&end.client.heard.n, total);
	ck_assert_mem_eq(end.client.heard.p, bytes, total);
	ck_assert_uint_eq(conn_unsent(&end.conn), 0);
	ck_assert_uint_eq(end.drains, 1);
	free(bytes);
}
END_TEST

START_TEST(much_comes_in)
{
	const size_t total = 4 << 20;
	char *bytes = xcalloc(total, 1);

	fill(bytes, total);
	shake();
	rig_client_send(&end.client, (struct span){bytes, total});
	run_to(&end.input.n, total);
	ck_assert_mem_eq(end.input.p, bytes, total);
	free(bytes);
}
END_TEST

START_TEST(while_paused_nothing_is_told)
{
	shake();
	end.pauses = true;
	rig_client_send(&end.client, SPAN("one"));
	run_to(&end.input.n, 3);
	rig_client_send(&end.client, SPAN("two"));
	SSL_shutdown(end.client.ssl);
	for (int i = 0; i < 10; i++) {
		rig_client_take(&end.client, SPAN(""));
		let_client(&end);
		turn();
	}
	ck_assert_uint_eq(end.input.n, 3);
	ck_assert_uint_eq(end.eofs, 0);
	end.pauses = false;
	conn_resume(&end.conn);
	run_to(&end.input.n, 6);
	while (end.eofs == 0)
		turn();
	turn();
	ck_assert_uint_eq(end.eofs, 1);
	ck_assert(span_is(buf_span(&end.input), "onetwo"));
}
END_TEST

/* What was said last and that it was the last come with one read; the connection stays. */
START_TEST(an_end_that_came_while_paused_is_told_later)
{
	shake();
	end.pauses = true;
	rig_client_send(&end.client, SPAN("one"));
	SSL_shutdown(end.client.ssl);
	rig_client_take(&end.client, SPAN(""));
	run_to(&end.input.n, 3);
	for (int i = 0; i < 10; i++)
		turn();
	ck_assert_uint_eq(end.eofs, 0);
	end.pauses = false;
	conn_resume(&end.conn);
	for (int i = 0; end.eofs == 0; i++) {
		ck_assert_int_lt(i, PATIENCE);
		turn();
	}
	turn();
	ck_assert_uint_eq(end.eofs, 1);
}
END_TEST

START_TEST(finishing_says_so)
{
	shake();
	send_bytes("last", 4);
	conn_finish(&end.conn);
	for (int i = 0; !end.is_over; i++) {
		ck_assert_int_lt(i, PATIENCE);
		let_client(&end);
		turn();
	}
	ck_assert(span_is(buf_span(&end.client.heard), "last"));
	ck_assert(end.client.has_ended);
	ck_assert(!end.client.has_failed);
	/* What comes now is still heard. */
	rig_client_send(&end.client, SPAN("bye"));
	run_to(&end.input.n, 3);
	ck_assert_uint_eq(end.failures, 0);
}
END_TEST

START_TEST(finishing_with_much_that_waits)
{
	const size_t total = 4 << 20;
	char *bytes = xcalloc(total, 1);

	shake();
	send_bytes(bytes, total);
	conn_finish(&end.conn);
	for (int i = 0; !end.is_over; i++) {
		ck_assert_int_lt(i, PATIENCE);
		let_client(&end);
		turn();
	}
	ck_assert_uint_eq(end.client.heard.n, total);
	ck_assert(end.client.has_ended);
	free(bytes);
}
END_TEST

START_TEST(finishing_before_hands_are_shaken)
{
	end_init(&end, TLS1_3_VERSION, SPAN(""));
	conn_finish(&end.conn);
	while (!end.is_over) {
		let_client(&end);
		turn();
	}
	ck_assert_uint_eq(conn_unsent(&end.conn), 0);
}
END_TEST

START_TEST(the_client_ends)
{
	shake();
	SSL_shutdown(end.client.ssl);
	rig_client_take(&end.client, SPAN(""));
	while (end.eofs == 0) {
		let_client(&end);
		turn();
	}
	send_bytes("rest", 4);
	run_to(&end.client.heard.n, 4);
	shutdown(end.fd, SHUT_WR);
	turn();
	turn();
	ck_assert_uint_eq(end.eofs, 1);
	ck_assert_uint_eq(end.failures, 0);
}
END_TEST

START_TEST(the_client_goes_without_a_word)
{
	shake();
	shutdown(end.fd, SHUT_WR);
	while (end.eofs == 0)
		turn();
	ck_assert_uint_eq(end.failures, 0);
}
END_TEST

START_TEST(garbage_fails)
{
	end_init(&end, TLS1_3_VERSION, SPAN(""));
	ck_assert_int_eq(send(end.fd, "\x16\x03\x01\x00\x04\x01\x00\x00\x00", 9, 0), 9);
	while (end.failures == 0)
		turn();
	turn();
	ck_assert_uint_eq(end.failures, 1);
	ck_assert_int_eq(stat_of("sysrt_tls_handshakes_failed_total"), 1);
	ck_assert_int_eq(stat_of("sysrt_tls_handshakes"), 0);
	let_client(&end);
	ck_assert(end.client.has_failed); /* it was told by an alert */
}
END_TEST

START_TEST(plain_http_is_told_and_answered)
{
	char got[16];

	end_init(&end, TLS1_3_VERSION, SPAN(""));
	ck_assert_int_eq(send(end.fd, "GET / HTTP/1.1\r\n\r\n", 18, 0), 18);
	while (end.plains == 0)
		turn();
	ck_assert(!conn_is_shaking(&end.conn));
	ck_assert_ptr_null(conn_tls(&end.conn));
	send_bytes("no", 2);
	turn();
	ck_assert_int_eq(recv(end.fd, got, sizeof(got), MSG_DONTWAIT), 2);
	ck_assert_int_eq(stat_of("sysrt_tls_connections"), 0);
}
END_TEST

/** A hello that was read before, whole or in part. */
START_TEST(early_bytes_count)
{
	struct rig_client first;
	struct buf hello;
	static const size_t parts[] = {1, 100, SIZE_MAX};
	size_t n;

	for (size_t i = 0; i < 3; i++) {
		if (i > 0)
			end_fini(&end);
		rig_client_init(&first, TLS1_3_VERSION, NULL);
		buf_init(&hello, SIZE_MAX);
		buf_add_span(&hello, buf_span(&first.said));
		n = parts[i] < hello.n ? parts[i] : hello.n;
		end_init(&end, TLS1_3_VERSION, (struct span){hello.p, n});
		rig_client_fini(&end.client);
		end.client = first;
		buf_consume(&end.client.said, n);
		send_bytes("hello", 5);
		run_to(&end.client.heard.n, 5);
		buf_fini(&hello);
	}
}
END_TEST

START_TEST(one_may_go_before_its_early_bytes_are_looked_at)
{
	end_init(&end, TLS1_3_VERSION, SPAN("\x16\x03"));
	conn_fini(&end.conn);
	turn();
	ck_assert_uint_eq(end.failures, 0);
}
END_TEST

START_TEST(too_many_handshakes)
{
	struct end others[3];
	unsigned cut = 0;

	net_set_max_handshakes(net, 2);
	for (size_t i = 0; i < 3; i++) {
		end_init(&others[i], TLS1_3_VERSION, SPAN(""));
		ck_assert_int_gt(
			send(others[i].fd, others[i].client.said.p, others[i].client.said.n, 0), 0);
		turn(); /* the hello is answered, and no more comes */
		turn();
	}
	ck_assert_int_eq(stat_of("sysrt_tls_handshakes"), 2);
	ck_assert_int_eq(stat_of("sysrt_tls_handshakes_cut_total"), 1);
	for (size_t i = 0; i < 3; i++)
		cut += others[i].failures;
	ck_assert_uint_eq(cut, 1);
	ck_assert_uint_eq(others[0].failures, 1);
	for (size_t i = 0; i < 3; i++)
		end_fini(&others[i]);
	ck_assert_int_eq(stat_of("sysrt_tls_handshakes"), 0);
	shake(); /* there is room again */
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("conn_tls");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, data_goes_both_ways);
	tcase_add_test(t, what_is_queued_before_waits_for_the_handshake);
	tcase_add_test(t, small_frames_share_a_record_and_a_write);
	tcase_add_test(t, a_blocked_queue_tells_when_it_is_drained);
	tcase_add_test(t, much_comes_in);
	tcase_add_test(t, while_paused_nothing_is_told);
	tcase_add_test(t, an_end_that_came_while_paused_is_told_later);
	tcase_add_test(t, finishing_says_so);
	tcase_add_test(t, finishing_with_much_that_waits);
	tcase_add_test(t, finishing_before_hands_are_shaken);
	tcase_add_test(t, the_client_ends);
	tcase_add_test(t, the_client_goes_without_a_word);
	tcase_add_test(t, garbage_fails);
	tcase_add_test(t, plain_http_is_told_and_answered);
	tcase_add_test(t, early_bytes_count);
	tcase_add_test(t, one_may_go_before_its_early_bytes_are_looked_at);
	tcase_add_test(t, too_many_handshakes);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
