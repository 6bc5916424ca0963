/*
 * TLS without sockets, against OpenSSL's client: hands are shaken and data goes both
 * ways, whatever pieces it comes in; what is none, too long or of no use is refused;
 * files are judged.
 */

#include <check.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/xalloc.h"
#include "tests/unit/tls_rig.h"

#define MANY 3000

static struct tls_context *context;
static struct tls *tls;
static struct rig_client client;
static struct buf plain, out;

static void
start(int version, bool asks_clients, const char *certificate)
{
	context = rig_context(asks_clients);
	tls = tls_new(context);
	rig_client_init(&client, version, certificate);
	buf_init(&plain, SIZE_MAX);
	buf_init(&out, SIZE_MAX);
}

static void
stop(void)
{
	tls_free(tls);
	tls_context_unref(context);
	rig_client_fini(&client);
	buf_fini(&plain);
	buf_fini(&out);
}

/** Carries what the client said to the server, in pieces, and the answer back; while there is
 * something. */
static enum tls_state
carry(size_t piece)
{
	enum tls_state state = tls_state(tls);

	while (client.said.n > 0) {
		for (size_t at = 0; at < client.said.n; at += piece) {
			size_t left = client.said.n - at;

			state = tls_take(tls,
				(struct span){client.said.p + at, left < piece ? left : piece},
				&plain, &out);
		}
		buf_reset(&client.said);
		rig_client_take(&client, buf_span(&out));
		buf_reset(&out);
	}
	return state;
}

static void
shake(int version)
{
	start(version, false, NULL);
	ck_assert_int_eq(carry(SIZE_MAX), TLS_OPEN);
	ck_assert(client.is_open);
}

static bool
holds(const struct buf *b, const char *text)
{
	return b->n == strlen(text) && memcmp(b->p, text, b->n) == 0;
}

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
static const char *const version_names[] = {"TLSv1.2", "TLSv1.3"};

START_TEST(data_goes_both_ways)
{
	static const size_t pieces[] = {1, 7, 1000, SIZE_MAX};

	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		start(versions[_i], false, NULL);
		ck_assert(!tls_is_costly(tls));
		ck_assert_int_eq(carry(pieces[i]), TLS_OPEN);
		ck_assert(!tls_is_costly(tls));
		ck_assert_str_eq(tls_version(tls), version_names[_i]);
		ck_assert_ptr_null(tls_client(tls));
		rig_client_send(&client, SPAN("question"));
		carry(pieces[i]);
		ck_assert(holds(&plain, "question"));
		ck_assert(tls_seal(tls, SPAN("answer"), &out));
		rig_client_take(&client, buf_span(&out));
		ck_assert(holds(&client.heard, "answer"));
		stop();
	}
}
END_TEST

START_TEST(large_data_is_whole)
{
	char *bytes = xcalloc(1, 1 << 20);

	for (size_t i = 0; i < 1 << 20; i++)
		bytes[i] = (char)(i * 7 + (i >> 9));
	shake(versions[_i]);
	rig_client_send(&client, (struct span){bytes, 1 << 20});
	carry(30000);
	ck_assert_uint_eq(plain.n, 1 << 20);
	ck_assert_mem_eq(plain.p, bytes, 1 << 20);
	for (size_t at = 0; at < 1 << 20; at += TLS_PLAIN_MAX)
		ck_assert(tls_seal(tls, (struct span){bytes + at, TLS_PLAIN_MAX}, &out));
	rig_client_take(&client, buf_span(&out));
	ck_assert_uint_eq(client.heard.n, 1 << 20);
	ck_assert_mem_eq(client.heard.p, bytes, 1 << 20);
	free(bytes);
	stop();
}
END_TEST

/** One record for all that is sealed at once. */
START_TEST(one_record)
{
	char *bytes = xcalloc(1, TLS_PLAIN_MAX);

	shake(versions[_i]);
	ck_assert(tls_seal(tls, (struct span){bytes, TLS_PLAIN_MAX}, &out));
	ck_assert_uint_lt(out.n, TLS_PLAIN_MAX + 64);
	ck_assert_uint_eq(
		((size_t)(unsigned char)out.p[3] << 8 | (unsigned char)out.p[4]) + 5, out.n);
	free(bytes);
	stop();
}
END_TEST

