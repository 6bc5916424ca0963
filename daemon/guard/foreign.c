/* What other programs have sealed: see foreign.h. */

#include "daemon/guard/foreign.h"

#include <sodium.h>

#include "common/xalloc.h"
#include "daemon/guard/pbkdf2.h"
#include "daemon/guard/seal.h"

#define NONCE_N crypto_aead_aes256gcm_NPUBBYTES
#define TAG_N   crypto_aead_aes256gcm_ABYTES

struct secret *
foreign_key(struct span password, struct span salt, int64_t rounds)
{
	return pbkdf2_sha256(password, salt, (uint64_t)rounds, SEAL_KEY_BYTES);
}

static enum err
check_processor(struct error *error)
{
	return seal_has_aes() ? OK
			      : error_set(error, ERR_UNAVAILABLE,
					"this processor has no instructions for AES-256-GCM");
}

enum err
foreign_open(
	const struct secret *key, struct span sealed, struct secret **plain, struct error *error)
{
	const unsigned char *p = (const unsigned char *)sealed.p;
	unsigned long long n;
	struct secret *s;
	enum err e = check_processor(error);

	if (e != OK)
		return e;
	if (sealed.n < NONCE_N + TAG_N || sealed.n > NONCE_N + TAG_N + SEAL_PLAIN_MAX)
		return error_set(error, ERR_INVALID_ARGUMENT,
			"what is sealed has %zu bytes: a nonce of %u, the value of at most %d, a "
			"tag of %u",
			sealed.n, NONCE_N, SEAL_PLAIN_MAX, TAG_N);
	s = secret_new(sealed.n - NONCE_N - TAG_N);
	if (crypto_aead_aes256gcm_decrypt(s->bytes, &n, NULL, p + NONCE_N, sealed.n - NONCE_N, NULL,
		    0, p, key->bytes) != 0) {
		secret_free(s);
		return error_set(error, ERR_INVALID_ARGUMENT,
			"it does not open: another passphrase, salt or number of rounds, or it "
			"was changed");
	}
	*plain = s;
	return OK;
}

enum err
foreign_make(const struct secret *key, struct span plain, struct buf *out, struct error *error)
{
	enum err e = check_processor(error);
	unsigned long long n = 0;
	unsigned char *to;

	if (e != OK)
		return e;
	must(plain.n <= SEAL_PLAIN_MAX);
	to = (unsigned char *)buf_reserve(out, NONCE_N + plain.n + TAG_N);
	if (to == NULL)
		return error_set(error, ERR_LIMIT_EXCEEDED, "out of memory");
	randombytes_buf(to, NONCE_N);
	crypto_aead_aes256gcm_encrypt(to + NONCE_N, &n, (const unsigned char *)plain.p, plain.n,
		NULL, 0, NULL, to, key->bytes);
	out->n += NONCE_N + (size_t)n;
	return OK;
}
