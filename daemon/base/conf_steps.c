/* What a feed says when it has connected, from and to text: see conf_table.h. */

#include <stdlib.h>

#include "common/base64.h"
#include "common/time.h"
#include "common/where.h"
#include "common/xalloc.h"
#include "daemon/base/conf_table.h"

#define TIMEOUT_MS     INT64_C(10000)
#define TIMEOUT_MAX_MS INT64_C(86400000)
#define TEXT_MAX       65536 /* of a message */

static void
step_clear(struct conf_step *step)
{
	free(step->send);
	free(step->await);
}

void
conf_steps_clear(struct conf_steps *s)
{
	for (size_t i = 0; i < s->n; i++)
		step_clear(&s->v[i]);
	free(s->v);
	*s = (struct conf_steps){.v = NULL};
}

static enum err
set_message(const struct conf_option *o, struct span text, char **out, struct error *error)
{
	if (text.n == 0 || text.n > TEXT_MAX || memchr(text.p, '\0', text.n) != NULL)
		return error_set(error, ERR_CONFIG_ERROR,
			"%s: a message has 1 to %d bytes, and no NUL", o->name, TEXT_MAX);
	*out = xstrndup(text.p, text.n);
	return OK;
}

/** Of a binary one the base64 is kept. */
static enum err
set_binary(const struct conf_option *o, struct span text, char **out, struct error *error)
{
	size_t room = base64_room(text.n), n = 0;
	unsigned char *bytes = xnew_n(room + 1, unsigned char);
	bool is_good = base64_read(text, bytes, room, &n) && n > 0 && n <= TEXT_MAX;

	free(bytes);
	if (!is_good)
		return error_set(error, ERR_CONFIG_ERROR,
			"%s: send_base64 is base64 of 1 to %d bytes", o->name, TEXT_MAX);
	*out = xstrndup(text.p, text.n);
	return OK;
}

static enum err
set_send(struct conf_step *step, const struct conf_option *o, const struct toml_node *node,
	struct error *error)
{
	if (step->send != NULL)
		return error_set(error, ERR_CONFIG_ERROR,
			"%s: a table sends one message: send or send_base64", o->name);
	step->is_binary = span_is(node->key, "send_base64");
	return step->is_binary ? set_binary(o, node->text, &step->send, error)
			       : set_message(o, node->text, &step->send, error);
}

static enum err
set_await(const struct conf_option *o, struct span text, char **out, struct error *error)
{
	struct where *where = NULL;
	struct json_value value;
	struct json_fault fault;

	if (json_check(text, JSON_DEPTH_MAX, &value, &fault) != OK)
		return error_set(error, ERR_CONFIG_ERROR,
			"%s: await is a condition such as '{\"/type\":\"subscribed\"}': at byte "
			"%zu %s",
			o->name, fault.offset + 1, fault.what);
	if (where_new(value, &where, error) != OK) {
		error->code = ERR_CONFIG_ERROR;
		return error_wrap(error, "%s: await", o->name);
	}
	free(where);
	*out = xstrndup(text.p, text.n);
	return OK;
}

static enum err
set_timeout(const struct conf_option *o, struct span text, int64_t *out, struct error *error)
{
	if (!duration_parse(text, out) || *out < 1 || *out > TIMEOUT_MAX_MS)
		return error_set(error, ERR_CONFIG_ERROR,
			"%s: timeout must be a duration between 1ms and 1d", o->name);
	return OK;
}

static enum err
set_member(struct conf_step *step, const struct conf_option *o, const struct toml_node *node,
	struct error *error)
{
	bool is_text = node->type == TOML_STRING;

	/* In JSON it may be given twice. */
	if ((span_is(node->key, "await") && step->await != NULL) ||
		(span_is(node->key, "timeout") && step->timeout_ms != 0))
		return error_set(error, ERR_CONFIG_ERROR, "%s: a table has one %.*s", o->name,
			SPAN_FMT(node->key));
	if ((span_is(node->key, "send") || span_is(node->key, "send_base64")) && is_text)
		return set_send(step, o, node, error);
	if (span_is(node->key, "await") && is_text)
		return set_await(o, node->text, &step->await, error);
	if (span_is(node->key, "timeout") && is_text)
		return set_timeout(o, node->text, &step->timeout_ms, error);
	return error_set(error, ERR_CONFIG_ERROR,
		"%s: a table has send or send_base64, await and timeout, all of them texts; "
		"\"%.*s\" is none",
		o->name, SPAN_FMT(node->key));
}

