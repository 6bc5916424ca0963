/* Values of options, from and to text: see conf_table.h. */

#include "daemon/base/conf_table.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/time.h"
#include "common/wire/http.h"
#include "common/xalloc.h"
#include "daemon/base/network.h"
#include "daemon/guard/scope.h"

static void *
value_of(const void *values, const struct conf_option *o)
{
	return (char *)(uintptr_t)values + o->offset;
}

static void
list_clear(struct conf_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i]);
	free(l->v);
	*l = (struct conf_list){.v = NULL};
}

static bool
is_list(const struct conf_option *o)
{
	return o->type == CONF_TEXTS || o->type == CONF_SCOPES || o->type == CONF_NETWORKS ||
	       o->type == CONF_HOSTS || o->type == CONF_ORIGINS;
}

void
conf_clear(void *values, const struct conf_option *o)
{
	if (o->type == CONF_TEXT || o->type == CONF_FILTER) {
		char **text = value_of(values, o);

		free(*text);
		*text = NULL;
	} else if (is_list(o)) {
		list_clear(value_of(values, o));
	} else if (o->type == CONF_STEPS) {
		conf_steps_clear(value_of(values, o));
	}
}

/** Which of the words of `choices` this is, or -1. */
static int
choice_of(const char *choices, struct span text)
{
	int i = 0;

	for (const char *p = choices; *p != '\0'; i++) {
		size_t n = strcspn(p, " ");

		if (span_eq(text, (struct span){p, n}))
			return i;
		p += n + (p[n] == ' ');
	}
	return -1;
}

static struct span
choice_text(const char *choices, int i)
{
	const char *p = choices;

	while (i-- > 0)
		p += strcspn(p, " ") + 1;
	return (struct span){p, strcspn(p, " ")};
}

static enum err
wrong_type(const struct conf_option *o, struct error *error)
{
	static const char *const wanted[] = {
		[CONF_TEXT] = "a string",
		[CONF_BOOL] = "true or false",
		[CONF_COUNT] = "an integer",
		[CONF_SIZE] = "a size such as \"64KiB\", or an integer of bytes",
		[CONF_DURATION] = "a string with a unit such as \"30s\"",
		[CONF_CHOICE] = "a string",
		[CONF_TEXTS] = "a string or an array of strings",
		[CONF_SCOPES] = "a string or an array of strings",
		[CONF_FILTER] = "a string",
		[CONF_KEEP] = "a number, a duration such as \"7d\", or \"unlimited\"",
		[CONF_RATE] = "a rate such as \"100/s\" or \"30/m burst 60\", or \"unlimited\"",
		[CONF_STEPS] = "a message, a table {send, await, timeout}, or an array of these",
		[CONF_NETWORKS] = "networks such as \"192.0.2.0/24\" or \"::1\"",
		[CONF_HOSTS] = "a string or an array of strings",
		[CONF_ORIGINS] = "a string or an array of strings",
	};

	if (o->type == CONF_CHOICE)
		return error_set(
			error, ERR_CONFIG_ERROR, "%s must be one of: %s", o->name, o->choices);
	return error_set(error, ERR_CONFIG_ERROR, "%s must be %s%s", o->name, wanted[o->type],
		o->max == INT64_MAX ? ", or \"unlimited\"" : "");
}

static void
format_number(const struct conf_option *o, int64_t value, char out[TIME_TEXT_SIZE])
{
	if (value == CONF_UNLIMITED)
		snprintf(out, TIME_TEXT_SIZE, "unlimited");
	else if (o->type == CONF_SIZE)
		size_format(value, out);
	else if (o->type == CONF_DURATION)
		duration_format(value, out);
	else
		snprintf(out, TIME_TEXT_SIZE, "%" PRId64, value);
}

static enum err
set_number(void *values, const struct conf_option *o, int64_t value, struct error *error)
{
	char least[TIME_TEXT_SIZE], most[TIME_TEXT_SIZE];

	if (value < o->min || value > o->max) {
		format_number(o, o->min, least);
		format_number(o, o->max, most);
		return error_set(error, ERR_CONFIG_ERROR, "%s must be between %s and %s", o->name,
			least, most);
	}
	*(int64_t *)value_of(values, o) = value;
	return OK;
}

