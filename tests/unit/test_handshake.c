/*
 * The client's side of a WebSocket's beginning: the request, byte by byte, and the
 * responses that servers send and should not send, each whole and in pieces.
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/wire/handshake.h"
#include "common/wire/http.h"

/* RFC 6455, 1.3. */
#define KEY      "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT   "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
#define SWITCH   "HTTP/1.1 101 Switching Protocols\r\n"
#define UPGRADE  "Upgrade: websocket\r\n"
#define UPGRADED "Connection: Upgrade\r\n"
#define GOOD     SWITCH UPGRADE UPGRADED ACCEPT

static const char *const protocols[] = {"mqtt", "v2.example"};
static const struct handshake_wish wish = {
	.authority = {"example.com:8080", 16},
	.target = {"/a?b",             4 },
	.headers = {"",                 0 },
	.protocols = protocols,
	.protocols_n = 2,
};

START_TEST(the_request)
{
	struct handshake_wish plain = wish;
	struct buf out;

	buf_init(&out, 4096);
	handshake_add_request(&out, &wish, KEY);
	ck_assert(span_is(buf_span(&out), "GET /a?b HTTP/1.1\r\n"
					  "Host: example.com:8080\r\n"
					  "Upgrade: websocket\r\n"
					  "Connection: Upgrade\r\n"
					  "Sec-WebSocket-Version: 13\r\n"
					  "Sec-WebSocket-Key: " KEY "\r\n"
					  "Sec-WebSocket-Protocol: mqtt, v2.example\r\n"
					  "User-Agent: sysrt/" SYSRT_VERSION "\r\n"
					  "\r\n"));
	buf_reset(&out);
	plain.protocols_n = 0;
	plain.headers = SPAN("X-A: User-Agent: b\r\nuser-agent: mine\r\n");
	handshake_add_request(&out, &plain, KEY);
	ck_assert(span_is(buf_span(&out), "GET /a?b HTTP/1.1\r\n"
					  "Host: example.com:8080\r\n"
					  "Upgrade: websocket\r\n"
					  "Connection: Upgrade\r\n"
					  "Sec-WebSocket-Version: 13\r\n"
					  "Sec-WebSocket-Key: " KEY "\r\n"
					  "X-A: User-Agent: b\r\n"
					  "user-agent: mine\r\n"
					  "\r\n"));
	buf_fini(&out);
}
END_TEST

START_TEST(the_key)
{
	char key[HANDSHAKE_KEY_SIZE];

	handshake_key((const unsigned char *)"the sample nonce", key);
	ck_assert_str_eq(key, KEY);
}
END_TEST

/** Reads a response in pieces of this size, and the end of the connection behind it; *rest is what
 * does not belong to it. */
static struct handshake *
read_response(struct span bytes, size_t piece, struct span *rest)
{
	struct handshake *h = handshake_new(&wish, KEY);
	enum handshake_state state = HANDSHAKE_READING;

	while (bytes.n > 0 && state == HANDSHAKE_READING) {
		size_t n = bytes.n < piece ? bytes.n : piece, used;

		state = handshake_take(h, (struct span){bytes.p, n}, &used);
		ck_assert_uint_le(used, n);
		bytes = (struct span){bytes.p + used, bytes.n - used};
	}
	handshake_end(h);
	*rest = bytes;
	return h;
}

static const size_t pieces[] = {SIZE_MAX, 1, 7};

static const struct {
	const char *response;
	const char *protocol;
} opened[] = {
	{GOOD "\r\n",								    ""          },
	{GOOD "Sec-WebSocket-Protocol: mqtt\r\n\r\n",                                    "mqtt"      },
	{GOOD "sec-websocket-protocol:  v2.example \r\n\r\n",                            "v2.example"},
	{GOOD "Sec-WebSocket-Protocol:\r\nSec-WebSocket-Extensions:\r\n\r\n",            ""          },
	{SWITCH "UPGRADE: WebSocket\r\nconnection: keep-alive, upgrade\r\n"
		"sec-websocket-accept:\ts3pPLMBiTxaQ9kYGzzhZRbK+xOo= \r\n\r\n", ""          },
	{SWITCH "Upgrade: h2c\r\nUpgrade: websocket\r\nConnection: x\r\n"
		"Connection: Upgrade\r\n" ACCEPT "\r\n",
         ""											  },
	{GOOD "Set-Cookie: a=b\r\nSet-Cookie: c=d\r\nServer: x/1 (y)\r\n"
	      "Content-Length: 0\r\n\r\n",				      ""          },
	{GOOD "Transfer-Encoding: chunked\r\n\r\n",                                      ""          },
	{GOOD "X-Folded: one\r\n two\r\n\tthree\r\n\r\n",                                ""          },
	{"HTTP/1.1 101\r\n" UPGRADE UPGRADED ACCEPT "\r\n",                              ""          },
	{"HTTP/1.1 101 S\xe9\r\n" UPGRADE UPGRADED ACCEPT "\r\n",                        ""          },
	{"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n"
	 "Connection: close\r\n\r\n" GOOD "\r\n",
         ""											  },
	{"HTTP/1.1 101 x\nUpgrade: websocket\nConnection: upgrade\n" ACCEPT "\n",        ""          },
};

