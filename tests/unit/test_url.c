/*
 * URLs of WebSockets: what is one and what it says, what is none and why, and the
 * references of redirects, by the examples of RFC 3986, 5.4.
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/url.h"

static const struct {
	const char *text;
	const char *host;
	unsigned port;
	bool is_tls;
	bool is_address;
	const char *authority;
	const char *target;
} good[] = {
	{"ws://example.com",                   "example.com",    80,   false, false, "example.com",     "/"    },
	{"wss://example.com",                  "example.com",    443,  true,  false, "example.com",     "/"    },
	{"WSS://Example.COM:443/Path",         "example.com",    443,  true,  false, "example.com",     "/Path"},
	{"wss://example.com:/",                "example.com",    443,  true,  false, "example.com",     "/"    },
	{"ws://example.com:443/a/b?c=d/e?f@g", "example.com",    443,  false, false, "example.com:443",
         "/a/b?c=d/e?f@g"										      },
	{"wss://example.com?x=1",              "example.com",    443,  true,  false, "example.com",     "/?x=1"},
	{"ws://127.0.0.1:7117/ws",             "127.0.0.1",      7117, false, true,  "127.0.0.1:7117",  "/ws"  },
	{"ws://[::1]:7117/ws",                 "::1",            7117, false, true,  "[::1]:7117",      "/ws"  },
	{"wss://[2001:DB8::1]",                "2001:db8::1",    443,  true,  true,  "[2001:db8::1]",   "/"    },
	{"ws://a_b-c.example./%20",            "a_b-c.example.", 80,   false, false, "a_b-c.example.",  "/%20" },
};

START_TEST(parts)
{
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct error error = ERROR_NONE;
		char authority[URL_AUTHORITY_SIZE];
		struct url u;

		ck_assert_msg(url_parse(span_of(good[i].text), &u, &error) == OK, "%s: %s",
			good[i].text, error.text);
		ck_assert_str_eq(u.host, good[i].host);
		ck_assert_uint_eq(u.port, good[i].port);
		ck_assert_int_eq(u.is_tls, good[i].is_tls);
		ck_assert_int_eq(u.is_address, good[i].is_address);
		ck_assert_str_eq(u.target, good[i].target);
		url_authority(&u, authority);
		ck_assert_str_eq(authority, good[i].authority);
	}
}
END_TEST

START_TEST(printing_and_parsing_give_the_same)
{
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct url u, again;
		struct buf text;

		buf_init(&text, URL_MAX);
		ck_assert_int_eq(url_parse(span_of(good[i].text), &u, NULL), OK);
		url_add(&text, &u);
		ck_assert_int_eq(url_parse(buf_span(&text), &again, NULL), OK);
		ck_assert_int_eq(u.is_tls, again.is_tls);
		ck_assert(url_is_same_server(&u, &again));
		ck_assert_str_eq(u.target, again.target);
		buf_fini(&text);
	}
}
END_TEST

static const struct {
	struct span text;
	const char *why; /* in the message */
} bad[] = {
	{{"", 0},		     "must begin with ws:// or wss://"},
	{{"example.com", 11},         "must begin with"                },
	{{"https://example.com", 19}, "must begin with"                },
	{{"ws:/example.com", 15},     "must begin with"                },
	{{"ws://", 5},                "no host"                        },
	{{"ws:///path", 10},          "no host"                        },
	{{"ws://?x", 7},              "no host"                        },
	{{"ws://:80/", 9},            "no host with"                   },
	{{"ws://me:pw@host/", 16},    "no user and no password"        },
	{{"ws://me@host/", 13},       "no user and no password"        },
	{{"ws://host/#part", 15},     "no fragment"                    },
	{{"ws://host:0/", 12},        "no host with"                   },
	{{"ws://host:65536/", 16},    "no host with"                   },
	{{"ws://host:8o/", 13},       "no host with"                   },
	{{"ws://[::1/", 10},          "no host with"                   },
	{{"ws://::1/", 9},            "no host with"                   },
	{{"ws://[::1%25eth0]/", 18},  "no host with"                   },
	{{"ws://ho\\st/", 11},        "no host with"                   },
	{{"ws://h\xc3\xb6st/", 11},   "neither spaces nor letters"     },
	{{"ws://host/a b", 13},       "neither spaces nor letters"     },
	{{" ws://host/", 11},         "neither spaces nor letters"     },
	{{"ws://host/\r\nX: y", 16},  "neither spaces nor letters"     },
	{{"ws://ho\0st/", 11},        "neither spaces nor letters"     },
};

START_TEST(what_is_none)
{
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct error error = ERROR_NONE;
		struct url u;

		ck_assert_msg(url_parse(bad[i].text, &u, &error) == ERR_INVALID_ARGUMENT, "%zu", i);
		ck_assert_msg(strstr(error.text, bad[i].why) != NULL, "%zu: %s", i, error.text);
	}
}
END_TEST

