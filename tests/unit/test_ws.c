/*
 * WebSocket frames: the examples of RFC 6455, and every violation with the close
 * code that it must get; all input is fed whole and byte by byte.
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/wire/ws.h"
#include "common/xalloc.h"

#define LIMIT 70000

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
	ck_assert_ptr_eq(arg, &heard);
	buf_addf(&heard, "%d %u ", (int)opcode, code);
	buf_add_span(&heard, payload);
	buf_add_char(&heard, '|');
}

/** Feeds in pieces of this size; true if reading may go on after. */
static bool
feed(struct ws *ws, struct span bytes, size_t piece)
{
	bool goes_on = true;

	while (bytes.n > 0) {
		size_t n = bytes.n < piece ? bytes.n : piece;

		goes_on = ws_feed(ws, (struct span){bytes.p, n}, hear, &heard, &out);
		bytes.p += n;
		bytes.n -= n;
	}
	return goes_on;
}

/** A masked frame as a client sends it; b0 is the first byte as it stands. */
static void
add_masked(struct buf *to, unsigned b0, struct span payload)
{
	static const char mask[4] = {'\x37', '\xfa', '\x21', '\x3d'};
	char head[WS_HEADER_MAX];
	size_t n = ws_header(head, WS_TEXT, payload.n);

	head[0] = (char)b0;
	head[1] = (char)(head[1] | 0x80);
	buf_add(to, head, n);
	buf_add(to, mask, sizeof(mask));
	for (size_t i = 0; i < payload.n; i++)
		buf_add_char(to, (char)(payload.p[i] ^ mask[i % 4]));
}

static void
expect_heard(const char *text)
{
	ck_assert_msg(span_is(buf_span(&heard), text), "heard \"%.*s\", not \"%s\"",
		SPAN_FMT(heard), text);
}

/** The close code of the last frame in `out`, which the server sent; 0 if there is none. */
static unsigned
close_code(void)
{
	const unsigned char *p = (const unsigned char *)out.p;
	size_t at = 0, last = 0;

	while (at < out.n) {
		last = at;
		at += 2 + (size_t)p[at + 1]; /* control frames are short */
	}
	ck_assert_uint_eq(at, out.n);
	if (out.n == 0 || p[last] != 0x88)
		return 0;
	return p[last + 1] == 0 ? 1005 : (unsigned)p[last + 2] << 8 | p[last + 3];
}