/** Text from outside is a count if JSON would call it an integer. */
static bool
count_parse(struct span text, int64_t *value)
{
	struct json_value number;
	struct json_fault fault;

	return json_check(text, 0, &number, &fault) == OK && number.type == JSON_NUMBER &&
	       json_number_int64(number.raw, value);
}

/** A number as a text: with a unit, plain, or "unlimited". */
static enum err
set_number_text(void *values, const struct conf_option *o, struct span text, struct error *error)
{
	int64_t value;
	bool is_valid;

	if (o->max == INT64_MAX && span_is(text, "unlimited"))
		return set_number(values, o, CONF_UNLIMITED, error);
	if (o->type == CONF_SIZE)
		is_valid = size_parse(text, &value);
	else if (o->type == CONF_DURATION)
		is_valid = duration_parse(text, &value);
	else
		is_valid = count_parse(text, &value);
	return is_valid ? set_number(values, o, value, error) : wrong_type(o, error);
}

static const struct conf_option keep_count = {.type = CONF_COUNT};
static const struct conf_option keep_age = {.type = CONF_DURATION};

static enum err
set_keep(void *values, const struct conf_option *o, const struct toml_node *node,
	struct error *error)
{
	struct conf_keep *keep = value_of(values, o);
	int64_t age_ms = CONF_UNLIMITED;
	enum err e;

	if (node->type == TOML_INTEGER) {
		/* A keep begins with its count. */
		e = set_number(values, o, node->integer, error);
		if (e == OK)
			keep->age_ms = CONF_UNLIMITED;
		return e;
	}
	if (node->type != TOML_STRING)
		return wrong_type(o, error);
	if (!span_is(node->text, "unlimited") &&
		(!duration_parse(node->text, &age_ms) || age_ms == 0))
		return wrong_type(o, error);
	*keep = (struct conf_keep){.count = CONF_UNLIMITED, .age_ms = age_ms};
	return OK;
}

static enum err
check_scope(const struct conf_option *o, struct span text, struct error *error)
{
	struct scopes *scopes = scopes_new(o->name);
	struct error why = ERROR_NONE;
	enum err e = scopes_add(scopes, text, SCOPE_DATA, &why);

	scopes_unref(scopes);
	return e == OK ? OK : error_set(error, ERR_CONFIG_ERROR, "%s: %s", o->name, why.text);
}

static bool
is_host(struct span text)
{
	struct span host;
	bool is_address;
	int port;

	return http_authority_split(text, &host, &port, &is_address);
}

/** As browsers write it, or "*". */
static bool
is_origin(struct span text)
{
	const char *mark = memmem(text.p, text.n, "://", 3);

	if (mark == NULL || mark == text.p)
		return span_is(text, "*");
	return is_host((struct span){mark + 3, (size_t)(text.p + text.n - mark - 3)});
}

static enum err
check_word(const struct conf_option *o, struct span text, struct error *error)
{
	struct network network;

	if (memchr(text.p, '\0', text.n) != NULL)
		return wrong_type(o, error);
	if (o->choices != NULL && choice_of(o->choices, text) < 0)
		return error_set(error, ERR_CONFIG_ERROR, "%s: \"%.*s\" is none of: %s", o->name,
			SPAN_FMT(text), o->choices);
	if (o->type == CONF_NETWORKS && !network_parse(text, &network))
		return error_set(error, ERR_CONFIG_ERROR,
			"%s: \"%.*s\" is no network such as \"192.0.2.0/24\"", o->name,
			SPAN_FMT(text));
	if (o->type == CONF_HOSTS && !is_host(text))
		return error_set(error, ERR_CONFIG_ERROR,
			"%s: \"%.*s\" is no host such as \"app.example.org\"", o->name,
			SPAN_FMT(text));
	if (o->type == CONF_ORIGINS && !is_origin(text))
		return error_set(error, ERR_CONFIG_ERROR,
			"%s: \"%.*s\" is no origin such as \"https://app.example.org\"", o->name,
			SPAN_FMT(text));
	return o->type == CONF_SCOPES ? check_scope(o, text, error) : OK;
}

