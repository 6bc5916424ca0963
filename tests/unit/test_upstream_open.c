/*
 * Open upstreams, with a scripted server: messages and batches, pausing, pings and
 * pongs, closes from both sides, broken rules, ends without a word and what came before
 * them, freeing in the middle of it all.
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "common/wire/ws.h"
#include "common/xalloc.h"
#include "daemon/base/loop.h"
#include "tests/unit/upstream_rig.h"

static void
expect_diary(const char *text)
{
	ck_assert_msg(span_is(buf_span(&rig_end.diary), text), "\"%.*s\", not \"%s\"",
		SPAN_FMT(rig_end.diary), text);
}

static void
expect_end(uint16_t code, const char *why)
{
	char text[32];

	rig_until_ended();
	ck_assert_msg(strstr(rig_end.why, why) != NULL, "%s", rig_end.why);
	snprintf(text, sizeof(text), "ended:%u ", code);
	rig_until_diary(text);
	ck_assert(!rig_end.is_permanent);
	ck_assert_int_eq(rig_end.retry_after_ms, -1);
}

static void
open_one(void)
{
	rig_open_one();
	buf_reset(&rig_end.diary);
	buf_reset(&rig_server.input);
}

static void
turns(int n)
{
	for (int i = 0; i < n; i++)
		rig_turn();
}

START_TEST(messages_and_batches)
{
	open_one();
	rig_say(SPAN("\x81\x01"
		     "a\x82\x01\xff\x89\x00\x8a\x01p\x01\x01x\x80\x01y\x81\x02"
		     "c"));
	rig_until_diary("batch ");
	expect_diary("text:a binary:\xff pong text:xy batch ");
	rig_say(SPAN("d"));
	rig_until_diary("text:cd batch ");
	rig_until_input("\x8a\x80"); /* the ping was answered */
	ck_assert_uint_gt(upstream_read_bytes(rig_end.upstream), 20);
}
END_TEST

/** Hears what was sent, as a server. */
static struct buf sent;

static void
hear(void *arg, enum ws_opcode opcode, struct span payload, uint16_t code)
{
	(void)arg;
	buf_addf(&sent, "%d:%u:%.*s ", (int)opcode, code, SPAN_FMT(payload));
}

static bool
has_sent(const char *text)
{
	struct ws_pool *pool = ws_pool_new(WS_SERVER, 1 << 26, 0);
	struct ws *ws = ws_open(pool);
	struct buf answers;
	bool is_so;

	buf_init(&answers, SIZE_MAX);
	buf_init(&sent, SIZE_MAX);
	if (rig_server.input.n > 0)
		ws_feed(ws, buf_span(&rig_server.input), hear, NULL, &answers);
	is_so = span_is(buf_span(&sent), text);
	buf_fini(&answers);
	buf_fini(&sent);
	ws_close(pool, &ws);
	ws_pool_free(pool);
	return is_so;
}

static const char *awaited;

static bool
has_sent_awaited(void)
{
	return has_sent(awaited);
}

static void
until_sent(const char *text)
{
	awaited = text;
	rig_until(has_sent_awaited);
}

START_TEST(sending)
{
	open_one();
	upstream_send(rig_end.upstream, WS_TEXT, SPAN("login"));
	upstream_send(rig_end.upstream, WS_BINARY, SPAN(""));
	upstream_ping(rig_end.upstream);
	ck_assert_uint_gt(upstream_unsent(rig_end.upstream), 0);
	until_sent("1:0:login 2:0: 9:0: ");
	ck_assert_uint_eq(upstream_unsent(rig_end.upstream), 0);
	rig_say(SPAN("\x8a\x00"));
	rig_until_diary("pong batch ");
}
END_TEST

static bool
is_blocked(void)
{
	return upstream_unsent(rig_end.upstream) > 8 << 20;
}

