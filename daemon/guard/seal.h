#pragma once
/*
 * Sealed bytes: encrypted and proven, by XChaCha20-Poly1305 or, where the processor
 * has it, AES-256-GCM. What they are for, whose they are and which version of it is
 * bound in: what is sealed for one name or version opens for no other.
 *
 *	format (1) | cipher (1) | nonce (24 or 12) | ciphertext | tag (16)
 *
 * Pure, but for the random nonce. Any thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/secret.h"
#include "common/span.h"

/** As they are written. */
enum seal_cipher { SEAL_XCHACHA20 = 1, SEAL_AES256GCM = 2 };

#define SEAL_KEY_BYTES 32
#define SEAL_PLAIN_MAX 65536
#define SEAL_MAX       (SEAL_PLAIN_MAX + 64) /* bytes, sealed */

/** What is bound in. */
struct seal_for {
	const char *purpose;
	struct span name;
	int64_t version;
};

/** Whether the processor has what AES-256-GCM needs. */
bool seal_has_aes(void);
/** "xchacha20poly1305", "aes256gcm". */
const char *seal_cipher_name(enum seal_cipher cipher);
/** A new key: random. */
struct secret *seal_key_new(void);
/** Appends what the bytes are when they are sealed. AES-256-GCM only where seal_has_aes(), and then
 * with a key that seals few: its nonces are short. */
void seal_make(enum seal_cipher cipher, const struct secret *key, const struct seal_for *what,
	struct span plain, struct buf *out);
/** Only looks: ERR_DATABASE_ERROR if it is not of this format. */
enum err seal_read_cipher(struct span sealed, enum seal_cipher *cipher, struct error *error);
/** ERR_DATABASE_ERROR: it was changed, or is of another name, version or key. ERR_UNAVAILABLE: the
 * processor does not have its cipher. */
enum err seal_open(const struct secret *key, const struct seal_for *what, struct span sealed,
	struct secret **plain, struct error *error);
