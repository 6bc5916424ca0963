/* The vault: see vault.h. */

#include "daemon/guard/vault.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "common/base64.h"
#include "common/xalloc.h"
#include "daemon/guard/seal.h"
#include "daemon/guard/vault_priv.h"

static const char *const state_names[] = {
	[VAULT_NONE] = "none", [VAULT_LOCKED] = "locked", [VAULT_OPEN] = "open"};

/** The vault's own row out of those of the store. */
static void
take_own(struct vault *v)
{
	for (size_t i = 0; i < v->rows.n; i++) {
		if (strcmp(v->rows.v[i].name, SAFE_VAULT) != 0)
			continue;
		v->own = v->rows.v[i];
		v->rows.n--;
		memmove(&v->rows.v[i], &v->rows.v[i + 1], (v->rows.n - i) * sizeof(v->own));
		break;
	}
	if (v->own.name != NULL)
		v->has_head = vault_head_read(span_of(v->own.key), &v->head, &v->why) == OK;
}

struct vault *
vault_new(struct safe_rows *rows)
{
	struct vault *v = xnew(struct vault);

	v->why = ERROR_NONE;
	v->rows = *rows;
	*rows = (struct safe_rows){.v = NULL};
	take_own(v);
	return v;
}

void
vault_free(struct vault *v)
{
	if (v == NULL)
		return;
	vault_keys_fini(&v->keys);
	roster_fini(&v->roster);
	safe_rows_fini(&v->rows);
	safe_row_fini(&v->own);
	free(v);
}

enum vault_state
vault_state(const struct vault *v)
{
	if (v->keys.master != NULL)
		return VAULT_OPEN;
	return v->own.name != NULL || v->rows.n > 0 ? VAULT_LOCKED : VAULT_NONE;
}

bool
vault_is_made(const struct vault *v)
{
	return v->own.name != NULL;
}

const struct vault_head *
vault_head(const struct vault *v)
{
	return v->has_head ? &v->head : NULL;
}

size_t
vault_count(const struct vault *v)
{
	return v->keys.master != NULL && v->has_head ? v->roster.n : v->rows.n;
}

void
vault_note_reason(struct vault *v, const char *reason)
{
	error_set(&v->why, ERR_VAULT_LOCKED, "%s", reason);
}

enum err
vault_check_open(const struct vault *v, struct error *error)
{
	const char *reason = v->why.text;

	if (v->keys.master != NULL)
		return OK;
	if (v->own.name != NULL && !v->has_head)
		return error_set(error, ERR_DATABASE_ERROR, "%s", reason);
	if (v->own.name == NULL && v->rows.n > 0)
		return error_set(error, ERR_DATABASE_ERROR,
			"the row of the vault is gone from the store: restore a backup, or give the "
			"daemon a key (vault.key_file, or the credential sysrt.key), remove the "
			"secrets that are left, and set them again");
	if (v->has_head && v->head.kdf == VAULT_BY_PASSPHRASE)
		return error_set(error, ERR_VAULT_LOCKED,
			"the vault is locked: open it with `sysrtctl vault unlock`%s%s",
			reason[0] != '\0' ? "; " : "", reason);
	if (v->has_head)
		return error_set(error, ERR_VAULT_LOCKED,
			"the vault is locked: give the daemon its key again (vault.key_file, or the "
			"credential sysrt.key), then `sysrtctl vault unlock`%s%s",
			reason[0] != '\0' ? "; " : "", reason);
	return error_set(error, ERR_VAULT_LOCKED,
		"there is no vault yet: give the daemon a key (vault.key_file, or the credential "
		"sysrt.key), or a passphrase with `sysrtctl vault unlock`%s%s",
		reason[0] != '\0' ? "; " : "", reason);
}

