/* Time-ordered ids: see uuid.h. */

#include "common/uuid.h"

#include <string.h>

void
uuid_write(int64_t now_ms, const unsigned char random[UUID_RANDOM_N], char out[UUID_SIZE])
{
	static const char digits[] = "0123456789abcdef";
	unsigned char b[UUID_RANDOM_N];

	memcpy(b, random, sizeof(b));
	for (int i = 0; i < 6; i++)
		b[i] = (unsigned char)(now_ms >> (40 - 8 * i));
	b[6] = (unsigned char)(0x70 | (b[6] & 0x0f));
	b[8] = (unsigned char)(0x80 | (b[8] & 0x3f));
	for (int i = 0; i < UUID_RANDOM_N; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*out++ = '-';
		*out++ = digits[b[i] >> 4];
		*out++ = digits[b[i] & 15];
	}
	*out = '\0';
}
