/* The keys of the vault: unlocking, locking, another key. See secrets.h. */

#include "common/clock.h"
#include "common/log.h"
#include "daemon/guard/keysource.h"
#include "daemon/secrets_priv.h"

static void
stretch(struct offload_work *slow)
{
	struct work *w = work_of(slow);

	w->key = vault_head_stretch(&w->head, w->wish.passphrase);
}

/** The key of a passphrase, which there is unless memory was short. */
static enum err
take_key(struct work *w, struct secret **key, struct error *error)
{
	*key = w->key;
	w->key = NULL;
	return *key != NULL ? OK
			    : error_set(error, ERR_UNAVAILABLE,
				      "there is not enough memory for the passphrase: it needs "
				      "%lld bytes",
				      (long long)w->head.memory);
}

static void
open_with(struct work *w, struct secret *key, const char *source)
{
	struct error error = ERROR_NONE;
	enum err e = vault_unlock(w->owner->vault, key, source, &error);

	if (e != OK) {
		work_fail(w, e, &error);
		return;
	}
	log_info("vault", "opened", F_STR("source", source),
		F_INT("secrets", vault_count(w->owner->vault)),
		F_INT("faults", vault_faults(w->owner->vault)));
	work_succeed(w);
}

static void
end_unlock(struct offload_work *slow)
{
	struct work *w = work_of(slow);
	struct error error = ERROR_NONE;
	struct secret *key = NULL;
	enum err e = take_key(w, &key, &error);

	if (e == OK)
		open_with(w, key, "passphrase");
	else
		work_fail(w, e, &error);
}

static void
end_create(struct offload_work *slow)
{
	struct work *w = work_of(slow);
	struct error error = ERROR_NONE;
	struct secret *key = NULL;
	enum err e = take_key(w, &key, &error);

	if (e == OK)
		e = vault_plan_create(w->owner->vault, &w->head, key, "passphrase", clock_wall_ms(),
			&w->plan, &error);
	work_go_on(w, e, &error);
}

static struct vault_head
new_head(const struct secrets *s)
{
	return vault_head_new(
		VAULT_BY_PASSPHRASE, s->conf->vault.argon2_passes, s->conf->vault.argon2_memory);
}

static void
create(struct work *w)
{
	const struct vault *vault = w->owner->vault;
	struct error error = ERROR_NONE;
	enum err e = OK;

	if (vault_is_made(vault))
		e = error_set(&error, ERR_CONFLICT, "there is a vault already");
	else if (vault_state(vault) == VAULT_OPEN)
		e = error_set(&error, ERR_CONFLICT,
			"the daemon has a key, with which the vault is made when the first secret "
			"is set: for a passphrase take the key away first (vault.key_file, or the "
			"credential sysrt.key) and restart");
	if (e != OK) {
		work_fail(w, e, &error);
		return;
	}
	w->head = new_head(w->owner);
	work_go_slow(w, stretch, end_create);
}

/** What kind of key the vault has, against what is shown. */
static enum err
check_kind(const struct work *w, struct error *error)
{
	const struct vault_head *head = vault_head(w->owner->vault);
	bool is_phrase = w->wish.passphrase != NULL;

	if (vault_state(w->owner->vault) == VAULT_NONE && is_phrase)
		return error_set(
			error, ERR_NOT_FOUND, "there is no vault yet: with `create` one is made");
	if (head == NULL)
		return is_phrase ? vault_check_open(w->owner->vault, error) : OK;
	if (head->kdf == VAULT_BY_KEY && is_phrase)
		return error_set(error, ERR_INVALID_ARGUMENT,
			"this vault is opened by a key (vault.key_file, or the credential "
			"sysrt.key), not by a passphrase");
	if (head->kdf == VAULT_BY_PASSPHRASE && !is_phrase)
		return error_set(
			error, ERR_INVALID_ARGUMENT, "this vault is opened by a passphrase");
	return OK;
}

