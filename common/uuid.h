#pragma once
/* Time-ordered ids: UUID version 7 (RFC 9562, 5.7). Pure; any thread. */

#include <stdint.h>

#define UUID_SIZE     37 /* of its text, with the terminator */
#define UUID_RANDOM_N 16

/** Writes one; random: as many random bytes. */
void uuid_write(int64_t now_ms, const unsigned char random[UUID_RANDOM_N], char out[UUID_SIZE]);
