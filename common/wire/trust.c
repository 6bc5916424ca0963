/*
 * Whom a TLS client believes: see trust.h. The reason is put together where OpenSSL
 * refuses, in the callback, since the certificate is not to be had after that.
 */

#include "common/wire/trust.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/time.h"
#include "common/utf8.h"
#include "common/xalloc.h"

#define FILE_MAX  (4 << 20)
#define NAMES_MAX 200 /* bytes of a certificate's names that are shown */

/** Writes "CN=...,O=...". */
static void
add_name(struct buf *out, const X509_NAME *name)
{
	BIO *b = BIO_new(BIO_s_mem());
	char *text = NULL;
	long n;

	must(b != NULL);
	X509_NAME_print_ex(b, name, 0, XN_FLAG_RFC2253);
	n = BIO_get_mem_data(b, &text);
	if (n > 0)
		buf_add(out, text, n < NAMES_MAX ? (size_t)n : NAMES_MAX);
	BIO_free(b);
}

static void
add_time(struct buf *out, const ASN1_TIME *time)
{
	char text[TIME_TEXT_SIZE] = "a time that is none";
	struct tm tm;

	if (ASN1_TIME_to_tm(time, &tm) == 1)
		time_format((int64_t)timegm(&tm) * 1000, text);
	buf_addf(out, "%s", text);
}

/** One of the names that a certificate is for; nothing for kinds that no host has. */
static void
add_alternative(struct buf *out, const GENERAL_NAME *name)
{
	const ASN1_STRING *s = name->type == GEN_DNS     ? name->d.dNSName
			       : name->type == GEN_IPADD ? name->d.iPAddress
							 : NULL;
	char address[INET6_ADDRSTRLEN] = "";
	const unsigned char *bytes;
	int n;

	if (s == NULL || out->n > NAMES_MAX)
		return;
	bytes = ASN1_STRING_get0_data(s);
	n = ASN1_STRING_length(s);
	buf_addf(out, "%s", out->n > 0 ? ", " : "");
	if (name->type == GEN_DNS)
		buf_add(out, bytes, n < NAMES_MAX ? (size_t)n : NAMES_MAX);
	else if (n == 4 || n == 16)
		buf_addf(out, "%s",
			inet_ntop(n == 4 ? AF_INET : AF_INET6, bytes, address, sizeof(address)));
}

/** Whom a certificate is for. */
static void
add_hosts(struct buf *out, const X509 *cert)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	struct buf list;

	buf_init(&list, 4 * NAMES_MAX);
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++)
		add_alternative(&list, sk_GENERAL_NAME_value(names, i));
	if (list.n == 0)
		add_name(&list, X509_get_subject_name(cert));
	buf_add_span(out, buf_span(&list));
	buf_fini(&list);
	GENERAL_NAMES_free(names);
}

/** Whom the connection has to be with. */
static void
add_expected(struct buf *out, SSL *ssl)
{
	X509_VERIFY_PARAM *p = SSL_get0_param(ssl);
	const char *host = X509_VERIFY_PARAM_get0_host(p, 0);
	char *address = host == NULL ? X509_VERIFY_PARAM_get1_ip_asc(p) : NULL;

	buf_addf(out, "%s", host != NULL ? host : address != NULL ? address : "it");
	OPENSSL_free(address);
}

static void
add_reason(struct buf *out, SSL *ssl, const X509 *cert, int code)
{
	switch (code) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
		buf_addf(out, " has expired, on ");
		add_time(out, X509_get0_notAfter(cert));
		break;
	case X509_V_ERR_CERT_NOT_YET_VALID:
		buf_addf(out, " is not valid yet (is the clock right?): from ");
		add_time(out, X509_get0_notBefore(cert));
		break;
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		buf_addf(out, " is not for ");
		add_expected(out, ssl);
		buf_addf(out, ", but for ");
		add_hosts(out, cert);
		break;
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
		buf_addf(out, " is signed by itself and not one of those trusted here: ");
		add_name(out, X509_get_subject_name(cert));
		break;
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
		buf_addf(out, " is signed by an authority that is not trusted here: ");
		add_name(out, X509_get_issuer_name(cert));
		break;
	default:
		buf_addf(out, " is refused: %s", X509_verify_cert_error_string(code));
	}
}

