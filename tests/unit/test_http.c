/*
 * HTTP heads: examples of RFC 9112 and RFC 6455, what must be refused, and the
 * answers; heads are fed whole and byte by byte.
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/wire/http.h"
#include "common/xalloc.h"

#define MAX_HEAD 1024

static struct http_reader *reader;

static void
set_up(void)
{
	reader = http_reader_new(MAX_HEAD);
}

static void
tear_down(void)
{
	http_reader_free(reader);
}

/** Feeds in pieces until there is a result; returns how many bytes were used in *used. */
static enum http_result
feed(const char *text, size_t piece, size_t *used)
{
	struct span rest = span_of(text);
	enum http_result result = HTTP_NEED_MORE;

	*used = 0;
	while (rest.n > 0 && result == HTTP_NEED_MORE) {
		size_t n = rest.n < piece ? rest.n : piece, taken;

		result = http_reader_feed(reader, (struct span){rest.p, n}, &taken);
		ck_assert_uint_le(taken, n);
		if (result == HTTP_NEED_MORE)
			ck_assert_uint_eq(taken, n);
		*used += taken;
		rest.p += n;
		rest.n -= n;
	}
	return result;
}

static const struct http_request *
parse(const char *text)
{
	size_t used;

	http_reader_reset(reader);
	ck_assert_msg(
		feed(text, SIZE_MAX, &used) == HTTP_DONE, "%s: %s", text, http_reader_why(reader));
	return http_reader_request(reader);
}

#define HANDSHAKE                                                                                  \
	"GET /chat HTTP/1.1\r\n"                                                                   \
	"Host: server.example.com\r\n"                                                             \
	"Upgrade: websocket\r\n"                                                                   \
	"Connection: Upgrade\r\n"                                                                  \
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"                                          \
	"Origin: http://example.com\r\n"                                                           \
	"Sec-WebSocket-Protocol: chat, superchat\r\n"                                              \
	"Sec-WebSocket-Version: 13\r\n"                                                            \
	"\r\n"

/* The targets are the examples of RFC 9112, 3.2. */
static const struct {
	const char *text;
	const char *method;
	const char *path;
	const char *query;
	unsigned minor;
	unsigned headers_n;
	bool keep_alive;
	bool has_body;
} heads[] = {
	{"GET /where?q=now HTTP/1.1\r\nHost: www.example.org\r\n\r\n",                         "GET",     "/where",                   "q=now", 1,
         1,																	  true,  false},
	{"GET http://www.example.org/pub/WWW/TheProject.html HTTP/1.1\r\n"
	 "Host: www.example.org\r\n\r\n",					     "GET",     "/pub/WWW/TheProject.html", "",      1, 1, true,  false},
	{"OPTIONS * HTTP/1.1\r\nHost: www.example.org:8001\r\n\r\n",                           "OPTIONS", "*",                        "",      1, 1, true,
         false																		   },
	{"OPTIONS http://www.example.org:8001 HTTP/1.1\r\nHost: www.example.org:8001\r\n\r\n",
         "OPTIONS",										       "/",                        "",      1, 1, true,  false},
	{"GET /hello.txt HTTP/1.1\r\n"
	 "User-Agent: curl/7.64.1\r\n"
	 "Host: www.example.com\r\n"
	 "Accept-Language: en, mi\r\n\r\n",					   "GET",     "/hello.txt",               "",      1, 3, true,  false},
	{"GET / HTTP/1.0\r\n\r\n",							     "GET",     "/",                        "",      0, 0, false, false},
	{"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",                                   "GET",     "/",                        "",      0, 1, true,  false},
	{"GET / HTTP/1.1\r\nConnection: close\r\n\r\n",                                        "GET",     "/",                        "",      1, 1, false, false},
	{"\r\nGET /%2F/a%20b HTTP/1.1\r\n\r\n",						"GET",     "/%2F/a%20b",               "",      1, 0, true,  false},
	{"POST /x HTTP/1.1\r\nContent-Length: 3\r\n\r\n",                                      "POST",    "/x",                       "",      1, 1, true,  true },
	{"POST /x HTTP/1.1\r\nContent-Length: 0\r\n\r\n",                                      "POST",    "/x",                       "",      1, 1, true,  false},
	{"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",                             "POST",    "/x",                       "",      1, 1, true,
         true																		    },
	{"POST /x HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",                                "POST",    "/x",                       "",      1, 1, true,  true },
	{"POST /x HTTP/1.0\r\nTransfer-Encoding:\r\n\r\n",                                     "POST",    "/x",                       "",      0, 1, false, true },
	{HANDSHAKE,									    "GET",     "/chat",                    "",      1, 7, true,  false},
};

