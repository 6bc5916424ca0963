#pragma once
/*
 * What other programs have sealed by a password: "aes256gcm-pbkdf2", a key by
 * PBKDF2-HMAC-SHA256 and AES-256-GCM with nothing bound in:
 *
 *	nonce (12) | ciphertext | tag (16)
 *
 * Pure, but for the random nonce. Any thread; making a key takes long.
 */

#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/secret.h"
#include "common/span.h"

#define FOREIGN_ROUNDS   600000
#define FOREIGN_MIN      28 /* bytes, of the empty value */
#define FOREIGN_SALT_MIN 8
#define FOREIGN_SALT_MAX 64

struct secret *foreign_key(struct span password, struct span salt, int64_t rounds);
/** ERR_INVALID_ARGUMENT: it does not open; ERR_UNAVAILABLE: the processor has no AES. */
enum err foreign_open(
	const struct secret *key, struct span sealed, struct secret **plain, struct error *error);
/** Appends it. ERR_UNAVAILABLE. */
enum err foreign_make(
	const struct secret *key, struct span plain, struct buf *out, struct error *error);