START_TEST(what_opens)
{
	size_t piece = pieces[_i];

	for (size_t i = 0; i < sizeof(opened) / sizeof(opened[0]); i++) {
		struct handshake *h;
		struct span rest;
		struct buf bytes;

		buf_init(&bytes, 8192);
		buf_addf(&bytes, "%s", opened[i].response);
		buf_add_span(&bytes, SPAN("\x81\x01x"));
		h = read_response(buf_span(&bytes), piece, &rest);
		ck_assert_msg(handshake_end(h) == HANDSHAKE_OPEN, "%zu: %s", i, handshake_why(h));
		ck_assert(span_is(rest, "\x81\x01x"));
		ck_assert(span_is(handshake_protocol(h), opened[i].protocol));
		ck_assert_int_eq(handshake_status(h), 101);
		handshake_free(h);
		buf_fini(&bytes);
	}
}
END_TEST

/** What does not, and what is said about it. */
static const struct {
	const char *response;
	enum handshake_state state;
	bool is_permanent;
	const char *why; /* in the sentence */
} refused[] = {
	{"HTTP/1.1 401 Unauthorized\r\nContent-Length: 9\r\n\r\nbad token",                         HANDSHAKE_REFUSED, true,
         "(it answers 401 Unauthorized): bad token"													  },
	{"HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n"
	 "3\r\nbad\r\n1;x=y\r\n \r\n5\r\ntoken\r\n0\r\nServer: trailer\r\n\r\n",           HANDSHAKE_REFUSED, true,  "403 Forbidden): bad token"    },
	{"HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\nno  such\r\nthing\x01",
         HANDSHAKE_REFUSED,											    true,  "404 Not Found): no such thing"},
	{"HTTP/1.1 410 \r\nContent-Length: 0\r\n\r\n",                                              HANDSHAKE_REFUSED, true,
         "(it answers 410 Gone)"															     },
	{"HTTP/1.1 500 Oops\r\nContent-Type: text/html\r\n\r\n<html>",                              HANDSHAKE_REFUSED, false,
         "(it answers 500 Oops)"															     },
	{"HTTP/1.1 503 x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{\"a\":1}",
         HANDSHAKE_REFUSED,											    false, "503 x): {\"a\":1}"            },
	{"HTTP/1.1 502 x\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b",                                HANDSHAKE_REFUSED, false,
         "(it answers 502 x)"																},
	{"HTTP/1.1 429 x\r\nTransfer-Encoding: chunked\r\n\r\nno chunk",                            HANDSHAKE_REFUSED, false,
         "(it answers 429 x)"																},
	{"HTTP/1.1 426 Upgrade Required\r\n\r\n",						   HANDSHAKE_REFUSED, true,  "426"                          },
	{"HTTP/1.1 200 OK\r\n\r\nhello",							    HANDSHAKE_REFUSED, false,
         "no WebSocket there (it answers 200 OK): hello"												     },
	{"HTTP/1.1 204 No Content\r\n\r\n",							 HANDSHAKE_REFUSED, false, "204"                          },
	{"HTTP/1.1 302 Found\r\n\r\n",							      HANDSHAKE_REFUSED, false, "302 Found"                    },
	{"HTTP/1.1 300 x\r\nLocation: /\r\n\r\n",						   HANDSHAKE_REFUSED, false, "300 x"                        },
	{"HTTP/1.0 400 Bad\r\n\r\nwhy not \xff",						    HANDSHAKE_REFUSED, false, "400 Bad): why not ?"          },
	{SWITCH UPGRADED ACCEPT "\r\n",							     HANDSHAKE_BROKEN,  false, "(Upgrade)"                    },
	{SWITCH "Upgrade: websockets\r\n" UPGRADED ACCEPT "\r\n",                                   HANDSHAKE_BROKEN,  false,
         "(Upgrade)"																	 },
	{SWITCH UPGRADE ACCEPT "\r\n",							      HANDSHAKE_BROKEN,  false, "Connection: Upgrade"          },
	{SWITCH UPGRADE UPGRADED "\r\n",							    HANDSHAKE_BROKEN,  false, "(Sec-WebSocket-Accept)"       },
	{GOOD ACCEPT "\r\n",									HANDSHAKE_BROKEN,  false, "(Sec-WebSocket-Accept)"       },
	{SWITCH UPGRADE UPGRADED "Sec-WebSocket-Accept: S3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
         HANDSHAKE_BROKEN,											     false, "(Sec-WebSocket-Accept)"       },
	{GOOD "Sec-WebSocket-Protocol: MQTT\r\n\r\n",                                               HANDSHAKE_BROKEN,  true,
         "was not offered (MQTT)"															    },
	{GOOD "Sec-WebSocket-Protocol: mqtt, v2.example\r\n\r\n",                                   HANDSHAKE_BROKEN,  true,
         "was not offered"																   },
	{GOOD "Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n",
         HANDSHAKE_BROKEN,											     false, "two subprotocols"             },
	{GOOD "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",                               HANDSHAKE_BROKEN,  true,
         "compression"																       },
	{"",											HANDSHAKE_BROKEN,  false, "nothing came"                 },
	{"HTTP/1.1 101 Switching",								  HANDSHAKE_BROKEN,  false, "not whole"                    },
	{"SSH-2.0-OpenSSH_9.2\r\n",								 HANDSHAKE_BROKEN,  false, "no HTTP"                      },
	{"HTTP/2 101\r\n\r\n",								      HANDSHAKE_BROKEN,  false, "no HTTP"                      },
	{"\x15\x03\x01\x02\x02\x46\x28",							    HANDSHAKE_BROKEN,  false, "no HTTP"                      },
	{"GET / HTTP/1.1\r\n\r\n",								  HANDSHAKE_BROKEN,  false, "no HTTP"                      },
};

