/* Scopes: see scope.h. */

#include "daemon/guard/scope.h"

#include <stdlib.h>
#include <string.h>

#include "common/name.h"
#include "common/xalloc.h"

struct entry {
	enum scope verb;
	bool is_prefix;
	unsigned char n;
	char name[NAME_TEXT_MAX];
};

struct scopes {
	unsigned refs;
	unsigned whole; /* verbs that hold for everything: they have no entries that matter */
	char *source;
	struct entry *entries;
	size_t n;
};

static const struct verb {
	enum scope verb;
	const char *name;
} verbs[] = {
	{SCOPE_READ,    "read"   },
	{SCOPE_WRITE,   "write"  },
	{SCOPE_PUBLISH, "publish"},
	{SCOPE_ADMIN,   "admin"  },
	{SCOPE_SECRETS, "secrets"},
};
#define VERBS_N (sizeof(verbs) / sizeof(verbs[0]))

const char *
scope_name(unsigned verb)
{
	for (size_t i = 0; i < VERBS_N; i++)
		if (verbs[i].verb == verb)
			return verbs[i].name;
	return "none";
}

void
scope_add_text(struct buf *out, unsigned verb, struct span name, bool is_prefix)
{
	buf_add_span(out, span_of(scope_name(verb)));
	if (name.n == 0 && is_prefix)
		return;
	buf_add_char(out, ':');
	buf_add_span(out, name);
	if (is_prefix)
		buf_add_char(out, '*');
}

struct scopes *
scopes_new(const char *source)
{
	struct scopes *s = xnew(struct scopes);

	s->refs = 1;
	s->source = xstrdup(source);
	return s;
}

struct scopes *
scopes_ref(struct scopes *s)
{
	if (s != NULL)
		s->refs++;
	return s;
}

void
scopes_unref(struct scopes *s)
{
	if (s == NULL || --s->refs > 0)
		return;
	free(s->source);
	free(s->entries);
	free(s);
}

/** Cuts the text at the first such byte; *rest is what is behind it, "" if there is none. */
static struct span
cut(struct span text, char at, struct span *rest)
{
	const char *found = text.n > 0 ? memchr(text.p, at, text.n) : NULL;
	size_t n = found != NULL ? (size_t)(found - text.p) : text.n;

	*rest = found != NULL ? (struct span){found + 1, text.n - n - 1} : SPAN("");
	return (struct span){text.p, n};
}

void
scope_put_list(struct json_out *o, const char *key, struct span text)
{
	json_begin_array(o, key);
	while (text.n > 0) {
		struct span one = cut(text, ' ', &text);

		if (one.n > 0)
			json_put_string(o, NULL, one);
	}
	json_end_array(o);
}

static enum err
find_verb(struct span name, unsigned allowed, enum scope *verb, struct error *error)
{
	struct buf known;

	buf_init(&known, ERROR_TEXT_MAX);
	for (size_t i = 0; i < VERBS_N; i++) {
		if ((verbs[i].verb & allowed) == 0)
			continue;
		if (span_is(name, verbs[i].name)) {
			*verb = verbs[i].verb;
			buf_fini(&known);
			return OK;
		}
		buf_addf(&known, "%s%s", known.n > 0 ? ", " : "", verbs[i].name);
	}
	error_set(error, ERR_INVALID_ARGUMENT, "\"%.*s\" is none of: %.*s", SPAN_FMT(name),
		SPAN_FMT(buf_span(&known)));
	buf_fini(&known);
	return ERR_INVALID_ARGUMENT;
}

/** Takes "ticker", "sensor.*" or "*". */
static enum err
add_name(struct scopes *s, enum scope verb, struct span name, struct error *error)
{
	bool is_prefix = name.n > 0 && name.p[name.n - 1] == '*';
	struct entry *entry;
	enum err e;

	name.n -= is_prefix;
	e = name_check("the name of a scope", name, is_prefix, error);
	if (e != OK)
		return e;
	if (is_prefix && name.n == 0) {
		s->whole |= verb;
		return OK;
	}
	if (s->n == SCOPE_TERMS_MAX)
		return error_set(error, ERR_LIMIT_EXCEEDED, "scopes have at most %d names together",
			SCOPE_TERMS_MAX);
	s->entries = xrealloc(s->entries, s->n + 1, sizeof(*s->entries));
	entry = &s->entries[s->n++];
	*entry = (struct entry){.verb = verb, .is_prefix = is_prefix, .n = (unsigned char)name.n};
	memcpy(entry->name, name.p, name.n);
	return OK;
}

