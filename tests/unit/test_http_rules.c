/*
 * The rules for Host and Origin, over heads that the real reader parsed.
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/net/http.h"

#define PORT 7117

static char host_a[] = "sysrt.example", host_b[] = "Other.example:8443";
static char origin_a[] = "https://app.example", origin_b[] = "http://dev.example:3000";
static char origin_c[] = "http://[::1]:9", star[] = "*";
static char *hosts[] = {host_a, host_b};
static char *origins[] = {origin_a, origin_b, origin_c};
static char *any[] = {star};

static struct conf closed = {0};
static struct conf open_to_some = {
	.websocket = {
		      .hosts = {hosts, 2},
		      .origins = {origins, 3},
		      }
};
static struct conf open_to_all = {.websocket = {.origins = {any, 1}}};

static struct error error;
static const char *scheme; /* that a proxy told; NULL: none */
static bool is_tls;

/** Checks a head by one of the rules. */
static enum err
judge_head(const struct conf *conf, bool by_origin, const char *head)
{
	struct http_here here = {.port = PORT, .is_tls = is_tls, .proxy_scheme = scheme};
	struct http_reader *r = http_reader_new(4096);
	size_t used;
	enum err e;

	ck_assert_int_eq(http_reader_feed(r, span_of(head), &used), HTTP_DONE);
	error = ERROR_NONE;
	e = by_origin ? http_origin_check(http_reader_request(r), &here, conf, &error)
		      : http_host_check(http_reader_request(r), conf, &error);
	http_reader_free(r);
	ck_assert_int_eq(error.code, e);
	return e;
}

/** Checks a request of these header lines. */
static enum err
judge(const struct conf *conf, bool by_origin, const char *version, const char *headers)
{
	char head[1024];

	snprintf(head, sizeof(head), "GET /ws HTTP/%s\r\n%s\r\n", version, headers);
	return judge_head(conf, by_origin, head);
}

static const struct {
	const char *headers;
	enum err closed;
	enum err open_to_some;
} host_rows[] = {
	{"Host: localhost:7117\r\n",               OK,                    OK                   },
	{"Host: LOCALHOST\r\n",                    OK,                    OK                   },
	{"Host: 127.0.0.1:7117\r\n",               OK,                    OK                   },
	{"Host: [::1]:7117\r\n",                   OK,                    OK                   },
	{"Host: 192.0.2.7\r\n",                    OK,                    OK                   },
	{"Host: evil.example:7117\r\n",            ERR_PERMISSION_DENIED, ERR_PERMISSION_DENIED},
	{"Host: localhost.evil.example\r\n",       ERR_PERMISSION_DENIED, ERR_PERMISSION_DENIED},
	{"Host: 127.0.0.1.evil.example\r\n",       ERR_PERMISSION_DENIED, ERR_PERMISSION_DENIED},
	{"Host: Sysrt.Example:1\r\n",              ERR_PERMISSION_DENIED, OK                   },
	{"Host: x.sysrt.example\r\n",              ERR_PERMISSION_DENIED, ERR_PERMISSION_DENIED},
	{"Host: other.example:8443\r\n",           ERR_PERMISSION_DENIED, OK                   },
	{"Host: other.example\r\n",                ERR_PERMISSION_DENIED, ERR_PERMISSION_DENIED},
	{"Host: other.example:8444\r\n",           ERR_PERMISSION_DENIED, ERR_PERMISSION_DENIED},
	{"",				       ERR_INVALID_REQUEST,   ERR_INVALID_REQUEST  },
	{"Host: localhost\r\nHost: localhost\r\n", ERR_INVALID_REQUEST,   ERR_INVALID_REQUEST  },
	{"Host:\r\n",			      ERR_INVALID_REQUEST,   ERR_INVALID_REQUEST  },
	{"Host: user@localhost\r\n",               ERR_INVALID_REQUEST,   ERR_INVALID_REQUEST  },
	{"Host: localhost.\r\n",                   ERR_PERMISSION_DENIED, ERR_PERMISSION_DENIED},
	{"Host: 127.0.0.1.\r\n",                   ERR_PERMISSION_DENIED, ERR_PERMISSION_DENIED},
	{"Host: localhost:x\r\n",                  ERR_INVALID_REQUEST,   ERR_INVALID_REQUEST  },
};