/** With keys that are the head's: reads the roster. */
static enum err
read_roster(struct vault *v, const struct vault_keys *keys, struct error *error)
{
	struct roster roster = {.v = NULL};
	enum err e = roster_read(
		span_of(v->own.value), keys->prove, span_of(v->own.key), &roster, error);

	if (e == OK && roster.generation != v->own.version) {
		roster_fini(&roster);
		e = error_set(error, ERR_DATABASE_ERROR,
			"the vault's row was changed by another program, or is damaged: restore a "
			"backup");
	}
	if (e != OK)
		return e;
	roster_fini(&v->roster);
	v->roster = roster;
	return OK;
}

static enum err
check_keys(struct vault *v, const struct vault_keys *keys, const char *source, struct error *error)
{
	if (v->own.name == NULL)
		return OK; /* it will be made with them */
	if (!v->has_head)
		return error_set(error, ERR_DATABASE_ERROR, "%s", v->why.text);
	if (!vault_head_is_of(&v->head, keys))
		return error_set(error, ERR_PERMISSION_DENIED,
			v->head.kdf == VAULT_BY_PASSPHRASE && strcmp(source, "passphrase") == 0
				? "the passphrase is not that of this vault"
				: "the key (%s) is not that of this vault",
			source);
	return read_roster(v, keys, error);
}

struct safe_row *
vault_find_row(const struct vault *v, struct span name)
{
	for (size_t i = 0; i < v->rows.n; i++)
		if (span_is(name, v->rows.v[i].name))
			return &v->rows.v[i];
	return NULL;
}

/** What is wrong with a row that is not as the roster says. */
static enum err
tell_fault(const struct safe_row *row, const struct roster_entry *entry, struct error *error)
{
	if (row->version < entry->version)
		return error_set(error, ERR_DATABASE_ERROR,
			"the secret %s: an older version, %" PRId64
			", was put back into the store; version %" PRId64
			" is the one that counts: set it anew, or restore a backup",
			row->name, row->version, entry->version);
	if (row->version > entry->version)
		return error_set(error, ERR_DATABASE_ERROR,
			"the secret %s has version %" PRId64 " in the store, but %" PRId64
			" in the vault's list: an older list was put back: restore a backup",
			row->name, row->version, entry->version);
	return error_set(error, ERR_DATABASE_ERROR,
		"the secret %s was changed by another program, or is damaged: set it anew, or "
		"restore a backup",
		row->name);
}

enum err
vault_judge(
	const struct vault *v, struct span name, const struct safe_row **row, struct error *error)
{
	const struct safe_row *found = vault_find_row(v, name);
	char *text = xstrndup(name.p, name.n);
	const struct roster_entry *entry = roster_find(&v->roster, text);
	struct roster_entry is;

	free(text);
	*row = found;
	if (found == NULL && entry == NULL)
		return error_set(error, ERR_NOT_FOUND, "there is no secret of the name %.*s",
			SPAN_FMT(name));
	if (found == NULL)
		return error_set(error, ERR_DATABASE_ERROR,
			"the secret %.*s is gone from the store: set it anew, or restore a backup",
			SPAN_FMT(name));
	if (entry == NULL)
		return error_set(error, ERR_DATABASE_ERROR,
			"the secret %.*s was put into the store by another program: remove it",
			SPAN_FMT(name));
	is = roster_entry_of(found);
	if (is.version != entry->version || memcmp(is.digest, entry->digest, ROSTER_DIGEST_N) != 0)
		return tell_fault(found, entry, error);
	return OK;
}

/** Opens a text that is sealed. */
static enum err
open_text(const char *text, const struct secret *key, const struct seal_for *what,
	struct secret **out, struct error *error)
{
	size_t room = base64_room(strlen(text)), n;
	unsigned char *bytes = xcalloc(1, room);
	enum err e;

	if (!base64_read(span_of(text), bytes, room, &n))
		e = error_set(error, ERR_DATABASE_ERROR, "what is sealed is no base64");
	else
		e = seal_open(key, what, (struct span){(const char *)bytes, n}, out, error);
	free(bytes);
	return e;
}

