#pragma once
/*
 * The vault's head: how its key is found, out of a file or a passphrase, and what the
 * key must prove. And the keys that are made of that one, in locked memory. Pure; making
 * a key of a passphrase takes long, so not on the loop. Any thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/secret.h"
#include "common/span.h"

#define VAULT_KEY_BYTES  32
#define VAULT_ID_N       16
#define VAULT_CHECK_N    16
#define VAULT_HEAD_SIZE  96 /* as text, with the terminator */
#define VAULT_MEMORY_MAX (INT64_C(4) << 30)
#define VAULT_PASSES_MAX 100

/** As it is written. */
enum vault_kdf { VAULT_BY_KEY = 1, VAULT_BY_PASSPHRASE = 2 };

struct vault_head {
	enum vault_kdf kdf;
	unsigned char id[VAULT_ID_N]; /* of the vault, and the salt of its passphrase: random, new
					 with each key */
	int64_t passes;               /* Argon2id; 0 with a key */
	int64_t memory;               /* bytes */
	unsigned char check[VAULT_CHECK_N];
};

/** What the vault works with. */
struct vault_keys {
	struct secret *master;
	struct secret *wrap;  /* seals the keys of the secrets */
	struct secret *prove; /* the roster */
};

/** A new one, without a check. passes and memory: of a passphrase. */
struct vault_head vault_head_new(enum vault_kdf kdf, int64_t passes, int64_t memory);
void vault_head_write(const struct vault_head *h, char out[VAULT_HEAD_SIZE]);
/** ERR_DATABASE_ERROR: it is none, or asks for more than is sane. */
enum err vault_head_read(struct span text, struct vault_head *out, struct error *error);

/** The key of a passphrase; NULL: there was not enough memory. */
struct secret *vault_head_stretch(const struct vault_head *h, const struct secret *passphrase);
/** What the check is with these keys. */
void vault_head_set_check(struct vault_head *h, const struct vault_keys *keys);
bool vault_head_is_of(const struct vault_head *h, const struct vault_keys *keys);

/** Takes the master key. */
struct vault_keys vault_keys_of(struct secret *master);
void vault_keys_fini(struct vault_keys *k);
