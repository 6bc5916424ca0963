/*
 * WebSocket frames as a client sends and takes them: masked on its way out, answers
 * too, and a server that masks or breaks another rule is refused with the right code.
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/wire/ws.h"

#define LIMIT 70000

static const unsigned char mask[WS_MASK_SIZE] = {0x37, 0xfa, 0x21, 0x3d};

static struct ws_pool *server, *client;
static struct buf heard; /* "OPCODE CODE PAYLOAD|" of each message */
static struct buf out;

static void
set_up(void)
{
	server = ws_pool_new(WS_SERVER, LIMIT, 2);
	client = ws_pool_new(WS_CLIENT, LIMIT, 2);
	buf_init(&heard, SIZE_MAX);
	buf_init(&out, SIZE_MAX);
}

static void
tear_down(void)
{
	ws_pool_free(server);
	ws_pool_free(client);
	buf_fini(&heard);
	buf_fini(&out);
}

static void
hear(void *arg, enum ws_opcode opcode, struct span payload, uint16_t code)
{
	(void)arg;
	buf_addf(&heard, "%d %u ", (int)opcode, code);
	buf_add_span(&heard, payload);
	buf_add_char(&heard, '|');
}

/** Hears what a server makes of what was sent. */
static void
hear_sent(void)
{
	struct ws *ws = ws_open(server);
	struct buf answers;

	buf_init(&answers, SIZE_MAX);
	buf_reset(&heard);
	ws_feed(ws, buf_span(&out), hear, NULL, &answers);
	ws_close(server, &ws);
	buf_fini(&answers);
	buf_reset(&out);
}

static void
expect_sent(const char *text)
{
	hear_sent();
	ck_assert_msg(span_is(buf_span(&heard), text), "heard \"%.*s\", not \"%s\"",
		SPAN_FMT(heard), text);
}

/* RFC 6455, 5.7. */
START_TEST(a_masked_frame)
{
	ws_add_masked(&out, WS_TEXT, SPAN("Hello"), mask);
	ck_assert(span_is(buf_span(&out), "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"));
	expect_sent("1 0 Hello|");
}
END_TEST

START_TEST(any_length)
{
	static const size_t sizes[] = {0, 1, 125, 126, 65535, 65536, LIMIT};
	char *payload = calloc(LIMIT, 1);

	for (size_t i = 0; i < LIMIT; i++)
		payload[i] = (char)('a' + i % 26);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct ws *ws = ws_open(server);

		buf_reset(&out);
		buf_reset(&heard);
		ws_add_masked(&out, WS_BINARY, (struct span){payload, sizes[i]}, mask);
		ck_assert(ws_feed(ws, buf_span(&out), hear, NULL, NULL));
		ck_assert_uint_eq(heard.n, 5 + sizes[i]);
		ck_assert_mem_eq(heard.p + 4, payload, sizes[i]);
		ws_close(server, &ws);
	}
	free(payload);
}
END_TEST

START_TEST(a_buffer_that_is_full_says_so)
{
	struct buf small;

	buf_init(&small, 12);
	ws_add_masked(&small, WS_TEXT, SPAN("Hello"), mask);
	ck_assert(!small.failed);
	buf_reset(&small);
	ws_add_masked(&small, WS_TEXT, SPAN("Hello!!"), mask);
	ck_assert(small.failed);
	buf_fini(&small);
}
END_TEST

START_TEST(closes)
{
	char reason[200], expected[200];

	ws_add_masked_close(&out, 1000, SPAN(""), mask);
	expect_sent("8 1000 |");
	ws_add_masked_close(&out, 4999, SPAN("enough"), mask);
	expect_sent("8 4999 enough|");
	memset(reason, 'x', sizeof(reason));
	memcpy(reason + 122, "\xc3\xa9", 2);
	ws_add_masked_close(&out, 1001, (struct span){reason, sizeof(reason)}, mask);
	ck_assert_uint_eq(out.n, 2 + 4 + 2 + 122);
	snprintf(expected, sizeof(expected), "8 1001 %.122s|", reason);
	expect_sent(expected);
}
END_TEST

/** Takes what a server says, in pieces; false: it is over. */
static bool
take(struct ws *ws, struct span bytes, size_t piece)
{
	bool goes_on = true;

	while (bytes.n > 0) {
		size_t n = bytes.n < piece ? bytes.n : piece;

		goes_on = ws_feed(ws, (struct span){bytes.p, n}, hear, NULL, &out);
		bytes = (struct span){bytes.p + n, bytes.n - n};
	}
	return goes_on;
}

