/*
 * Addresses, networks, the PROXY protocol and X-Forwarded-For: what is read, and what
 * is refused.
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/guard/proxy.h"

static struct error error;

static void
expect_address(const struct address *a, const char *text)
{
	char out[ADDRESS_TEXT_SIZE];

	address_format(a, false, out);
	ck_assert_str_eq(out, text);
}

START_TEST(addresses_are_read)
{
	static const char *const cases[][2] = {
		{"192.0.2.7",           "192.0.2.7"  },
		{"192.0.2.7:80",        "192.0.2.7"  },
		{"2001:db8::1",         "2001:db8::1"},
		{"[2001:db8::1]",       "2001:db8::1"},
		{"[2001:db8::1]:65535", "2001:db8::1"},
		{"::ffff:192.0.2.7",    "192.0.2.7"  },
		{"::1",                 "::1"        },
	};
	static const char *const bad[] = {"", "x", "192.0.2", "192.0.2.7:", "192.0.2.7:x",
		"192.0.2.7:65536", "192.0.2.256", "[192.0.2.7", "[::1]x", "[::1]:", "::1%lo", "[]",
		"2001:db8::1:1:1:1:1:1:1:1", "unknown", "192.0.2.7 "};
	struct address a;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ck_assert_msg(address_parse(span_of(cases[i][0]), &a), "%s", cases[i][0]);
		expect_address(&a, cases[i][1]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!address_parse(span_of(bad[i]), &a), "%s", bad[i]);
}
END_TEST

START_TEST(loopback_is_known)
{
	static const struct {
		const char *text;
		bool is_loopback;
	} cases[] = {
		{"127.0.0.1",        true },
		{"127.9.9.9",        true },
		{"::ffff:127.0.0.1", true },
		{"::1",              true },
		{"128.0.0.1",        false},
		{"::2",              false},
		{"::",               false},
		{"7f00::1",          false},
	};
	struct address a;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ck_assert(address_parse(span_of(cases[i].text), &a));
		ck_assert_msg(address_is_loopback(&a) == cases[i].is_loopback, "%s", cases[i].text);
	}
}
END_TEST

START_TEST(networks_hold_addresses)
{
	static const struct {
		const char *network;
		const char *address;
		bool has;
	} cases[] = {
		{"192.0.2.7",            "192.0.2.7",        true },
		{"192.0.2.7",            "192.0.2.6",        false},
		{"192.0.2.0/24",         "192.0.2.255",      true },
		{"192.0.2.0/24",         "192.0.3.0",        false},
		{"192.0.2.128/25",       "192.0.2.127",      false},
		{"0.0.0.0/0",            "203.0.113.9",      true },
		{"0.0.0.0/0",            "2001:db8::1",      false},
		{"::/0",                 "203.0.113.9",      true },
		{"2001:db8::/32",        "2001:db8:ffff::1", true },
		{"2001:db8::/33",        "2001:db8:8000::1", false},
		{"192.0.2.0/24",         "::ffff:192.0.2.3", true },
		{"::ffff:192.0.2.0/120", "192.0.2.3",        true },
		{"::ffff:192.0.2.0/120", "192.0.3.3",        false},
	};
	static const char *const bad[] = {"", "/8", "192.0.2.0/33", "192.0.2.0/", "192.0.2.0/x",
		"::/129", "192.0.2.7:80", "[::1]", "example.org", "192.0.2.0/-1", "192.0.2.129/25"};
	struct network n;
	struct address a;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ck_assert(network_parse(span_of(cases[i].network), &n));
		ck_assert(address_parse(span_of(cases[i].address), &a));
		ck_assert_msg(network_holds(&n, &a) == cases[i].has, "%zu", i);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!network_parse(span_of(bad[i]), &n), "%s", bad[i]);
}
END_TEST

#define V2_SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V6_CLIENT    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x09"

static const struct {
	struct span bytes;
	enum proxy_result result;
	size_t used;
	const char *client; /* NULL: it does not say */
} heads[] = {
	{SPAN("PROXY TCP4 192.0.2.7 192.0.2.1 5 7117\r\nGET"),                       PROXY_DONE,      39, "192.0.2.7"  },
	{SPAN("PROXY TCP6 2001:db8::7 ::1 5 7117\r\n"),                              PROXY_DONE,      35, "2001:db8::7"},
	{SPAN("PROXY UNKNOWN\r\n"),						  PROXY_DONE,      15, NULL         },
	{SPAN("PROXY UNKNOWN a b c d\r\nGET"),                                       PROXY_DONE,      23, NULL         },
	{SPAN("PROXY TCP4 x 192.0.2.1 5 7117\r\n"),                                  PROXY_BAD,       0,  NULL         },
	{SPAN("PROXY TCP5 192.0.2.7 192.0.2.1 5 7117\r\n"),                          PROXY_BAD,       0,  NULL         },
	{SPAN("PROXY TCP4 192.0.2.7 192.0.2.1 5 7117\n"),                            PROXY_BAD,       0,  NULL         },
	{SPAN("PROXY"),							      PROXY_NEED_MORE, 0,  NULL         },
	{SPAN("PROXY TCP4 192.0.2.7 192.0.2.1 5 7117\r"),                            PROXY_NEED_MORE, 0,  NULL         },
	{SPAN("GET / HTTP/1.1\r\n"),						 PROXY_BAD,       0,  NULL         },
	{SPAN("P"),								  PROXY_NEED_MORE, 0,  NULL         },
	{SPAN("\r\n\r\nGET"),							PROXY_BAD,       0,  NULL         },
	{SPAN(V2_SIGNATURE),							 PROXY_NEED_MORE, 0,  NULL         },
	{SPAN(V2_SIGNATURE "\x21\x11\0\x0c\xc0\0\x02\x07\xc0\0\x02\x01\0\1\0\2GET"), PROXY_DONE,      28,
         "192.0.2.7"												   },
	{SPAN(V2_SIGNATURE "\x21\x21\0\x24" V6_CLIENT V6_CLIENT "\0\1\0\2"),         PROXY_DONE,      52,
         "2001:db8::9"												 },
	{SPAN(V2_SIGNATURE "\x20\x11\0\x0c\xc0\0\x02\x07\xc0\0\x02\x01\0\1\0\2"),    PROXY_DONE,      28,
         NULL													  },
	{SPAN(V2_SIGNATURE "\x20\0\0\0GET"),                                         PROXY_DONE,      16, NULL         },
	{SPAN(V2_SIGNATURE "\x21\x31\0\1x"),                                         PROXY_DONE,      17, NULL         },
	{SPAN(V2_SIGNATURE "\x21\x11\0\x0b\xc0\0\x02\x07\xc0\0\x02\x01\0\1\0"),      PROXY_BAD,       0,  NULL         },
	{SPAN(V2_SIGNATURE "\x31\x11\0\0"),                                          PROXY_BAD,       0,  NULL         },
	{SPAN(V2_SIGNATURE "\x21\x11\xff\xff"),                                      PROXY_BAD,       0,  NULL         },
	{SPAN(V2_SIGNATURE "\x21\x11\0\x0c\xc0\0\x02"),                              PROXY_NEED_MORE, 0,  NULL         },
};