START_TEST(too_long)
{
	struct error error = ERROR_NONE;
	char text[URL_MAX + 2];
	struct url u;

	snprintf(text, sizeof(text), "ws://h?");
	memset(text + 7, 'x', sizeof(text) - 8);
	text[sizeof(text) - 1] = '\0';
	ck_assert_int_eq(url_parse(span_of(text), &u, &error), ERR_INVALID_ARGUMENT);
	ck_assert_ptr_nonnull(strstr(error.text, "longer than"));
	text[URL_MAX] = '\0';
	ck_assert_int_eq(url_parse(span_of(text), &u, &error), OK);
	ck_assert_uint_eq(strlen(u.target), URL_MAX - 5);
	memcpy(text, "ws://", 5);
	memset(text + 5, 'h', URL_HOST_MAX + 1);
	text[5 + URL_HOST_MAX + 1] = '\0';
	ck_assert_int_eq(url_parse(span_of(text), &u, &error), ERR_INVALID_ARGUMENT);
	text[5 + URL_HOST_MAX] = '\0';
	ck_assert_int_eq(url_parse(span_of(text), &u, &error), OK);
}
END_TEST

/* RFC 3986, 5.4, and what else servers say. */
static const struct {
	const char *reference;
	const char *meant; /* NULL: it is refused */
} references[] = {
	{"g",		      "ws://a/b/c/g"       },
	{"./g",		    "ws://a/b/c/g"       },
	{"g/",		     "ws://a/b/c/g/"      },
	{"/g",		     "ws://a/g"           },
	{"//g",		    "ws://g/"            },
	{"?y",		     "ws://a/b/c/d;p?y"   },
	{"g?y",		    "ws://a/b/c/g?y"     },
	{"#s",		     "ws://a/b/c/d;p?q"   },
	{"g#s",		    "ws://a/b/c/g"       },
	{";x",		     "ws://a/b/c/;x"      },
	{"",		       "ws://a/b/c/d;p?q"   },
	{".",		      "ws://a/b/c/"        },
	{"..",		     "ws://a/b/"          },
	{"../g",		   "ws://a/b/g"         },
	{"../..",		  "ws://a/"            },
	{"../../../g",             "ws://a/g"           },
	{"/./g",		   "ws://a/g"           },
	{"/../g",		  "ws://a/g"           },
	{"g.",		     "ws://a/b/c/g."      },
	{"..g",		    "ws://a/b/c/..g"     },
	{"./g/.",		  "ws://a/b/c/g/"      },
	{"g;x=1/../y",             "ws://a/b/c/y"       },
	{"g?y/../x",               "ws://a/b/c/g?y/../x"},
	{"ws://x.example/y",       "ws://x.example/y"   },
	{"wss://x.example:1/../y", "wss://x.example:1/y"},
	{"http://x.example/y",     "ws://x.example/y"   },
	{"HTTPS://x.example",      "wss://x.example/"   },
	{"/b:c",		   "ws://a/b:c"         },
	{"ftp://x.example/",       NULL                 },
	{"g:h",		    NULL                 },
	{"https:g",                NULL                 },
	{"//u@g/",                 NULL                 },
	{"/a b",		   NULL                 },
	{"http:///",               NULL                 },
};

START_TEST(what_references_mean)
{
	struct url base;

	ck_assert_int_eq(url_parse(SPAN("ws://a/b/c/d;p?q"), &base, NULL), OK);
	for (size_t i = 0; i < sizeof(references) / sizeof(references[0]); i++) {
		struct span reference = span_of(references[i].reference);
		struct error error = ERROR_NONE;
		struct buf text;
		struct url u;
		enum err e = url_resolve(&base, reference, &u, &error);

		if (references[i].meant == NULL) {
			ck_assert_msg(e != OK, "%s", references[i].reference);
			ck_assert_int_eq(error.code, e);
			continue;
		}
		ck_assert_msg(e == OK, "%s: %s", references[i].reference, error.text);
		buf_init(&text, URL_MAX);
		url_add(&text, &u);
		ck_assert_msg(span_is(buf_span(&text), references[i].meant), "%s: %.*s",
			references[i].reference, SPAN_FMT(text));
		buf_fini(&text);
	}
	ck_assert_int_eq(url_resolve(&base, SPAN("/x"), &base, NULL), OK);
	ck_assert_str_eq(base.target, "/x");
}
END_TEST

START_TEST(same_servers)
{
	struct url a, b;

	url_parse(SPAN("ws://host:443/x"), &a, NULL);
	url_parse(SPAN("wss://HOST/y"), &b, NULL);
	ck_assert(url_is_same_server(&a, &b));
	url_parse(SPAN("ws://host/x"), &a, NULL);
	ck_assert(!url_is_same_server(&a, &b));
	url_parse(SPAN("wss://other/x"), &a, NULL);
	ck_assert(!url_is_same_server(&a, &b));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("url");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(t, parts);
	tcase_add_test(t, printing_and_parsing_give_the_same);
	tcase_add_test(t, what_is_none);
	tcase_add_test(t, too_long);
	tcase_add_test(t, what_references_mean);
	tcase_add_test(t, same_servers);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