/* RFC 6455, 5.7. */
static const struct {
	struct span bytes;
	enum ws_role role;
	const char *heard;
	struct span answer;
} examples[] = {
	{{"\x81\x05\x48\x65\x6c\x6c\x6f", 7},                  WS_CLIENT, "1 0 Hello|",  {"", 0}},
	{{"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11}, WS_SERVER, "1 0 Hello|",  {"", 0}},
	{{"\x01\x03\x48\x65\x6c\x80\x02\x6c\x6f", 9},          WS_CLIENT, "1 0 Hello|",  {"", 0}},
	{{"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11}, WS_SERVER, "10 0 Hello|", {"", 0}},
	{{"\x89\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11}, WS_SERVER, "9 0 Hello|",
         {"\x8a\x05Hello", 7}								   },
};

START_TEST(examples_of_the_rfc)
{
	size_t piece = (size_t)_i;

	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
		struct ws_pool *pool = examples[i].role == WS_SERVER ? server : client;
		struct ws *ws = ws_open(pool);

		buf_reset(&heard);
		buf_reset(&out);
		ck_assert(ws_is_idle(ws));
		ck_assert(feed(ws, examples[i].bytes, piece));
		expect_heard(examples[i].heard);
		ck_assert(span_eq(buf_span(&out), examples[i].answer));
		ck_assert(ws_is_idle(ws));
		ws_close(pool, &ws);
		ck_assert_ptr_null(ws);
	}
}
END_TEST

/* RFC 6455, 5.7: "256 bytes binary message in a single unmasked frame" and "64KiB ...". */
START_TEST(lengths_of_the_rfc)
{
	static const size_t sizes[] = {0, 1, 125, 126, 256, 65535, 65536, LIMIT};
	char *payload = xcalloc(LIMIT, 1);
	char head[WS_HEADER_MAX];

	ck_assert_uint_eq(ws_header(head, WS_BINARY, 256), 4);
	ck_assert_mem_eq(head, "\x82\x7e\x01\x00", 4);
	ck_assert_uint_eq(ws_header(head, WS_BINARY, 65536), 10);
	ck_assert_mem_eq(head, "\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00", 10);
	for (size_t i = 0; i < LIMIT; i++)
		payload[i] = (char)('a' + i % 26);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct ws *ws = ws_open(client);
		struct buf bytes;

		buf_init(&bytes, SIZE_MAX);
		buf_reset(&heard);
		buf_add(&bytes, head, ws_header(head, WS_BINARY, sizes[i]));
		buf_add(&bytes, payload, sizes[i]);
		ck_assert(feed(ws, buf_span(&bytes), 4096));
		ck_assert_uint_eq(heard.n, 5 + sizes[i]);
		ck_assert_mem_eq(heard.p + 4, payload, sizes[i]);
		ck_assert_uint_eq(ws_held(ws), 0);
		ws_close(client, &ws);
		buf_fini(&bytes);
	}
	free(payload);
}
END_TEST

#define C3_A9 "\xc3\xa9" /* é */

/** What a client may not do. Written as frames "b0 payload", masked by the test. */
static const struct {
	const char *what;
	struct {
		unsigned b0;
		const char *payload;
		size_t n;
	} frames[3];
	const char *heard;
	unsigned code;
} violations[] = {
	{"reserved bit 1",                       {{0xc1, "x", 1}},                     "",       1002},
	{"reserved bit 2",                       {{0xa1, "x", 1}},                     "",       1002},
	{"reserved bit 3 behind a good message", {{0x81, "x", 1}, {0x91, "x", 1}},     "1 0 x|", 1002},
	{"opcode 3",			     {{0x83, "x", 1}},                     "",       1002},
	{"opcode 7",			     {{0x87, "", 0}},                      "",       1002},
	{"opcode 11",			    {{0x8b, "", 0}},                      "",       1002},
	{"opcode 15",			    {{0x8f, "", 0}},                      "",       1002},
	{"opcode 3 inside a message",            {{0x01, "x", 1}, {0x83, "x", 1}},     "",       1002},
	{"fragmented ping",                      {{0x09, "x", 1}},                     "",       1002},
	{"ping of 126 bytes",
         {{0x89,
			"0123456789012345678901234567890123456789012345678901234567890123456789"
			"01234567890123456789012345678901234567890123456789012345",
			126}},
         "",										     1002},
	{"continuation of nothing",              {{0x80, "x", 1}},                     "",       1002},
	{"continuation behind a whole message",  {{0x81, "x", 1}, {0x80, "y", 1}},     "1 0 x|", 1002},
	{"text inside a message",                {{0x01, "x", 1}, {0x81, "y", 1}},     "",       1002},
	{"binary inside a message",              {{0x02, "x", 1}, {0x02, "y", 1}},     "",       1002},
	{"close with half a code",               {{0x88, "\x03", 1}},                  "",       1002},
	{"close code 999",                       {{0x88, "\x03\xe7", 2}},              "",       1002},
	{"close code 1004",                      {{0x88, "\x03\xec", 2}},              "",       1002},
	{"close code 1005",                      {{0x88, "\x03\xed", 2}},              "",       1002},
	{"close code 1006",                      {{0x88, "\x03\xee", 2}},              "",       1002},
	{"close code 1015",                      {{0x88, "\x03\xf7", 2}},              "",       1002},
	{"close code 1016",                      {{0x88, "\x03\xf8", 2}},              "",       1002},
	{"close code 2999",                      {{0x88, "\x0b\xb7", 2}},              "",       1002},
	{"close code 5000",                      {{0x88, "\x13\x88", 2}},              "",       1002},
	{"close reason that is not UTF-8",       {{0x88, "\x03\xe8\xff", 3}},          "",       1007},
	{"close reason cut in a character",      {{0x88, "\x03\xe8\xc3", 3}},          "",       1007},
	{"text that is not UTF-8",               {{0x81, "a\xff", 2}},                 "",       1007},
	{"overlong form",                        {{0x81, "\xc0\x80", 2}},              "",       1007},
	{"surrogate",			    {{0x81, "\xed\xa0\x80", 3}},          "",       1007},
	{"above U+10FFFF",                       {{0x81, "\xf4\x90\x80\x80", 4}},      "",       1007},
	{"text cut in a character",              {{0x81, "a\xc3", 2}},                 "",       1007},
	{"broken over fragments",                {{0x01, "a\xc3", 2}, {0x80, "b", 1}}, "",       1007},
};

START_TEST(violations_get_their_codes)
{
	size_t piece = (size_t)_i;

	for (size_t i = 0; i < sizeof(violations) / sizeof(violations[0]); i++) {
		struct ws *ws = ws_open(server);
		struct buf bytes;

		buf_init(&bytes, SIZE_MAX);
		buf_reset(&heard);
		buf_reset(&out);
		for (int k = 0; k < 3 && violations[i].frames[k].payload != NULL; k++)
			add_masked(&bytes, violations[i].frames[k].b0,
				(struct span){violations[i].frames[k].payload,
					violations[i].frames[k].n});
		add_masked(&bytes, 0x81, SPAN("never heard"));
		ck_assert_msg(!feed(ws, buf_span(&bytes), piece), "%s", violations[i].what);
		expect_heard(violations[i].heard);
		ck_assert_msg(close_code() == violations[i].code, "%s: closed with %u",
			violations[i].what, close_code());
		ck_assert(!ws_is_idle(ws));
		ws_close(server, &ws);
		buf_fini(&bytes);
	}
}
END_TEST

/* Headers that no helper writes: raw. */
static const struct {
	const char *what;
	struct span bytes;
	unsigned code;
} raw_violations[] = {
	{"unmasked text",                {"\x81\x05Hello", 7},                                     1002},
	{"unmasked ping",                {"\x89\x00", 2},                                          1002},
	{"5 bytes in a 16-bit length",   {"\x81\xfe\x00\x05\x00\x00\x00\x00Hello", 13},            1002},
	{"126 bytes in a 64-bit length", {"\x81\xff\0\0\0\0\0\0\x00\x7e\0\0\0\0", 14},             1002},
	{"a length of 2^63",             {"\x82\xff\x80\0\0\0\0\0\0\0\0\0\0\0", 14},               1002},
	{"a length of 2^63 - 1",         {"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0", 14}, 1009},
	{"a byte over the limit",        {"\x81\xff\0\0\0\0\0\x01\x11\x71\0\0\0\0", 14},           1009},
};

START_TEST(raw_violations_get_their_codes)
{
	size_t piece = (size_t)_i;

	for (size_t i = 0; i < sizeof(raw_violations) / sizeof(raw_violations[0]); i++) {
		struct ws *ws = ws_open(server);

		buf_reset(&heard);
		buf_reset(&out);
		ck_assert_msg(
			!feed(ws, raw_violations[i].bytes, piece), "%s", raw_violations[i].what);
		ck_assert_msg(close_code() == raw_violations[i].code, "%s: closed with %u",
			raw_violations[i].what, close_code());
		expect_heard("");
		ws_close(server, &ws);
	}
}
END_TEST

START_TEST(a_server_that_masks_is_refused)
{
	struct ws *ws = ws_open(client);

	ck_assert(!feed(ws, SPAN("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), 100));
	expect_heard("");
	ck_assert_uint_gt(out.n, 6);
	ck_assert_int_eq((unsigned char)out.p[0], 0x88);
	ck_assert_int_ne(out.p[1] & 0x80, 0); /* a client masks what it sends */
	ws_close(client, &ws);
}
END_TEST

/** Valid closes: what is heard, and the answer, which echoes. */
static const struct {
	struct span payload;
	const char *heard;
	struct span answer;
} closes[] = {
	{{"", 0},			   "8 1005 |",                   {"\x88\x00", 2}         },
	{{"\x03\xe8", 2},                   "8 1000 |",                   {"\x88\x02\x03\xe8", 4} },
	{{"\x03\xe9" C3_A9 C3_A9 "bye", 9}, "8 1001 " C3_A9 C3_A9 "bye|",
         {"\x88\x09\x03\xe9" C3_A9 C3_A9 "bye", 11}                                               },
	{{"\x03\xf4", 2},                   "8 1012 |",                   {"\x88\x02\x03\xf4", 4} },
	{{"\x03\xf6", 2},                   "8 1014 |",                   {"\x88\x02\x03\xf6", 4} },
	{{"\x0b\xb8", 2},                   "8 3000 |",                   {"\x88\x02\x0b\xb8", 4} },
	{{"\x13\x87x", 3},                  "8 4999 x|",                  {"\x88\x03\x13\x87x", 5}},
};

START_TEST(closes_are_answered_and_end_the_reading)
{
	size_t piece = (size_t)_i;

	for (size_t i = 0; i < sizeof(closes) / sizeof(closes[0]); i++) {
		struct ws *ws = ws_open(server);
		struct buf bytes;

		buf_init(&bytes, SIZE_MAX);
		buf_reset(&heard);
		buf_reset(&out);
		add_masked(&bytes, 0x88, closes[i].payload);
		add_masked(&bytes, 0x81, SPAN("never heard"));
		ck_assert(!feed(ws, buf_span(&bytes), piece));
		expect_heard(closes[i].heard);
		ck_assert(span_eq(buf_span(&out), closes[i].answer));
		ws_close(server, &ws);
		buf_fini(&bytes);
	}
}
END_TEST

START_TEST(fragments_with_control_frames_between_them)
{
	struct ws *ws = ws_open(server);
	struct buf bytes;

	buf_init(&bytes, SIZE_MAX);
	add_masked(&bytes, 0x01, SPAN("a\xc3")); /* a character over two fragments */
	add_masked(&bytes, 0x89, SPAN("1"));
	add_masked(&bytes, 0x00, SPAN("\xa9"));
	add_masked(&bytes, 0x00, SPAN(""));
	add_masked(&bytes, 0x8a, SPAN("2"));
	add_masked(&bytes, 0x80, SPAN("z"));
	add_masked(&bytes, 0x02, SPAN("\xff"));
	add_masked(&bytes, 0x80, SPAN(""));
	add_masked(&bytes, 0x81, SPAN(""));
	ck_assert(feed(ws, buf_span(&bytes), (size_t)_i));
	expect_heard("9 0 1|10 0 2|1 0 a" C3_A9 "z|2 0 \xff|1 0 |");
	ck_assert(span_is(buf_span(&out), "\x8a\x01"
					  "1"));
	ck_assert(ws_is_idle(ws));
	ws_close(server, &ws);
	buf_fini(&bytes);
}
END_TEST

START_TEST(idle_is_between_messages_only)
{
	struct ws *ws = ws_open(server), *other;
	struct buf bytes;

	buf_init(&bytes, SIZE_MAX);
	add_masked(&bytes, 0x01, SPAN("abc"));
	add_masked(&bytes, 0x80, SPAN("def"));
	for (size_t i = 0; i < bytes.n; i++) {
		ck_assert_int_eq(ws_is_idle(ws), i == 0);
		ck_assert(feed(ws, (struct span){bytes.p + i, 1}, 1));
	}
	ck_assert(ws_is_idle(ws));
	expect_heard("1 0 abcdef|");
	ck_assert(feed(ws, (struct span){bytes.p, 9}, 9));
	ck_assert_uint_eq(ws_held(ws), 3);
	ws_close(server, &ws); /* not idle: freed, so that the next one starts afresh */
	ws = ws_open(server);
	ck_assert(ws_is_idle(ws));
	other = ws;
	ws_close(server, &ws);
	ws = ws_open(server);
	ck_assert_ptr_eq(ws, other); /* idle: kept */
	ws_close(server, &ws);
	ws_close(server, &ws);
	buf_fini(&bytes);
}
END_TEST

START_TEST(the_limit_is_of_the_whole_message)
{
	char *half = xcalloc(LIMIT / 2, 1);
	struct span part = {half, LIMIT / 2};
	struct ws *ws = ws_open(server);
	struct buf bytes;

	buf_init(&bytes, SIZE_MAX);
	add_masked(&bytes, 0x02, part);
	add_masked(&bytes, 0x80, part);
	ck_assert(feed(ws, buf_span(&bytes), 4096));
	ck_assert_uint_eq(heard.n, 5 + LIMIT);
	buf_reset(&bytes);
	add_masked(&bytes, 0x02, part);
	add_masked(&bytes, 0x00, part);
	add_masked(&bytes, 0x80, SPAN("x"));
	ck_assert(!feed(ws, buf_span(&bytes), 4096));
	ck_assert_uint_eq(close_code(), 1009);
	ws_close(server, &ws);

	ws_pool_set_max_message(server, 3);
	ws = ws_open(server);
	buf_reset(&bytes);
	buf_reset(&out);
	add_masked(&bytes, 0x81, SPAN("abc"));
	ck_assert(feed(ws, buf_span(&bytes), 4096));
	buf_reset(&bytes);
	add_masked(&bytes, 0x81, SPAN("abcd"));
	ck_assert(!feed(ws, buf_span(&bytes), 4096));
	ck_assert_uint_eq(close_code(), 1009);
	ws_close(server, &ws);
	buf_fini(&bytes);
	free(half);
}
END_TEST

/* RFC 6455, 1.3. */
START_TEST(the_accept_key_of_the_rfc)
{
	char accept[WS_ACCEPT_SIZE];

	ws_accept_key(SPAN("dGhlIHNhbXBsZSBub25jZQ=="), accept);
	ck_assert_str_eq(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
	ck_assert(ws_key_is_valid(SPAN("dGhlIHNhbXBsZSBub25jZQ==")));
	ck_assert(!ws_key_is_valid(SPAN("")));
	ck_assert(!ws_key_is_valid(SPAN("dGhlIHNhbXBsZSBub25jZQ=")));
	ck_assert(!ws_key_is_valid(SPAN("dGhlIHNhbXBsZSBub25jZQA=")));
	ck_assert(!ws_key_is_valid(SPAN("dGhlIHNhbXBsZSBub25j-Q==")));
	ck_assert(!ws_key_is_valid(SPAN("dGhlIHNhbXBsZSBub25jZQ==AAAA")));
}
END_TEST

START_TEST(close_frames_cut_their_reason_at_a_character)
{
	char reason[130];

	ws_add_close(&out, 4101, SPAN("no"));
	ck_assert(span_is(buf_span(&out), "\x88\x04\x10\x05no"));
	buf_reset(&out);
	memset(reason, 'a', sizeof(reason));
	memcpy(reason + 122, C3_A9, 2);
	ws_add_close(&out, 1001, (struct span){reason, sizeof(reason)});
	ck_assert_uint_eq(out.n, 2 + 2 + 122);
	ck_assert_int_eq(out.p[1], 124);
}
END_TEST

/** Frames of one message are counted, whatever is between them. */
START_TEST(too_many_fragments_end_the_connection)
{
	ws_pool_set_max_fragments(server, 3);
	for (int excess = 0; excess < 2; excess++) {
		struct ws *ws = ws_open(server);
		struct buf in;

		buf_init(&in, SIZE_MAX);
		buf_reset(&out);
		for (int message = 0; message < 2; message++) {
			add_masked(&in, 0x01, SPAN("a"));
			add_masked(&in, 0x89, SPAN(""));
			add_masked(&in, 0x00, SPAN("b"));
			if (excess)
				add_masked(&in, 0x00, SPAN(""));
			add_masked(&in, 0x80, SPAN("c"));
		}
		ck_assert(feed(ws, buf_span(&in), 5) == !excess);
		ck_assert_uint_eq(close_code(), excess ? 1008 : 0);
		ck_assert_int_eq(ws_excess(ws), excess ? WS_EXCESS_FRAGMENTS : WS_EXCESS_NONE);
		ck_assert_uint_eq(ws_take_frames(ws), excess ? 5 : 8);
		ck_assert_uint_eq(ws_take_frames(ws), 0);
		ws_close(server, &ws);
		buf_fini(&in);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("ws");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_loop_test(t, examples_of_the_rfc, 1, 16);
	tcase_add_test(t, lengths_of_the_rfc);
	tcase_add_loop_test(t, violations_get_their_codes, 1, 160);
	tcase_add_loop_test(t, raw_violations_get_their_codes, 1, 16);
	tcase_add_test(t, a_server_that_masks_is_refused);
	tcase_add_loop_test(t, closes_are_answered_and_end_the_reading, 1, 40);
	tcase_add_loop_test(t, fragments_with_control_frames_between_them, 1, 80);
	tcase_add_test(t, idle_is_between_messages_only);
	tcase_add_test(t, the_limit_is_of_the_whole_message);
	tcase_add_test(t, the_accept_key_of_the_rfc);
	tcase_add_test(t, close_frames_cut_their_reason_at_a_character);
	tcase_add_test(t, too_many_fragments_end_the_connection);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
