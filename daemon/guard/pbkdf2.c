/*
 * PBKDF2: see pbkdf2.h. The HMAC is keyed once and its state copied for each round:
 * that halves the time.
 */

#include "daemon/guard/pbkdf2.h"

#include <endian.h>
#include <sodium.h>
#include <string.h>

#define HASH_N crypto_auth_hmacsha256_BYTES

typedef crypto_auth_hmacsha256_state hmac;

/** What the rounds work on, in locked memory. */
struct work {
	hmac keyed; /* by the password, and by nothing else yet */
	hmac round;
	unsigned char last[HASH_N];
	unsigned char sum[HASH_N];
};

/** One block of the key: the exclusive or of all rounds. */
static void
make_block(struct work *w, struct span salt, uint32_t number, uint64_t rounds)
{
	uint32_t big = htobe32(number);

	w->round = w->keyed;
	crypto_auth_hmacsha256_update(&w->round, (const unsigned char *)salt.p, salt.n);
	crypto_auth_hmacsha256_update(&w->round, (const unsigned char *)&big, sizeof(big));
	crypto_auth_hmacsha256_final(&w->round, w->last);
	memcpy(w->sum, w->last, HASH_N);
	for (uint64_t i = 1; i < rounds; i++) {
		w->round = w->keyed;
		crypto_auth_hmacsha256_update(&w->round, w->last, HASH_N);
		crypto_auth_hmacsha256_final(&w->round, w->last);
		for (size_t k = 0; k < HASH_N; k++)
			w->sum[k] ^= w->last[k];
	}
}

struct secret *
pbkdf2_sha256(struct span password, struct span salt, uint64_t rounds, size_t n)
{
	struct secret *room = secret_new(sizeof(struct work) + _Alignof(struct work));
	struct secret *key = secret_new(n);
	uintptr_t at = (uintptr_t)room->bytes;
	struct work *w = (struct work *)((at + _Alignof(struct work) - 1) &
					 ~(uintptr_t)(_Alignof(struct work) - 1));
	size_t done = 0;

	crypto_auth_hmacsha256_init(&w->keyed, (const unsigned char *)password.p, password.n);
	for (uint32_t number = 1; done < n; number++) {
		size_t part = n - done < HASH_N ? n - done : HASH_N;

		make_block(w, salt, number, rounds);
		memcpy(key->bytes + done, w->sum, part);
		done += part;
	}
	secret_free(room);
	return key;
}