START_TEST(good_heads)
{
	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		const struct http_request *q = http_reader_request(reader);
		char text[1024];
		size_t used;

		http_reader_reset(reader);
		snprintf(text, sizeof(text), "%s\x81\x85 behind", heads[i].text);
		ck_assert_msg(feed(text, (size_t)_i, &used) == HTTP_DONE, "%s: %s", text,
			http_reader_why(reader));
		ck_assert_uint_eq(used, strlen(heads[i].text));
		ck_assert_msg(span_is(q->method, heads[i].method), "%s", text);
		ck_assert_msg(span_is(q->path, heads[i].path), "%s", text);
		ck_assert_msg(span_is(q->query, heads[i].query), "%s", text);
		ck_assert_uint_eq(q->minor, heads[i].minor);
		ck_assert_uint_eq(q->headers_n, heads[i].headers_n);
		ck_assert_msg(q->keep_alive == heads[i].keep_alive, "%s", text);
		ck_assert_msg(q->has_body == heads[i].has_body, "%s", text);
	}
}
END_TEST

static const struct {
	const char *target;
	const char *authority;
	const char *path;
	const char *query;
} targets[] = {
	{"/a//b?c//d",              "",               "/a//b", "c//d"},
	{"http://a.example:8/b",    "a.example:8",    "/b",    ""    },
	{"HTTP://[::1]:7117",       "[::1]:7117",     "/",     ""    },
	{"http://a.example?b//c",   "a.example",      "/",     "b//c"},
	{"http://user@a.example/b", "user@a.example", "/b",    ""    },
};

START_TEST(absolute_targets_have_an_authority)
{
	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		const struct http_request *q;
		char text[256];

		snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\n\r\n", targets[i].target);
		q = parse(text);
		ck_assert_msg(span_is(q->authority, targets[i].authority), "%s", text);
		ck_assert_msg(span_is(q->path, targets[i].path), "%s", text);
		ck_assert_msg(span_is(q->query, targets[i].query), "%s", text);
	}
}
END_TEST

START_TEST(header_values)
{
	const struct http_request *q = parse("GET / HTTP/1.1\r\n"
					     "Host:   a.example  \t\r\n"
					     "X-Empty:\r\n"
					     "ACCEPT: one, ,two ,\r\n"
					     "Accept: Three\r\n"
					     "X-Last: \"q, r\"\r\n\r\n");
	unsigned n;

	ck_assert(span_is(http_header_find(q, "host", &n), "a.example"));
	ck_assert_uint_eq(n, 1);
	ck_assert(span_is(http_header_find(q, "x-empty", &n), ""));
	ck_assert_uint_eq(n, 1);
	ck_assert(span_is(http_header_find(q, "Accept", &n), ""));
	ck_assert_uint_eq(n, 2);
	ck_assert(span_is(http_header_find(q, "Absent", &n), ""));
	ck_assert_uint_eq(n, 0);
	ck_assert(span_is(http_header_find(q, "x-last", NULL), "\"q, r\""));
	ck_assert(http_header_has_token(q, "accept", "ONE"));
	ck_assert(http_header_has_token(q, "accept", "two"));
	ck_assert(http_header_has_token(q, "accept", "three"));
	ck_assert(!http_header_has_token(q, "accept", ""));
	ck_assert(!http_header_has_token(q, "accept", "on"));
	ck_assert(!http_header_has_token(q, "x-empty", "one"));
}
END_TEST