START_TEST(much_that_is_sent_drains)
{
	const size_t n = 1 << 20;
	char *bytes = xcalloc(n, 1);

	open_one();
	conn_pause(&rig_server.conn);
	while (!is_blocked()) {
		upstream_send(rig_end.upstream, WS_BINARY, (struct span){bytes, n});
		rig_turn();
	}
	/* Reading goes on only once this is sent, for what is read may have to be answered. */
	rig_say(SPAN("\x81\x01z"));
	turns(20);
	conn_resume(&rig_server.conn);
	rig_until_diary("drained ");
	ck_assert_uint_eq(upstream_unsent(rig_end.upstream), 0);
	rig_until_diary("text:z batch ");
	free(bytes);
}
END_TEST

START_TEST(a_flood_of_pings_is_not_kept)
{
	char pings[64000];
	int in_kernel = 64 << 10; /* not megabytes of pings, each of which is answered in the end */
	size_t most = 0;

	for (size_t i = 0; i < sizeof(pings); i += 2)
		memcpy(pings + i, "\x89\x00", 2);
	open_one();
	ck_assert_int_eq(setsockopt(rig_server.conn.fd, SOL_SOCKET, SO_RCVBUF, &in_kernel,
				 sizeof(in_kernel)),
		0);
	ck_assert_int_eq(setsockopt(rig_server.conn.fd, SOL_SOCKET, SO_SNDBUF, &in_kernel,
				 sizeof(in_kernel)),
		0);
	conn_pause(&rig_server.conn); /* it never reads */
	for (int i = 0; i < 400; i++) {
		size_t unsent;

		if (conn_unsent(&rig_server.conn) == 0)
			rig_say((struct span){pings, sizeof(pings)});
		rig_turn();
		unsent = upstream_unsent(rig_end.upstream);
		most = unsent > most ? unsent : most;
	}
	ck_assert_uint_lt(most, 2 << 20);
	conn_resume(&rig_server.conn);
	rig_say(SPAN("\x81\x01z"));
	rig_until_diary("text:z ");
}
END_TEST

static void
pause_it(struct rig_end *c)
{
	upstream_pause(c->upstream);
}

START_TEST(paused_in_a_batch)
{
	open_one();
	rig_end.acts_at = UPSTREAM_BATCH;
	rig_end.act = pause_it;
	rig_say(SPAN("\x81\x01"
		     "a\x81\x01"
		     "b"));
	rig_until_diary("batch ");
	rig_say(SPAN("\x81\x01"
		     "c\x88\x02\x03\xe8"));
	turns(50);
	expect_diary("text:a text:b batch ");
	upstream_resume(rig_end.upstream);
	expect_diary("text:a text:b batch ");
	rig_until_diary("text:c batch ");
	rig_until_input("\x88\x82");
	rig_hang_up(false);
	expect_end(1000, "1000");
}
END_TEST

/** Nothing is told behind a close: its end is heard although it is paused. */
START_TEST(paused_at_a_close)
{
	int64_t until_us;

	open_one();
	rig_end.acts_at = UPSTREAM_BATCH;
	rig_end.act = pause_it;
	rig_say(SPAN("\x81\x01"
		     "a\x88\x02\x03\xe8"));
	rig_until_diary("batch ");
	until_us = clock_mono_us() + UPSTREAM_CLOSE_MS * INT64_C(500);
	rig_until_input("\x88\x82");
	rig_hang_up(false);
	expect_end(1000, "1000");
	ck_assert_int_lt(clock_mono_us(), until_us);
	expect_diary("text:a batch ended:1000 ");
}
END_TEST