START_TEST(the_client_ends)
{
	char *p;
	long n;

	shake(versions[_i]);
	ck_assert_int_eq(SSL_shutdown(client.ssl), 0);
	n = BIO_get_mem_data(SSL_get_wbio(client.ssl), &p);
	ck_assert_int_eq(tls_take(tls, (struct span){p, (size_t)n}, &plain, &out), TLS_ENDED);
	/* What is left to be said still can be. */
	ck_assert(tls_seal(tls, SPAN("last"), &out));
	ck_assert_int_eq(tls_take(tls, SPAN("what comes now"), &plain, &out), TLS_ENDED);
	ck_assert_uint_eq(plain.n, 0);
	stop();
}
END_TEST

START_TEST(we_end)
{
	shake(versions[_i]);
	ck_assert(tls_seal(tls, SPAN("last"), &out));
	tls_end(tls, &out);
	rig_client_take(&client, buf_span(&out));
	ck_assert(holds(&client.heard, "last"));
	ck_assert(client.has_ended);
	/* The client may go on. */
	rig_client_send(&client, SPAN("more"));
	ck_assert_int_eq(tls_take(tls, buf_span(&client.said), &plain, &out), TLS_OPEN);
	ck_assert(holds(&plain, "more"));
	stop();
}
END_TEST

START_TEST(old_versions_are_refused)
{
	static const int old[] = {TLS1_VERSION, TLS1_1_VERSION};

	for (size_t i = 0; i < 2; i++) {
		start(old[i], false, NULL);
		ck_assert_int_eq(carry(SIZE_MAX), TLS_BROKEN);
		ck_assert_ptr_nonnull(strstr(tls_why(tls), "protocol"));
		ck_assert(client.has_failed); /* it was told */
		stop();
	}
}
END_TEST

static const struct {
	struct span input;
	enum tls_state state;
} beginnings[] = {
	{{"GET / HTTP/1.1\r\n", 16},                       TLS_FOREIGN},
	{{"P", 1},					 TLS_FOREIGN},
	{{"\x80\x2e\x01\x00\x02", 5},                      TLS_BROKEN }, /* SSLv2's hello */
	{{"\0\0\0\0", 4},				  TLS_BROKEN },
	{{"\x15\x03\x01\x00\x02\x02\x28", 7},              TLS_BROKEN }, /* an alert */
	{{"\x16\x03\x01\xff\xff\x01", 6},                  TLS_BROKEN }, /* a record that is too long */
	{{"\x16\x03\x01\x01\x00\x01\xff\xff\xff", 9},      TLS_BROKEN }, /* a hello that is too long */
	{{"\x16\x03\x01\x00\x04\x01\x00\x00\x00", 9},      TLS_BROKEN }, /* an empty one */
	{{"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03", 10}, TLS_SHAKING}, /* the beginning of one */
	{{"\x16", 1},				      TLS_SHAKING},
	{{"", 0},					  TLS_SHAKING},
};

START_TEST(beginnings_are_judged)
{
	for (size_t i = 0; i < sizeof(beginnings) / sizeof(beginnings[0]); i++) {
		start(TLS1_3_VERSION, false, NULL);
		ck_assert_msg(
			tls_take(tls, beginnings[i].input, &plain, &out) == beginnings[i].state,
			"%zu", i);
		ck_assert_int_eq(tls_state(tls), beginnings[i].state);
		ck_assert(!tls_is_costly(tls));
		if (beginnings[i].state == TLS_BROKEN)
			ck_assert_ptr_nonnull(tls_why(tls));
		stop();
	}
}
END_TEST

START_TEST(a_flipped_bit_breaks_it)
{
	shake(versions[_i]);
	rig_client_send(&client, SPAN("question"));
	client.said.p[client.said.n - 1] ^= 1;
	ck_assert_int_eq(tls_take(tls, buf_span(&client.said), &plain, &out), TLS_BROKEN);
	ck_assert_uint_eq(plain.n, 0);
	ck_assert_uint_gt(out.n, 0); /* an alert */
	ck_assert_int_eq(tls_take(tls, buf_span(&client.said), &plain, &out), TLS_BROKEN);
	stop();
}
END_TEST

