/* Tables with names of their own: see conf_table.h. They are kept sorted and linked. */

#include <stdlib.h>

#include "common/name.h"
#include "common/xalloc.h"
#include "daemon/base/conf_table.h"

#define TABLES_MAX 1000

struct conf_tables *
conf_tables_of(const struct conf *c, const struct conf_section *s)
{
	return (struct conf_tables *)(void *)((char *)(uintptr_t)c + s->offset);
}

struct conf_named *
conf_named_new(const struct conf_section *s)
{
	struct conf_named *n = xcalloc(1, s->size);

	n->origins = xnew_n(s->options_n, struct conf_origin);
	for (size_t i = 0; i < s->options_n; i++)
		conf_set_standard(n, &s->options[i]);
	return n;
}

void
conf_named_free(struct conf_named *n, const struct conf_section *s)
{
	if (n == NULL)
		return;
	for (size_t i = 0; i < s->options_n; i++) {
		conf_clear(n, &s->options[i]);
		free(n->origins[i].text);
	}
	free(n->origins);
	free(n->name);
	free(n);
}

bool
conf_named_is_equal(
	const struct conf_named *a, const struct conf_named *b, const struct conf_section *s)
{
	for (size_t i = 0; i < s->options_n; i++)
		if (!conf_is_equal(a, b, &s->options[i]))
			return false;
	return true;
}

void
conf_tables_init(struct conf_tables *t, const struct conf_section *s)
{
	*t = (struct conf_tables){.standard = conf_named_new(s)};
}

void
conf_tables_fini(struct conf_tables *t, const struct conf_section *s)
{
	for (size_t i = 0; i < t->n; i++)
		conf_named_free(conf_tables_at(t, i), s);
	free(t->v);
	conf_named_free(t->standard, s);
}

const struct conf_named *
conf_tables_exact(const struct conf_tables *t, const char *name)
{
	for (size_t i = 0; i < t->n; i++)
		if (strcmp(conf_tables_at(t, i)->name, name) == 0)
			return conf_tables_at(t, i);
	return t->standard;
}

static void
insert(struct conf_tables *t, struct conf_named *n)
{
	size_t place = t->n;

	t->v = xrealloc(t->v, t->n + 1, sizeof(struct name_pattern *));
	for (; place > 0 && name_pattern_compare(t->v[place - 1], &n->pattern) > 0; place--)
		t->v[place] = t->v[place - 1];
	t->v[place] = &n->pattern;
	t->n++;
	name_patterns_link(t->v, t->n);
}

enum err
conf_tables_get(struct conf_tables *t, const struct conf_section *s, struct span name,
	struct conf_named **out, struct error *error)
{
	bool is_prefix = s->takes_prefixes && name.n > 0 && name.p[name.n - 1] == '*';
	struct span text = {name.p, name.n - is_prefix};
	struct conf_named *n;

	if (name_check("its name", text, is_prefix, error) != OK) {
		error_wrap(error, "[%s.\"%.*s\"]", s->name, SPAN_FMT(name));
		error->code = ERR_CONFIG_ERROR;
		return ERR_CONFIG_ERROR;
	}
	for (size_t i = 0; i < t->n; i++) {
		if (span_is(name, conf_tables_at(t, i)->name)) {
			*out = conf_tables_at(t, i);
			return OK;
		}
	}
	if (t->n >= TABLES_MAX)
		return error_set(error, ERR_CONFIG_ERROR, "[%s.\"%.*s\"]: at most %d of them",
			s->name, SPAN_FMT(name), TABLES_MAX);
	n = conf_named_new(s);
	n->name = xstrndup(name.p, name.n);
	n->pattern.text = (struct span){n->name, text.n};
	n->pattern.is_prefix = is_prefix;
	insert(t, n);
	*out = n;
	return OK;
}

/** Where the first value of a table that has one came from; NULL: it is empty. */
static const char *
first_origin(const struct conf_named *n, const struct conf_section *s)
{
	for (size_t i = 0; i < s->options_n; i++)
		if (n->origins[i].text != NULL)
			return n->origins[i].text;
	return NULL;
}

enum err
conf_tables_check(const struct conf_tables *t, const struct conf_section *s, struct error *error)
{
	for (size_t i = 0; i < t->n && s->check != NULL; i++) {
		const struct conf_named *n = conf_tables_at(t, i);
		const char *origin = first_origin(n, s);

		if (s->check(n, t, error) == OK)
			continue;
		error->code = ERR_CONFIG_ERROR;
		error_wrap(error, "[%s.\"%s\"]", s->name, n->name);
		return origin != NULL ? error_wrap(error, "%s", origin) : ERR_CONFIG_ERROR;
	}
	return OK;
}

void
conf_named_add_name(const struct conf_named *n, const struct conf_section *s, struct buf *out)
{
	buf_addf(out, "%s.\"%s\"", s->name, n->name);
}

void
conf_named_set_origin(struct conf_named *n, size_t row, char *text)
{
	free(n->origins[row].text);
	n->origins[row].text = text;
}

void
conf_tables_copy(
	struct conf_tables *to, const struct conf_tables *from, const struct conf_section *s)
{
	for (size_t i = 0; i < from->n; i++) {
		const struct conf_named *source = conf_tables_at(from, i);
		struct error error = ERROR_NONE;
		struct conf_named *n = NULL;

		must(conf_tables_get(to, s, span_of(source->name), &n, &error) == OK);
		for (size_t row = 0; row < s->options_n; row++) {
			const char *text = source->origins[row].text;

			conf_copy(n, source, &s->options[row]);
			conf_named_set_origin(n, row, text != NULL ? xstrdup(text) : NULL);
		}
	}
}
