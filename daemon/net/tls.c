/*
 * One connection of TLS: see tls.h. OpenSSL is given whole records only: it would
 * hold a buffer of 17 KiB for whoever sends the beginning of one.
 */

#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#include "common/wire/trust.h"
#include "common/xalloc.h"
#include "daemon/net/tls_priv.h"

#define HEADER_N      5                      /* bytes before a record: kind, version, length */
#define RECORD_MAX    (TLS_PLAIN_MAX + 2048) /* what is longer is refused unread */
#define ALERT         21
#define HANDSHAKE     22
#define HELLO         1
#define HELLO_MAX     16384
#define SHAKE_MAX     65536       /* bytes of all that a client says while shaking hands */
#define ODD_FREE      64          /* records without data that are taken from anybody ... */
#define ODD_PER_BYTES (64 * 1024) /* ... and then one more for so many bytes */

struct tls {
	enum tls_state state;
	struct tls_context *context;   /* owned reference */
	SSL *ssl;                      /* owned; NULL until a client's first record has come */
	struct trust_verdict *verdict; /* owned: on the server; NULL: this is the server */
	char *part;                    /* owned: input that is no whole record yet */
	size_t part_n;
	char *client;    /* owned; see tls_client() */
	const char *why; /* literal */
	uint64_t taken;  /* bytes of input */
	uint64_t odd;    /* records that had no data, since the handshake */
	struct span in;  /* what OpenSSL may read in the call under way */
	struct buf *out; /* where it writes */
	bool is_flooded; /* `odd` grew too large */
};

static int
on_bio_read(BIO *b, char *to, size_t size, size_t *n)
{
	struct tls *t = BIO_get_data(b);

	BIO_clear_retry_flags(b);
	*n = t->in.n < size ? t->in.n : size;
	if (*n == 0) {
		BIO_set_retry_read(b);
		return 0;
	}
	memcpy(to, t->in.p, *n);
	t->in.p += *n;
	t->in.n -= *n;
	return 1;
}

static int
on_bio_write(BIO *b, const char *from, size_t size, size_t *n)
{
	struct tls *t = BIO_get_data(b);

	BIO_clear_retry_flags(b);
	buf_add(t->out, from, size);
	*n = size;
	return !t->out->failed;
}

static long
on_bio_control(BIO *b, int what, long n, void *p)
{
	(void)b;
	(void)n;
	(void)p;
	return what == BIO_CTRL_FLUSH;
}

BIO_METHOD *
tls_bio_new(void)
{
	BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "sysrt");

	must(m != NULL);
	BIO_meth_set_read_ex(m, on_bio_read);
	BIO_meth_set_write_ex(m, on_bio_write);
	BIO_meth_set_ctrl(m, on_bio_control);
	return m;
}

void
tls_on_record(int is_written, int version, int kind, const void *p, size_t n, SSL *ssl, void *arg)
{
	const unsigned char *type = p;
	struct tls *t = arg;

	(void)version;
	(void)ssl;
	if (is_written || t->state != TLS_OPEN || n == 0 || type[0] == SSL3_RT_APPLICATION_DATA ||
		(kind != SSL3_RT_HEADER && kind != SSL3_RT_INNER_CONTENT_TYPE))
		return;
	if (++t->odd <= ODD_FREE + t->taken / ODD_PER_BYTES)
		return;
	t->is_flooded = true;
	t->in.n = 0; /* nothing more is worth its time */
}

struct tls *
tls_new(struct tls_context *x)
{
	struct tls *t = xnew(struct tls);

	t->context = tls_context_ref(x);
	return t;
}

void
tls_free(struct tls *t)
{
	if (t == NULL)
		return;
	SSL_free(t->ssl);
	tls_context_unref(t->context);
	free(t->verdict);
	free(t->part);
	free(t->client);
	free(t);
}

enum tls_state
tls_state(const struct tls *t)
{
	return t->state;
}

bool
tls_is_costly(const struct tls *t)
{
	return t->state == TLS_SHAKING && t->ssl != NULL;
}

