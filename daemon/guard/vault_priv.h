#pragma once
/* What the vault's two sources share. */

#include "daemon/guard/roster.h"
#include "daemon/guard/vault.h"

struct vault {
	struct safe_rows rows; /* by name, without the vault's own */
	struct safe_row own;   /* the vault's; name NULL: there is none */
	bool has_head;         /* own could be read */
	struct vault_head head;
	struct vault_keys keys; /* master NULL: it is locked */
	const char *source;     /* of the key */
	struct roster roster;   /* while it is open */
	size_t faults;          /* likewise: secrets that are refused */
	bool was_locked;        /* by vault_lock() */
	struct error why;       /* why it is locked, or what is wrong with its head */
};

/** NULL: there is none. */
struct safe_row *vault_find_row(const struct vault *v, struct span name);
/** Whether the row is what the roster says. *row may be NULL with an error. */
enum err vault_judge(
	const struct vault *v, struct span name, const struct safe_row **row, struct error *error);
/** Opens the key that the secret is sealed with. */
enum err vault_unwrap(const struct vault *v, const struct safe_row *row, struct secret **key,
	struct error *error);
/** Opens the value. */
enum err vault_open_row(const struct vault *v, const struct safe_row *row, struct secret **value,
	struct error *error);

/* What is bound into the two seals of a secret. */
#define VAULT_FOR_KEY(row)   (&(struct seal_for){"key", span_of((row)->name), (row)->version})
#define VAULT_FOR_VALUE(row) (&(struct seal_for){"value", span_of((row)->name), (row)->version})