static const char *const bad_heads[] = {
	"\x16\x03\x01\x02\x00\x01", /* somebody speaks TLS */
	"hello\r\n\r\n",
	"GET / HTTP/1.1\r\nHost : a\r\n\r\n", /* RFC 9112, 5.1: no space before the colon */
	"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
	"GET / HTTP/1.1\r\nX: a\r\n b\r\n\r\n", /* folded */
	"GET / HTTP/1.1\r\nX:\r\n a\r\n\r\n",
	"GET / HTTP/1.1\r\nX: a\r\n \r\n\r\n",
	"GET / HTTP/1.1\r\nX:\r\n\t\r\nY: b\r\n\r\n",
	"GET / HTTP/1.1\nX: a\n b\n\n",
	"GET /#fragment HTTP/1.1\r\n\r\n",
	"GET / HTTP/1.1\r\nX: a\x01\r\n\r\n",
	"GET / HTTP/1.1\r\nX\r\n\r\n",
	"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
	"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
	"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
	"GET / HTTP/2.0\r\n\r\n",
	"GET / FTP/1.1\r\n\r\n",
	"GET  HTTP/1.1\r\n\r\n",
	"CONNECT www.example.com:80 HTTP/1.1\r\nHost: www.example.com\r\n\r\n",
	"NONSENSE / HTTP/1.1\r\n\r\n",
};

START_TEST(bad_heads_are_refused_with_a_reason)
{
	for (size_t i = 0; i < sizeof(bad_heads) / sizeof(bad_heads[0]); i++) {
		size_t used;

		http_reader_reset(reader);
		ck_assert_msg(
			feed(bad_heads[i], (size_t)_i, &used) == HTTP_BAD, "%s", bad_heads[i]);
		ck_assert_uint_gt(strlen(http_reader_why(reader)), 0);
		ck_assert(http_reader_feed(reader, SPAN("GET / HTTP/1.1\r\n\r\n"), &used) ==
			  HTTP_BAD);
	}
}
END_TEST

START_TEST(heads_have_a_limit)
{
	char text[MAX_HEAD + 2];
	size_t used;
	int n = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nX: ");

	memset(text + n, 'x', sizeof(text) - (size_t)n);
	text[MAX_HEAD + 1] = '\0';
	memcpy(text + MAX_HEAD - 4, "\r\n\r\n", 4); /* exactly as long as it may be */
	ck_assert_int_eq(feed(text, (size_t)_i, &used), HTTP_DONE);
	ck_assert_uint_eq(used, MAX_HEAD);
	http_reader_reset(reader);
	memcpy(text + MAX_HEAD - 4, "x\r\n\r\n", 5);
	ck_assert_int_eq(feed(text, (size_t)_i, &used), HTTP_TOO_LARGE);
}
END_TEST

/* The library has a limit of its own, 80 KiB, which is none of ours. */
START_TEST(the_limit_may_be_large)
{
	struct http_reader *big = http_reader_new(1 << 20);
	struct buf text;
	size_t used;

	buf_init(&text, 1 << 20);
	buf_addf(&text, "GET / HTTP/1.1\r\nX: ");
	while (text.n < (1 << 20) - 4)
		buf_add_char(&text, 'x');
	buf_addf(&text, "\r\n\r\n");
	ck_assert_int_eq(http_reader_feed(big, buf_span(&text), &used), HTTP_DONE);
	ck_assert_uint_eq(used, 1 << 20);
	http_reader_free(big);
	buf_fini(&text);
}
END_TEST

START_TEST(header_fields_have_a_limit)
{
	struct http_reader *big = http_reader_new(65536);
	struct buf text;
	size_t used;

	buf_init(&text, 65536);
	buf_addf(&text, "GET / HTTP/1.1\r\n");
	for (int i = 0; i < HTTP_HEADERS_MAX; i++)
		buf_addf(&text, "X-%d: %d\r\n", i, i);
	buf_addf(&text, "\r\n");
	ck_assert_int_eq(http_reader_feed(big, buf_span(&text), &used), HTTP_DONE);
	ck_assert_uint_eq(http_reader_request(big)->headers_n, HTTP_HEADERS_MAX);
	http_reader_reset(big);
	text.n -= 2;
	buf_addf(&text, "One-more: x\r\n\r\n");
	ck_assert_int_eq(http_reader_feed(big, buf_span(&text), &used), HTTP_TOO_LARGE);
	http_reader_free(big);
	buf_fini(&text);
}
END_TEST