enum err
vault_unwrap(
	const struct vault *v, const struct safe_row *row, struct secret **key, struct error *error)
{
	enum err e = open_text(row->key, v->keys.wrap, VAULT_FOR_KEY(row), key, error);

	if (e == OK && (*key)->n != SEAL_KEY_BYTES) {
		secret_free(*key);
		e = error_set(error, ERR_DATABASE_ERROR, "its key has the wrong length");
	}
	if (e != OK)
		error_wrap(error, "the secret %s", row->name);
	return e;
}

enum err
vault_open_row(const struct vault *v, const struct safe_row *row, struct secret **value,
	struct error *error)
{
	struct secret *key = NULL;
	enum err e = vault_unwrap(v, row, &key, error);

	if (e != OK)
		return e;
	e = open_text(row->value, key, VAULT_FOR_VALUE(row), value, error);
	if (e != OK)
		error_wrap(error, "the secret %s", row->name);
	secret_free(key);
	return e;
}

enum err
vault_reveal(struct vault *v, struct span name, struct secret **value, const struct safe_row **row,
	struct error *error)
{
	enum err e = vault_check_open(v, error);

	if (e == OK)
		e = vault_judge(v, name, row, error);
	return e == OK ? vault_open_row(v, *row, value, error) : e;
}

static size_t
count_faults(const struct vault *v)
{
	const struct safe_row *row;
	size_t n = 0;

	for (size_t i = 0; i < v->roster.n; i++)
		n += vault_judge(v, span_of(v->roster.v[i].name), &row, NULL) != OK;
	for (size_t i = 0; i < v->rows.n; i++)
		n += roster_find(&v->roster, v->rows.v[i].name) == NULL;
	return n;
}

enum err
vault_unlock(struct vault *v, struct secret *key, const char *source, struct error *error)
{
	struct vault_keys keys = vault_keys_of(key);
	enum err e = check_keys(v, &keys, source, error);

	if (e != OK) {
		vault_keys_fini(&keys);
		return e;
	}
	vault_keys_fini(&v->keys);
	v->keys = keys;
	v->source = source;
	v->why = ERROR_NONE;
	v->faults = count_faults(v);
	v->was_locked = false;
	return OK;
}

void
vault_lock(struct vault *v)
{
	vault_keys_fini(&v->keys);
	roster_fini(&v->roster);
	v->source = NULL;
	v->was_locked = true;
}

bool
vault_was_locked(const struct vault *v)
{
	return v->was_locked;
}

bool
vault_is_key(const struct vault *v, const struct secret *key)
{
	return v->keys.master != NULL && key->n == v->keys.master->n &&
	       sodium_memcmp(key->bytes, v->keys.master->bytes, key->n) == 0;
}

size_t
vault_faults(const struct vault *v)
{
	return v->faults;
}

/* Lists. */

/** The first three bytes of what is sealed tell the cipher. */
static const char *
cipher_of(const struct safe_row *row)
{
	unsigned char bytes[3];
	size_t n;

	if (strlen(row->value) < 4 ||
		!base64_read((struct span){row->value, 4}, bytes, sizeof(bytes), &n) || n != 3)
		return "unknown";
	return seal_cipher_name((enum seal_cipher)bytes[1]);
}

