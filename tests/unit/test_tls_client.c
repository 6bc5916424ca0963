/*
 * TLS as a client, with our own server at the other end, by memory: which certificates
 * are believed, what is said about those that are not, and data in both directions.
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/net/tls.h"
#include "tests/unit/tls_rig.h"

static struct tls_context *here, *there;
static struct tls *client, *server;
static struct buf to_server, to_client, heard_here, heard_there;

static void
set_up(void)
{
	rig_init();
	buf_init(&to_server, SIZE_MAX);
	buf_init(&to_client, SIZE_MAX);
	buf_init(&heard_here, SIZE_MAX);
	buf_init(&heard_there, SIZE_MAX);
}

static void
tear_down(void)
{
	tls_free(client);
	tls_free(server);
	client = server = NULL;
	tls_context_unref(here);
	tls_context_unref(there);
	here = there = NULL;
	buf_fini(&to_server);
	buf_fini(&to_client);
	buf_fini(&heard_here);
	buf_fini(&heard_there);
	rig_fini();
}

static struct tls_context *
open_server(const char *name)
{
	char cert[64], key[64];
	struct tls_files files = {.client_ca = ""};
	struct tls_context *x = NULL;
	struct error error = ERROR_NONE;

	snprintf(cert, sizeof(cert), "%s.crt", name);
	snprintf(key, sizeof(key), "%s.key", name);
	files.cert = rig_path(cert);
	files.key = rig_path(key);
	ck_assert_msg(tls_context_open(&files, &x, &error) == OK, "%s", error.text);
	return x;
}

/** Both talk until nothing more is said, in pieces of this size. */
static void
talk(size_t piece)
{
	while (to_server.n > 0 || to_client.n > 0) {
		size_t n = to_server.n < piece ? to_server.n : piece;

		tls_take(server, (struct span){to_server.p, n}, &heard_there, &to_client);
		buf_consume(&to_server, n);
		n = to_client.n < piece ? to_client.n : piece;
		tls_take(client, (struct span){to_client.p, n}, &heard_here, &to_server);
		buf_consume(&to_client, n);
	}
}

/** A client that wants `host`, and a server that shows a certificate. */
static void
meet(const char *host, const char *ca, const char *certificate, size_t piece)
{
	struct error error = ERROR_NONE;

	ck_assert_msg(tls_context_open_client(ca, &here, &error) == OK, "%s", error.text);
	there = open_server(certificate);
	server = tls_new(there);
	client = tls_new_client(here, host, &to_server);
	ck_assert_int_eq(tls_state(client), TLS_SHAKING);
	ck_assert_uint_gt(to_server.n, 0);
	talk(piece);
}

START_TEST(data_goes_both_ways)
{
	rig_make_for("good", "DNS:sysrt.example", -1, 1, false);
	meet("sysrt.example", rig_path("ca.crt"), "good", (size_t)_i);
	ck_assert_int_eq(tls_state(client), TLS_OPEN);
	ck_assert_int_eq(tls_state(server), TLS_OPEN);
	ck_assert_str_eq(tls_version(client), "TLSv1.3");
	ck_assert(!tls_is_distrusted(client));
	ck_assert_ptr_null(tls_client(client));
	ck_assert(tls_seal(client, SPAN("question"), &to_server));
	ck_assert(tls_seal(server, SPAN("answer"), &to_client));
	talk((size_t)_i);
	ck_assert(span_is(buf_span(&heard_there), "question"));
	ck_assert(span_is(buf_span(&heard_here), "answer"));
	tls_end(server, &to_client);
	talk((size_t)_i);
	ck_assert_int_eq(tls_state(client), TLS_ENDED);
	tls_end(client, &to_server);
	talk((size_t)_i);
	ck_assert_int_eq(tls_state(server), TLS_ENDED);
}
END_TEST

static const struct {
	const char *host;
	const char *hosts; /* of the certificate */
	int from, to;
	bool is_own;
	bool trusts_it;  /* it alone, not the authority */
	const char *why; /* NULL: it is believed */
} meetings[] = {
	{"a.example",   "DNS:b.example,DNS:a.example",                              -1, 1,  false, false, NULL											},
	{"A.Example.",  "DNS:a.example",					    -1, 1,  false, false, NULL											},
	{"x.b.example", "DNS:*.b.example",                                          -1, 1,  false, false, NULL											},
	{"127.0.0.1",   "IP:127.0.0.1",					     -1, 1,  false, false, NULL											},
	{"::1",         "IP:::1",						   -1, 1,  false, false, NULL											},
	{"a.example",   "DNS:a.example",					    -1, 1,  true,  true,  NULL											},
	{"a.example",   "DNS:b.example,DNS:c.example,IP:10.0.0.1,IP:::2,email:x@y", -1, 1,  false,
         false,											   "the server's certificate is not for a.example, but for b.example, c.example, 10.0.0.1, ::2"},
	{"x.y.example", "DNS:*.example",					    -1, 1,  false, false,
         "is not for x.y.example, but for *.example"																		  },
	{"127.0.0.1",   "DNS:127.0.0.1,IP:127.0.0.2",                               -1, 1,  false, false,
         "is not for 127.0.0.1, but for"																			      },
	{"a.example",   "DNS:a.example",					    -9, -2, false, false,
         "the server's certificate has expired, on 2"																		 },
	{"a.example",   "DNS:a.example",					    2,  9,  false, false,
         "is not valid yet (is the clock right?): from 2"																	     },
	{"a.example",   "DNS:a.example",					    -1, 1,  true,  false,
         "is signed by itself and not one of those trusted here: CN=shown"															    },
};

