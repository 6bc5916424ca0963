/*
 * Connections over real sockets: gathered writes, back-pressure, pausing, the
 * peer's closing and failing, 100,000 frames.
 */

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/json.h"
#include "common/xalloc.h"
#include "daemon/base/loop.h"
#include "daemon/base/stats.h"
#include "daemon/net/conn.h"

/** A connection that keeps what it is told; the loop stops when `is_enough` says so. */
struct end {
	struct conn conn;
	struct buf input;
	unsigned inputs;
	unsigned eofs;
	unsigned drains;
	unsigned failures;
	bool (*is_enough)(const struct end *e);
};

static struct loop *loop;
static struct net *net;
static struct end near, far;

static void
on_event(struct conn *c, enum conn_event event, struct span input)
{
	struct end *e = list_item(c, struct end, conn);

	switch (event) {
	case CONN_INPUT:
		e->inputs++;
		buf_add_span(&e->input, input);
		break;
	case CONN_EOF:
		e->eofs++;
		break;
	case CONN_DRAINED:
		e->drains++;
		break;
	case CONN_FAILED:
	case CONN_NOT_TLS: /* there is none */
	case CONN_SECURED:
		e->failures++;
		break;
	}
	if (e->is_enough != NULL && e->is_enough(e))
		loop_stop(loop);
}

static void
stop(void *arg)
{
	(void)arg;
	loop_stop(loop);
}

/** One more turn, with what is ready now. */
static void
turn(void)
{
	loop_defer(loop, stop, NULL);
	loop_run(loop);
}

static void
unix_pair(int fds[2])
{
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
}

static void
tcp_pair(int fds[2])
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t size = sizeof(a);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&a, size), 0);
	ck_assert_int_eq(listen(listener, 1), 0);
	ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&a, &size), 0);
	fds[0] = socket(AF_INET, SOCK_STREAM, 0);
	ck_assert_int_eq(connect(fds[0], (struct sockaddr *)&a, size), 0);
	fds[1] = accept(listener, NULL, NULL);
	ck_assert_int_ge(fds[1], 0);
	close(listener);
}

static void
end_init(struct end *e, int fd)
{
	memset(e, 0, sizeof(*e));
	e->conn.fd = -1;
	buf_init(&e->input, SIZE_MAX);
	if (fd >= 0)
		conn_init(&e->conn, net, fd, on_event);
}

static void
end_fini(struct end *e)
{
	conn_fini(&e->conn);
	buf_fini(&e->input);
}

static void
set_up(void)
{
	loop = loop_new();
	net = net_new(loop);
	end_init(&near, -1);
	end_init(&far, -1);
}

static void
tear_down(void)
{
	end_fini(&near);
	end_fini(&far);
	net_free(net);
	loop_free(loop);
}

static void
send_text(struct conn *c, const char *head, const char *body)
{
	struct body *b = NULL;
	struct frame *f;

	if (body != NULL) {
		b = body_new(strlen(body));
		memcpy(b->bytes, body, strlen(body));
	}
	f = frame_new(span_of(head), b);
	body_unref(b);
	conn_send(c, f);
	frame_unref(f);
}

/** Sends one frame of n bytes. */
static void
send_big(struct conn *c, size_t n)
{
	char *bytes = xcalloc(n, 1);
	struct frame *f = frame_new((struct span){bytes, n}, NULL);

	conn_send(c, f);
	frame_unref(f);
	free(bytes);
}

static int64_t
stat_of(const char *name)
{
	struct stats *stats = stats_new();
	char key[64];
	const char *at;
	struct json_out out;
	struct buf text;
	int64_t value;

	net_add_stats(net, stats);
	buf_init(&text, 4096);
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
	stats_free(stats);
	return value;
}

static bool
has_5_bytes(const struct end *e)
{
	return e->input.n >= 5;
}