/** The key that is where the configuration says. */
static enum err
find_key(const struct work *w, struct secret **key, const char **source, struct error *error)
{
	enum err e = keysource_read(w->owner->conf->vault.key_file, key, source, error);

	if (e == OK && *key == NULL)
		e = error_set(error, ERR_INVALID_ARGUMENT,
			"there is no key: vault.key_file is not set, and there is no credential "
			"sysrt.key");
	return e;
}

void
work_unlock(struct work *w)
{
	struct error error = ERROR_NONE;
	const char *source = "request";
	struct secret *key = NULL;
	enum err e;

	if (w->wish.creates) {
		create(w);
		return;
	}
	e = check_kind(w, &error);
	if (e == OK && w->wish.passphrase != NULL) {
		w->head = *vault_head(w->owner->vault);
		work_go_slow(w, stretch, end_unlock);
		return;
	}
	if (e == OK && w->wish.value != NULL) {
		key = w->wish.value;
		w->wish.value = NULL;
	} else if (e == OK) {
		e = find_key(w, &key, &source, &error);
	}
	if (e == OK)
		open_with(w, key, source);
	else
		work_fail(w, e, &error);
}

void
work_lock(struct work *w)
{
	vault_lock(w->owner->vault);
	vault_note_reason(w->owner->vault, "it was locked by an administrator");
	log_info("vault", "locked");
	work_succeed(w);
}

static void
plan_rekey(struct offload_work *slow)
{
	struct work *w = work_of(slow);
	struct secret *key = NULL;

	if (w->key == NULL)
		stretch(slow);
	w->result = take_key(w, &key, &w->error);
	if (w->result == OK)
		w->result = vault_plan_rekey(w->owner->vault, &w->head, key, w->source,
			clock_wall_ms(), &w->plan, &w->error);
}

/** To the key that is in its place now; the one before it may be gone from there. */
static enum err
find_new_key(struct work *w, struct error *error)
{
	enum err e = find_key(w, &w->key, &w->source, error);

	if (e == OK && vault_is_key(w->owner->vault, w->key))
		e = error_set(error, ERR_CONFLICT,
			"the key (%s) is the one that the vault has: put another one in its place "
			"first, and keep the old one until this is done",
			w->source);
	return e;
}

void
work_rekey(struct work *w)
{
	struct error error = ERROR_NONE;
	enum err e = vault_check_open(w->owner->vault, &error);

	w->head = w->wish.passphrase != NULL ? new_head(w->owner)
					     : vault_head_new(VAULT_BY_KEY, 0, 0);
	w->source = "passphrase";
	if (e == OK && w->wish.passphrase == NULL)
		e = find_new_key(w, &error);
	if (e == OK)
		work_go_slow(w, plan_rekey, work_end_plan);
	else
		work_fail(w, e, &error);
}

void
secrets_find_key(struct vault *vault, const struct conf *conf)
{
	struct error error = ERROR_NONE;
	struct secret *key = NULL;
	const char *source;
	const struct vault_head *head = vault_head(vault);
	enum err e = keysource_read(conf->vault.key_file, &key, &source, &error);

	if (e == OK && key != NULL && head != NULL && head->kdf == VAULT_BY_PASSPHRASE) {
		secret_free(key);
		log_info("vault", "the vault is opened by a passphrase: its key is not used",
			F_STR("source", source));
		return;
	}
	if (e == OK && key != NULL)
		e = vault_unlock(vault, key, source, &error);
	if (e != OK) {
		vault_note_reason(vault, error.text);
		log_error("vault", "the vault stays locked", F_ERROR(&error));
	} else if (key != NULL) {
		log_info("vault", "opened", F_STR("source", source),
			F_INT("secrets", vault_count(vault)), F_INT("faults", vault_faults(vault)));
	} else if (vault_state(vault) == VAULT_LOCKED) {
		log_warn("vault", "the vault is locked", F_INT("secrets", vault_count(vault)));
	}
}
