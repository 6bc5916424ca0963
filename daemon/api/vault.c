/* vault.*: its key. */

#include "common/secret.h"
#include "daemon/api/methods.h"

enum unlock_arg { UNLOCK_PASSPHRASE, UNLOCK_KEY, UNLOCK_CREATE };

/* clang-format off */
const struct arg_spec vault_unlock_args[] = {
	[UNLOCK_PASSPHRASE] = {"passphrase", ARG_STRING, .min = 1, .max = PASSPHRASE_MAX,               .help = "Its passphrase; default: the key is read from its file again"},
	[UNLOCK_KEY]        = {"key",        ARG_STRING, .min = 1, .max = 2 * VAULT_KEY_BYTES, .help = "Its key, as 64 hexadecimal digits"},
	[UNLOCK_CREATE]     = {"create",     ARG_BOOL,                                          .help = "There is no vault yet: make it, with this passphrase"},
	{.name = NULL},
};

const struct arg_spec vault_rekey_args[] = {
	{"passphrase", ARG_STRING, .min = 1, .max = PASSPHRASE_MAX, .help = "The new passphrase; default: the key that is in the key file now"},
	{.name = NULL},
};
/* clang-format on */

static enum err
read_key(const struct call *c, struct secret **out)
{
	const struct arg *a = &c->args[UNLOCK_KEY];
	struct secret *key;

	if (!a->is_set)
		return OK;
	key = secret_from_hex(a->text);
	if (key == NULL || key->n != VAULT_KEY_BYTES) {
		secret_free(key);
		return error_set(c->error, ERR_INVALID_ARGUMENT,
			"key must be %d hexadecimal digits", 2 * VAULT_KEY_BYTES);
	}
	*out = key;
	return OK;
}

enum err
vault_call_unlock(struct call *c)
{
	const struct arg *args = c->args;
	struct vault_wish wish = {.verb = WISH_UNLOCK,
		.creates = args[UNLOCK_CREATE].is_set && args[UNLOCK_CREATE].i != 0};
	enum err e = OK;

	if (args[UNLOCK_PASSPHRASE].is_set && args[UNLOCK_KEY].is_set)
		return error_set(
			c->error, ERR_INVALID_ARGUMENT, "give passphrase or key, not both");
	if (wish.creates && !args[UNLOCK_PASSPHRASE].is_set)
		return error_set(c->error, ERR_INVALID_ARGUMENT,
			"create goes with passphrase: with a key the vault is made by itself");
	e = call_read_passphrase(c, &args[UNLOCK_PASSPHRASE], &wish.passphrase);
	if (e == OK)
		e = read_key(c, &wish.value);
	return e == OK ? call_vault(c, &wish) : e;
}

enum err
vault_call_lock(struct call *c)
{
	return call_vault(c, &(struct vault_wish){.verb = WISH_LOCK});
}

enum err
vault_call_rekey(struct call *c)
{
	struct vault_wish wish = {.verb = WISH_REKEY};
	enum err e = call_read_passphrase(c, &c->args[0], &wish.passphrase);

	return e == OK ? call_vault(c, &wish) : e;
}

enum err
vault_call_status(struct call *c)
{
	struct json_out o = json_out_start(c->result);

	json_begin_object(&o, NULL);
	vault_add_details(c->api->vault, &o);
	json_end_object(&o);
	return OK;
}