START_TEST(what_does_not)
{
	size_t piece = pieces[_i];

	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		struct span rest;
		struct handshake *h = read_response(span_of(refused[i].response), piece, &rest);

		ck_assert_msg(handshake_end(h) == refused[i].state, "%zu: %d %s", i,
			(int)handshake_end(h), handshake_why(h));
		ck_assert_msg(handshake_is_permanent(h) == refused[i].is_permanent, "%zu", i);
		ck_assert_msg(strstr(handshake_why(h), refused[i].why) != NULL, "%zu: %s", i,
			handshake_why(h));
		ck_assert_int_eq(handshake_retry_after_ms(h, 0), -1);
		handshake_free(h);
	}
}
END_TEST

/** Its text is awaited, but not all of a long one, and none when its length says that it is whole.
 */
START_TEST(a_refusal_ends_by_itself)
{
	struct handshake *h = handshake_new(&wish, KEY);
	struct span head = SPAN("HTTP/1.1 500 x\r\n\r\n");
	struct span empty = SPAN("HTTP/1.1 500 x\r\nContent-Length: 0\r\n\r\n");
	char body[2000];
	size_t used;

	memset(body, 'x', sizeof(body));
	ck_assert_int_eq(handshake_take(h, head, &used), HANDSHAKE_READING);
	ck_assert_int_eq(handshake_status(h), 500);
	ck_assert_int_eq(handshake_take(h, (struct span){body, 500}, &used), HANDSHAKE_READING);
	ck_assert_int_eq(handshake_take(h, (struct span){body, 2000}, &used), HANDSHAKE_REFUSED);
	ck_assert_uint_lt(strlen(handshake_why(h)), 400);
	handshake_free(h);
	h = handshake_new(&wish, KEY);
	ck_assert_int_eq(handshake_take(h, empty, &used), HANDSHAKE_REFUSED);
	handshake_free(h);
}
END_TEST

START_TEST(redirects)
{
	static const int statuses[] = {301, 302, 303, 307, 308};

	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
		struct handshake *h;
		struct span rest;
		char response[128];

		snprintf(response, sizeof(response),
			"HTTP/1.1 %d x\r\nlocation: /elsewhere\r\nRetry-After: 2\r\n\r\n<html>",
			statuses[i]);
		h = read_response(span_of(response), pieces[_i], &rest);
		ck_assert_int_eq(handshake_end(h), HANDSHAKE_REDIRECT);
		ck_assert_int_eq(handshake_status(h), statuses[i]);
		ck_assert(span_is(handshake_location(h), "/elsewhere"));
		ck_assert_int_eq(handshake_retry_after_ms(h, 0), 2000);
		handshake_free(h);
	}
}
END_TEST