static int
on_verify(int is_good, X509_STORE_CTX *x)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(x, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct trust_verdict *verdict = SSL_get_app_data(ssl);
	const X509 *cert = X509_STORE_CTX_get_current_cert(x);
	struct buf text;

	if (is_good || cert == NULL || verdict->is_refused)
		return is_good;
	buf_init(&text, 8 * TRUST_WHY_SIZE);
	buf_addf(&text, "the server's certificate");
	if (X509_STORE_CTX_get_error_depth(x) > 0 &&
		X509_STORE_CTX_get_error(x) != X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN) {
		buf_addf(&text, ", or rather that of its authority ");
		add_name(&text, X509_get_subject_name(cert));
		buf_addf(&text, ",");
	}
	add_reason(&text, ssl, cert, X509_STORE_CTX_get_error(x));
	verdict->is_refused = true;
	snprintf(verdict->why, sizeof(verdict->why), "%.*s",
		(int)utf8_cut(text.p, text.n < TRUST_WHY_SIZE ? text.n : TRUST_WHY_SIZE - 1),
		text.p);
	buf_fini(&text);
	return 0;
}

/** Opens what is a file, and of sane size: not a pipe that nobody writes to, nor a device. */
static enum err
open_file(const char *ca, BIO **out, struct error *error)
{
	int fd = open(ca, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0)
		return error_set_errno(error, ERR_CONFIG_ERROR, errno, "ca: opening %s", ca);
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > FILE_MAX) {
		close(fd);
		return error_set(error, ERR_CONFIG_ERROR,
			"ca: %s is no file of certificates (one has at most %d MiB)", ca,
			FILE_MAX >> 20);
	}
	*out = BIO_new_fd(fd, BIO_CLOSE);
	must(*out != NULL);
	return OK;
}

/** Trusts the certificates of a file. */
static enum err
load_file(SSL_CTX *c, const char *ca, struct error *error)
{
	X509_STORE *store = SSL_CTX_get_cert_store(c);
	BIO *b = NULL;
	enum err e = open_file(ca, &b, error);
	unsigned n = 0;
	X509 *cert;

	if (e != OK)
		return e;
	while (e == OK && (cert = PEM_read_bio_X509_AUX(b, NULL, NULL, NULL)) != NULL) {
		if (X509_STORE_add_cert(store, cert) != 1)
			e = ERR_CONFIG_ERROR;
		X509_free(cert);
		n++;
	}
	BIO_free(b);
	if (e == OK && n > 0 && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE)
		return OK;
	return error_set(error, ERR_CONFIG_ERROR,
		"ca: %s has no certificates in PEM, or not only "
		"such",
		ca);
}

enum err
trust_open(const char *ca, SSL_CTX **out, struct error *error)
{
	SSL_CTX *c = SSL_CTX_new(TLS_client_method());
	bool is_system = ca == NULL || ca[0] == '\0';
	enum err e = OK;

	ERR_clear_error();
	if (c == NULL || SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION) != 1 ||
		(is_system && SSL_CTX_set_default_verify_paths(c) != 1))
		e = error_set(error, ERR_CONFIG_ERROR,
			"the OpenSSL of this system cannot do what TLS needs");
	else if (!is_system)
		e = load_file(c, ca, error);
	ERR_clear_error();
	if (e != OK) {
		SSL_CTX_free(c);
		return e;
	}
	if (!is_system) /* a server's own certificate will do, too */
		X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(c), X509_V_FLAG_PARTIAL_CHAIN);
	SSL_CTX_set_options(c, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
				       SSL_OP_CLEANSE_PLAINTEXT | SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_verify(c, SSL_VERIFY_PEER, on_verify);
	*out = c;
	return OK;
}

void
trust_expect(SSL *ssl, const char *host, struct trust_verdict *verdict)
{
	static const unsigned char protocols[] = "\x08http/1.1";
	X509_VERIFY_PARAM *p = SSL_get0_param(ssl);
	char name[256];
	size_t n = strlen(host);

	SSL_set_app_data(ssl, verdict);
	must(SSL_set_alpn_protos(ssl, protocols, sizeof(protocols) - 1) == 0);
	if (X509_VERIFY_PARAM_set1_ip_asc(p, host) == 1)
		return;
	ERR_clear_error(); /* SSL_get_error() looks there */
	/* The dot that ends a name is not part of it in a certificate. */
	snprintf(name, sizeof(name), "%.*s", (int)(n > 1 && host[n - 1] == '.' ? n - 1 : n), host);
	X509_VERIFY_PARAM_set_hostflags(p, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	must(X509_VERIFY_PARAM_set1_host(p, name, 0) == 1);
	must(SSL_set_tlsext_host_name(ssl, name) == 1);
}