START_TEST(paused_between_two_messages)
{
	open_one();
	rig_end.acts_at = UPSTREAM_MESSAGE;
	rig_end.act = pause_it;
	rig_say(SPAN("\x81\x01"
		     "a\x81\x01"
		     "b\x81\x01"
		     "c\x81\x02"
		     "d"));
	rig_until_diary("batch ");
	rig_say(SPAN("e\x81\x01"
		     "f"));
	turns(50);
	expect_diary("text:a batch ");
	rig_end.act = pause_it;
	upstream_resume(rig_end.upstream);
	upstream_resume(rig_end.upstream);
	rig_until_diary("text:b batch ");
	turns(50);
	expect_diary("text:a batch text:b batch ");
	upstream_resume(rig_end.upstream);
	upstream_pause(rig_end.upstream);
	turns(50);
	expect_diary("text:a batch text:b batch ");
	upstream_resume(rig_end.upstream);
	rig_until_diary("text:f batch ");
	expect_diary("text:a batch text:b batch text:c batch text:de text:f batch ");
}
END_TEST

/** While it is paused TCP pushes back. */
START_TEST(a_pause_fills_the_servers_buffer)
{
	const size_t n = 1 << 20;
	char *bytes = xcalloc(n, 1);

	memcpy(bytes, "\x82\x7f\0\0\0\0\0\x0f\xff\xf6", 10); /* one message of n - 10 bytes */
	open_one();
	upstream_pause(rig_end.upstream);
	while (conn_unsent(&rig_server.conn) < 16 << 20) {
		rig_say((struct span){bytes, n});
		rig_turn();
	}
	turns(50);
	ck_assert_uint_ge(conn_unsent(&rig_server.conn), 8 << 20);
	expect_diary("");
	upstream_resume(rig_end.upstream);
	rig_say(SPAN("\x81\x03"
		     "end"));
	rig_until_diary("text:end ");
	free(bytes);
}
END_TEST

static const struct {
	struct span close;
	uint16_t code;
	const char *why;
	const char *answer;
} closes[] = {
	{{"\x88\x00", 2},                 1005, "the server closed it: 1005",          "8:1005: "},
	{{"\x88\x02\x03\xe8", 4},         1000, "the server closed it: 1000",          "8:1000: "},
	{{"\x88\x09\x0f\xa1go away", 11}, 4001, "the server closed it: 4001, go away",
         "8:4001:go away "								       },
	{{"\x88\x02\x13\x87", 4},         4999, "the server closed it: 4999",          "8:4999: "},
};

START_TEST(the_server_closes)
{
	open_one();
	rig_say(SPAN("\x81\x01"
		     "a"));
	rig_say(closes[_i].close);
	rig_say(SPAN("\x81\x01"
		     "b"));
	until_sent(closes[_i].answer);
	upstream_send(rig_end.upstream, WS_TEXT, SPAN("too late"));
	upstream_ping(rig_end.upstream);
	upstream_close(rig_end.upstream, 1000, SPAN(""));
	turns(5);
	ck_assert(!rig_end.has_ended); /* the server ends the connection first */
	rig_hang_up(false);
	expect_end(closes[_i].code, closes[_i].why);
	ck_assert_ptr_null(memmem(rig_end.diary.p, rig_end.diary.n, "text:b", 6));
	ck_assert(has_sent(closes[_i].answer));
}
END_TEST

START_TEST(the_server_closes_and_stays)
{
	open_one();
	rig_say(SPAN("\x88\x02\x03\xe8"));
	expect_end(1000, "1000"); /* after UPSTREAM_CLOSE_MS */
}
END_TEST

START_TEST(closing_politely)
{
	open_one();
	upstream_close(rig_end.upstream, 1001, SPAN("bye"));
	upstream_close(rig_end.upstream, 1002, SPAN("again"));
	ck_assert(!upstream_is_open(rig_end.upstream));
	until_sent("8:1001:bye ");
	rig_say(SPAN("\x81\x01"
		     "a\x89\x00\x88\x02\x03\xe9"));
	rig_until_diary("text:a batch ");
	turns(5);
	rig_hang_up(false);
	expect_end(1001, "closed from here");
	ck_assert(has_sent("8:1001:bye "));
}
END_TEST