static enum err
set_word(void *values, const struct conf_option *o, struct span text, struct error *error)
{
	char **value = value_of(values, o);

	if (memchr(text.p, '\0', text.n) != NULL)
		return wrong_type(o, error);
	if ((int64_t)text.n < o->min || (int64_t)text.n > o->max)
		return error_set(error, ERR_CONFIG_ERROR,
			"%s must have %" PRId64 " to %" PRId64 " bytes", o->name, o->min, o->max);
	if (o->type == CONF_FILTER && log_check_filter(text, error) != OK)
		return error_wrap(error, "%s", o->name);
	free(*value);
	*value = xstrndup(text.p, text.n);
	return OK;
}

static enum err
set_choice(void *values, const struct conf_option *o, struct span text, struct error *error)
{
	int i = choice_of(o->choices, text);

	if (i < 0)
		return wrong_type(o, error);
	*(unsigned *)value_of(values, o) = (unsigned)i;
	return OK;
}

static enum err
list_append_text(
	struct conf_list *l, const struct conf_option *o, struct span text, struct error *error)
{
	enum err e = check_word(o, text, error);

	if (e != OK)
		return e;
	if ((int64_t)l->n >= o->max)
		return error_set(error, ERR_CONFIG_ERROR, "%s: at most %" PRId64 " of them",
			o->name, o->max);
	l->v = xrealloc(l->v, l->n + 1, sizeof(*l->v));
	l->v[l->n++] = xstrndup(text.p, text.n);
	return OK;
}

/** Takes over a list that was read without an error, drops it otherwise. */
static enum err
finish_list(void *values, const struct conf_option *o, struct conf_list *l, enum err e)
{
	if (e != OK) {
		list_clear(l);
		return e;
	}
	list_clear(value_of(values, o));
	*(struct conf_list *)value_of(values, o) = *l;
	return OK;
}

static enum err
set_list_toml(void *values, const struct conf_option *o, const struct toml_node *node,
	struct error *error)
{
	const struct toml_node *item = node->type == TOML_ARRAY ? node->first : node;
	struct conf_list l = {.v = NULL};
	enum err e = OK;

	for (; item != NULL && e == OK; item = node->type == TOML_ARRAY ? item->next : NULL) {
		if (item->type != TOML_STRING)
			e = wrong_type(o, error);
		else
			e = list_append_text(&l, o, item->text, error);
	}
	return finish_list(values, o, &l, e);
}

/** A list in the environment: parted by commas. */
static enum err
set_list_text(void *values, const struct conf_option *o, struct span text, struct error *error)
{
	struct conf_list l = {.v = NULL};
	const char *p = text.p, *end = text.p + text.n;
	enum err e = OK;

	while (p < end && e == OK) {
		const char *comma = memchr(p, ',', (size_t)(end - p));
		const char *stop = comma != NULL ? comma : end;

		e = list_append_text(&l, o, (struct span){p, (size_t)(stop - p)}, error);
		p = comma != NULL ? comma + 1 : end;
	}
	return finish_list(values, o, &l, e);
}

enum err
conf_set_text(void *values, const struct conf_option *o, struct span text, struct error *error)
{
	switch (o->type) {
	case CONF_TEXT:
	case CONF_FILTER:
		return set_word(values, o, text, error);
	case CONF_CHOICE:
		return set_choice(values, o, text, error);
	case CONF_TEXTS:
	case CONF_SCOPES:
	case CONF_NETWORKS:
	case CONF_HOSTS:
	case CONF_ORIGINS:
		return set_list_text(values, o, text, error);
	case CONF_BOOL:
		if (!span_is(text, "true") && !span_is(text, "false"))
			return wrong_type(o, error);
		*(bool *)value_of(values, o) = span_is(text, "true");
		return OK;
	case CONF_COUNT:
	case CONF_SIZE:
	case CONF_DURATION:
		return set_number_text(values, o, text, error);
	case CONF_RATE:
		return rate_parse(text, value_of(values, o)) ? OK : wrong_type(o, error);
	case CONF_KEEP:
	case CONF_STEPS:
		break;
	}
	return wrong_type(o, error);
}