/* RFC 6455, 1.2 and 1.3. */
START_TEST(the_handshake_of_the_rfc)
{
	const struct http_request *q = parse(HANDSHAKE);
	struct http_upgrade up;
	int status = 0;
	struct buf out;

	buf_init(&out, 4096);
	ck_assert_int_eq(http_upgrade_check(q, &up, &status, NULL), OK);
	ck_assert(up.offers_any);
	ck_assert(!up.offers_sysrt_v1);
	http_add_upgrade(&out, &up);
	ck_assert(span_is(buf_span(&out), "HTTP/1.1 101 Switching Protocols\r\n"
					  "Upgrade: websocket\r\n"
					  "Connection: Upgrade\r\n"
					  "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
					  "\r\n"));
	buf_fini(&out);
}
END_TEST

#define KEY     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define UPGRADE "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"

START_TEST(our_subprotocol_is_chosen)
{
	struct http_upgrade up;
	int status = 0;
	struct buf out;

	buf_init(&out, 4096);
	ck_assert_int_eq(http_upgrade_check(parse("GET /ws HTTP/1.1\r\n" UPGRADE KEY VERSION
						  "Sec-WebSocket-Protocol: other\r\n"
						  "Sec-WebSocket-Protocol: more, sysrt.v1\r\n\r\n"),
				 &up, &status, NULL),
		OK);
	ck_assert(up.offers_sysrt_v1);
	http_add_upgrade(&out, &up);
	buf_add_char(&out, '\0');
	ck_assert_ptr_nonnull(strstr(out.p, "\r\nSec-WebSocket-Protocol: sysrt.v1\r\n\r\n"));
	ck_assert_int_eq(
		http_upgrade_check(parse("GET /ws HTTP/1.1\r\n" UPGRADE KEY VERSION "\r\n"), &up,
			&status, NULL),
		OK);
	ck_assert(!up.offers_any);
	ck_assert_int_eq(http_upgrade_check(parse("GET /ws HTTP/1.1\r\n" UPGRADE KEY VERSION
						  "Sec-WebSocket-Protocol: SYSRT.v1\r\n\r\n"),
				 &up, &status, NULL),
		OK);
	ck_assert(!up.offers_sysrt_v1); /* names of subprotocols have their letter case */
	buf_fini(&out);
}
END_TEST

static const struct {
	const char *text;
	int status;
} bad_upgrades[] = {
	{"POST /ws HTTP/1.1\r\n" UPGRADE KEY VERSION "\r\n",                               405},
	{"GET /ws HTTP/1.0\r\n" UPGRADE KEY VERSION "\r\n",                                400},
	{"GET /ws HTTP/1.1\r\n" KEY VERSION "\r\n",                                        426},
	{"GET /ws HTTP/1.1\r\nUpgrade: h2c\r\nConnection: upgrade\r\n" KEY VERSION "\r\n", 426},
	{"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n" KEY VERSION "\r\n",                  400},
	{"GET /ws HTTP/1.1\r\n" UPGRADE KEY "\r\n",                                        426},
	{"GET /ws HTTP/1.1\r\n" UPGRADE KEY "Sec-WebSocket-Version: 8\r\n\r\n",            426},
	{"GET /ws HTTP/1.1\r\n" UPGRADE KEY VERSION VERSION "\r\n",                        426},
	{"GET /ws HTTP/1.1\r\n" UPGRADE VERSION "\r\n",                                    400},
	{"GET /ws HTTP/1.1\r\n" UPGRADE KEY KEY VERSION "\r\n",                            400},
	{"GET /ws HTTP/1.1\r\n" UPGRADE VERSION "Sec-WebSocket-Key: short\r\n\r\n",        400},
	{"GET /ws HTTP/1.1\r\n" UPGRADE KEY VERSION "Content-Length: 1\r\n\r\n",           400},
};

START_TEST(bad_handshakes_get_their_status)
{
	for (size_t i = 0; i < sizeof(bad_upgrades) / sizeof(bad_upgrades[0]); i++) {
		struct error error = ERROR_NONE;
		struct http_upgrade up;
		int status = 0;

		ck_assert_int_eq(
			http_upgrade_check(parse(bad_upgrades[i].text), &up, &status, &error),
			ERR_INVALID_REQUEST);
		ck_assert_msg(status == bad_upgrades[i].status, "%s got %d", bad_upgrades[i].text,
			status);
		ck_assert_uint_gt(strlen(error.text), 0);
	}
}
END_TEST

