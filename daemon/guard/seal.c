/* Sealed bytes: see seal.h. */

#include "daemon/guard/seal.h"

#include <endian.h>
#include <sodium.h>
#include <string.h>

#include "common/name.h"
#include "common/xalloc.h"

#define FORMAT      1
#define HEAD_N      2 /* format and cipher */
#define TAG_N       16
#define NONCE_MAX   24
#define PURPOSE_MAX 16
#define BOUND_MAX   (PURPOSE_MAX + HEAD_N + 8 + NAME_TEXT_MAX)

typedef int seal_fn(unsigned char *out, unsigned long long *out_n, const unsigned char *in,
	unsigned long long in_n, const unsigned char *bound, unsigned long long bound_n,
	const unsigned char *none, const unsigned char *nonce, const unsigned char *key);
typedef int open_fn(unsigned char *out, unsigned long long *out_n, unsigned char *none,
	const unsigned char *in, unsigned long long in_n, const unsigned char *bound,
	unsigned long long bound_n, const unsigned char *nonce, const unsigned char *key);

static const struct cipher {
	enum seal_cipher cipher;
	const char *name;
	size_t nonce_n;
	seal_fn *seal;
	open_fn *open;
} ciphers[] = {
	{SEAL_XCHACHA20, "xchacha20poly1305", crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
         crypto_aead_xchacha20poly1305_ietf_encrypt, crypto_aead_xchacha20poly1305_ietf_decrypt},
	{SEAL_AES256GCM, "aes256gcm",         crypto_aead_aes256gcm_NPUBBYTES,
         crypto_aead_aes256gcm_encrypt,              crypto_aead_aes256gcm_decrypt             },
};
#define CIPHERS_N (sizeof(ciphers) / sizeof(ciphers[0]))

_Static_assert(crypto_aead_xchacha20poly1305_ietf_ABYTES == TAG_N &&
		       crypto_aead_aes256gcm_ABYTES == TAG_N &&
		       crypto_aead_xchacha20poly1305_ietf_KEYBYTES == SEAL_KEY_BYTES &&
		       crypto_aead_aes256gcm_KEYBYTES == SEAL_KEY_BYTES,
	"both ciphers have these sizes");

static const struct cipher *
find(unsigned number)
{
	for (size_t i = 0; i < CIPHERS_N; i++)
		if ((unsigned)ciphers[i].cipher == number)
			return &ciphers[i];
	return NULL;
}

bool
seal_has_aes(void)
{
	return crypto_aead_aes256gcm_is_available() == 1;
}

const char *
seal_cipher_name(enum seal_cipher cipher)
{
	const struct cipher *c = find(cipher);

	return c != NULL ? c->name : "unknown";
}

struct secret *
seal_key_new(void)
{
	struct secret *key = secret_new(SEAL_KEY_BYTES);

	randombytes_buf(key->bytes, key->n);
	return key;
}

/** The head, and all that is to hold for what is sealed, each part of a length that is known. */
static size_t
bind(const struct cipher *c, const struct seal_for *what, unsigned char out[BOUND_MAX])
{
	uint64_t version = htole64((uint64_t)what->version);
	size_t n = PURPOSE_MAX;

	must(strlen(what->purpose) < PURPOSE_MAX && what->name.n <= NAME_TEXT_MAX);
	memset(out, 0, PURPOSE_MAX);
	memcpy(out, what->purpose, strlen(what->purpose));
	out[n++] = FORMAT;
	out[n++] = (unsigned char)c->cipher;
	memcpy(out + n, &version, sizeof(version));
	n += sizeof(version);
	if (what->name.n > 0)
		memcpy(out + n, what->name.p, what->name.n);
	return n + what->name.n;
}

void
seal_make(enum seal_cipher cipher, const struct secret *key, const struct seal_for *what,
	struct span plain, struct buf *out)
{
	const struct cipher *c = find(cipher);
	unsigned char bound[BOUND_MAX], *to;
	unsigned long long n;

	must(c != NULL && key->n == SEAL_KEY_BYTES && plain.n <= SEAL_PLAIN_MAX);
	must(cipher != SEAL_AES256GCM || seal_has_aes());
	to = (unsigned char *)buf_reserve(out, HEAD_N + c->nonce_n + plain.n + TAG_N);
	if (to == NULL)
		return;
	to[0] = FORMAT;
	to[1] = (unsigned char)c->cipher;
	randombytes_buf(to + HEAD_N, c->nonce_n);
	c->seal(to + HEAD_N + c->nonce_n, &n, (const unsigned char *)plain.p, plain.n, bound,
		bind(c, what, bound), NULL, to + HEAD_N, key->bytes);
	out->n += HEAD_N + c->nonce_n + (size_t)n;
}

static enum err
read_head(struct span sealed, const struct cipher **out, struct error *error)
{
	const struct cipher *c = NULL;

	if (sealed.n < HEAD_N || sealed.p[0] != FORMAT)
		return error_set(error, ERR_DATABASE_ERROR,
			"it is not sealed in a format that this version knows");
	c = find((unsigned char)sealed.p[1]);
	if (c == NULL)
		return error_set(error, ERR_DATABASE_ERROR,
			"it is sealed by a cipher that this version does not know");
	if (sealed.n < HEAD_N + c->nonce_n + TAG_N || sealed.n > SEAL_MAX)
		return error_set(error, ERR_DATABASE_ERROR,
			"what is sealed has %zu bytes, which "
			"cannot be",
			sealed.n);
	*out = c;
	return OK;
}

enum err
seal_read_cipher(struct span sealed, enum seal_cipher *cipher, struct error *error)
{
	const struct cipher *c = NULL;
	enum err e = read_head(sealed, &c, error);

	if (e == OK)
		*cipher = c->cipher;
	return e;
}

enum err
seal_open(const struct secret *key, const struct seal_for *what, struct span sealed,
	struct secret **plain, struct error *error)
{
	const unsigned char *p = (const unsigned char *)sealed.p;
	unsigned char bound[BOUND_MAX];
	const struct cipher *c = NULL;
	struct secret *s;
	unsigned long long n;
	enum err e = read_head(sealed, &c, error);

	if (e != OK)
		return e;
	if (c->cipher == SEAL_AES256GCM && !seal_has_aes())
		return error_set(error, ERR_UNAVAILABLE,
			"it is sealed by AES-256-GCM, for which this processor has no "
			"instructions: `secret rotate` it on one that has, with vault.cipher = "
			"\"xchacha20poly1305\"");
	s = secret_new(sealed.n - HEAD_N - c->nonce_n - TAG_N);
	if (c->open(s->bytes, &n, NULL, p + HEAD_N + c->nonce_n, sealed.n - HEAD_N - c->nonce_n,
		    bound, bind(c, what, bound), p + HEAD_N, key->bytes) != 0) {
		secret_free(s);
		return error_set(error, ERR_DATABASE_ERROR,
			"it does not open: it was changed, or is that of another name, version "
			"or key");
	}
	*plain = s;
	return OK;
}
