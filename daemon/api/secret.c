/* secret.*: what the vault holds. What changes it, or takes long, waits in line (secrets.h). */

#include <sodium.h>

#include "common/base64.h"
#include "common/secret_json.h"
#include "daemon/api/methods.h"
#include "daemon/guard/foreign.h"
#include "daemon/guard/seal.h"

#define BASE64_MAX    (4 * ((SEAL_MAX + 2) / 3))
#define SALT_TEXT_MAX (4 * ((FOREIGN_SALT_MAX + 2) / 3))
#define ROUNDS_MIN    1000
#define ROUNDS_MAX    10000000

enum encoding { ENCODING_TEXT, ENCODING_BASE64 };

enum err
call_vault(struct call *c, struct vault_wish *wish)
{
	enum err e;

	wish->method = c->method->name;
	e = c->api->ops.vault(c->api->ops.daemon, &c->origin, wish, c->error);
	secret_free(wish->value);
	secret_free(wish->passphrase);
	return e;
}

enum err
call_read_passphrase(const struct call *c, const struct arg *a, struct secret **out)
{
	if (a->is_set && a->text.n == 0)
		return error_set(c->error, ERR_INVALID_ARGUMENT, "passphrase must not be empty");
	if (a->is_set)
		*out = secret_copy(a->text);
	return OK;
}

enum set_arg { SET_NAME, SET_VALUE, SET_ENCODING };

/* clang-format off */
const struct arg_spec secret_set_args[] = {
	[SET_NAME]     = {"name",     ARG_NAME,   .required = true,                               .help = "What it is called"},
	[SET_VALUE]    = {"value",    ARG_STRING, .required = true, .min = 1, .max = BASE64_MAX, .help = "Its value, of at most 65536 bytes"},
	[SET_ENCODING] = {"encoding", ARG_CHOICE, .choices = "text base64",                       .help = "base64: the value is not text, but bytes in base64; default: text"},
	{.name = NULL},
};
/* clang-format on */

static enum err
read_value(const struct call *c, struct secret **out)
{
	const struct arg *encoding = &c->args[SET_ENCODING];
	struct span text = c->args[SET_VALUE].text;
	struct secret *value = encoding->is_set && encoding->i == ENCODING_BASE64
				       ? secret_from_base64(text)
				       : secret_copy(text);

	if (value == NULL)
		return error_set(c->error, ERR_INVALID_ARGUMENT, "value must be base64");
	if (value->n == 0 || value->n > SEAL_PLAIN_MAX) {
		secret_free(value);
		return error_set(c->error, ERR_INVALID_ARGUMENT, "value must have 1 to %d bytes",
			SEAL_PLAIN_MAX);
	}
	*out = value;
	return OK;
}

enum err
secret_set(struct call *c)
{
	struct vault_wish wish = {.verb = WISH_SET, .name = c->args[SET_NAME].text};
	enum err e = read_value(c, &wish.value);

	return e == OK ? call_vault(c, &wish) : e;
}

enum err
secret_list(struct call *c)
{
	struct json_out o = json_out_start(c->result);

	json_begin_object(&o, NULL);
	json_begin_array(&o, "items");
	vault_add_list(c->api->vault, &o);
	json_end_array(&o);
	json_end_object(&o);
	return OK;
}

/* clang-format off */
const struct arg_spec secret_show_args[] = {
	{"name", ARG_NAME, .required = true, .touches = SCOPE_SECRETS, .help = "What it is called"},
	{.name = NULL},
};
/* clang-format on */

static enum err
check_read(const struct call *c)
{
	return c->api->conf->vault.allow_read
		       ? OK
		       : error_set(c->error, ERR_PERMISSION_DENIED,
				 "%s needs vault.allow_read = true in the configuration: values "
				 "are not told without it",
				 c->method->name);
}

enum err
secret_show(struct call *c)
{
	struct json_out o = json_out_start(c->result);
	struct secret *value = NULL;
	const struct safe_row *row = NULL;
	enum err e = check_read(c);

	if (e == OK)
		e = vault_reveal(c->api->vault, c->args[0].text, &value, &row, c->error);
	if (e != OK)
		return e;
	/* It must not be left behind by a buffer that grows. */
	if (buf_reserve(c->result, 6 * value->n + 1024) != NULL) {
		json_begin_object(&o, NULL);
		json_put_string(&o, "name", c->args[0].text);
		json_put_int(&o, "version", row->version);
		secret_put(&o, secret_span(value));
		json_end_object(&o);
	}
	secret_free(value);
	return OK;
}

/* clang-format off */
const struct arg_spec secret_remove_args[] = {
	{"name", ARG_NAME, .required = true, .help = "What it is called"},
	{.name = NULL},
};

const struct arg_spec secret_rotate_args[] = {
	{"name", ARG_NAME, .help = "What it is called; default: all"},
	{.name = NULL},
};

const struct arg_spec secret_test_args[] = {
	{"name", ARG_NAME, .help = "What it is called; default: all"},
	{.name = NULL},
};
/* clang-format on */

static struct span
name_of(const struct arg *a)
{
	return a->is_set ? a->text : SPAN("");
}