/** Keys that are changed for nothing: some are taken, more only with data between them. */
START_TEST(a_flood_of_new_keys_breaks_it)
{
	enum tls_state state = TLS_OPEN;
	unsigned n = 0;

	shake(TLS1_3_VERSION);
	while (state == TLS_OPEN && n < MANY) {
		ck_assert_int_eq(SSL_key_update(client.ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
		ck_assert_int_eq(SSL_do_handshake(client.ssl), 1);
		rig_client_take(&client, SPAN(""));
		state = carry(SIZE_MAX);
		n++;
	}
	ck_assert_int_eq(state, TLS_BROKEN);
	ck_assert_uint_gt(n, 32);
	ck_assert_uint_lt(n, 200);
	ck_assert_str_eq(tls_why(tls), "too many records without data");
	stop();
}
END_TEST

START_TEST(new_keys_with_data_are_fine)
{
	char *bytes = xcalloc(1, 70000);

	shake(TLS1_3_VERSION);
	for (unsigned i = 0; i < 200; i++) {
		SSL_key_update(client.ssl, SSL_KEY_UPDATE_REQUESTED);
		rig_client_send(&client, (struct span){bytes, 70000});
		buf_reset(&plain);
		ck_assert_int_eq(carry(SIZE_MAX), TLS_OPEN);
		ck_assert_uint_eq(plain.n, 70000);
		ck_assert(tls_seal(tls, SPAN("yes"), &out));
		rig_client_take(&client, buf_span(&out));
		buf_reset(&out);
	}
	ck_assert_uint_eq(client.heard.n, 600);
	free(bytes);
	stop();
}
END_TEST

/** The client is told that there is none, and may go on; a flood of it is no use. */
START_TEST(no_renegotiation)
{
	enum tls_state state;
	unsigned n = 0;

	shake(TLS1_2_VERSION);
	ck_assert_int_eq(SSL_renegotiate(client.ssl), 1);
	SSL_do_handshake(client.ssl);
	rig_client_take(&client, SPAN(""));
	ck_assert_uint_gt(client.said.n, 0);
	for (state = TLS_OPEN; state == TLS_OPEN && n < MANY; n++)
		state = tls_take(tls, buf_span(&client.said), &plain, &out);
	ck_assert_uint_gt(out.n, 0);
	ck_assert_int_eq(state, TLS_BROKEN);
	stop();
}
END_TEST

START_TEST(certificates_of_clients)
{
	static const struct {
		const char *file;
		const char *names;
		const char *told;
	} rows[] = {
		{"c1", "alice",       "alice"},
		{"c2", "alice,bob",   ""     },
		{"c3", "not a name",  ""     },
		{"c4", "caf\xc3\xa9", ""     },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		rig_make(rows[i].file, rows[i].names);
		start(versions[_i], true, rows[i].file);
		ck_assert_int_eq(carry(SIZE_MAX), TLS_OPEN);
		ck_assert_str_eq(tls_client(tls), rows[i].told);
		stop();
	}
	start(versions[_i], true, NULL);
	ck_assert_int_eq(carry(SIZE_MAX), TLS_OPEN);
	ck_assert_ptr_null(tls_client(tls));
	stop();
}
END_TEST

static enum err
judge_files(const char *cert, const char *key, const char *ca, const char *text)
{
	struct tls_files files = {rig_path(cert), rig_path(key), ca};
	struct error error = ERROR_NONE;
	struct tls_context *x = NULL;
	enum err e = tls_context_open(&files, &x, &error);

	tls_context_unref(x);
	if (text != NULL)
		ck_assert_msg(strstr(error.text, text) != NULL, "%s", error.text);
	ck_assert_uint_eq(ERR_peek_error(), 0);
	return e;
}

static void
write_file(const char *name, const char *text, mode_t mode)
{
	FILE *f = fopen(rig_path(name), "w");

	fputs(text, f);
	fclose(f);
	ck_assert_int_eq(chmod(rig_path(name), mode), 0);
}

START_TEST(files_are_judged)
{
	FILE *f;
	EVP_PKEY *key = EVP_RSA_gen(2048);

	ck_assert_int_eq(judge_files("server.crt", "server.key", "", NULL), OK);
	ck_assert_int_eq(judge_files("none.crt", "server.key", "", "none.crt"), ERR_CONFIG_ERROR);
	ck_assert_int_eq(judge_files("server.crt", "none.key", "", "none.key"), ERR_CONFIG_ERROR);
	ck_assert_int_eq(
		judge_files("server.crt", "other.key", "", "does not belong"), ERR_CONFIG_ERROR);
	ck_assert_int_eq(judge_files("server.key", "server.key", "", "there is none in it"),
		ERR_CONFIG_ERROR);
	ck_assert_int_eq(judge_files("server.crt", "server.crt", "", "tls.key"), ERR_CONFIG_ERROR);
	ck_assert_int_eq(
		judge_files("server.crt", "server.key", rig_path("server.key"), "client_ca"),
		ERR_CONFIG_ERROR);
	ck_assert_int_eq(judge_files("server.crt", "server.key", "/nowhere/ca", "client_ca"),
		ERR_CONFIG_ERROR);
	write_file("empty.crt", "", 0644);
	ck_assert_int_eq(judge_files("empty.crt", "server.key", "", "empty.crt"), ERR_CONFIG_ERROR);
	write_file(
		"bad.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", 0644);
	ck_assert_int_eq(judge_files("bad.crt", "server.key", "", "bad.crt"), ERR_CONFIG_ERROR);

	f = fopen(rig_path("sealed.key"), "w");
	PEM_write_PrivateKey(f, key, EVP_aes_128_cbc(), NULL, 0, NULL, (char[]){"secret"});
	fclose(f);
	chmod(rig_path("sealed.key"), 0600);
	ck_assert_int_eq(
		judge_files("server.crt", "sealed.key", "", "has a passphrase"), ERR_CONFIG_ERROR);
	EVP_PKEY_free(key);
}
END_TEST

START_TEST(who_may_read_the_key)
{
	static const struct {
		mode_t mode;
		enum err result;
	} rows[] = {
		{0600, OK              },
		{0400, OK              },
		{0640, OK              },
		{0440, OK              },
		{0644, ERR_CONFIG_ERROR},
		{0604, ERR_CONFIG_ERROR},
		{0602, ERR_CONFIG_ERROR},
		{0660, ERR_CONFIG_ERROR},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		ck_assert_int_eq(chmod(rig_path("server.key"), rows[i].mode), 0);
		ck_assert_msg(judge_files("server.crt", "server.key", "",
				      rows[i].result != OK ? "chmod 0640" : NULL) == rows[i].result,
			"%o", rows[i].mode);
	}
}
END_TEST

/** A connection keeps the certificate that it began with. */
START_TEST(a_context_lives_as_long_as_its_connections)
{
	start(TLS1_3_VERSION, false, NULL);
	tls_context_unref(context);
	context = NULL;
	ck_assert_int_eq(carry(SIZE_MAX), TLS_OPEN);
	stop();
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("tls");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, rig_init, rig_fini);
	tcase_add_loop_test(t, data_goes_both_ways, 0, 2);
	tcase_add_loop_test(t, large_data_is_whole, 0, 2);
	tcase_add_loop_test(t, one_record, 0, 2);
	tcase_add_loop_test(t, the_client_ends, 0, 2);
	tcase_add_loop_test(t, we_end, 0, 2);
	tcase_add_test(t, old_versions_are_refused);
	tcase_add_test(t, beginnings_are_judged);
	tcase_add_loop_test(t, a_flipped_bit_breaks_it, 0, 2);
	tcase_add_test(t, a_flood_of_new_keys_breaks_it);
	tcase_add_test(t, new_keys_with_data_are_fine);
	tcase_add_test(t, no_renegotiation);
	tcase_add_loop_test(t, certificates_of_clients, 0, 2);
	tcase_add_test(t, files_are_judged);
	tcase_add_test(t, who_may_read_the_key);
	tcase_add_test(t, a_context_lives_as_long_as_its_connections);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed > 0;
}