START_TEST(hosts_are_judged)
{
	for (size_t i = 0; i < sizeof(host_rows) / sizeof(host_rows[0]); i++) {
		ck_assert_msg(
			judge(&closed, false, "1.1", host_rows[i].headers) == host_rows[i].closed,
			"%s", host_rows[i].headers);
		ck_assert_msg(judge(&open_to_some, false, "1.1", host_rows[i].headers) ==
				      host_rows[i].open_to_some,
			"%s", host_rows[i].headers);
	}
	judge(&closed, false, "1.1", "Host: evil.example\r\n");
	ck_assert_ptr_nonnull(strstr(error.text, "websocket.hosts"));
	ck_assert_int_eq(judge(&closed, false, "1.0", ""), OK);
	ck_assert_int_eq(
		judge(&closed, false, "1.0", "Host: evil.example\r\n"), ERR_PERMISSION_DENIED);
}
END_TEST

#define DENIED ERR_PERMISSION_DENIED

/* RFC 9112, 3.2.2: of an absolute target the host counts, whatever the header says; but there must
 * be a good header all the same. */
static const struct {
	const char *target;
	const char *headers;
	enum err host;
	enum err origin;
} absolute_rows[] = {
	{"http://localhost:7117/ws",         "Host: localhost:7117\r\n",                                  OK,                  OK},
	{"http://localhost:7117/ws",         "Host: evil.example\r\n",                                    OK,                  OK},
	{"http://evil.example/ws",           "Host: localhost:7117\r\n",                                  DENIED,              OK},
	{"http://evil.example/ws",           "",							  ERR_INVALID_REQUEST, OK},
	{"http://localhost@evil.example/ws", "Host: localhost\r\n",                                       ERR_INVALID_REQUEST, OK},
	{"http://localhost:7117/ws",         "Host: localhost:8\r\nOrigin: http://localhost:7117\r\n",    OK,
         OK														      },
	{"http://localhost:8/ws",            "Host: localhost:7117\r\nOrigin: http://localhost:7117\r\n", OK,
         DENIED														  },
};

START_TEST(absolute_targets_are_judged)
{
	for (size_t i = 0; i < sizeof(absolute_rows) / sizeof(absolute_rows[0]); i++) {
		char head[1024];

		snprintf(head, sizeof(head), "GET %s HTTP/1.1\r\n%s\r\n", absolute_rows[i].target,
			absolute_rows[i].headers);
		ck_assert_msg(
			judge_head(&closed, false, head) == absolute_rows[i].host, "%s", head);
		ck_assert_msg(
			judge_head(&closed, true, head) == absolute_rows[i].origin, "%s", head);
	}
}
END_TEST

static const struct {
	const char *headers;
	enum err closed;
	enum err open_to_some;
	enum err open_to_all;
} origin_rows[] = {
	{"Host: localhost:7117\r\n",				     OK,     OK,     OK    },
	{"Host: localhost:7117\r\nOrigin: http://localhost:7117\r\n",    OK,     OK,     OK    },
	{"Host: LOCALHOST:7117\r\nOrigin: HTTP://localhost:7117\r\n",    OK,     OK,     OK    },
	{"Host: [::1]:7117\r\nOrigin: http://[::1]:7117\r\n",            OK,     OK,     OK    },
	{"Host: localhost:7117\r\nOrigin: http://localhost:8080\r\n",    DENIED, DENIED, OK    },
	{"Host: localhost:8080\r\nOrigin: http://localhost:8080\r\n",    DENIED, DENIED, OK    },
	{"Host: localhost:8080\r\nOrigin: http://localhost:7117\r\n",    DENIED, DENIED, OK    },
	{"Host: localhost:7117\r\nOrigin: http://localhost\r\n",         DENIED, DENIED, OK    },
	{"Host: localhost\r\nOrigin: http://localhost\r\n",              DENIED, DENIED, OK    },
	{"Host: localhost:7117\r\nOrigin: https://localhost:7117\r\n",   DENIED, DENIED, OK    },
	{"Host: localhost:7117\r\nOrigin: http://127.0.0.1:7117\r\n",    DENIED, DENIED, OK    },
	{"Host: localhost:7117\r\nOrigin: http://evil.example:7117\r\n", DENIED, DENIED, OK    },
	{"Host: localhost:7117\r\nOrigin: https://app.example\r\n",      DENIED, OK,     OK    },
	{"Host: localhost:7117\r\nOrigin: https://APP.example:443\r\n",  DENIED, OK,     OK    },
	{"Host: localhost:7117\r\nOrigin: http://app.example\r\n",       DENIED, DENIED, OK    },
	{"Host: localhost:7117\r\nOrigin: https://app.example:8443\r\n", DENIED, DENIED, OK    },
	{"Host: localhost:7117\r\nOrigin: http://dev.example:3000\r\n",  DENIED, OK,     OK    },
	{"Host: localhost:7117\r\nOrigin: http://dev.example\r\n",       DENIED, DENIED, OK    },
	{"Host: localhost:7117\r\nOrigin: http://[::1]:9\r\n",           DENIED, OK,     OK    },
	{"Host: localhost:7117\r\nOrigin: null\r\n",                     DENIED, DENIED, DENIED},
	{"Host: localhost:7117\r\nOrigin:\r\n",                          DENIED, DENIED, DENIED},
	{"Host: localhost:7117\r\nOrigin: http://localhost:7117/\r\n",   DENIED, DENIED, DENIED},
	{"Host: localhost:7117\r\nOrigin: http://localhost:7117\r\n"
	 "Origin: http://localhost:7117\r\n",		   DENIED, DENIED, DENIED},
};

