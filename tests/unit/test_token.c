/*
 * Tokens as texts: their shape, their checksum, their hash, and where they are shown.
 */

#include <check.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/guard/bearer.h"
#include "daemon/guard/grant_text.h"
#include "daemon/guard/token.h"

/* The checksum was made by Python: zlib.crc32 of what is before it, in base 62. */
#define KNOWN "sysrt_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg1VbKlk"

static struct error error;
static struct bearer shown;

START_TEST(one_that_is_known)
{
	ck_assert(token_is_whole(SPAN(KNOWN)));
}
END_TEST

START_TEST(new_ones_are_whole_and_differ)
{
	char a[TOKEN_TEXT_SIZE], b[TOKEN_TEXT_SIZE];

	for (int i = 0; i < 1000; i++) {
		token_make(a);
		token_make(b);
		ck_assert_uint_eq(strlen(a), TOKEN_TEXT_SIZE - 1);
		ck_assert(token_is_whole(span_of(a)) && token_is_whole(span_of(b)));
		ck_assert(token_is_in(span_of(a)));
		ck_assert_str_ne(a, b);
	}
}
END_TEST

START_TEST(one_letter_that_is_wrong_is_noticed)
{
	char text[TOKEN_TEXT_SIZE];

	for (size_t i = 0; i < TOKEN_TEXT_SIZE - 1; i++) {
		token_make(text);
		text[i] = text[i] == 'x' ? 'y' : 'x';
		ck_assert_msg(!token_is_whole(span_of(text)), "%zu", i);
	}
}
END_TEST

START_TEST(what_is_none)
{
	static const char *const texts[] = {"", "sysrt_", "sysrt_x", (KNOWN "x"), (" " KNOWN),
		"Sysrt_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg1VbKlk",
		"sysrt_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcde-g1VbKlk"};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		ck_assert_msg(!token_is_whole(span_of(texts[i])), "%s", texts[i]);
	ck_assert(!token_is_in(SPAN("")));
	ck_assert(!token_is_in(SPAN("sysrt-x")));
}
END_TEST

START_TEST(the_hash_is_of_the_text_and_the_key)
{
	unsigned char key[TOKEN_KEY_BYTES] = {1}, other[TOKEN_KEY_BYTES] = {2};
	char a[TOKEN_HASH_SIZE], b[TOKEN_HASH_SIZE];

	token_hash(key, SPAN("a"), a);
	ck_assert_uint_eq(strlen(a), TOKEN_HASH_SIZE - 1);
	token_hash(key, SPAN("a"), b);
	ck_assert_str_eq(a, b);
	token_hash(key, SPAN("b"), b);
	ck_assert_str_ne(a, b);
	token_hash(other, SPAN("a"), b);
	ck_assert_str_ne(a, b);
}
END_TEST

/** What the head of a handshake with these header lines shows. */
static enum err
show(const char *target, const char *headers)
{
	struct http_reader *r = http_reader_new(4096);
	struct http_upgrade up;
	char head[2048];
	size_t used;
	int status;
	enum err e;

	snprintf(head, sizeof(head),
		"GET %s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
		"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n",
		target, headers);
	ck_assert_int_eq(http_reader_feed(r, span_of(head), &used), HTTP_DONE);
	error = ERROR_NONE;
	ck_assert_int_eq(http_upgrade_check(http_reader_request(r), &up, &status, &error), OK);
	e = bearer_read(http_reader_request(r), &up, &shown, &error);
	http_reader_free(r);
	return e;
}

START_TEST(where_a_token_is_shown)
{
	static const struct {
		const char *headers;
		const char *text; /* NULL: none is */
	} cases[] = {
		{"",							       NULL       },
		{"Authorization: Bearer abc\r\n",                                  "abc"      },
		{"authorization: bearer   abc\r\n",                                "abc"      },
		{"Authorization: Basic abc\r\n",                                   NULL       },
		{"Authorization: Bearer \r\n",                                     " "        },
		{"Authorization: Bearerabc\r\n",                                   NULL       },
		{"Sec-WebSocket-Protocol: sysrt.v1\r\n",                           NULL       },
		{"Sec-WebSocket-Protocol: sysrt.v1, "
		 "base64url.bearer.authorization.YWJj\r\n",       "abc"      },
		{"Sec-WebSocket-Protocol: base64url.bearer.authorization.P8O_\r\n"
		 "Sec-WebSocket-Protocol: sysrt.v1\r\n",          "?\303\277"},
		{"Sec-WebSocket-Protocol: base64url.bearer.authorization.\r\n",    " "        },
		{"Sec-WebSocket-Protocol: base64url.bearer.authorization.YW%\r\n", " "        },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ck_assert_msg(show("/ws", cases[i].headers) == OK, "%zu: %s", i, error.text);
		ck_assert_msg(span_eq((struct span){shown.text, shown.n},
				      span_of(cases[i].text != NULL ? cases[i].text : "")),
			"%zu", i);
	}
}
END_TEST

