/* secret set, list, show, remove, rotate, test, import and export. */

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "common/base64.h"
#include "common/secret_json.h"
#include "common/xalloc.h"
#include "ctl/answer.h"
#include "ctl/commands.h"
#include "ctl/hidden.h"
#include "ctl/out.h"
#include "ctl/text.h"

/** What is in the params must not stay behind. */
static int
call_and_print(struct ctl *c, const char *method, struct buf *params)
{
	params->wipes = true;
	return ctl_call_and_print(c, method, params);
}

static struct json_out
begin(const struct ctl *c, struct buf *params)
{
	struct json_out o = ctl_params(params);

	params->wipes = true;
	json_put_str(&o, "name", c->words[0]);
	return o;
}

int
secret_set(struct ctl *c)
{
	const char *file = ctl_option(c, "file");
	struct secret *value = NULL;
	struct buf params;
	struct json_out o;
	int status;

	hidden_begin();
	status = file != NULL ? hidden_read_file(file, &value)
			      : hidden_read("Value: ", "Again: ", &value);
	if (status != 0)
		return status;
	o = begin(c, &params);
	secret_put(&o, secret_span(value));
	secret_free(value);
	json_end_object(&o);
	return call_and_print(c, "secret.set", &params);
}

int
secret_ls(struct ctl *c)
{
	static const char *const columns[] = {"name", "version", "cipher", "created_at",
		"updated_at", "sealed_at", "error", NULL};
	struct buf params;
	struct json_out o = ctl_params(&params);
	char *result;
	int status;

	json_end_object(&o);
	status = ctl_call(c, "secret.list", &params, &result);
	if (status == 0)
		out_list(c, result, columns);
	free(result);
	return status;
}

int
secret_show(struct ctl *c)
{
	struct buf params;
	struct json_out o = begin(c, &params);

	hidden_begin();
	json_end_object(&o);
	return ctl_call_and_print(c, "secret.show", &params);
}

int
secret_remove(struct ctl *c)
{
	struct buf params;
	struct json_out o = begin(c, &params);

	json_end_object(&o);
	return ctl_call_and_print(c, "secret.remove", &params);
}

static struct json_out
begin_some(const struct ctl *c, struct buf *params)
{
	struct json_out o = ctl_params(params);

	if (c->words_n > 0)
		json_put_str(&o, "name", c->words[0]);
	json_end_object(&o);
	return o;
}

int
secret_rotate(struct ctl *c)
{
	struct buf params;

	begin_some(c, &params);
	return ctl_call_and_print(c, "secret.rotate", &params);
}

/** True if all of them open. */
static bool
are_good(const char *result)
{
	struct json_value items = answer_member(answer_value(span_of(result)), "items"), item;
	struct json_walk w;

	if (items.type != JSON_ARRAY)
		return false;
	w = json_walk_start(items);
	while (json_array_next(&w, &item))
		if (answer_member(item, "ok").type != JSON_TRUE)
			return false;
	return true;
}

int
secret_test(struct ctl *c)
{
	static const char *const columns[] = {"name", "version", "ok", "error", NULL};
	struct buf params;
	char *result;
	int status;

	begin_some(c, &params);
	status = ctl_call(c, "secret.test", &params, &result);
	if (status == 0) {
		out_list(c, result, columns);
		status = are_good(result) ? EXIT_DONE : EXIT_REFUSED;
	}
	free(result);
	return status;
}

/** Base64, as it may stand in a file, with line ends; or bytes, which it becomes. */
static char *
to_base64(const struct secret *blob)
{
	char *text = xcalloc(1, base64_size(blob->n));
	size_t n = 0;

	for (size_t i = 0; i < blob->n; i++) {
		int byte = blob->bytes[i];

		if (isspace(byte))
			continue;
		if (!isalnum(byte) && strchr("+/=", byte) == NULL) {
			base64_write(secret_span(blob), text);
			return text;
		}
		text[n++] = (char)byte;
	}
	text[n] = '\0';
	return text;
}

static int
put_foreign(const struct ctl *c, struct json_out *o, const char *again)
{
	struct secret *passphrase = NULL;
	int status;

	text_put_option(c, o, "format", "format");
	text_put_option(c, o, "salt", "salt");
	status = text_put_number(c, o, "rounds", "rounds");
	if (status == 0)
		status = hidden_read("Passphrase: ", again, &passphrase);
	if (status == 0)
		json_put_string(o, "passphrase", secret_span(passphrase));
	secret_free(passphrase);
	json_end_object(o);
	return status;
}

static int
run_foreign(struct ctl *c, const char *method, struct json_out *o, struct buf *params,
	const char *again)
{
	int status = put_foreign(c, o, again);

	if (status != 0) {
		buf_fini(params);
		return status;
	}
	return call_and_print(c, method, params);
}

int
secret_import(struct ctl *c)
{
	struct secret *blob = NULL;
	struct buf params;
	struct json_out o;
	char *text;
	int status;

	if (ctl_option(c, "format") == NULL || ctl_option(c, "salt") == NULL)
		return ctl_usage("how is it sealed? Say so with --format aes256gcm-pbkdf2 --salt "
				 "BASE64");
	hidden_begin();
	status = hidden_read_file(c->words[1], &blob);
	if (status != 0)
		return status;
	o = begin(c, &params);
	text = to_base64(blob);
	json_put_str(&o, "blob", text);
	free(text);
	secret_free(blob);
	return run_foreign(c, "secret.import", &o, &params, NULL);
}

int
secret_export(struct ctl *c)
{
	struct buf params;
	struct json_out o;

	if (ctl_option(c, "format") == NULL)
		return ctl_usage("how is it to be sealed? Say so with --format aes256gcm-pbkdf2");
	hidden_begin();
	o = begin(c, &params);
	return run_foreign(c, "secret.export", &o, &params, "Again: ");
}