static enum err
set_table(struct conf_step *step, const struct conf_option *o, const struct toml_node *table,
	struct error *error)
{
	enum err e = OK;

	for (const struct toml_node *n = table->first; n != NULL && e == OK; n = n->next)
		e = set_member(step, o, n, error);
	if (e == OK && step->send == NULL && step->await == NULL)
		return error_set(
			error, ERR_CONFIG_ERROR, "%s: a table needs send or await", o->name);
	if (e == OK && step->timeout_ms != 0 && step->await == NULL)
		return error_set(error, ERR_CONFIG_ERROR,
			"%s: timeout is of what is waited for: give await too", o->name);
	if (step->timeout_ms == 0)
		step->timeout_ms = TIMEOUT_MS;
	return e;
}

static enum err
set_step(struct conf_step *step, const struct conf_option *o, const struct toml_node *node,
	struct error *error)
{
	if (node->type == TOML_TABLE)
		return set_table(step, o, node, error);
	if (node->type != TOML_STRING)
		return error_set(error, ERR_CONFIG_ERROR,
			"%s must be a message, a table {send, await, timeout}, or an array of these",
			o->name);
	step->timeout_ms = TIMEOUT_MS;
	return set_message(o, node->text, &step->send, error);
}

static enum err
append(struct conf_steps *s, const struct conf_option *o, const struct toml_node *node,
	struct error *error)
{
	struct conf_step step = {.send = NULL};
	enum err e;

	if ((int64_t)s->n >= o->max)
		return error_set(error, ERR_CONFIG_ERROR, "%s: at most %lld of them", o->name,
			(long long)o->max);
	e = set_step(&step, o, node, error);
	if (e != OK) {
		step_clear(&step);
		return e;
	}
	s->v = xrealloc(s->v, s->n + 1, sizeof(*s->v));
	s->v[s->n++] = step;
	return OK;
}

enum err
conf_steps_set(struct conf_steps *s, const struct conf_option *o, const struct toml_node *node,
	struct error *error)
{
	const struct toml_node *item = node->type == TOML_ARRAY ? node->first : node;
	struct conf_steps read = {.v = NULL};
	enum err e = OK;

	for (; item != NULL && e == OK; item = node->type == TOML_ARRAY ? item->next : NULL)
		e = append(&read, o, item, error);
	if (e != OK) {
		conf_steps_clear(&read);
		return e;
	}
	conf_steps_clear(s);
	*s = read;
	return OK;
}

static char *
dup_or_null(const char *text)
{
	return text != NULL ? xstrdup(text) : NULL;
}

void
conf_steps_copy(struct conf_steps *to, const struct conf_steps *from)
{
	conf_steps_clear(to);
	*to = (struct conf_steps){xnew_n(from->n + 1, struct conf_step), from->n};
	for (size_t i = 0; i < from->n; i++)
		to->v[i] = (struct conf_step){.send = dup_or_null(from->v[i].send),
			.is_binary = from->v[i].is_binary,
			.await = dup_or_null(from->v[i].await),
			.timeout_ms = from->v[i].timeout_ms};
}

/** A member of a table: `key = "text"`, or as JSON. */
static void
add_member(const char *key, const char *text, bool as_json, bool *is_first, struct buf *out)
{
	if (text == NULL)
		return;
	buf_addf(out, as_json ? "%s\"%s\": " : "%s%s = ", *is_first ? "" : ", ", key);
	json_add_string(out, span_of(text));
	*is_first = false;
}

static void
add_step(const struct conf_step *step, bool as_json, struct buf *out)
{
	char timeout[TIME_TEXT_SIZE];
	bool is_first = true;

	if (step->await == NULL && !step->is_binary) {
		json_add_string(out, span_of(step->send));
		return;
	}
	duration_format(step->timeout_ms, timeout);
	buf_add_char(out, '{');
	add_member(step->is_binary ? "send_base64" : "send", step->send, as_json, &is_first, out);
	add_member("await", step->await, as_json, &is_first, out);
	add_member("timeout", step->await != NULL ? timeout : NULL, as_json, &is_first, out);
	buf_add_char(out, '}');
}

void
conf_steps_add(const struct conf_steps *s, bool as_json, struct buf *out)
{
	buf_add_char(out, '[');
	for (size_t i = 0; i < s->n; i++) {
		buf_addf(out, "%s", i > 0 ? ", " : "");
		add_step(&s->v[i], as_json, out);
	}
	buf_add_char(out, ']');
}