START_TEST(retry_after)
{
	static const struct {
		const char *text;
		int64_t ms;
	} values[] = {
		{"0",			     0       },
		{"120",			   120000  },
		{"999999999",                     86400000},
		{"Sun, 06 Nov 1994 08:49:47 GMT", 10000   },
		{"Sun, 06 Nov 1994 08:49:07 GMT", 0       },
		{"Sun, 06 Foo 1994 08:49:47 GMT", -1      },
		{"soon",			  -1      },
		{"-1",			    -1      },
		{"1.5",			   -1      },
		{"",			      -1      },
	};

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		struct handshake *h;
		struct span rest;
		char response[128];

		snprintf(response, sizeof(response), "HTTP/1.1 503 x\r\nRetry-After: %s\r\n\r\n",
			values[i].text);
		h = read_response(span_of(response), SIZE_MAX, &rest);
		ck_assert_msg(handshake_retry_after_ms(h, 784111777000) == values[i].ms, "%s",
			values[i].text);
		handshake_free(h);
	}
}
END_TEST

START_TEST(bounds)
{
	struct handshake *h = handshake_new(&wish, KEY);
	char line[1024];
	enum handshake_state state;
	size_t used, total = 0;

	memset(line, 'x', sizeof(line));
	state = handshake_take(h, SPAN(SWITCH "X: "), &used);
	for (; state == HANDSHAKE_READING; total += used)
		state = handshake_take(h, (struct span){line, sizeof(line)}, &used);
	ck_assert_int_eq(state, HANDSHAKE_BROKEN);
	ck_assert_uint_lt(total, 40000);
	ck_assert_ptr_nonnull(strstr(handshake_why(h), "too large"));
	handshake_free(h);

	h = handshake_new(&wish, KEY);
	state = HANDSHAKE_READING;
	for (total = 0; state == HANDSHAKE_READING; total++)
		state = handshake_take(h, SPAN("HTTP/1.1 100 x\r\n\r\n"), &used);
	ck_assert_int_eq(state, HANDSHAKE_BROKEN);
	ck_assert_uint_eq(total, 17);
	handshake_free(h);
}
END_TEST

/* A head with as many fields as may be, one more, and one more that is broken: what is wrong with
 * it does not depend on the pieces that it comes in. */
START_TEST(fields)
{
	static const struct {
		const char *end;
		const char *why;
	} heads[] = {
		{"\r\n",                 "(Upgrade)"             },
		{"a: b\r\n\r\n",         "too many header fields"},
		{"a: b\r\na: b\r\n\r\n", "too many header fields"},
		{"a@: b\r\n\r\n",        "in header"             },
	};

	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		struct handshake *h;
		struct span rest;
		struct buf head;

		buf_init(&head, 4096);
		buf_add_span(&head, SPAN(SWITCH));
		for (int n = 0; n < HTTP_HEADERS_MAX; n++)
			buf_add_span(&head, SPAN("a: b\r\n"));
		buf_add_span(&head, span_of(heads[i].end));
		h = read_response(buf_span(&head), pieces[_i], &rest);
		ck_assert_int_eq(handshake_end(h), HANDSHAKE_BROKEN);
		ck_assert_msg(strstr(handshake_why(h), heads[i].why) != NULL, "%zu: %s", i,
			handshake_why(h));
		handshake_free(h);
		buf_fini(&head);
	}
}
END_TEST

/** Finds two blanks, and shows what it was asked. */
static bool
leave_out(void *arg, struct span text, struct buf *out)
{
	const char *blanks = text.n > 0 ? memmem(text.p, text.n, "  ", 2) : NULL;

	buf_addf(arg, "[%.*s]", SPAN_FMT(text));
	if (blanks == NULL)
		return false;
	buf_addf(out, "%.*s...", (int)(blanks - text.p), text.p);
	return true;
}