START_TEST(what_is_sent_arrives_when_the_turn_ends)
{
	int fds[2];
	char got[16];

	unix_pair(fds);
	end_init(&near, fds[0]);
	send_text(&near.conn, "he", "llo");
	send_text(&near.conn, "!", NULL);
	ck_assert_uint_eq(conn_unsent(&near.conn), 6);
	ck_assert_int_eq(recv(fds[1], got, sizeof(got), MSG_DONTWAIT), -1);
	turn();
	ck_assert_int_eq(recv(fds[1], got, sizeof(got), MSG_DONTWAIT), 6);
	ck_assert_mem_eq(got, "hello!", 6);
	ck_assert_uint_eq(conn_unsent(&near.conn), 0);
	ck_assert_ptr_null(near.conn.ring);
	ck_assert_uint_eq(near.drains, 0); /* nothing was ever left behind */
	close(fds[1]);
}
END_TEST

START_TEST(input_is_told)
{
	int fds[2];

	unix_pair(fds);
	end_init(&near, fds[0]);
	end_init(&far, fds[1]);
	far.is_enough = has_5_bytes;
	send_text(&near.conn, "hello", NULL);
	loop_run(loop);
	ck_assert(span_is(buf_span(&far.input), "hello"));
	ck_assert_uint_eq(far.inputs, 1);
	ck_assert_int_eq(stat_of("sysrt_net_connections"), 2);
	ck_assert_int_eq(stat_of("sysrt_net_read_bytes_total"), 5);
	ck_assert_int_eq(stat_of("sysrt_net_written_bytes_total"), 5);
}
END_TEST

START_TEST(sixty_four_frames_are_one_write)
{
	int fds[2];

	unix_pair(fds);
	end_init(&near, fds[0]);
	for (int i = 0; i < 64; i++)
		send_text(&near.conn, "a", "b");
	turn();
	ck_assert_int_eq(stat_of("sysrt_net_writes_total"), 1);
	for (int i = 0; i < 65; i++)
		send_text(&near.conn, "a", "b");
	ck_assert_uint_eq(conn_flush(&near.conn), 0);
	ck_assert_int_eq(stat_of("sysrt_net_writes_total"), 3);
	turn();
	ck_assert_int_eq(stat_of("sysrt_net_writes_total"), 3);
	close(fds[1]);
}
END_TEST

static bool
is_drained(const struct end *e)
{
	return e->drains > 0;
}

START_TEST(a_blocked_queue_tells_when_it_is_drained)
{
	const size_t total = 4 << 20;
	int fds[2];

	tcp_pair(fds);
	end_init(&near, fds[0]);
	end_init(&far, fds[1]);
	conn_pause(&far.conn);
	send_big(&near.conn, total);
	ck_assert_uint_gt(conn_flush(&near.conn), 0);
	ck_assert_uint_lt(conn_unsent(&near.conn), total);
	ck_assert_uint_eq(near.drains, 0);
	send_text(&near.conn, "end", NULL);
	conn_resume(&far.conn);
	near.is_enough = is_drained;
	loop_run(loop);
	ck_assert_uint_eq(near.drains, 1);
	ck_assert_uint_eq(conn_unsent(&near.conn), 0);
	ck_assert_ptr_null(near.conn.ring);
	while (far.input.n < total + 3)
		turn();
	ck_assert_mem_eq(far.input.p + total, "end", 3);
}
END_TEST

START_TEST(while_paused_nothing_is_told)
{
	int fds[2];

	unix_pair(fds);
	end_init(&near, fds[0]);
	conn_pause(&near.conn);
	conn_pause(&near.conn);
	ck_assert_int_eq(send(fds[1], "hello", 5, 0), 5);
	close(fds[1]);
	turn();
	turn();
	ck_assert_uint_eq(near.inputs, 0);
	ck_assert_uint_eq(near.eofs, 0);
	conn_resume(&near.conn);
	turn();
	turn();
	ck_assert(span_is(buf_span(&near.input), "hello"));
	ck_assert_uint_eq(near.eofs, 1);
	turn();
	ck_assert_uint_eq(near.eofs, 1);
}
END_TEST

static void
pause_on_input(struct conn *c, enum conn_event event, struct span input)
{
	on_event(c, event, input);
	if (event == CONN_INPUT)
		conn_pause(c);
}

