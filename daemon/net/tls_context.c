/*
 * Certificate, key and rules of TLS: see tls.h. OpenSSL's texts say what is wrong
 * inside of a file; ours say which file, and what to do.
 */

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/wire/trust.h"
#include "common/xalloc.h"
#include "daemon/net/tls_priv.h"

#define CLIENT_CERTS   16384 /* bytes of what a client may show */
#define SECURITY_LEVEL 2     /* of OpenSSL: 112 bits, so RSA of 2048 at least */

/* For version 1.2; those of 1.3 are all good. */
static const char ciphers[] = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
			      "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
			      "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
static const char groups[] = "X25519:P-256:P-384";
static const char signatures[] =
	"ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:ed25519:ed448:"
	"RSA-PSS+SHA256:RSA-PSS+SHA384:RSA-PSS+SHA512:RSA+SHA256:RSA+SHA384:RSA+SHA512";

/** The last of OpenSSL's complaints. */
static const char *
complaint(void)
{
	unsigned long e = ERR_peek_last_error();
	const char *text = ERR_reason_error_string(e);

	if (text == NULL ||
		(ERR_GET_LIB(e) == ERR_LIB_PEM && ERR_GET_REASON(e) == PEM_R_NO_START_LINE))
		return "there is none in it (in PEM)";
	return text;
}

static enum err
refuse(const char *option, const char *path, struct error *error)
{
	return error_set(error, ERR_CONFIG_ERROR, "%s: %s: %s", option, path, complaint());
}

static enum err
check_key_file(int fd, const char *path, struct error *error)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return error_set_errno(error, ERR_CONFIG_ERROR, errno, "tls.key: %s", path);
	if ((st.st_mode & (S_IRWXO | S_IWGRP)) == 0)
		return OK;
	return error_set(error, ERR_CONFIG_ERROR,
		"tls.key: others than its owner and its group may read or write %s (mode %04o): "
		"chmod 0640 %s",
		path, (unsigned)st.st_mode & 07777, path);
}

/** BIO_free() it. */
static enum err
open_pem(const char *option, const char *path, bool is_key, BIO **out, struct error *error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	enum err e = OK;

	if (fd < 0)
		return error_set_errno(
			error, ERR_CONFIG_ERROR, errno, "%s: opening %s", option, path);
	if (is_key)
		e = check_key_file(fd, path, error);
	if (e != OK) {
		close(fd);
		return e;
	}
	*out = BIO_new_fd(fd, BIO_CLOSE);
	must(*out != NULL);
	return OK;
}

/** Nobody is there to be asked for a passphrase. */
static int
on_passphrase(char *to, int size, int is_written, void *arg)
{
	(void)is_written;
	if (size > 0)
		to[0] = '\0';
	*(bool *)arg = true;
	return -1;
}

static enum err
load_key(struct tls_context *x, const char *path, struct error *error)
{
	X509 *leaf = SSL_CTX_get0_certificate(x->ssl);
	bool is_sealed = false;
	EVP_PKEY *key;
	BIO *b = NULL;
	enum err e = open_pem("tls.key", path, true, &b, error);

	if (e != OK)
		return e;
	key = PEM_read_bio_PrivateKey(b, NULL, on_passphrase, &is_sealed);
	BIO_free(b);
	if (is_sealed)
		e = error_set(error, ERR_CONFIG_ERROR,
			"tls.key: %s has a passphrase: take it off with openssl pkey -in %s -out FILE",
			path, path);
	else if (key == NULL)
		e = refuse("tls.key", path, error);
	else if (X509_check_private_key(leaf, key) != 1 || SSL_CTX_use_PrivateKey(x->ssl, key) != 1)
		e = error_set(error, ERR_CONFIG_ERROR,
			"tls.key: %s does not belong to the certificate in tls.cert: %s", path,
			complaint());
	EVP_PKEY_free(key);
	return e;
}

static char *
name_text(const X509_NAME *name)
{
	BIO *b = BIO_new(BIO_s_mem());
	char *text = NULL, *out;
	long n;

	must(b != NULL);
	X509_NAME_print_ex(b, name, 0, XN_FLAG_RFC2253);
	n = BIO_get_mem_data(b, &text);
	out = xstrndup(text, n > 0 ? (size_t)n : 0);
	BIO_free(b);
	return out;
}

static void
note_leaf(struct tls_context *x, const X509 *leaf)
{
	struct tm tm;

	x->subject = name_text(X509_get_subject_name(leaf));
	x->issuer = name_text(X509_get_issuer_name(leaf));
	x->expires_at = ASN1_TIME_to_tm(X509_get0_notAfter(leaf), &tm) == 1
				? (int64_t)timegm(&tm) * 1000
				: INT64_MAX;
}

