/*
 * The vault's head and its keys: see vaulthead.h. As bytes, which are then base64:
 *
 *	format (1) | kdf (1) | id (16) | passes (8) | memory (8) | check (16)
 */

#include "daemon/guard/vaulthead.h"

#include <endian.h>
#include <sodium.h>
#include <string.h>

#include "common/base64.h"
#include "common/xalloc.h"

#define FORMAT     1
#define HEAD_N     (2 + VAULT_ID_N + 8 + 8 + VAULT_CHECK_N)
#define AT_ID      2
#define AT_PASSES  (AT_ID + VAULT_ID_N)
#define AT_MEMORY  (AT_PASSES + 8)
#define AT_CHECK   (AT_MEMORY + 8)
#define CONTEXT    "sysrtkey"
#define MEMORY_MIN 8192

enum subkey { SUBKEY_WRAP = 1, SUBKEY_PROVE, SUBKEY_CHECK };

_Static_assert(VAULT_KEY_BYTES == crypto_kdf_KEYBYTES && VAULT_ID_N == crypto_pwhash_SALTBYTES &&
		       sizeof(CONTEXT) - 1 == crypto_kdf_CONTEXTBYTES &&
		       4 * ((HEAD_N + 2) / 3) < VAULT_HEAD_SIZE,
	"the sizes agree");

struct vault_head
vault_head_new(enum vault_kdf kdf, int64_t passes, int64_t memory)
{
	struct vault_head h = {.kdf = kdf};

	if (kdf == VAULT_BY_PASSPHRASE) {
		h.passes = passes;
		h.memory = memory;
	}
	randombytes_buf(h.id, sizeof(h.id));
	return h;
}

static void
write_number(unsigned char *to, int64_t value)
{
	uint64_t word = htole64((uint64_t)value);

	memcpy(to, &word, sizeof(word));
}

static int64_t
read_number(const unsigned char *from)
{
	uint64_t word;

	memcpy(&word, from, sizeof(word));
	return (int64_t)le64toh(word);
}

void
vault_head_write(const struct vault_head *h, char out[VAULT_HEAD_SIZE])
{
	unsigned char bytes[HEAD_N] = {FORMAT, (unsigned char)h->kdf};

	memcpy(bytes + AT_ID, h->id, VAULT_ID_N);
	write_number(bytes + AT_PASSES, h->passes);
	write_number(bytes + AT_MEMORY, h->memory);
	memcpy(bytes + AT_CHECK, h->check, VAULT_CHECK_N);
	base64_write((struct span){(const char *)bytes, sizeof(bytes)}, out);
}

/** A passphrase must not cost more than it can be meant to. */
static bool
is_sane(const struct vault_head *h)
{
	if (h->kdf == VAULT_BY_KEY)
		return h->passes == 0 && h->memory == 0;
	return h->kdf == VAULT_BY_PASSPHRASE && h->passes >= 1 && h->passes <= VAULT_PASSES_MAX &&
	       h->memory >= MEMORY_MIN && h->memory <= VAULT_MEMORY_MAX;
}

enum err
vault_head_read(struct span text, struct vault_head *out, struct error *error)
{
	unsigned char bytes[HEAD_N];
	struct vault_head h = {.kdf = VAULT_BY_KEY};
	size_t n = 0;
	bool is_one = base64_read(text, bytes, sizeof(bytes), &n) && n == sizeof(bytes) &&
		      bytes[0] == FORMAT;

	if (is_one) {
		h.kdf = (enum vault_kdf)bytes[1];
		memcpy(h.id, bytes + AT_ID, VAULT_ID_N);
		h.passes = read_number(bytes + AT_PASSES);
		h.memory = read_number(bytes + AT_MEMORY);
		memcpy(h.check, bytes + AT_CHECK, VAULT_CHECK_N);
	}
	if (!is_one || !is_sane(&h))
		return error_set(error, ERR_DATABASE_ERROR,
			"the vault's head was changed by another program, or is damaged: restore a "
			"backup");
	*out = h;
	return OK;
}

struct secret *
vault_head_stretch(const struct vault_head *h, const struct secret *passphrase)
{
	struct secret *key = secret_new(VAULT_KEY_BYTES);

	if (crypto_pwhash(key->bytes, key->n, (const char *)passphrase->bytes, passphrase->n, h->id,
		    (unsigned long long)h->passes, (size_t)h->memory,
		    crypto_pwhash_ALG_ARGON2ID13) == 0)
		return key;
	secret_free(key);
	return NULL;
}

static struct secret *
subkey_of(const struct secret *master, enum subkey which)
{
	struct secret *key = secret_new(VAULT_KEY_BYTES);

	must(master->n == VAULT_KEY_BYTES);
	crypto_kdf_derive_from_key(key->bytes, key->n, which, CONTEXT, master->bytes);
	return key;
}

/** Binds the id, so that two vaults with one key have not one check. */
static void
make_check(
	const struct vault_head *h, const struct vault_keys *keys, unsigned char out[VAULT_CHECK_N])
{
	struct secret *key = subkey_of(keys->master, SUBKEY_CHECK);

	crypto_generichash(out, VAULT_CHECK_N, h->id, VAULT_ID_N, key->bytes, key->n);
	secret_free(key);
}

void
vault_head_set_check(struct vault_head *h, const struct vault_keys *keys)
{
	make_check(h, keys, h->check);
}

bool
vault_head_is_of(const struct vault_head *h, const struct vault_keys *keys)
{
	unsigned char check[VAULT_CHECK_N];

	make_check(h, keys, check);
	return sodium_memcmp(check, h->check, VAULT_CHECK_N) == 0;
}

struct vault_keys
vault_keys_of(struct secret *master)
{
	return (struct vault_keys){
		.master = master,
		.wrap = subkey_of(master, SUBKEY_WRAP),
		.prove = subkey_of(master, SUBKEY_PROVE),
	};
}

void
vault_keys_fini(struct vault_keys *k)
{
	secret_free(k->master);
	secret_free(k->wrap);
	secret_free(k->prove);
	*k = (struct vault_keys){.master = NULL};
}
