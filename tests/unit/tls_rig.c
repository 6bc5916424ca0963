/* Certificates and a client: see tls_rig.h. */

#include "tests/unit/tls_rig.h"

#include <check.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DAY_S 86400

static char folder[] = "/tmp/sysrt-tls-XXXXXX";
static char paths[4][256];
static unsigned paths_n;
static EVP_PKEY *ca_key;
static X509 *ca;
static long serial;

const char *
rig_path(const char *name)
{
	char *path = paths[paths_n++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
	return path;
}

static FILE *
create(const char *name, const char *suffix, mode_t mode)
{
	char full[64];
	const char *path;
	FILE *f;

	snprintf(full, sizeof(full), "%s.%s", name, suffix);
	path = rig_path(full);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fchmod(fileno(f), mode), 0);
	return f;
}

static void
add_names(X509 *x, const char *common_names)
{
	X509_NAME *name = X509_get_subject_name(x);
	char *copy = strdup(common_names), *at = copy, *one;

	while ((one = strsep(&at, ",")) != NULL)
		ck_assert_int_eq(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
					 (unsigned char *)one, -1, -1, 0),
			1);
	free(copy);
}

static X509 *
new_cert(EVP_PKEY *key, const char *common_names, EVP_PKEY *signer, X509 *issuer)
{
	X509 *x = X509_new();

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial);
	X509_gmtime_adj(X509_getm_notBefore(x), -DAY_S);
	X509_gmtime_adj(X509_getm_notAfter(x), DAY_S);
	add_names(x, common_names);
	X509_set_issuer_name(x, X509_get_subject_name(issuer != NULL ? issuer : x));
	X509_set_pubkey(x, key);
	if (issuer == NULL) {
		X509_EXTENSION *basic =
			X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "critical,CA:TRUE");

		X509_add_ext(x, basic, -1);
		X509_EXTENSION_free(basic);
	}
	ck_assert_int_gt(X509_sign(x, signer, EVP_sha256()), 0);
	return x;
}

static void
write_pair(const char *name, X509 *x, EVP_PKEY *key)
{
	FILE *f = create(name, "crt", 0644);

	ck_assert_int_eq(PEM_write_X509(f, x), 1);
	fclose(f);
	f = create(name, "key", 0600);
	ck_assert_int_eq(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
	fclose(f);
}

void
rig_make(const char *name, const char *common_names)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = new_cert(key, common_names, ca_key, ca);

	write_pair(name, x, key);
	X509_free(x);
	EVP_PKEY_free(key);
}

void
rig_make_for(const char *name, const char *hosts, int from, int to, bool is_own)
{
	EVP_PKEY *key = EVP_EC_gen("P-256"), *signer = is_own ? key : ca_key;
	X509 *x = new_cert(key, name, signer, is_own ? NULL : ca);
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, hosts);

	ck_assert_ptr_nonnull(e);
	X509_add_ext(x, e, -1);
	X509_EXTENSION_free(e);
	X509_gmtime_adj(X509_getm_notBefore(x), (long)from * DAY_S);
	X509_gmtime_adj(X509_getm_notAfter(x), (long)to * DAY_S);
	ck_assert_int_gt(X509_sign(x, signer, EVP_sha256()), 0);
	write_pair(name, x, key);
	X509_free(x);
	EVP_PKEY_free(key);
}

void
rig_init(void)
{
	strcpy(folder + strlen(folder) - 6, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	ca_key = EVP_EC_gen("P-256");
	ca = new_cert(ca_key, "test CA", ca_key, NULL);
	write_pair("ca", ca, ca_key);
	rig_make("server", "localhost");
	rig_make("other", "localhost");
	rig_make("client", "alice");
}

void
rig_fini(void)
{
	char command[300];

	snprintf(command, sizeof(command), "rm -rf %s", folder);
	ck_assert_int_eq(system(command), 0);
	X509_free(ca);
	EVP_PKEY_free(ca_key);
}

struct tls_context *
rig_context(bool asks_clients)
{
	struct tls_files files = {rig_path("server.crt"), rig_path("server.key"),
		asks_clients ? rig_path("ca.crt") : ""};
	struct tls_context *x = NULL;
	struct error error = ERROR_NONE;

	ck_assert_msg(tls_context_open(&files, &x, &error) == OK, "%s", error.text);
	return x;
}

static void
load_certificate(struct rig_client *c, const char *name)
{
	char file[64];

	snprintf(file, sizeof(file), "%s.crt", name);
	ck_assert_int_eq(
		SSL_CTX_use_certificate_file(c->context, rig_path(file), SSL_FILETYPE_PEM), 1);
	snprintf(file, sizeof(file), "%s.key", name);
	ck_assert_int_eq(
		SSL_CTX_use_PrivateKey_file(c->context, rig_path(file), SSL_FILETYPE_PEM), 1);
}

void
rig_client_init(struct rig_client *c, int version, const char *certificate)
{
	*c = (struct rig_client){.context = SSL_CTX_new(TLS_client_method())};
	SSL_CTX_set_security_level(c->context, 0);
	SSL_CTX_set_min_proto_version(c->context, version);
	SSL_CTX_set_max_proto_version(c->context, version);
	ck_assert_int_eq(SSL_CTX_load_verify_locations(c->context, rig_path("ca.crt"), NULL), 1);
	SSL_CTX_set_verify(c->context, SSL_VERIFY_PEER, NULL);
	if (certificate != NULL)
		load_certificate(c, certificate);
	c->ssl = SSL_new(c->context);
	SSL_set_bio(c->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	SSL_set_connect_state(c->ssl);
	buf_init(&c->said, SIZE_MAX);
	buf_init(&c->heard, SIZE_MAX);
	rig_client_take(c, SPAN(""));
}

void
rig_client_fini(struct rig_client *c)
{
	SSL_free(c->ssl);
	SSL_CTX_free(c->context);
	buf_fini(&c->said);
	buf_fini(&c->heard);
}

static void
judge(struct rig_client *c, int result)
{
	int why = SSL_get_error(c->ssl, result);

	c->has_ended |= why == SSL_ERROR_ZERO_RETURN;
	c->has_failed |= why == SSL_ERROR_SSL || why == SSL_ERROR_SYSCALL;
}

static void
collect(struct rig_client *c)
{
	char *p;
	long n = BIO_get_mem_data(SSL_get_wbio(c->ssl), &p);

	buf_add(&c->said, p, (size_t)n);
	BIO_reset(SSL_get_wbio(c->ssl));
}

void
rig_client_take(struct rig_client *c, struct span bytes)
{
	char piece[4096];
	int n = 0;

	if (bytes.n > 0)
		ck_assert_int_eq(
			BIO_write(SSL_get_rbio(c->ssl), bytes.p, (int)bytes.n), (int)bytes.n);
	if (!c->is_open) {
		n = SSL_do_handshake(c->ssl);
		c->is_open = n == 1;
		if (n != 1)
			judge(c, n);
	}
	while (c->is_open && (n = SSL_read(c->ssl, piece, sizeof(piece))) > 0)
		buf_add(&c->heard, piece, (size_t)n);
	if (c->is_open)
		judge(c, n);
	collect(c);
}

void
rig_client_send(struct rig_client *c, struct span data)
{
	ck_assert_int_eq(SSL_write(c->ssl, data.p, (int)data.n), (int)data.n);
	collect(c);
}