START_TEST(origins_are_judged)
{
	for (size_t i = 0; i < sizeof(origin_rows) / sizeof(origin_rows[0]); i++) {
		const char *headers = origin_rows[i].headers;

		ck_assert_msg(judge(&closed, true, "1.1", headers) == origin_rows[i].closed, "%s",
			headers);
		ck_assert_msg(
			judge(&open_to_some, true, "1.1", headers) == origin_rows[i].open_to_some,
			"%s", headers);
		ck_assert_msg(
			judge(&open_to_all, true, "1.1", headers) == origin_rows[i].open_to_all,
			"%s", headers);
	}
	judge(&closed, true, "1.1", "Host: localhost:7117\r\nOrigin: http://evil.example\r\n");
	ck_assert_ptr_nonnull(strstr(error.text, "websocket.origins"));
	ck_assert_ptr_nonnull(strstr(error.text, "http://evil.example"));
}
END_TEST

/* Behind a proxy the page's origin is what that was asked by. */
static const struct {
	const char *told;
	const char *headers;
	enum err result;
} proxied[] = {
	{"https", "Host: a.example\r\nOrigin: https://a.example\r\n",           OK                   },
	{"https", "Host: a.example:8443\r\nOrigin: https://a.example:8443\r\n", OK                   },
	{"http",  "Host: a.example\r\nOrigin: http://a.example\r\n",            OK                   },
	{"https", "Host: a.example\r\nOrigin: http://a.example\r\n",            ERR_PERMISSION_DENIED},
	{"https", "Host: a.example\r\nOrigin: https://b.example\r\n",           ERR_PERMISSION_DENIED},
	{"https", "Host: a.example\r\nOrigin: https://a.example:8443\r\n",      ERR_PERMISSION_DENIED},
	{"https", "Host: a.example\r\nOrigin: null\r\n",                        ERR_PERMISSION_DENIED},
	{"https", "Host: a.example\r\n",                                        OK                   },
};

START_TEST(origins_behind_a_proxy)
{
	for (size_t i = 0; i < sizeof(proxied) / sizeof(proxied[0]); i++) {
		scheme = proxied[i].told;
		ck_assert_msg(judge(&closed, true, "1.1", proxied[i].headers) == proxied[i].result,
			"%zu", i);
	}
	scheme = NULL;
}
END_TEST

/* With TLS the listener's own page is an https one. */
static const struct {
	const char *headers;
	enum err result;
} encrypted[] = {
	{"Host: localhost:7117\r\nOrigin: https://localhost:7117\r\n", OK                   },
	{"Host: localhost:7117\r\nOrigin: http://localhost:7117\r\n",  ERR_PERMISSION_DENIED},
	{"Host: localhost:7117\r\nOrigin: https://localhost\r\n",      ERR_PERMISSION_DENIED},
	{"Host: localhost\r\nOrigin: https://localhost\r\n",           ERR_PERMISSION_DENIED},
	{"Host: localhost:8443\r\nOrigin: https://localhost:8443\r\n", ERR_PERMISSION_DENIED},
	{"Host: localhost:7117\r\n",                                   OK                   },
};

START_TEST(origins_with_tls)
{
	is_tls = true;
	for (size_t i = 0; i < sizeof(encrypted) / sizeof(encrypted[0]); i++)
		ck_assert_msg(
			judge(&closed, true, "1.1", encrypted[i].headers) == encrypted[i].result,
			"%zu", i);
	is_tls = false;
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("http_rules");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(t, hosts_are_judged);
	tcase_add_test(t, absolute_targets_are_judged);
	tcase_add_test(t, origins_are_judged);
	tcase_add_test(t, origins_behind_a_proxy);
	tcase_add_test(t, origins_with_tls);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
