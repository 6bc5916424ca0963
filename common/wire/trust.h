#pragma once
/*
 * Which servers a TLS client believes: those with a certificate for the host, signed by
 * an authority of the system's or of a file, in TLS 1.2 or later. OpenSSL judges; this
 * sets it up, and says in plain words why a certificate was refused. Any thread, one at
 * a time.
 */

#include <openssl/ssl.h>
#include <stdbool.h>

#include "common/err.h"

#define TRUST_WHY_SIZE 448

/** Of one connection; must be there as long as its SSL is. */
struct trust_verdict {
	bool is_refused;
	char why[TRUST_WHY_SIZE];
};

/** A context for clients: SSL_CTX_free() it. ca: a file of the certificates that are trusted, in
 * PEM (authorities or servers' own); NULL or "": the system's authorities. ERR_CONFIG_ERROR says
 * what is wrong with the file. */
enum err trust_open(const char *ca, SSL_CTX **out, struct error *error);
/** The server has to be `host`, a name or an address: sends the name along, and checks it. */
void trust_expect(SSL *ssl, const char *host, struct trust_verdict *verdict);