START_TEST(closing_and_no_answer)
{
	open_one();
	upstream_close(rig_end.upstream, 1000, SPAN(""));
	until_sent("8:1000: ");
	expect_end(0, "closed from here"); /* after UPSTREAM_CLOSE_MS */
}
END_TEST

static const struct {
	struct span bytes;
	const char *why;
} violations[] = {
	{{"\xff\xff\xff\xff", 4},              "breaks the rules of WebSocket: reserved bit"},
	{{"\x81\x81\0\0\0\0x", 7},             "masked frame from a server"                 },
	{{"\x81\x02\xc3\x28", 4},              "not UTF-8"                                  },
	{{"\x82\x7f\0\0\0\0\0\x10\0\x01", 10}, "larger message than max_message"            },
	{{"\x01\x7f\0\0\0\0\0\x10\0\x01", 10}, "larger message than max_message"            },
};

START_TEST(broken_rules)
{
	open_one();
	rig_say(SPAN("\x81\x01"
		     "a"));
	rig_say(violations[_i].bytes);
	expect_end(0, violations[_i].why);
	rig_until_input("\x88");
}
END_TEST

/** What was said before an end without a word is told, after a reset too. */
START_TEST(ends_without_a_word)
{
	open_one();
	rig_say(SPAN("\x81\x01"
		     "a\x81\x05"
		     "half"));
	rig_hang_up(_i == 1);
	expect_end(0, _i == 1 ? "broke the connection off" : "the other side ended the connection");
	expect_diary("text:a batch ended:0 ");
}
END_TEST

/** A reset that is noticed by writing, with much that is not read yet. */
START_TEST(what_came_before_a_reset_is_told)
{
	const unsigned total = 40; /* as much as the kernel holds at least */
	char message[1002];
	unsigned found = 0;

	memset(message, 'm', sizeof(message));
	memcpy(message, "\x81\x7e\x03\xe6", 4);
	open_one();
	upstream_pause(rig_end.upstream);
	for (unsigned i = 0; i < total; i++)
		rig_say((struct span){message, sizeof(message)});
	turns(5);
	ck_assert_uint_eq(conn_unsent(&rig_server.conn), 0);
	rig_hang_up(true);
	upstream_ping(rig_end.upstream); /* fails: nobody is there any more */
	turns(5);
	ck_assert(!rig_end.has_ended);
	upstream_ping(rig_end.upstream);
	upstream_resume(rig_end.upstream);
	rig_until_ended();
	for (const char *p = rig_end.diary.p, *end = p + rig_end.diary.n;
		(p = memmem(p, (size_t)(end - p), "text:", 5)) != NULL; p++)
		found++;
	ck_assert_uint_eq(found, total);
	ck_assert_ptr_nonnull(strstr(rig_end.why, "broke the connection off"));
}
END_TEST

/** What was read and not told is told before the end, which waits for that. */
START_TEST(an_end_waits_for_what_is_held)
{
	int64_t until_us;

	open_one();
	rig_end.acts_at = UPSTREAM_MESSAGE;
	rig_end.act = pause_it;
	rig_say(SPAN("\x81\x01"
		     "a\x81\x01"
		     "b\x81\x01"
		     "c"));
	rig_until_diary("text:a batch ");
	upstream_close(rig_end.upstream, 1000, SPAN(""));
	until_us = clock_mono_us() + UPSTREAM_CLOSE_MS * INT64_C(1100);
	while (clock_mono_us() < until_us)
		rig_turn();
	expect_diary("text:a batch ");
	if (_i == 0)
		upstream_resume(rig_end.upstream);
	else
		upstream_tell_held(rig_end.upstream);
	expect_end(0, "closed from here");
	expect_diary("text:a batch text:b text:c batch ended:0 ");
}
END_TEST

