/* vault unlock, lock, rekey and status. */

#include <sodium.h>
#include <stdlib.h>

#include "ctl/answer.h"
#include "ctl/commands.h"
#include "ctl/hidden.h"
#include "ctl/out.h"

#define KEY_BYTES 32

static struct json_out
begin(struct buf *params)
{
	struct json_out o = ctl_params(params);

	params->wipes = true;
	return o;
}

/** A member of vault.status, to free; *status is 0, or an exit status after telling why not. */
static char *
ask_status(struct ctl *c, const char *name, int *status)
{
	struct buf params;
	struct json_out o = ctl_params(&params);
	char *result, *member;

	json_end_object(&o);
	*status = ctl_call(c, "vault.status", &params, &result);
	member = *status == 0 ? answer_dup(answer_value(span_of(result)), name) : NULL;
	free(result);
	return member;
}

static bool
is(const char *text, const char *what)
{
	return text != NULL && span_is(span_of(text), what);
}

static int
put_passphrase(struct json_out *o, const char *prompt, const char *again)
{
	struct secret *passphrase = NULL;
	int status = hidden_read(prompt, again, &passphrase);

	if (status == 0)
		json_put_string(o, "passphrase", secret_span(passphrase));
	secret_free(passphrase);
	return status;
}

/** 32 bytes, or the digits for them. */
static int
put_key(struct json_out *o, const char *path)
{
	struct secret *key = NULL, *text = secret_new(2 * KEY_BYTES + 1);
	int status = hidden_read_file(path, &key);

	if (status == 0 && key->n == KEY_BYTES) {
		sodium_bin2hex((char *)text->bytes, text->n, key->bytes, key->n);
		json_put_str(o, "key", (const char *)text->bytes);
	} else if (status == 0) {
		while (key->n > 0 && key->bytes[key->n - 1] == '\n')
			key->n--;
		json_put_string(o, "key", secret_span(key));
	}
	secret_free(text);
	secret_free(key);
	return status;
}

/** What is asked for follows from what the vault is opened by. */
static int
put_wanted(struct ctl *c, struct json_out *o)
{
	const char *file = ctl_option(c, "key-file");
	char *state, *by;
	int status = 0;

	if (file != NULL)
		return put_key(o, file);
	by = ask_status(c, "opened_by", &status);
	state = status == 0 ? ask_status(c, "state", &status) : NULL;
	ctl_disconnect(c); /* a person may take longer than a connection lives */
	if (status == 0 && is(state, "none")) {
		ctl_hint(c, "There is no vault yet: this makes one.");
		json_put_bool(o, "create", true);
		status = put_passphrase(o, "New passphrase: ", "Again: ");
	} else if (status == 0 && is(by, "passphrase")) {
		status = put_passphrase(o, "Passphrase: ", NULL);
	}
	free(state);
	free(by);
	return status;
}

static int
end(struct ctl *c, const char *method, struct json_out *o, struct buf *params, int status)
{
	json_end_object(o);
	if (status == 0)
		return ctl_call_and_print(c, method, params);
	buf_fini(params);
	return status;
}

int
vault_unlock(struct ctl *c)
{
	struct buf params;
	struct json_out o = begin(&params);

	hidden_begin();
	return end(c, "vault.unlock", &o, &params, put_wanted(c, &o));
}

int
vault_rekey(struct ctl *c)
{
	struct buf params;
	struct json_out o = begin(&params);
	int status = 0;

	hidden_begin();
	if (ctl_option(c, "passphrase") != NULL)
		status = put_passphrase(&o, "New passphrase: ", "Again: ");
	return end(c, "vault.rekey", &o, &params, status);
}

int
vault_lock(struct ctl *c)
{
	struct buf params;
	struct json_out o = begin(&params);

	return end(c, "vault.lock", &o, &params, 0);
}

int
vault_status(struct ctl *c)
{
	struct buf params;
	struct json_out o = begin(&params);

	return end(c, "vault.status", &o, &params, 0);
}