START_TEST(answers)
{
	struct buf out;

	buf_init(&out, 4096);
	http_add_answer(&out, 200, "text/plain", true, NULL, SPAN("ok\n"));
	ck_assert(span_is(buf_span(&out), "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
					  "Content-Length: 3\r\n\r\nok\n"));
	buf_reset(&out);
	http_add_answer(&out, 426, "text/plain", false, "Sec-WebSocket-Version: 13\r\n", SPAN(""));
	ck_assert(span_is(buf_span(&out),
		"HTTP/1.1 426 Upgrade Required\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n"
		"Connection: close\r\nSec-WebSocket-Version: 13\r\n\r\n"));
	buf_fini(&out);
}
END_TEST

static const struct {
	const char *text;
	const char *host; /* NULL: malformed */
	int port;
	bool is_address;
} authorities[] = {
	{"localhost",            "localhost",        -1,    false},
	{"localhost:7117",       "localhost",        7117,  false},
	{"Example.ORG:80",       "Example.ORG",      80,    false},
	{"127.0.0.1",            "127.0.0.1",        -1,    true },
	{"127.0.0.1:0",          "127.0.0.1",        0,     true },
	{"[::1]:65535",          "::1",              65535, true },
	{"[::1]",                "::1",              -1,    true },
	{"[::ffff:127.0.0.1]:1", "::ffff:127.0.0.1", 1,     true },
	{"127.1:5",              "127.1",            5,     false}, /* some would read it as an address: we do not */
	{"0x7f.1",               "0x7f.1",           -1,    false},
	{"a:",		   "a",                -1,    false}, /* RFC 3986, 3.2.3 */
	{"",		     NULL,               0,     false},
	{":80",		  NULL,               0,     false},
	{"a:65536",              NULL,               0,     false},
	{"a:123456",             NULL,               0,     false},
	{"a:-1",		 NULL,               0,     false},
	{"a:8 ",		 NULL,               0,     false},
	{"a b",		  NULL,               0,     false},
	{"a/b",		  NULL,               0,     false},
	{"u@a",		  NULL,               0,     false},
	{"::1",		  NULL,               0,     false},
	{"[::1",		 NULL,               0,     false},
	{"[::1]x",               NULL,               0,     false},
	{"[localhost]",          NULL,               0,     false},
	{"[]",		   NULL,               0,     false},
	{"[fe80::1%eth0]",       NULL,               0,     false},
};

static bool
is_split(struct span text)
{
	struct span host;
	bool is_address;
	int port;

	return http_authority_split(text, &host, &port, &is_address);
}

START_TEST(authorities_are_split)
{
	for (size_t i = 0; i < sizeof(authorities) / sizeof(authorities[0]); i++) {
		const char *text = authorities[i].text;
		struct span host;
		bool is_address, good;
		int port;

		good = http_authority_split(span_of(text), &host, &port, &is_address);
		ck_assert_msg(good == (authorities[i].host != NULL), "%s", text);
		if (!good)
			continue;
		ck_assert_msg(span_is(host, authorities[i].host), "%s", text);
		ck_assert_msg(port == authorities[i].port, "%s", text);
		ck_assert_msg(is_address == authorities[i].is_address, "%s", text);
	}
	ck_assert(!is_split(SPAN("a\0b")));
	ck_assert(!is_split(SPAN("[::1\0@]:80")));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("http");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_loop_test(t, good_heads, 1, 250);
	tcase_add_test(t, absolute_targets_have_an_authority);
	tcase_add_test(t, header_values);
	tcase_add_loop_test(t, bad_heads_are_refused_with_a_reason, 1, 40);
	tcase_add_loop_test(t, heads_have_a_limit, 1, 20);
	tcase_add_test(t, the_limit_may_be_large);
	tcase_add_test(t, header_fields_have_a_limit);
	tcase_add_test(t, the_handshake_of_the_rfc);
	tcase_add_test(t, our_subprotocol_is_chosen);
	tcase_add_test(t, bad_handshakes_get_their_status);
	tcase_add_test(t, answers);
	tcase_add_test(t, authorities_are_split);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