static void
put_item(const struct vault *v, struct span name, struct json_out *o)
{
	const struct safe_row *row = NULL;
	struct error error = ERROR_NONE;
	enum err e = OK;

	if (v->keys.master != NULL)
		e = vault_judge(v, name, &row, &error);
	else
		row = vault_find_row(v, name);
	json_begin_object(o, NULL);
	json_put_string(o, "name", name);
	if (row != NULL) {
		json_put_int(o, "version", row->version);
		json_put_str(o, "cipher", cipher_of(row));
		json_put_int(o, "created_at", row->created_at);
		json_put_int(o, "updated_at", row->updated_at);
		json_put_int(o, "sealed_at", row->sealed_at);
	}
	if (e != OK)
		json_put_str(o, "error", error.text);
	json_end_object(o);
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/** The names of all rows, and of all that the roster has, each once, in order; *n of them. */
static const char **
collect_names(const struct vault *v, size_t *n)
{
	const char **names = xnew_n(v->rows.n + v->roster.n + 1, const char *);

	*n = 0;
	for (size_t i = 0; i < v->rows.n; i++)
		names[(*n)++] = v->rows.v[i].name;
	for (size_t i = 0; i < v->roster.n; i++)
		if (vault_find_row(v, span_of(v->roster.v[i].name)) == NULL)
			names[(*n)++] = v->roster.v[i].name;
	qsort(names, *n, sizeof(*names), compare_names);
	return names;
}

void
vault_add_list(const struct vault *v, struct json_out *o)
{
	size_t n;
	const char **names = collect_names(v, &n);

	for (size_t i = 0; i < n; i++)
		put_item(v, span_of(names[i]), o);
	free(names);
}

/** One that is read anew: whether it opens. */
static void
put_test(struct vault *v, struct span name, struct json_out *o)
{
	struct secret *value = NULL;
	const struct safe_row *row = NULL;
	struct error error = ERROR_NONE;
	enum err e = vault_reveal(v, name, &value, &row, &error);

	secret_free(value);
	json_begin_object(o, NULL);
	json_put_string(o, "name", name);
	if (row != NULL)
		json_put_int(o, "version", row->version);
	json_put_bool(o, "ok", e == OK);
	if (e != OK)
		json_put_str(o, "error", error.text);
	json_end_object(o);
}

static void
test_all(struct vault *v, struct json_out *o)
{
	size_t n;
	const char **names = collect_names(v, &n);

	for (size_t i = 0; i < n; i++)
		put_test(v, span_of(names[i]), o);
	free(names);
}

enum err
vault_test(const struct vault *v, struct safe_rows *rows, struct span name, struct json_out *o,
	struct error *error)
{
	struct vault *now = vault_new(rows);
	const struct safe_row *row;
	enum err e = vault_check_open(v, error);

	if (e == OK)
		e = vault_unlock(now, secret_copy(secret_span(v->keys.master)), v->source, error);
	if (e == OK &&
		(now->has_head != v->has_head || now->roster.generation != v->roster.generation))
		e = error_set(error, ERR_DATABASE_ERROR,
			"the vault in the store is not the one that the daemon works with: another "
			"one, or an older one, was put in its place");
	if (e == OK && name.n > 0 && vault_judge(now, name, &row, error) == ERR_NOT_FOUND)
		e = ERR_NOT_FOUND;
	if (e == OK) {
		json_begin_array(o, "items");
		if (name.n > 0)
			put_test(now, name, o);
		else
			test_all(now, o);
		json_end_array(o);
	}
	vault_free(now);
	return e;
}

void
vault_add_status(const struct vault *v, struct json_out *o)
{
	json_put_str(o, "state", state_names[vault_state(v)]);
	json_put_int(o, "secrets", (int64_t)vault_count(v));
	if (v->keys.master != NULL)
		json_put_int(o, "faults", (int64_t)v->faults);
}

void
vault_add_details(const struct vault *v, struct json_out *o)
{
	struct error error = ERROR_NONE;

	vault_add_status(v, o);
	if (vault_check_open(v, &error) != OK)
		json_put_str(o, "reason", error.text);
	if (v->source != NULL)
		json_put_str(o, "source", v->source);
	if (!v->has_head)
		return;
	json_put_str(o, "opened_by", v->head.kdf == VAULT_BY_KEY ? "key" : "passphrase");
	if (v->head.kdf == VAULT_BY_PASSPHRASE) {
		json_put_int(o, "argon2_memory", v->head.memory);
		json_put_int(o, "argon2_passes", v->head.passes);
	}
	json_put_int(o, "generation", v->own.version);
	json_put_int(o, "created_at", v->own.created_at);
	json_put_int(o, "rekeyed_at", v->own.updated_at);
}