/** Takes "VERB" or "VERB:NAME,NAME". */
static enum err
add_one(struct scopes *s, struct span text, unsigned allowed, struct error *error)
{
	bool has_names = text.n > 0 && memchr(text.p, ':', text.n) != NULL;
	enum scope verb = SCOPE_NONE;
	struct span names;
	enum err e = find_verb(cut(text, ':', &names), allowed, &verb, error);

	if (e != OK)
		return e;
	if (!has_names) {
		s->whole |= verb;
		return OK;
	}
	if (verb == SCOPE_ADMIN)
		return error_set(error, ERR_INVALID_ARGUMENT,
			"admin is for the daemon as a whole: no names follow it");
	do {
		has_names = memchr(names.p, ',', names.n) != NULL;
		e = add_name(s, verb, cut(names, ',', &names), error);
	} while (e == OK && has_names);
	return e;
}

enum err
scopes_add(struct scopes *s, struct span text, unsigned allowed, struct error *error)
{
	unsigned added = 0;
	enum err e = OK;

	while (text.n > 0 && e == OK) {
		struct span rest, one = cut(text, ' ', &rest);

		if (one.n > 0) {
			e = add_one(s, one, allowed, error);
			added++;
		}
		text = rest;
	}
	if (e == OK && added == 0)
		e = error_set(error, ERR_INVALID_ARGUMENT, "a scope is missing");
	return e;
}

void
scopes_add_all(struct scopes *s, unsigned verb_mask)
{
	s->whole |= verb_mask;
}

const char *
scopes_source(const struct scopes *s)
{
	return s != NULL ? s->source : "nothing was granted";
}

unsigned
scopes_verbs(const struct scopes *s)
{
	unsigned mask = s != NULL ? s->whole : 0;

	for (size_t i = 0; s != NULL && i < s->n; i++)
		mask |= s->entries[i].verb;
	return mask;
}

static struct span
name_of(const struct entry *entry)
{
	return (struct span){entry->name, entry->n};
}

bool
scopes_cover(const struct scopes *s, enum scope verb, struct span name, bool is_prefix)
{
	if (s == NULL || (s->whole & verb) != 0)
		return s != NULL;
	for (size_t i = 0; i < s->n; i++) {
		const struct entry *entry = &s->entries[i];

		if (entry->verb != verb)
			continue;
		if (entry->is_prefix ? span_has_prefix(name, name_of(entry))
				     : !is_prefix && span_eq(name, name_of(entry)))
			return true;
	}
	return false;
}

static bool
contains(const struct scopes *s, enum scope verb, struct span name, bool is_prefix,
	struct buf *missing)
{
	if (scopes_cover(s, verb, name, is_prefix))
		return true;
	if (missing != NULL)
		scope_add_text(missing, verb, name, is_prefix);
	return false;
}

bool
scopes_contain(const struct scopes *s, const struct scopes *part, struct buf *missing)
{
	for (size_t i = 0; i < VERBS_N; i++)
		if ((part->whole & verbs[i].verb) != 0 &&
			!contains(s, verbs[i].verb, SPAN(""), true, missing))
			return false;
	for (size_t i = 0; i < part->n; i++) {
		const struct entry *entry = &part->entries[i];

		if (!contains(s, entry->verb, name_of(entry), entry->is_prefix, missing))
			return false;
	}
	return true;
}

bool
scopes_next(const struct scopes *s, enum scope verb, size_t *at, struct span *name, bool *is_prefix)
{
	while (s != NULL && *at < s->n) {
		const struct entry *entry = &s->entries[(*at)++];

		if (entry->verb != verb)
			continue;
		*name = name_of(entry);
		*is_prefix = entry->is_prefix;
		return true;
	}
	return false;
}

void
scopes_add_text(const struct scopes *s, struct buf *out)
{
	struct span name;
	bool is_prefix;
	size_t start = out->n;

	for (size_t i = 0; s != NULL && i < VERBS_N; i++) {
		size_t at = 0;
		bool is_first = true;

		if ((s->whole & verbs[i].verb) != 0) {
			buf_addf(out, "%s%s", out->n > start ? " " : "", verbs[i].name);
			continue;
		}
		while (scopes_next(s, verbs[i].verb, &at, &name, &is_prefix)) {
			if (is_first)
				buf_addf(out, "%s%s:", out->n > start ? " " : "", verbs[i].name);
			else
				buf_add_char(out, ',');
			buf_add_span(out, name);
			if (is_prefix)
				buf_add_char(out, '*');
			is_first = false;
		}
	}
}

void
scopes_put_list(const struct scopes *s, struct json_out *o, const char *key)
{
	struct buf text;

	buf_init(&text, SIZE_MAX / 2);
	scopes_add_text(s, &text);
	scope_put_list(o, key, buf_span(&text));
	buf_fini(&text);
}
