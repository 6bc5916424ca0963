/* Feeds: what their settings say together, and definitions of them in JSON. See conf.h. */

#include <stdlib.h>

#include "common/url.h"
#include "common/wire/handshake.h"
#include "common/xalloc.h"
#include "daemon/base/conf_table.h"
#include "daemon/base/expand.h"
#include "daemon/base/mapping.h"

#define DEFINITION_MAX 262144 /* bytes */

static enum err
refuse(struct error *error, const char *why)
{
	return error_set(error, ERR_INVALID_ARGUMENT, "%s", why);
}

static bool
is_given(const char *text)
{
	return text[0] != '\0';
}

static enum err
check_url(const struct conf_feed *f, struct error *error)
{
	struct url url;

	if (!is_given(f->url))
		return refuse(error, "url is missing: ws://HOST... or wss://HOST...");
	if (strstr(f->url, "${") != NULL)
		return refuse(error,
			"url is shown to everybody, no ${...} stands in it: put it into headers or "
			"on_connect");
	if (url_parse(span_of(f->url), &url, error) != OK)
		return error_wrap(error, "url");
	return OK;
}

static enum err
check_subprotocols(const struct conf_feed *f, struct error *error)
{
	for (size_t i = 0; i < f->subprotocols.n; i++) {
		if (handshake_check_protocol(span_of(f->subprotocols.v[i]), error) != OK)
			return error_wrap(error, "subprotocols");
	}
	return OK;
}

/** What is said, and whether a signature is in it. */
static enum err
check_texts(const struct conf_feed *f, bool *uses_signature, struct error *error)
{
	for (size_t i = 0; i < f->headers.n; i++)
		if (expand_check(span_of(f->headers.v[i]), EXPAND_HEADER, uses_signature, error) !=
			OK)
			return error_wrap(error, "headers");
	for (size_t i = 0; i < f->on_connect.n; i++)
		if (expand_check(span_of(f->on_connect.v[i].send), EXPAND_MESSAGE, uses_signature,
			    error) != OK)
			return error_wrap(error, "on_connect");
	if (expand_check(span_of(f->app_ping), EXPAND_MESSAGE, uses_signature, error) != OK)
		return error_wrap(error, "app_ping");
	if (expand_check(span_of(f->sign_text), EXPAND_SIGNED, uses_signature, error) != OK)
		return error_wrap(error, "sign_text");
	return OK;
}

static enum err
check_signature(const struct conf_feed *f, bool uses_signature, struct error *error)
{
	if (!uses_signature && (is_given(f->sign_text) || is_given(f->sign_secret)))
		return refuse(error,
			"sign_text and sign_secret are not used: put ${signature} into headers or "
			"on_connect");
	if (uses_signature && (!is_given(f->sign_text) || !is_given(f->sign_secret)))
		return refuse(error,
			"${signature} needs both sign_text, what is signed, and sign_secret, the "
			"name of the secret that is the key");
	return uses_signature ? name_check("sign_secret", span_of(f->sign_secret), false, error)
			      : OK;
}

/** What does not go together. */
static enum err
check_together(const struct conf_feed *f, struct error *error)
{
	const char *const of_records[][2] = {
		{"category", f->category},
                {"id",       f->id      },
                {"name",     f->name    },
                {"time",     f->time    }
        };

	for (size_t i = 0; i < sizeof(of_records) / sizeof(of_records[0]); i++)
		if (is_given(f->topic) && is_given(of_records[i][1]))
			return error_set(error, ERR_INVALID_ARGUMENT,
				"topic is for what is not stored, and %s for records: leave one of "
				"them out",
				of_records[i][0]);
	if (is_given(f->topic) && f->ttl_ms != CONF_UNLIMITED)
		return refuse(error,
			"topic is for what is not stored, and ttl for records: leave one of them "
			"out");
	if (f->on_full == FULL_CONFLATE && !is_given(f->id))
		return refuse(error,
			"on_full = \"conflate\" keeps the newest of each record: give id, which "
			"says what is the same record");
	return OK;
}

static const struct conf_feed *
feed_of(const struct name_pattern *p)
{
	return (const struct conf_feed *)(const void *)p;
}

/** A recording has one feed. */
static enum err
check_record(const struct conf_feed *f, const struct conf_tables *all, struct error *error)
{
	if (!is_given(f->record))
		return OK;
	if (strchr(f->record, '/') != NULL)
		return refuse(error, "record is the name of a file, without a '/'");
	for (size_t i = 0; all != NULL && i < all->n; i++) {
		const struct conf_feed *other = feed_of(all->v[i]);

		if (other != f && strcmp(other->record, f->record) == 0)
			return error_set(error, ERR_INVALID_ARGUMENT,
				"record: %s is the recording of [feed.\"%s\"] too: give each its own",
				f->record, other->named.name);
	}
	return name_check("record", span_of(f->record), false, error);
}

