/* Tokens as texts: see token.h. */

#include "daemon/guard/token.h"

#include <sodium.h>
#include <stdint.h>
#include <string.h>

#define PREFIX     "sysrt_"
#define PREFIX_N   (sizeof(PREFIX) - 1)
#define RANDOM_N   43
#define CHECKSUM_N 6
#define TEXT_N     (PREFIX_N + RANDOM_N + CHECKSUM_N)

static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
#define BASE 62

/** CRC-32, as zlib has it: a scanner can compute it too. */
static uint32_t
crc(const char *p, size_t n)
{
	uint32_t c = UINT32_MAX;

	for (size_t i = 0; i < n; i++) {
		c ^= (unsigned char)p[i];
		for (int bit = 0; bit < 8; bit++)
			c = c >> 1 ^ (UINT32_C(0xedb88320) & (0 - (c & 1)));
	}
	return ~c;
}

/** The checksum in digits, the highest first, of what stands before it. */
static void
write_checksum(const char *text, char out[CHECKSUM_N])
{
	uint32_t c = crc(text, PREFIX_N + RANDOM_N);

	for (size_t i = CHECKSUM_N; i-- > 0; c /= BASE)
		out[i] = digits[c % BASE];
}

void
token_make(char out[TOKEN_TEXT_SIZE])
{
	memcpy(out, PREFIX, PREFIX_N);
	for (size_t i = 0; i < RANDOM_N; i++)
		out[PREFIX_N + i] = digits[randombytes_uniform(BASE)];
	write_checksum(out, out + PREFIX_N + RANDOM_N);
	out[TEXT_N] = '\0';
}

bool
token_is_whole(struct span text)
{
	char checksum[CHECKSUM_N];

	if (text.n != TEXT_N || !span_has_prefix(text, SPAN(PREFIX)))
		return false;
	for (size_t i = PREFIX_N; i < TEXT_N; i++)
		if (memchr(digits, text.p[i], BASE) == NULL)
			return false;
	write_checksum(text.p, checksum);
	return memcmp(checksum, text.p + PREFIX_N + RANDOM_N, CHECKSUM_N) == 0;
}

bool
token_is_in(struct span text)
{
	return text.n > 0 && memmem(text.p, text.n, PREFIX, PREFIX_N) != NULL;
}

void
token_hash(const unsigned char key[TOKEN_KEY_BYTES], struct span text, char out[TOKEN_HASH_SIZE])
{
	unsigned char hash[crypto_generichash_BYTES];

	crypto_generichash(
		hash, sizeof(hash), (const unsigned char *)text.p, text.n, key, TOKEN_KEY_BYTES);
	sodium_bin2hex(out, TOKEN_HASH_SIZE, hash, sizeof(hash));
}