START_TEST(pausing_inside_the_event_holds_the_rest_back)
{
	const size_t total = 150 * 1024;
	char *bytes = xcalloc(total, 1);
	int fds[2], size = 1 << 20;

	unix_pair(fds);
	setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	ck_assert_int_eq(send(fds[1], bytes, total, MSG_DONTWAIT), (ssize_t)total);
	free(bytes);
	conn_init(&near.conn, net, fds[0], pause_on_input);
	turn();
	turn();
	ck_assert_uint_eq(near.inputs, 1);
	while (near.input.n < total) {
		unsigned before = near.inputs;

		conn_resume(&near.conn);
		turn();
		ck_assert_uint_eq(near.inputs, before + 1);
	}
	close(fds[1]);
}
END_TEST

START_TEST(a_half_closed_peer_can_still_be_written_to)
{
	char got[8];
	int fds[2];

	tcp_pair(fds);
	end_init(&near, fds[0]);
	shutdown(fds[1], SHUT_WR);
	while (near.eofs == 0)
		turn();
	send_text(&near.conn, "still", NULL);
	turn();
	ck_assert_int_eq(recv(fds[1], got, sizeof(got), 0), 5);
	ck_assert_uint_eq(near.failures, 0);
	close(fds[1]);
}
END_TEST

START_TEST(failures_are_told_at_the_end_of_the_turn)
{
	int fds[2];

	unix_pair(fds);
	end_init(&near, fds[0]);
	close(fds[1]);
	send_text(&near.conn, "to nobody", NULL);
	ck_assert_uint_eq(conn_flush(&near.conn), 0);
	ck_assert_uint_eq(near.failures, 0);
	send_text(&near.conn, "dropped", NULL);
	ck_assert_uint_eq(conn_unsent(&near.conn), 0);
	turn();
	ck_assert_uint_eq(near.failures, 1);
	turn();
	ck_assert_uint_eq(near.failures, 1);
	ck_assert_int_eq(stat_of("sysrt_net_failures_total"), 1);
}
END_TEST

START_TEST(a_reset_is_a_failure)
{
	struct linger at_once = {.l_onoff = 1, .l_linger = 0};
	int fds[2];

	tcp_pair(fds);
	end_init(&near, fds[0]);
	setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(fds[1]);
	while (near.failures == 0)
		turn();
	ck_assert_uint_eq(near.eofs, 0);
}
END_TEST

START_TEST(finishing_sends_what_is_queued_first)
{
	const size_t total = 4 << 20;
	int fds[2];

	tcp_pair(fds);
	end_init(&near, fds[0]);
	end_init(&far, fds[1]);
	send_big(&near.conn, total);
	conn_finish(&near.conn);
	send_text(&near.conn, "too late", NULL);
	while (far.eofs == 0)
		turn();
	ck_assert_uint_eq(far.input.n, total);
	send_text(&far.conn, "hello", NULL); /* the other direction is open still */
	while (near.input.n < 5)
		turn();
	conn_finish(&far.conn); /* nothing queued: at once */
	while (near.eofs == 0)
		turn();
}
END_TEST

static void
free_on_event(struct conn *c, enum conn_event event, struct span input)
{
	struct end *e = list_item(c, struct end, conn);

	(void)event;
	(void)input;
	conn_fini(c);
	conn_fini(c);
	free(e);
	loop_stop(loop);
}

START_TEST(owners_may_free_inside_any_event)
{
	struct end *e = xnew(struct end);
	char *bytes = xcalloc(100000, 1);
	int fds[2];

	unix_pair(fds); /* input */
	conn_init(&e->conn, net, fds[0], free_on_event);
	ck_assert_int_gt(send(fds[1], bytes, 100000, MSG_DONTWAIT), 65536);
	loop_run(loop);
	close(fds[1]);

	e = xnew(struct end);
	unix_pair(fds); /* the end of the input */
	conn_init(&e->conn, net, fds[0], free_on_event);
	close(fds[1]);
	loop_run(loop);

	e = xnew(struct end);
	unix_pair(fds); /* a failure */
	conn_init(&e->conn, net, fds[0], free_on_event);
	conn_pause(&e->conn);
	close(fds[1]);
	send_text(&e->conn, "x", NULL);
	loop_run(loop);

	e = xnew(struct end);
	unix_pair(fds); /* drained */
	conn_init(&e->conn, net, fds[0], free_on_event);
	send_big(&e->conn, 1 << 20);
	ck_assert_uint_gt(conn_flush(&e->conn), 0);
	end_init(&far, fds[1]);
	loop_run(loop);
	ck_assert_int_eq(stat_of("sysrt_net_connections"), 1);
	free(bytes);
}
END_TEST