START_TEST(heads_of_the_proxy_protocol)
{
	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		struct proxy_head head;
		size_t used = 0;

		ck_assert_msg(
			proxy_read(heads[i].bytes, &head, &used) == heads[i].result, "%zu", i);
		if (heads[i].result != PROXY_DONE)
			continue;
		ck_assert_msg(used == heads[i].used, "%zu: %zu", i, used);
		ck_assert_msg(head.has_client == (heads[i].client != NULL), "%zu", i);
		if (head.has_client)
			expect_address(&head.client, heads[i].client);
	}
}
END_TEST

START_TEST(a_line_without_end_is_refused)
{
	char line[200];
	struct proxy_head head;
	size_t used;

	memset(line, 'x', sizeof(line));
	memcpy(line, "PROXY ", 6);
	ck_assert_int_eq(proxy_read((struct span){line, 106}, &head, &used), PROXY_NEED_MORE);
	ck_assert_int_eq(proxy_read((struct span){line, 107}, &head, &used), PROXY_BAD);
}
END_TEST

static const struct {
	const char *headers;
	const char *client; /* NULL: refused */
	const char *scheme; /* NULL: not told */
} forwarded[] = {
	{"",							    "10.0.0.1",    NULL   },
	{"X-Forwarded-For: 192.0.2.7\r\n",                              "192.0.2.7",   NULL   },
	{"X-Forwarded-For: 1.1.1.1, 192.0.2.7\r\n",                     "192.0.2.7",   NULL   },
	{"X-Forwarded-For: 1.1.1.1, 192.0.2.7,10.0.0.2 , 10.0.0.3\r\n", "192.0.2.7",   NULL   },
	{"X-Forwarded-For: 1.1.1.1\r\nx-forwarded-for: 10.0.0.2\r\n",   "1.1.1.1",     NULL   },
	{"X-Forwarded-For: 10.0.0.3, 10.0.0.2\r\n",                     "10.0.0.3",    NULL   },
	{"X-Forwarded-For: [2001:db8::1]:443\r\n",                      "2001:db8::1", NULL   },
	{"X-Forwarded-For: unknown\r\n",                                NULL,          NULL   },
	{"X-Forwarded-For: unknown, 192.0.2.7\r\n",                     "192.0.2.7",   NULL   },
	{"X-Forwarded-For: 192.0.2.7,\r\n",                             NULL,          NULL   },
	{"X-Forwarded-Proto: https\r\n",                                "10.0.0.1",    "https"},
	{"X-Forwarded-Proto: HTTP\r\n",                                 "10.0.0.1",    "http" },
	{"X-Forwarded-Proto: gopher\r\n",                               "10.0.0.1",    NULL   },
	{"X-Forwarded-Proto: http\r\nX-Forwarded-Proto: https\r\n",     "10.0.0.1",    NULL   },
};

