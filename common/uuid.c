/* Time-ordered ids: see uuid.h. */

#include "common/uuid.h"

#include <stdio.h>
#include <string.h>

void
uuid_write(int64_t now_ms, const unsigned char random[UUID_RANDOM_N], char out[UUID_SIZE])
{
	unsigned char b[UUID_RANDOM_N];
	int at = 0;

	memcpy(b, random, sizeof(b));
	for (int i = 0; i < 6; i++)
		b[i] = (unsigned char)(now_ms >> (40 - 8 * i));
	b[6] = (unsigned char)(0x70 | (b[6] & 0x0f));
	b[8] = (unsigned char)(0x80 | (b[8] & 0x3f));
	for (int i = 0; i < UUID_RANDOM_N; i++)
		at += snprintf(out + at, (size_t)(UUID_SIZE - at), "%s%02x",
			i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", b[i]);
}