enum err
secret_remove(struct call *c)
{
	return call_vault(
		c, &(struct vault_wish){.verb = WISH_REMOVE, .name = name_of(&c->args[0])});
}

enum err
secret_rotate(struct call *c)
{
	return call_vault(
		c, &(struct vault_wish){.verb = WISH_ROTATE, .name = name_of(&c->args[0])});
}

enum err
secret_test(struct call *c)
{
	return call_vault(c, &(struct vault_wish){.verb = WISH_TEST, .name = name_of(&c->args[0])});
}

/* With other programs. */

enum foreign_arg { WITH_NAME, WITH_FORMAT, WITH_PASSPHRASE, WITH_SALT, WITH_ROUNDS, WITH_BLOB };

/* clang-format off */
const struct arg_spec secret_import_args[] = {
	[WITH_NAME]       = {"name",       ARG_NAME,   .required = true,                                      .help = "What it is to be called"},
	[WITH_FORMAT]     = {"format",     ARG_CHOICE, .required = true, .choices = "aes256gcm-pbkdf2",        .help = "How it is sealed"},
	[WITH_PASSPHRASE] = {"passphrase", ARG_STRING, .required = true, .min = 1, .max = PASSPHRASE_MAX,            .help = "What it was sealed by"},
	[WITH_SALT]       = {"salt",       ARG_STRING, .required = true, .min = 1, .max = SALT_TEXT_MAX,       .help = "The salt of the passphrase, 8 to 64 bytes in base64"},
	[WITH_ROUNDS]     = {"rounds",     ARG_INT,    .min = ROUNDS_MIN, .max = ROUNDS_MAX,                  .help = "Rounds of PBKDF2; default: 600000"},
	[WITH_BLOB]       = {"blob",       ARG_STRING, .required = true, .min = 1, .max = BASE64_MAX,          .help = "What is sealed, in base64: 12 bytes of nonce, the ciphertext, 16 bytes of tag"},
	{.name = NULL},
};

const struct arg_spec secret_export_args[] = {
	[WITH_NAME]       = {"name",       ARG_NAME,   .required = true, .touches = SCOPE_SECRETS,             .help = "What it is called"},
	[WITH_FORMAT]     = {"format",     ARG_CHOICE, .required = true, .choices = "aes256gcm-pbkdf2",        .help = "How it is to be sealed"},
	[WITH_PASSPHRASE] = {"passphrase", ARG_STRING, .required = true, .min = 1, .max = PASSPHRASE_MAX,            .help = "What it is to be sealed by"},
	[WITH_SALT]       = {"salt",       ARG_STRING, .min = 1, .max = SALT_TEXT_MAX,                         .help = "The salt of the passphrase, 8 to 64 bytes in base64; default: random"},
	[WITH_ROUNDS]     = {"rounds",     ARG_INT,    .min = ROUNDS_MIN, .max = ROUNDS_MAX,                  .help = "Rounds of PBKDF2; default: 600000"},
	{.name = NULL},
};
/* clang-format on */

/** The salt that was given, or one of 16 random bytes. */
static enum err
read_salt(const struct call *c, unsigned char out[FOREIGN_SALT_MAX], struct span *salt)
{
	const struct arg *a = &c->args[WITH_SALT];
	size_t n = 16;

	randombytes_buf(out, n);
	if (a->is_set && (!base64_read(a->text, out, FOREIGN_SALT_MAX, &n) || n < FOREIGN_SALT_MIN))
		return error_set(c->error, ERR_INVALID_ARGUMENT,
			"salt must be base64 of %d to %d bytes", FOREIGN_SALT_MIN,
			FOREIGN_SALT_MAX);
	*salt = (struct span){(const char *)out, n};
	return OK;
}

/** Adds what both have to the wish, and hands it in. */
static enum err
ask_foreign(struct call *c, struct vault_wish wish)
{
	unsigned char salt[FOREIGN_SALT_MAX];
	const struct arg *rounds = &c->args[WITH_ROUNDS];
	enum err e = read_salt(c, salt, &wish.salt);

	wish.name = c->args[WITH_NAME].text;
	wish.rounds = rounds->is_set ? rounds->i : FOREIGN_ROUNDS;
	if (e == OK)
		e = call_read_passphrase(c, &c->args[WITH_PASSPHRASE], &wish.passphrase);
	if (e == OK && wish.verb == WISH_EXPORT)
		e = check_read(c);
	if (e == OK)
		return call_vault(c, &wish);
	secret_free(wish.passphrase);
	return e;
}

enum err
secret_import(struct call *c)
{
	struct span text = c->args[WITH_BLOB].text;
	struct secret *blob = secret_from_base64(text);
	struct vault_wish wish = {.verb = WISH_IMPORT, .blob = secret_span(blob)};
	enum err e = blob != NULL && blob->n >= FOREIGN_MIN
			     ? ask_foreign(c, wish)
			     : error_set(c->error, ERR_INVALID_ARGUMENT,
				       "blob must be base64 of %d bytes or more", FOREIGN_MIN);

	secret_free(blob);
	return e;
}

enum err
secret_export(struct call *c)
{
	return ask_foreign(c, (struct vault_wish){.verb = WISH_EXPORT});
}