START_TEST(what_trusted_proxies_tell)
{
	struct network net;
	struct networks trusted = {&net, 1};

	ck_assert(network_parse(SPAN("10.0.0.0/8"), &net));
	for (size_t i = 0; i < sizeof(forwarded) / sizeof(forwarded[0]); i++) {
		struct http_reader *r = http_reader_new(4096);
		const char *scheme;
		struct address client;
		char head[1024];
		size_t used;
		enum err e;

		snprintf(head, sizeof(head), "GET /ws HTTP/1.1\r\nHost: a\r\n%s\r\n",
			forwarded[i].headers);
		ck_assert_int_eq(http_reader_feed(r, span_of(head), &used), HTTP_DONE);
		ck_assert(address_parse(SPAN("10.0.0.1"), &client));
		e = proxy_find_client(http_reader_request(r), &trusted, &client, &error);
		ck_assert_msg((e == OK) == (forwarded[i].client != NULL), "%zu", i);
		if (e == OK)
			expect_address(&client, forwarded[i].client);
		scheme = proxy_find_scheme(http_reader_request(r));
		ck_assert_msg(span_eq(span_of(scheme), span_of(forwarded[i].scheme)), "%zu", i);
		http_reader_free(r);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("proxy");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(t, addresses_are_read);
	tcase_add_test(t, loopback_is_known);
	tcase_add_test(t, networks_hold_addresses);
	tcase_add_test(t, heads_of_the_proxy_protocol);
	tcase_add_test(t, a_line_without_end_is_refused);
	tcase_add_test(t, what_trusted_proxies_tell);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