START_TEST(what_is_too_long_is_cut)
{
	char header[1024];
	char text[BEARER_MAX * 2];

	memset(text, 'a', sizeof(text));
	snprintf(header, sizeof(header), "Authorization: Bearer %.*s\r\n", (int)sizeof(text), text);
	ck_assert_int_eq(show("/ws", header), OK);
	ck_assert_uint_eq(shown.n, BEARER_MAX);
	snprintf(header, sizeof(header),
		"Sec-WebSocket-Protocol: base64url.bearer.authorization.%.*s\r\n",
		(int)sizeof(text), text);
	ck_assert_int_eq(show("/ws", header), OK);
	ck_assert_uint_eq(shown.n, 1);
}
END_TEST

START_TEST(a_token_must_not_be_there)
{
	static const struct {
		const char *target;
		const char *headers;
		const char *why;
	} cases[] = {
		{"/ws?token=abc",          "",						       "in a URL" },
		{"/ws?a=b&access_token=x", "",						       "in a URL" },
		{"/ws?x=sysrt_abc",        "",						       "in a URL" },
		{"/ws?token=a",            "Authorization: Bearer a\r\n",                            "in a URL" },
		{"/ws",                    "Authorization: Bearer a\r\nAuthorization: Bearer a\r\n", "more than"},
		{"/ws",
                 "Authorization: Bearer a\r\n"
			"Sec-WebSocket-Protocol: base64url.bearer.authorization.YQ\r\n",             "more than"},
		{"/ws",
                 "Sec-WebSocket-Protocol: base64url.bearer.authorization.YQ, "
			"base64url.bearer.authorization.YQ\r\n",				     "more than"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ck_assert_msg(
			show(cases[i].target, cases[i].headers) == ERR_INVALID_REQUEST, "%zu", i);
		ck_assert_msg(strstr(error.text, cases[i].why) != NULL, "%s", error.text);
		ck_assert_ptr_null(strstr(error.text, "abc"));
	}
	ck_assert_int_eq(show("/ws?page=2", ""), OK);
}
END_TEST

static const struct {
	const char *rate; /* as people write it; "" : none */
	const char *text;
} grants[] = {
	{"",	      "read:a publish"             },
	{"50/s",          "read:a publish rate:50/s"   },
	{"30/m burst 60", "read:a publish rate:30/m+60"},
	{"unlimited",     "read:a publish"             },
};

START_TEST(what_is_granted_is_one_text)
{
	for (size_t i = 0; i < sizeof(grants) / sizeof(grants[0]); i++) {
		struct rate rate = RATE_UNLIMITED, back;
		struct span scopes;
		struct buf text;

		ck_assert(grants[i].rate[0] == '\0' || rate_parse(span_of(grants[i].rate), &rate));
		buf_init(&text, 1024);
		buf_add_span(&text, SPAN("read:a publish"));
		grant_text_add_rate(&text, &rate);
		ck_assert_msg(
			span_is(buf_span(&text), grants[i].text), "%.*s", (int)text.n, text.p);
		ck_assert(grant_text_split(buf_span(&text), &scopes, &back));
		ck_assert(span_is(scopes, "read:a publish"));
		ck_assert(back.count == rate.count && back.period_ms == rate.period_ms &&
			  back.burst == rate.burst);
		buf_fini(&text);
	}
}
END_TEST

START_TEST(a_rate_that_is_none_voids_what_is_granted)
{
	static const char *const bad[] = {"read rate:", "read rate:50", "read rate:50/s ",
		"read rate:50/s+", "read rate:50/s+x", "read rate:50/s+1+2", "read rate:unlimited",
		"read rate:1/s rate:2/s", "read rate:1/s publish",
		"read rate:1/s+0000000000000000000000000000000000000000000000000001"};
	struct span scopes;
	struct rate rate;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!grant_text_split(span_of(bad[i]), &scopes, &rate), "%s", bad[i]);
	ck_assert(
		grant_text_split(SPAN("read:rate:1/s"), &scopes, &rate)); /* a name, if a bad one */
	ck_assert(rate_is_unlimited(&rate));
	ck_assert(grant_text_split(SPAN(""), &scopes, &rate));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("token");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	if (sodium_init() < 0)
		return EXIT_FAILURE;
	tcase_add_test(t, one_that_is_known);
	tcase_add_test(t, new_ones_are_whole_and_differ);
	tcase_add_test(t, one_letter_that_is_wrong_is_noticed);
	tcase_add_test(t, what_is_none);
	tcase_add_test(t, the_hash_is_of_the_text_and_the_key);
	tcase_add_test(t, where_a_token_is_shown);
	tcase_add_test(t, what_is_too_long_is_cut);
	tcase_add_test(t, a_token_must_not_be_there);
	tcase_add_test(t, what_is_granted_is_one_text);
	tcase_add_test(t, a_rate_that_is_none_voids_what_is_granted);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