START_TEST(who_is_believed)
{
	const char *why = meetings[_i].why;
	const char *ca = meetings[_i].trusts_it ? "shown.crt" : "ca.crt";

	rig_make_for("shown", meetings[_i].hosts, meetings[_i].from, meetings[_i].to,
		meetings[_i].is_own);
	meet(meetings[_i].host, rig_path(ca), "shown", SIZE_MAX);
	ck_assert_int_eq(tls_state(client), why == NULL ? TLS_OPEN : TLS_BROKEN);
	ck_assert_int_eq(tls_is_distrusted(client), why != NULL);
	if (why == NULL)
		return;
	ck_assert_msg(strstr(tls_why(client), why) != NULL, "%s", tls_why(client));
	ck_assert_int_eq(tls_state(server), TLS_BROKEN); /* it was told by an alert */
}
END_TEST

START_TEST(an_unknown_authority)
{
	rig_make_for("other-ca", "DNS:x", -1, 1, true);
	rig_make_for("shown", "DNS:a.example", -1, 1, false);
	meet("a.example", rig_path("other-ca.crt"), "shown", SIZE_MAX);
	ck_assert(tls_is_distrusted(client));
	ck_assert_msg(strstr(tls_why(client),
			      "is signed by an authority that is not trusted here: CN=test CA"),
		"%s", tls_why(client));
}
END_TEST

START_TEST(the_systems_authorities_do_not_know_ours)
{
	rig_make_for("shown", "DNS:a.example", -1, 1, false);
	meet("a.example", "", "shown", SIZE_MAX);
	ck_assert(tls_is_distrusted(client));
}
END_TEST

START_TEST(what_is_no_tls)
{
	struct error error = ERROR_NONE;

	ck_assert_int_eq(tls_context_open_client(rig_path("ca.crt"), &here, &error), OK);
	client = tls_new_client(here, "a.example", &to_server);
	ck_assert_int_eq(
		tls_take(client, SPAN("HTTP/1.1 400 Bad Request\r\n\r\n"), &heard_here, &to_server),
		TLS_BROKEN);
	ck_assert_str_eq(tls_why(client), "the server does not speak TLS there");
	ck_assert(!tls_is_distrusted(client));
	tls_free(client);
	client = tls_new_client(here, "a.example", &to_server);
	ck_assert_int_eq(
		tls_take(client, SPAN("\x15\x03\x01\x00\x02\x02\x28"), &heard_here, &to_server),
		TLS_BROKEN);
	ck_assert_ptr_nonnull(strstr(tls_why(client), "handshake failure"));
}
END_TEST

START_TEST(files_that_are_no_authorities)
{
	struct error error = ERROR_NONE;

	ck_assert_int_eq(
		tls_context_open_client(rig_path("none.crt"), &here, &error), ERR_CONFIG_ERROR);
	ck_assert_ptr_nonnull(strstr(error.text, "none.crt: No such file"));
	ck_assert_int_eq(
		tls_context_open_client(rig_path("ca.key"), &here, &error), ERR_CONFIG_ERROR);
	ck_assert_ptr_nonnull(strstr(error.text, "ca.key has no certificates in PEM"));
	ck_assert_int_eq(mkfifo(rig_path("fifo"), 0600), 0);
	ck_assert_int_eq(
		tls_context_open_client(rig_path("fifo"), &here, &error), ERR_CONFIG_ERROR);
	ck_assert_ptr_nonnull(strstr(error.text, "fifo is no file of certificates"));
	ck_assert_int_eq(tls_context_open_client("/dev/zero", &here, &error), ERR_CONFIG_ERROR);
	ck_assert_int_eq(tls_context_open_client("/", &here, &error), ERR_CONFIG_ERROR);
	ck_assert_ptr_null(here);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("tls_client");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_loop_test(t, data_goes_both_ways, 1, 2);
	tcase_add_loop_test(t, data_goes_both_ways, 1000000, 1000001);
	tcase_add_loop_test(t, who_is_believed, 0, sizeof(meetings) / sizeof(meetings[0]));
	tcase_add_test(t, an_unknown_authority);
	tcase_add_test(t, the_systems_authorities_do_not_know_ours);
	tcase_add_test(t, what_is_no_tls);
	tcase_add_test(t, files_that_are_no_authorities);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