START_TEST(pings_are_answered_masked)
{
	struct ws *ws = ws_open(client);

	ck_assert(take(ws,
		SPAN("\x89\x02hi\x01\x01"
		     "a\x89\x00\x80\x01"
		     "b"),
		(size_t)_i));
	ck_assert(span_is(buf_span(&heard), "9 0 hi|9 0 |1 0 ab|"));
	ck_assert(ws_is_idle(ws));
	expect_sent("10 0 hi|10 0 |");
	ws_close(client, &ws);
}
END_TEST

START_TEST(a_close_is_answered_masked)
{
	static const struct {
		struct span close;
		const char *heard;
	} all[] = {
		{{"\x88\x00", 2},              "8 1005 |"     },
		{{"\x88\x02\x03\xe8", 4},      "8 1000 |"     },
		{{"\x88\x07\x0f\xa0later", 9}, "8 4000 later|"},
		{{"\x88\x02\x13\x87", 4},      "8 4999 |"     },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct ws *ws = ws_open(client);

		buf_reset(&heard);
		ck_assert(!take(ws, all[i].close, (size_t)_i));
		ck_assert(span_is(buf_span(&heard), all[i].heard));
		expect_sent(all[i].heard);
		ws_close(client, &ws);
	}
}
END_TEST

static const struct {
	const char *what;
	struct span bytes;
	const char *heard;  /* before */
	const char *answer; /* the beginning of what a server hears then */
	const char *why;
} violations[] = {
	{"masked",          {"\x81\x81\0\0\0\0x", 7},           "",       "8 1002 ", "masked frame"  },
	{"masked later",    {"\x81\x01x\x8a\x80\0\0\0\0", 9},   "1 0 x|", "8 1002 ", "masked frame"  },
	{"reserved bit",    {"\xc1\x01x", 3},                   "",       "8 1002 ", "reserved"      },
	{"unknown opcode",  {"\x83\x00", 2},                    "",       "8 1002 ", "opcode"        },
	{"continuation",    {"\x80\x01x", 3},                   "",       "8 1002 ", "continuation"  },
	{"message in one",  {"\x01\x01x\x81\x01x", 6},          "",       "8 1002 ", "inside another"},
	{"split ping",      {"\x09\x00", 2},                    "",       "8 1002 ", "control"       },
	{"long ping",       {"\x89\x7e\x00\x7e", 4},            "",       "8 1002 ", "control"       },
	{"length too long", {"\x81\x7e\x00\x05Hello", 9},       "",       "8 1002 ", "shortest"      },
	{"not UTF-8",
         {"\x81\x02"
		 "a\xff",
			4},
         "",							      "8 1007 ", "UTF-8"         },
	{"cut in UTF-8",
         {"\x81\x02"
		 "a\xc3",
			4},
         "",							      "8 1007 ", "UTF-8"         },
	{"giant",           {"\x82\x7f\0\0\0\x10\0\0\0\0", 10}, "",       "8 1009 ", "too big"       },
	{"close code 1005", {"\x88\x02\x03\xed", 4},            "",       "8 1002 ", "close code"    },
	{"close reason",    {"\x88\x03\x03\xe8\xff", 5},        "",       "8 1007 ", "close reason"  },
};

START_TEST(a_server_that_breaks_rules)
{
	for (size_t i = 0; i < sizeof(violations) / sizeof(violations[0]); i++) {
		struct ws *ws = ws_open(client);
		struct span prefix = span_of(violations[i].answer);

		buf_reset(&heard);
		ck_assert_msg(!take(ws, violations[i].bytes, (size_t)_i), "%s", violations[i].what);
		ck_assert_msg(
			span_is(buf_span(&heard), violations[i].heard), "%s", violations[i].what);
		ck_assert_msg(strstr(ws_why(ws), violations[i].why) != NULL, "%s: %s",
			violations[i].what, ws_why(ws));
		hear_sent();
		ck_assert_msg(span_has_prefix(buf_span(&heard), prefix), "%s: %.*s",
			violations[i].what, SPAN_FMT(heard));
		ws_close(client, &ws);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("ws_client");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, a_masked_frame);
	tcase_add_test(t, any_length);
	tcase_add_test(t, a_buffer_that_is_full_says_so);
	tcase_add_test(t, closes);
	tcase_add_loop_test(t, pings_are_answered_masked, 1, 5);
	tcase_add_loop_test(t, a_close_is_answered_masked, 1, 5);
	tcase_add_loop_test(t, a_server_that_breaks_rules, 1, 5);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
