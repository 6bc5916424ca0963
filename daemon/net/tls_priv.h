#pragma once
/* What the sources of tls.h share. */

#include <openssl/bio.h>
#include <openssl/ssl.h>

#include "daemon/net/tls.h"

struct tls_context {
	unsigned refs;
	SSL_CTX *ssl;
	BIO_METHOD *bio; /* of its connections */
	bool asks_clients;
	char *subject;
	char *issuer;
	int64_t expires_at;
};

/* tls.c */

/** How OpenSSL gets at the bytes of a struct tls, which is the BIO's data. */
BIO_METHOD *tls_bio_new(void);
/** Counts what is no data, for SSL_CTX_set_msg_callback(). */
void tls_on_record(
	int is_written, int version, int kind, const void *p, size_t n, SSL *ssl, void *arg);