START_TEST(what_is_held_can_be_asked_for)
{
	open_one();
	upstream_tell_held(rig_end.upstream);
	rig_end.acts_at = UPSTREAM_MESSAGE;
	rig_end.act = pause_it;
	rig_say(SPAN("\x81\x01"
		     "a\x81\x01"
		     "b\x81\x01"
		     "c\x81\x02"
		     "d"));
	rig_until_diary("text:a batch ");
	rig_end.act = pause_it; /* which does not stop it now */
	upstream_tell_held(rig_end.upstream);
	expect_diary("text:a batch text:b text:c batch ");
	rig_say(SPAN("e"));
	turns(20);
	expect_diary("text:a batch text:b text:c batch ");
	upstream_resume(rig_end.upstream);
	rig_until_diary("text:de batch ");
}
END_TEST

static void
free_it(struct rig_end *c)
{
	upstream_free(c->upstream);
	c->upstream = NULL;
}

START_TEST(freed_in_the_middle)
{
	open_one();
	rig_end.acts_at = (enum upstream_event)_i;
	rig_end.act = free_it;
	rig_say(SPAN("\x81\x01"
		     "a\x8a\x00\x81\x01"
		     "b\x88\x02\x03\xe8"));
	rig_hang_up(false);
	while (rig_end.upstream != NULL)
		rig_turn();
	turns(10);
}
END_TEST

static void
close_it(struct rig_end *c)
{
	upstream_send(c->upstream, WS_TEXT, SPAN("last"));
	upstream_close(c->upstream, 1000, SPAN(""));
}

START_TEST(closed_in_the_middle)
{
	open_one();
	rig_end.acts_at = UPSTREAM_MESSAGE;
	rig_end.act = close_it;
	rig_say(SPAN("\x89\x00\x81\x01"
		     "a\x81\x01"
		     "b"));
	rig_until_diary("text:a text:b batch ");
	until_sent("1:0:last 8:1000: ");
	rig_say(SPAN("\x88\x02\x03\xe8"));
	turns(5);
	rig_hang_up(false);
	expect_end(1000, "closed from here");
}
END_TEST

START_TEST(paused_before_it_is_open)
{
	rig_open("/", NULL);
	upstream_pause(rig_end.upstream);
	rig_accept("");
	rig_say(SPAN("\x81\x01"
		     "a"));
	rig_until_diary("open ");
	turns(20);
	expect_diary("resolved connected open ");
	upstream_resume(rig_end.upstream);
	rig_until_diary("open text:a batch ");
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("upstream_open");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 90);
	tcase_add_checked_fixture(t, rig_set_up, rig_tear_down);
	tcase_add_test(t, messages_and_batches);
	tcase_add_test(t, sending);
	tcase_add_test(t, much_that_is_sent_drains);
	tcase_add_test(t, a_flood_of_pings_is_not_kept);
	tcase_add_test(t, paused_in_a_batch);
	tcase_add_test(t, paused_at_a_close);
	tcase_add_test(t, paused_between_two_messages);
	tcase_add_test(t, a_pause_fills_the_servers_buffer);
	tcase_add_loop_test(t, the_server_closes, 0, sizeof(closes) / sizeof(closes[0]));
	tcase_add_test(t, the_server_closes_and_stays);
	tcase_add_test(t, closing_politely);
	tcase_add_test(t, closing_and_no_answer);
	tcase_add_loop_test(t, broken_rules, 0, sizeof(violations) / sizeof(violations[0]));
	tcase_add_loop_test(t, ends_without_a_word, 0, 2);
	tcase_add_test(t, what_came_before_a_reset_is_told);
	tcase_add_loop_test(t, an_end_waits_for_what_is_held, 0, 2);
	tcase_add_test(t, what_is_held_can_be_asked_for);
	tcase_add_loop_test(t, freed_in_the_middle, UPSTREAM_MESSAGE, UPSTREAM_BATCH + 1);
	tcase_add_loop_test(t, freed_in_the_middle, UPSTREAM_ENDED, UPSTREAM_ENDED + 1);
	tcase_add_test(t, closed_in_the_middle);
	tcase_add_test(t, paused_before_it_is_open);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
