#pragma once
/*
 * PBKDF2-HMAC-SHA256 (RFC 8018), on libsodium's HMAC: only for what other programs
 * have sealed, own passphrases go through Argon2id. Pure; takes its time, so not on
 * the loop. Any thread.
 */

#include <stdint.h>

#include "common/secret.h"
#include "common/span.h"

/** A key of n bytes. */
struct secret *pbkdf2_sha256(struct span password, struct span salt, uint64_t rounds, size_t n);
