#pragma once
/*
 * TLS 1.2 and 1.3, by OpenSSL. A context of a server has the certificate and its key,
 * that of a client the authorities that it trusts; a struct tls is one connection that
 * began with it, and stays with it when there is another one. It knows no socket: bytes that came
 * go in, what they say and what has to be sent comes out. Nothing is kept between calls but the
 * beginning of a record, so an idle one has no buffer. Loop thread.
 *
 * Neither tickets nor a cache of sessions: every handshake is a whole one.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/json.h"
#include "common/name.h"

#define TLS_PLAIN_MAX 16384 /* bytes that one record can hold */

/** Files in PEM. */
struct tls_files {
	const char *cert;      /* the certificate, and those between it and a root */
	const char *key;       /* nobody but its owner and its group may read or write it */
	const char *client_ca; /* "": clients are not asked for certificates */
};

struct tls_context;

/** ERR_CONFIG_ERROR says what to do about it. */
enum err tls_context_open(
	const struct tls_files *files, struct tls_context **out, struct error *error);
/** For clients. ca: a file of the certificates that are trusted, in PEM; "": the system's. */
enum err tls_context_open_client(const char *ca, struct tls_context **out, struct error *error);
struct tls_context *tls_context_ref(struct tls_context *x);
void tls_context_unref(struct tls_context *x);
/** Of a server's. Until when the certificate is good: wall clock. */
int64_t tls_context_expires_at(const struct tls_context *x);
/** Of a server's. Writes members: whose the certificate is, and until when. */
void tls_context_add_status(const struct tls_context *x, struct json_out *o);

enum tls_state {
	TLS_SHAKING, /* hands */
	TLS_OPEN,
	TLS_ENDED,   /* the peer will say no more */
	TLS_BROKEN,  /* tls_why() */
	TLS_FOREIGN, /* it began as plain HTTP does */
};

struct tls;

/** Takes a reference of its own. */
struct tls *tls_new(struct tls_context *x);
/** The client's side of one: `host`, a name or an address, is whom the certificate must be for. Its
 * first word is appended to *out. */
struct tls *tls_new_client(struct tls_context *x, const char *host, struct buf *out);
void tls_free(struct tls *t);
enum tls_state tls_state(const struct tls *t);
/** True if its handshake is under way and holds memory: what began it has come. */
bool tls_is_costly(const struct tls *t);
/** Takes what came from the peer. What it says is appended to *plain, what has to be sent to him,
 * the reason for its failing too, to *out. Work and memory are in proportion to the input. */
enum tls_state tls_take(struct tls *t, struct span input, struct buf *plain, struct buf *out);
/** Keeps input for the next tls_take(). */
void tls_keep(struct tls *t, struct span input);
/** Seals up to TLS_PLAIN_MAX bytes as one record; false: it is broken. Only when open or ended. */
bool tls_seal(struct tls *t, struct span plain, struct buf *out);
/** Says that nothing more will be said. Only when open or ended. */
void tls_end(struct tls *t, struct buf *out);

/* Of one whose hands are shaken. */

const char *tls_version(const struct tls *t);
const char *tls_cipher(const struct tls *t);
/** Whom the certificate that the peer showed is for, its one common name; "" if it has none or more
 * than one, or one that no token can have; NULL: it showed none. */
const char *tls_client(const struct tls *t);

/* Of one that is broken. */

/** A plain sentence, or what OpenSSL says. */
const char *tls_why(const struct tls *t);
/** True if the server's certificate is the reason. */
bool tls_is_distrusted(const struct tls *t);
