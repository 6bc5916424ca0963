#pragma once
/*
 * What is going to change in the vault: the rows to write and to drop, the vault's own
 * with its roster always among them, so that all of it is one transaction. A plan is
 * made of what the vault is now; until it is taken over or given up no other is made.
 * Loop thread, but a plan may be made on another one while nothing changes the vault.
 */

#include "common/err.h"
#include "common/secret.h"
#include "daemon/guard/roster.h"
#include "daemon/guard/seal.h"
#include "daemon/guard/vault.h"
#include "daemon/store/job.h"

struct vault_plan {
	struct safe_rows puts; /* the vault's own is the first */
	char *dropped;         /* a name; NULL: none */
	int64_t before;        /* the version that the vault's own has to have; 0: there is none */
	struct vault_head head;
	struct vault_keys keys; /* from now on; master NULL: they stay */
	const char *source;
	struct roster roster;
	size_t n; /* secrets that it is about */
};

/** A new value. ERR_VAULT_LOCKED, ERR_LIMIT_EXCEEDED. */
enum err vault_plan_set(struct vault *v, struct span name, struct span value,
	enum seal_cipher cipher, int64_t now_ms, struct vault_plan *plan, struct error *error);
/** Whatever is of the name. ERR_NOT_FOUND. */
enum err vault_plan_remove(struct vault *v, struct span name, int64_t now_ms,
	struct vault_plan *plan, struct error *error);
/** The same value under a new key; with "" of all secrets. */
enum err vault_plan_rotate(struct vault *v, struct span name, enum seal_cipher cipher,
	int64_t now_ms, struct vault_plan *plan, struct error *error);
/** Another key for the vault (taken): the keys of all secrets are sealed anew, their values stay.
 * The head is that of the key. */
enum err vault_plan_rekey(struct vault *v, const struct vault_head *head, struct secret *key,
	const char *source, int64_t now_ms, struct vault_plan *plan, struct error *error);
/** Makes the vault, with this key (taken). ERR_CONFLICT: there is one. */
enum err vault_plan_create(struct vault *v, const struct vault_head *head, struct secret *key,
	const char *source, int64_t now_ms, struct vault_plan *plan, struct error *error);

/** A job that does it, or NULL when out of memory. */
struct job *vault_plan_job(const struct vault_plan *plan);
/** It was written: the vault is so now. Empties the plan. */
void vault_commit(struct vault *v, struct vault_plan *plan);
/** Also what was not written, or never made. */
void vault_plan_fini(struct vault_plan *plan);
