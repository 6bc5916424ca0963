#pragma once
/*
 * The vault: the secrets as they are in the store, sealed, and while it is open the key
 * that opens them. What changes them is planned here (vault_plan.h), written by the
 * store, and then taken over. A secret whose row is not what the roster says is refused,
 * with what is wrong with it; the others are not touched by that. Loop thread, but for
 * vault_test() while nothing changes the vault.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/json.h"
#include "common/secret.h"
#include "daemon/guard/vaulthead.h"
#include "daemon/store/safe.h"

enum vault_state {
	VAULT_NONE,   /* it was never made, and there is no key to make it with */
	VAULT_LOCKED, /* there is one, but no key */
	VAULT_OPEN,   /* there is a key; it is made with the first secret */
};

#define VAULT_BYTES_MAX (4 << 20) /* of all values, sealed, as text */

struct vault;

/** Takes what the store has. */
struct vault *vault_new(struct safe_rows *rows);
void vault_free(struct vault *v);

enum vault_state vault_state(const struct vault *v);
/** False: it never was, or what the store has of it is gone. */
bool vault_is_made(const struct vault *v);
/** NULL: it was never made, or is damaged. */
const struct vault_head *vault_head(const struct vault *v);
size_t vault_count(const struct vault *v);
/** How many are refused; of a vault that is open. */
size_t vault_faults(const struct vault *v);
/** Why it is locked, for those who want something of it; "": a key was not looked for. */
void vault_note_reason(struct vault *v, const char *reason);
/** OK, or ERR_VAULT_LOCKED with what to do. */
enum err vault_check_open(const struct vault *v, struct error *error);

/** Takes the key. source: where it came from, a constant text. ERR_PERMISSION_DENIED: it is not
 * the vault's; ERR_DATABASE_ERROR: what the store has does not prove itself. */
enum err vault_unlock(struct vault *v, struct secret *key, const char *source, struct error *error);
/** Forgets the key; only vault_unlock() opens it again. */
void vault_lock(struct vault *v);
bool vault_was_locked(const struct vault *v);
/** Whether this is the key that opened it. */
bool vault_is_key(const struct vault *v, const struct secret *key);

/** The value, and its row (borrowed). ERR_VAULT_LOCKED, ERR_NOT_FOUND, ERR_DATABASE_ERROR: it is
 * not what was written. */
enum err vault_reveal(struct vault *v, struct span name, struct secret **value,
	const struct safe_row **row, struct error *error);
/** Reads all that the store has now as if it were new (taken), and tries to open the secret, or
 * with "" all of them. Writes a list "items" of what came of each. */
enum err vault_test(const struct vault *v, struct safe_rows *rows, struct span name,
	struct json_out *o, struct error *error);

/** Writes all of them as items of a list, by name. */
void vault_add_list(const struct vault *v, struct json_out *o);
/** Writes members that say how it is: few for `status`, all for vault.status. */
void vault_add_status(const struct vault *v, struct json_out *o);
void vault_add_details(const struct vault *v, struct json_out *o);