#define FRAMES 100000

static bool
has_all_frames(const struct end *e)
{
	static size_t scanned;
	static unsigned lines;

	for (; scanned < e->input.n; scanned++)
		lines += e->input.p[scanned] == '\n';
	return lines == FRAMES;
}

/** Frames of many sizes over a shared body, in slices, flushed after each. */
static void
send_slices(struct body *shared)
{
	char head[512], dots[300];

	memset(dots, '.', sizeof(dots));
	for (unsigned i = 0; i < FRAMES; i++) {
		int n = snprintf(head, sizeof(head), "%u:%.*s", i, (int)(i % 300), dots);
		struct frame *f = frame_new((struct span){head, (size_t)n}, shared);

		conn_send(&near.conn, f);
		frame_unref(f);
		if (i % 64 == 63)
			conn_flush(&near.conn);
	}
}

START_TEST(a_hundred_thousand_frames_arrive_in_order)
{
	struct body *shared = body_new(5);
	const char *at;
	int fds[2];

	memcpy(shared->bytes, "body\n", 5);
	tcp_pair(fds);
	end_init(&near, fds[0]);
	end_init(&far, fds[1]);
	far.is_enough = has_all_frames;
	send_slices(shared);
	loop_run(loop);
	ck_assert_uint_eq(shared->refs, 1);
	ck_assert_ptr_null(near.conn.ring);
	body_unref(shared);
	buf_add_char(&far.input, '\0');
	at = far.input.p;
	for (unsigned i = 0; i < FRAMES; i++) {
		char *end;

		ck_assert_uint_eq(strtoul(at, &end, 10), i);
		ck_assert_int_eq(*end++, ':');
		ck_assert_uint_eq(strspn(end, "."), i % 300);
		end += strspn(end, ".");
		ck_assert_int_eq(strncmp(end, "body\n", 5), 0);
		at = end + 5;
	}
}
END_TEST

START_TEST(an_idle_connection_is_small)
{
	ck_assert_uint_le(sizeof(struct conn), 256);
}
END_TEST

START_TEST(delay_is_off_and_names_are_readable)
{
	char name[CONN_NAME_SIZE];
	struct sockaddr_in a;
	socklen_t size = sizeof(a);
	char expected[CONN_NAME_SIZE];
	int fds[2], on = 0;
	socklen_t on_size = sizeof(on);

	tcp_pair(fds);
	end_init(&near, fds[0]);
	ck_assert_int_eq(getsockopt(fds[0], IPPROTO_TCP, TCP_NODELAY, &on, &on_size), 0);
	ck_assert_int_ne(on, 0);
	ck_assert_int_eq(getsockname(fds[1], (struct sockaddr *)&a, &size), 0);
	snprintf(expected, sizeof(expected), "127.0.0.1:%d", ntohs(a.sin_port));
	conn_name(fds[0], name);
	ck_assert_str_eq(name, expected);
	close(fds[1]);
	conn_name(-1, name);
	ck_assert_str_eq(name, "unknown");
	unix_pair(fds);
	conn_name(fds[0], name);
	ck_assert_str_eq(name, "unix");
	close(fds[0]);
	close(fds[1]);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("conn");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, what_is_sent_arrives_when_the_turn_ends);
	tcase_add_test(t, input_is_told);
	tcase_add_test(t, sixty_four_frames_are_one_write);
	tcase_add_test(t, a_blocked_queue_tells_when_it_is_drained);
	tcase_add_test(t, while_paused_nothing_is_told);
	tcase_add_test(t, pausing_inside_the_event_holds_the_rest_back);
	tcase_add_test(t, a_half_closed_peer_can_still_be_written_to);
	tcase_add_test(t, failures_are_told_at_the_end_of_the_turn);
	tcase_add_test(t, a_reset_is_a_failure);
	tcase_add_test(t, finishing_sends_what_is_queued_first);
	tcase_add_test(t, owners_may_free_inside_any_event);
	tcase_add_test(t, a_hundred_thousand_frames_arrive_in_order);
	tcase_add_test(t, an_idle_connection_is_small);
	tcase_add_test(t, delay_is_off_and_names_are_readable);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
