/* Base64: see base64.h. */

#include "common/base64.h"

#include <sodium.h>

#define VARIANT sodium_base64_VARIANT_ORIGINAL

size_t
base64_size(size_t n)
{
	return sodium_base64_encoded_len(n, VARIANT);
}

void
base64_write(struct span bytes, char *out)
{
	sodium_bin2base64(
		out, base64_size(bytes.n), (const unsigned char *)bytes.p, bytes.n, VARIANT);
}

size_t
base64_room(size_t n)
{
	return n / 4 * 3 + 3;
}

bool
base64_read(struct span text, unsigned char *out, size_t room, size_t *n)
{
	unsigned char all = 0;

	/* libsodium 1.0.18 takes some bytes above 127 for others. */
	for (size_t i = 0; i < text.n; i++)
		all |= (unsigned char)text.p[i];
	*n = 0;
	return all < 0x80 &&
	       sodium_base642bin(out, room, text.p, text.n, NULL, n, NULL, VARIANT) == 0;
}