/* What is to be left out is looked for in what came, not in what was made of it. */
START_TEST(what_is_left_out)
{
	struct handshake_wish secretive = wish;
	struct handshake *h;
	struct buf seen;
	size_t used;

	buf_init(&seen, 4096);
	secretive.redact = leave_out;
	secretive.arg = &seen;
	h = handshake_new(&secretive, KEY);
	handshake_take(
		h, SPAN("HTTP/1.1 403 a  b\r\nContent-Length: 10\r\n\r\n\nc \td  e\nf"), &used);
	ck_assert_str_eq(handshake_why(h), "the server refuses it (it answers 403 a...): c d...");
	ck_assert(span_is(buf_span(&seen), "[a  b][\nc \td  e\nf]"));
	handshake_free(h);
	buf_fini(&seen);
}
END_TEST

START_TEST(what_is_shown)
{
	struct span rest;
	struct handshake *h =
		read_response(SPAN(GOOD "Sec-WebSocket-Protocol: mqtt\r\n"
					"Set-Cookie: secret=1\r\n"
					"Via: a\r\nX-B: one\r\n two\r\nvia: b\r\n\r\n"),
			SIZE_MAX, &rest);
	struct json_out o;
	struct buf text;

	buf_init(&text, 4096);
	o = json_out_start(&text);
	json_begin_object(&o, NULL);
	handshake_add_response(h, &o);
	json_end_object(&o);
	ck_assert_msg(span_is(buf_span(&text),
			      "{\"status\":101,\"subprotocol\":\"mqtt\",\"headers\":{"
			      "\"Upgrade\":\"websocket\",\"Connection\":\"Upgrade\","
			      "\"Sec-WebSocket-Accept\":\"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\","
			      "\"Sec-WebSocket-Protocol\":\"mqtt\","
			      "\"Via\":\"a, b\",\"X-B\":\"one two\"}}"),
		"%.*s", SPAN_FMT(text));
	buf_fini(&text);
	handshake_free(h);
}
END_TEST

START_TEST(headers_that_may_be_added)
{
	static const struct {
		struct span name;
		struct span value;
		const char *why; /* NULL: it may */
	} headers[] = {
		{{"Authorization", 13},          {"Bearer x", 8},        NULL                   },
		{{"X-Empty", 7},                 {"", 0},                NULL                   },
		{{"Cookie", 6},                  {"a=\xc3\xa9", 4},      NULL                   },
		{{"Origin", 6},                  {"https://x", 9},       NULL                   },
		{{"host", 4},                    {"x", 1},               "made by the handshake"},
		{{"CONNECTION", 10},             {"close", 5},           "made by the handshake"},
		{{"sec-websocket-key", 17},      {"x", 1},               "made by the handshake"},
		{{"Sec-WebSocket-Protocol", 22}, {"x", 1},               "see subprotocols"     },
		{{"Content-Length", 14},         {"5", 1},               "made by the handshake"},
		{{"", 0},                        {"x", 1},               "Name: value"          },
		{{"a b", 3},                     {"x", 1},               "Name: value"          },
		{{"a:", 2},                      {"x", 1},               "Name: value"          },
		{{"a\r", 2},                     {"x", 1},               "Name: value"          },
		{{"X-Key", 5},                   {"s3cret\r\nX: y", 12}, "control character"    },
		{{"X-Key", 5},                   {"s3cret\0", 7},        "control character"    },
		{{"X-Key", 5},                   {"s3cret\x7f", 7},      "control character"    },
	};

	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		struct error error = ERROR_NONE;
		enum err e = handshake_check_header(headers[i].name, headers[i].value, &error);

		ck_assert_msg((e == OK) == (headers[i].why == NULL), "%zu: %s", i, error.text);
		if (e == OK)
			continue;
		ck_assert_msg(strstr(error.text, headers[i].why) != NULL, "%zu: %s", i, error.text);
		ck_assert_ptr_null(strstr(error.text, "s3cret"));
	}
	ck_assert_int_eq(handshake_check_protocol(SPAN("graphql-ws"), NULL), OK);
	ck_assert_int_ne(handshake_check_protocol(SPAN("a, b"), NULL), OK);
	ck_assert_int_ne(handshake_check_protocol(SPAN(""), NULL), OK);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("handshake");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(t, the_request);
	tcase_add_test(t, the_key);
	tcase_add_loop_test(t, what_opens, 0, 3);
	tcase_add_loop_test(t, what_does_not, 0, 3);
	tcase_add_test(t, a_refusal_ends_by_itself);
	tcase_add_loop_test(t, redirects, 0, 3);
	tcase_add_test(t, retry_after);
	tcase_add_test(t, bounds);
	tcase_add_loop_test(t, fields, 0, 3);
	tcase_add_test(t, what_is_shown);
	tcase_add_test(t, what_is_left_out);
	tcase_add_test(t, headers_that_may_be_added);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