enum err
conf_set_toml(void *values, const struct conf_option *o, const struct toml_node *node,
	struct error *error)
{
	if (is_list(o))
		return set_list_toml(values, o, node, error);
	if (o->type == CONF_STEPS)
		return conf_steps_set(value_of(values, o), o, node, error);
	if (o->type == CONF_KEEP)
		return set_keep(values, o, node, error);
	if (o->type == CONF_BOOL && node->type == TOML_BOOL) {
		*(bool *)value_of(values, o) = node->boolean;
		return OK;
	}
	if ((o->type == CONF_COUNT || o->type == CONF_SIZE) && node->type == TOML_INTEGER)
		return set_number(values, o, node->integer, error);
	if (node->type != TOML_STRING || o->type == CONF_BOOL ||
		(o->type == CONF_COUNT && !span_is(node->text, "unlimited")))
		return wrong_type(o, error);
	return conf_set_text(values, o, node->text, error);
}

/** The default is TOML like any other value. */
void
conf_set_standard(void *values, const struct conf_option *o)
{
	char *text = xasprintf("x = %s", o->standard);
	struct error error = ERROR_NONE;
	struct toml *t = NULL;

	must(toml_parse(span_of(text), "default", &t, &error) == OK);
	must(conf_set_toml(values, o, toml_find(toml_root(t), "x"), &error) == OK);
	toml_free(t);
	free(text);
}

void
conf_copy(void *to, const void *from, const struct conf_option *o)
{
	const struct conf_list *list = value_of(from, o);
	struct conf_list copy;

	switch (o->type) {
	case CONF_TEXT:
	case CONF_FILTER:
		conf_clear(to, o);
		*(char **)value_of(to, o) = xstrdup(*(char **)value_of(from, o));
		break;
	case CONF_TEXTS:
	case CONF_SCOPES:
	case CONF_NETWORKS:
	case CONF_HOSTS:
	case CONF_ORIGINS:
		conf_clear(to, o);
		copy = (struct conf_list){xnew_n(list->n + 1, char *), list->n};
		for (size_t i = 0; i < list->n; i++)
			copy.v[i] = xstrdup(list->v[i]);
		*(struct conf_list *)value_of(to, o) = copy;
		break;
	case CONF_BOOL:
		*(bool *)value_of(to, o) = *(bool *)value_of(from, o);
		break;
	case CONF_CHOICE:
		*(unsigned *)value_of(to, o) = *(unsigned *)value_of(from, o);
		break;
	case CONF_COUNT:
	case CONF_SIZE:
	case CONF_DURATION:
		*(int64_t *)value_of(to, o) = *(int64_t *)value_of(from, o);
		break;
	case CONF_KEEP:
		*(struct conf_keep *)value_of(to, o) = *(struct conf_keep *)value_of(from, o);
		break;
	case CONF_RATE:
		*(struct rate *)value_of(to, o) = *(struct rate *)value_of(from, o);
		break;
	case CONF_STEPS:
		conf_steps_copy(value_of(to, o), value_of(from, o));
		break;
	}
}

static void
add_number(const struct conf_option *o, int64_t number, struct buf *out)
{
	char text[TIME_TEXT_SIZE];

	format_number(o, number, text);
	if (o->type == CONF_COUNT && number != CONF_UNLIMITED)
		buf_addf(out, "%s", text);
	else
		json_add_string(out, span_of(text));
}