enum err
conf_feed_check(const struct conf_named *n, const struct conf_tables *all, struct error *error)
{
	const struct conf_feed *f = feed_of(&n->pattern);
	struct mapping *mapping = NULL;
	bool uses_signature = false;
	enum err e = check_url(f, error);

	if (e == OK)
		e = check_subprotocols(f, error);
	if (e == OK)
		e = check_texts(f, &uses_signature, error);
	if (e == OK)
		e = check_signature(f, uses_signature, error);
	if (e == OK)
		e = check_together(f, error);
	if (e == OK)
		e = check_record(f, all, error);
	if (e == OK)
		e = mapping_new(f, &mapping, error);
	mapping_free(mapping);
	return e;
}

static const struct conf_section *
section(void)
{
	return conf_section_find(SPAN("feed"));
}

const struct conf_feed *
conf_feed_at(const struct conf *c, size_t i)
{
	return feed_of(c->feeds.v[i]);
}

const struct conf_feed *
conf_feed_find(const struct conf *c, struct span name)
{
	return feed_of(name_patterns_match(c->feeds.v, c->feeds.n, name));
}

static enum err
unknown_key(struct span key, struct error *error)
{
	const char *nearest = conf_key_nearest(section(), key);

	if (nearest == NULL)
		return error_set(error, ERR_INVALID_ARGUMENT,
			"unknown key \"%.*s\" (sysrt.conf(5) lists all of [feed.NAME])",
			(int)(key.n < 64 ? key.n : 64), key.p);
	return error_set(error, ERR_INVALID_ARGUMENT, "unknown key \"%.*s\", did you mean \"%s\"?",
		SPAN_FMT(key), nearest);
}

static enum err
set_member(struct conf_named *n, bool *is_set, struct span key, struct json_value value,
	struct error *error)
{
	const struct conf_section *s = section();
	struct span name = {key.p + 1, key.n - 2};
	const struct conf_option *o = conf_key_find(s, name);

	if (o == NULL)
		return unknown_key(name, error);
	if (is_set[o - s->options])
		return error_set(error, ERR_INVALID_ARGUMENT, "%s is given twice", o->name);
	is_set[o - s->options] = true;
	return conf_set_json(n, o, value, error);
}

static enum err
read_members(struct conf_named *n, struct json_value definition, struct error *error)
{
	bool *is_set = xnew_n(section()->options_n, bool);
	struct json_walk w = json_walk_start(definition);
	struct json_value value;
	struct span key;
	enum err e = OK;

	while (e == OK && json_object_next(&w, &key, &value))
		e = set_member(n, is_set, key, value, error);
	free(is_set);
	return e == OK ? conf_feed_check(n, NULL, error) : e;
}

static struct conf_named *
named_new(struct span name)
{
	struct conf_named *n = conf_named_new(section());

	n->name = xstrndup(name.p, name.n);
	n->pattern.text = span_of(n->name);
	return n;
}

enum err
conf_feed_read(
	struct span name, struct json_value definition, struct conf_feed **out, struct error *error)
{
	struct conf_named *n;
	enum err e = name_check("name", name, false, error);

	if (e != OK)
		return e;
	if (definition.type != JSON_OBJECT || definition.raw.n > DEFINITION_MAX)
		return error_set(error, ERR_INVALID_ARGUMENT,
			"a definition is an object of at most %d bytes", DEFINITION_MAX);
	n = named_new(name);
	e = read_members(n, definition, error);
	if (e != OK) {
		conf_named_free(n, section());
		error->code = ERR_INVALID_ARGUMENT;
		return ERR_INVALID_ARGUMENT;
	}
	*out = (struct conf_feed *)(void *)n;
	return OK;
}

struct conf_feed *
conf_feed_dup(const struct conf_feed *f)
{
	const struct conf_section *s = section();
	struct conf_named *n = named_new(span_of(f->named.name));

	for (size_t i = 0; i < s->options_n; i++)
		conf_copy(n, f, &s->options[i]);
	return (struct conf_feed *)(void *)n;
}

void
conf_feed_free(struct conf_feed *f)
{
	conf_named_free(f != NULL ? &f->named : NULL, section());
}

void
conf_feed_add(const struct conf_feed *f, bool all, struct json_out *o)
{
	const struct conf_section *s = section();
	struct conf_named *standard = conf_named_new(s);
	struct buf value;

	buf_init(&value, SIZE_MAX / 2);
	for (size_t i = 0; i < s->options_n; i++) {
		if (!all && conf_is_equal(f, standard, &s->options[i]))
			continue;
		buf_reset(&value);
		conf_add_value_json(f, &s->options[i], &value);
		json_put_raw(o, s->options[i].name, buf_span(&value));
	}
	buf_fini(&value);
	conf_named_free(standard, s);
}

bool
conf_feed_is_equal(const struct conf_feed *a, const struct conf_feed *b)
{
	return conf_named_is_equal(&a->named, &b->named, section());
}