/** The first certificate is ours, the others are sent with it. */
static enum err
load_certificates(struct tls_context *x, const char *path, struct error *error)
{
	X509 *cert;
	BIO *b = NULL;
	enum err e = open_pem("tls.cert", path, false, &b, error);

	if (e != OK)
		return e;
	cert = PEM_read_bio_X509(b, NULL, NULL, NULL);
	if (cert == NULL || SSL_CTX_use_certificate(x->ssl, cert) != 1)
		e = refuse("tls.cert", path, error);
	else
		note_leaf(x, cert);
	X509_free(cert);
	while (e == OK && (cert = PEM_read_bio_X509(b, NULL, NULL, NULL)) != NULL)
		if (SSL_CTX_add0_chain_cert(x->ssl, cert) != 1) {
			X509_free(cert);
			e = refuse("tls.cert", path, error);
		}
	if (e == OK && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		e = refuse("tls.cert", path, error);
	BIO_free(b);
	return e;
}

static enum err
load_client_ca(struct tls_context *x, const char *path, struct error *error)
{
	STACK_OF(X509_NAME) * names;

	x->asks_clients = path[0] != '\0';
	if (!x->asks_clients)
		return OK;
	names = SSL_load_client_CA_file(path);
	if (names == NULL || SSL_CTX_load_verify_locations(x->ssl, path, NULL) != 1) {
		sk_X509_NAME_pop_free(names, X509_NAME_free);
		return refuse("tls.client_ca", path, error);
	}
	SSL_CTX_set_client_CA_list(x->ssl, names);
	SSL_CTX_set_verify(x->ssl, SSL_VERIFY_PEER, NULL);
	return OK;
}

static int
on_protocols(SSL *ssl, const unsigned char **out, unsigned char *n, const unsigned char *offered,
	unsigned offered_n, void *arg)
{
	static const unsigned char ours[] = "\x08http/1.1";
	unsigned char *found;

	(void)ssl;
	(void)arg;
	if (SSL_select_next_proto(&found, n, ours, sizeof(ours) - 1, offered, offered_n) !=
		OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = found;
	return SSL_TLSEXT_ERR_OK;
}

/** An OpenSSL that was set up otherwise may not have all of it. */
static enum err
set_rules(SSL_CTX *c, struct error *error)
{
	if (c == NULL || SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION) != 1 ||
		SSL_CTX_set_max_proto_version(c, TLS1_3_VERSION) != 1 ||
		SSL_CTX_set_cipher_list(c, ciphers) != 1 ||
		SSL_CTX_set1_groups_list(c, groups) != 1 ||
		SSL_CTX_set1_sigalgs_list(c, signatures) != 1 || SSL_CTX_set_num_tickets(c, 0) != 1)
		return error_set(error, ERR_CONFIG_ERROR,
			"tls: the OpenSSL of this system cannot do what is needed: %s",
			complaint());
	SSL_CTX_set_security_level(c, SECURITY_LEVEL);
	SSL_CTX_set_options(c, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET |
				       SSL_OP_CLEANSE_PLAINTEXT);
	SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
	SSL_CTX_set_max_cert_list(c, CLIENT_CERTS);
	SSL_CTX_set_alpn_select_cb(c, on_protocols, NULL);
	SSL_CTX_set_msg_callback(c, tls_on_record);
	return OK;
}

enum err
tls_context_open(const struct tls_files *files, struct tls_context **out, struct error *error)
{
	struct tls_context *x = xnew(struct tls_context);
	enum err e;

	x->refs = 1;
	x->bio = tls_bio_new();
	ERR_clear_error();
	x->ssl = SSL_CTX_new(TLS_server_method());
	e = set_rules(x->ssl, error);
	if (e == OK)
		e = load_certificates(x, files->cert, error);
	if (e == OK)
		e = load_key(x, files->key, error);
	if (e == OK)
		e = load_client_ca(x, files->client_ca, error);
	ERR_clear_error();
	if (e == OK)
		*out = x;
	else
		tls_context_unref(x);
	return e;
}

enum err
tls_context_open_client(const char *ca, struct tls_context **out, struct error *error)
{
	SSL_CTX *c = NULL;
	struct tls_context *x;
	enum err e = trust_open(ca, &c, error);

	if (e != OK)
		return e;
	SSL_CTX_set_msg_callback(c, tls_on_record);
	x = xnew(struct tls_context);
	x->refs = 1;
	x->bio = tls_bio_new();
	x->ssl = c;
	*out = x;
	return OK;
}

struct tls_context *
tls_context_ref(struct tls_context *x)
{
	x->refs++;
	return x;
}

void
tls_context_unref(struct tls_context *x)
{
	if (x == NULL || --x->refs > 0)
		return;
	SSL_CTX_free(x->ssl);
	BIO_meth_free(x->bio);
	free(x->subject);
	free(x->issuer);
	free(x);
}

int64_t
tls_context_expires_at(const struct tls_context *x)
{
	return x->expires_at;
}

void
tls_context_add_status(const struct tls_context *x, struct json_out *o)
{
	json_put_str(o, "subject", x->subject);
	json_put_str(o, "issuer", x->issuer);
	json_put_int(o, "expires_at", x->expires_at);
	json_put_bool(o, "asks_clients", x->asks_clients);
}