static void
add_keep(const struct conf_keep *keep, struct buf *out)
{
	if (keep->age_ms != CONF_UNLIMITED)
		add_number(&keep_age, keep->age_ms, out);
	else
		add_number(&keep_count, keep->count, out);
}

void
conf_add_value(const void *values, const struct conf_option *o, struct buf *out)
{
	const struct conf_list *list = value_of(values, o);
	char rate[RATE_TEXT_SIZE];

	switch (o->type) {
	case CONF_TEXT:
	case CONF_FILTER:
		json_add_string(out, span_of(*(char **)value_of(values, o)));
		break;
	case CONF_CHOICE:
		json_add_string(
			out, choice_text(o->choices, (int)*(unsigned *)value_of(values, o)));
		break;
	case CONF_BOOL:
		buf_addf(out, "%s", *(bool *)value_of(values, o) ? "true" : "false");
		break;
	case CONF_TEXTS:
	case CONF_SCOPES:
	case CONF_NETWORKS:
	case CONF_HOSTS:
	case CONF_ORIGINS:
		buf_add_char(out, '[');
		for (size_t i = 0; i < list->n; i++) {
			buf_addf(out, "%s", i > 0 ? ", " : "");
			json_add_string(out, span_of(list->v[i]));
		}
		buf_add_char(out, ']');
		break;
	case CONF_RATE:
		rate_format(value_of(values, o), rate);
		json_add_string(out, span_of(rate));
		break;
	case CONF_COUNT:
	case CONF_SIZE:
	case CONF_DURATION:
		add_number(o, *(int64_t *)value_of(values, o), out);
		break;
	case CONF_KEEP:
		add_keep(value_of(values, o), out);
		break;
	case CONF_STEPS:
		conf_steps_add(value_of(values, o), false, out);
		break;
	}
}

void
conf_add_value_json(const void *values, const struct conf_option *o, struct buf *out)
{
	if (o->type == CONF_STEPS)
		conf_steps_add(value_of(values, o), true, out);
	else
		conf_add_value(values, o, out);
}

static void
add_words(const char *choices, struct buf *out)
{
	for (int i = 0; *choices != '\0'; i++) {
		size_t n = strcspn(choices, " ");

		buf_addf(out, "%s\"%.*s\"", i > 0 ? ", " : "", (int)n, choices);
		choices += n + (choices[n] == ' ');
	}
}

void
conf_add_bounds(const struct conf_option *o, struct buf *out)
{
	char least[TIME_TEXT_SIZE], most[TIME_TEXT_SIZE];

	if (o->choices != NULL) {
		buf_addf(out, o->type == CONF_CHOICE ? "One of " : "Any of ");
		add_words(o->choices, out);
	} else if (o->type == CONF_TEXT || o->type == CONF_FILTER) {
		buf_addf(out, "%" PRId64 " to %" PRId64 " bytes", o->min, o->max);
	} else if (o->type == CONF_RATE) {
		buf_addf(out, "A rate such as \"30/m burst 60\", or \"unlimited\"");
	} else if (is_list(o) || o->type == CONF_STEPS) {
		buf_addf(out, "At most %" PRId64, o->max);
	} else if (o->type == CONF_BOOL) {
		buf_addf(out, "true or false");
	} else if (o->type == CONF_KEEP) {
		buf_addf(out, "%" PRId64 " to %" PRId64 ", a duration, or \"unlimited\"", o->min,
			o->max);
	} else {
		format_number(o, o->min, least);
		format_number(o, o->max, most);
		buf_addf(out, o->max == INT64_MAX ? "At least %s, or \"%s\"" : "%s to %s", least,
			most);
	}
}

bool
conf_is_equal(const void *a, const void *b, const struct conf_option *o)
{
	struct buf x, y;
	bool equal;

	buf_init(&x, SIZE_MAX / 2);
	buf_init(&y, SIZE_MAX / 2);
	conf_add_value(a, o, &x);
	conf_add_value(b, o, &y);
	equal = span_eq(buf_span(&x), buf_span(&y));
	buf_fini(&x);
	buf_fini(&y);
	return equal;
}