static void
open_ssl(struct tls *t)
{
	BIO *b = BIO_new(t->context->bio);

	t->ssl = SSL_new(t->context->ssl);
	must(b != NULL && t->ssl != NULL);
	BIO_set_data(b, t);
	BIO_set_init(b, 1);
	SSL_set_bio(t->ssl, b, b);
	SSL_set_msg_callback_arg(t->ssl, t);
}

static void
fail(struct tls *t, const char *why)
{
	const char *text = why != NULL ? why : ERR_reason_error_string(ERR_peek_last_error());

	t->state = TLS_BROKEN;
	t->why = text != NULL ? text : "the connection broke";
	ERR_clear_error();
}

/** Keeps the name of whom the certificate is for. */
static void
note_client(struct tls *t)
{
	X509 *cert = SSL_get0_peer_certificate(t->ssl);
	const X509_NAME *name;
	unsigned char *text = NULL;
	int at, n = 0;

	if (cert == NULL || SSL_get_verify_result(t->ssl) != X509_V_OK)
		return;
	name = X509_get_subject_name(cert);
	at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
	if (at >= 0 && X509_NAME_get_index_by_NID(name, NID_commonName, at) < 0)
		n = ASN1_STRING_to_UTF8(
			&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
	if (n < 0 || name_check("", (struct span){(char *)text, (size_t)n}, false, NULL) != OK)
		n = 0;
	t->client = xstrndup((char *)text, (size_t)n);
	OPENSSL_free(text);
	ERR_clear_error(); /* SSL_get_error() looks there */
}

static void
shake(struct tls *t)
{
	int done = SSL_do_handshake(t->ssl);

	if (done == 1) {
		t->state = TLS_OPEN;
		if (t->verdict == NULL)
			note_client(t);
	} else if (SSL_get_error(t->ssl, done) != SSL_ERROR_WANT_READ) {
		fail(t, tls_is_distrusted(t) ? t->verdict->why : NULL);
	}
}

struct tls *
tls_new_client(struct tls_context *x, const char *host, struct buf *out)
{
	struct tls *t = tls_new(x);

	t->verdict = xnew(struct trust_verdict);
	ERR_clear_error();
	open_ssl(t);
	SSL_set_connect_state(t->ssl);
	trust_expect(t->ssl, host, t->verdict);
	t->out = out;
	shake(t);
	t->out = NULL;
	return t;
}

static void
read_data(struct tls *t, struct buf *plain)
{
	char *room;
	size_t n = 0;
	int done = 0;

	while ((room = buf_reserve(plain, TLS_PLAIN_MAX)) != NULL &&
		(done = SSL_read_ex(t->ssl, room, TLS_PLAIN_MAX, &n)) == 1)
		plain->n += n;
	if (t->is_flooded) {
		fail(t, "too many records without data");
		return;
	}
	switch (SSL_get_error(t->ssl, done)) {
	case SSL_ERROR_WANT_READ:
		break;
	case SSL_ERROR_ZERO_RETURN:
		t->state = TLS_ENDED;
		break;
	default:
		fail(t, NULL);
	}
}

/** A first message that says how long it is: room for that would be made at once. */
static bool
is_long_hello(const unsigned char *p)
{
	return p[HEADER_N] == HELLO &&
	       ((unsigned)p[HEADER_N + 1] << 16 | (unsigned)p[HEADER_N + 2] << 8 |
		       p[HEADER_N + 3]) > HELLO_MAX;
}

/** Looks at what came first. */
static void
judge_start(struct tls *t, struct span input)
{
	const unsigned char *p = (const unsigned char *)input.p;

	if (t->verdict != NULL) {
		if (p[0] != HANDSHAKE && p[0] != ALERT)
			fail(t, "the server does not speak TLS there");
	} else if (p[0] >= 'A' && p[0] <= 'Z')
		t->state = TLS_FOREIGN;
	else if (p[0] != HANDSHAKE)
		fail(t, "this is no TLS");
	else if (input.n >= HEADER_N + 4 && is_long_hello(p))
		fail(t, "the hello is too long");
}

/** How many bytes are whole records; all of them when one is not right, which OpenSSL will say. */
static size_t
find_whole(struct span input)
{
	const unsigned char *p = (const unsigned char *)input.p;
	size_t at = 0, n;

	while (input.n - at >= HEADER_N) {
		n = (size_t)p[at + 3] << 8 | p[at + 4];
		if (n > RECORD_MAX)
			return input.n;
		if (input.n - at < HEADER_N + n)
			break;
		at += HEADER_N + n;
	}
	return at;
}

void
tls_keep(struct tls *t, struct span input)
{
	if (input.n == 0)
		return;
	t->part = xrealloc(t->part, t->part_n + input.n, 1);
	memcpy(t->part + t->part_n, input.p, input.n);
	t->part_n += input.n;
}

/** Runs whole records. */
static void
run(struct tls *t, struct span records, struct buf *plain, struct buf *out)
{
	ERR_clear_error();
	if (t->ssl == NULL) {
		open_ssl(t);
		SSL_set_accept_state(t->ssl);
	}
	t->in = records;
	t->out = out;
	if (t->state == TLS_SHAKING)
		shake(t);
	if (t->state == TLS_OPEN)
		read_data(t, plain);
	if (t->state == TLS_SHAKING && t->taken > SHAKE_MAX)
		fail(t, "too much was said before the handshake's end");
	t->in = SPAN("");
	t->out = NULL;
}

enum tls_state
tls_take(struct tls *t, struct span input, struct buf *plain, struct buf *out)
{
	struct span held = {t->part, t->part_n};
	char *part = t->part;
	bool is_start = t->verdict != NULL ? t->taken == 0 : t->ssl == NULL;
	size_t whole;

	if (t->state != TLS_SHAKING && t->state != TLS_OPEN)
		return t->state;
	t->taken += input.n;
	if (held.n > 0) {
		tls_keep(t, input);
		part = t->part;
		input = (struct span){t->part, t->part_n};
	}
	if (is_start && input.n > 0)
		judge_start(t, input);
	if (t->state != TLS_SHAKING && t->state != TLS_OPEN)
		return t->state;
	whole = find_whole(input);
	if (whole > 0)
		run(t, (struct span){input.p, whole}, plain, out);
	if (whole == 0 && held.n > 0)
		return t->state; /* it is kept already */
	t->part = NULL;
	t->part_n = 0;
	if (t->state == TLS_SHAKING || t->state == TLS_OPEN)
		tls_keep(t, (struct span){input.p + whole, input.n - whole});
	free(part);
	return t->state;
}

bool
tls_seal(struct tls *t, struct span plain, struct buf *out)
{
	size_t n = 0;
	bool is_done;

	must(t->state == TLS_OPEN || t->state == TLS_ENDED);
	ERR_clear_error();
	t->out = out;
	is_done = SSL_write_ex(t->ssl, plain.p, plain.n, &n) == 1 && n == plain.n;
	t->out = NULL;
	if (!is_done)
		fail(t, NULL);
	return is_done;
}

void
tls_end(struct tls *t, struct buf *out)
{
	must(t->state == TLS_OPEN || t->state == TLS_ENDED);
	ERR_clear_error();
	t->out = out;
	SSL_shutdown(t->ssl);
	t->out = NULL;
	ERR_clear_error();
}

const char *
tls_version(const struct tls *t)
{
	return SSL_get_version(t->ssl);
}

const char *
tls_cipher(const struct tls *t)
{
	return SSL_get_cipher_name(t->ssl);
}

const char *
tls_client(const struct tls *t)
{
	return t->client;
}

const char *
tls_why(const struct tls *t)
{
	return t->why;
}

bool
tls_is_distrusted(const struct tls *t)
{
	return t->verdict != NULL && t->verdict->is_refused;
}
