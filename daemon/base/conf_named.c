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

static struct conf_named *
table_new(const struct conf_section *s)
{
	struct conf_named *n = xcalloc(1, s->size);

	n->origins = xnew_n(s->options_n, struct conf_origin);
	for (size_t i = 0; i < s->options_n; i++)
		conf_set_standard(n, &s->options[i]);
	return n;
}

static void
table_free(struct conf_named *n, const struct conf_section *s)
{
	for (size_t i = 0; i < s->options_n; i++) {
		conf_clear(n, &s->options[i]);
		free(n->origins[i].text);
	}
	free(n->origins);
	free(n->name);
	free(n);
}

void
conf_tables_init(struct conf_tables *t, const struct conf_section *s)
{
	*t = (struct conf_tables){.standard = table_new(s)};
}

void
conf_tables_fini(struct conf_tables *t, const struct conf_section *s)
{
	for (size_t i = 0; i < t->n; i++)
		table_free(conf_tables_at(t, i), s);
	free(t->v);
	table_free(t->standard, s);
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
	bool is_prefix = name.n > 0 && name.p[name.n - 1] == '*';
	struct span text = {name.p, name.n - is_prefix};
	struct conf_named *n;

	if (name_check("its name", text, is_prefix, error) != OK) {
		error->code = ERR_CONFIG_ERROR;
		return error_wrap(error, "[%s.\"%.*s\"]", s->name, SPAN_FMT(name));
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
	n = table_new(s);
	n->name = xstrndup(name.p, name.n);
	n->pattern.text = (struct span){n->name, text.n};
	n->pattern.is_prefix = is_prefix;
	insert(t, n);
	*out = n;
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
		struct conf_named *n = NULL;

		must(conf_tables_get(to, s, span_of(source->name), &n, NULL) == OK);
		for (size_t row = 0; row < s->options_n; row++) {
			const char *text = source->origins[row].text;

			conf_copy(n, source, &s->options[row]);
			conf_named_set_origin(n, row, text != NULL ? xstrdup(text) : NULL);
		}
	}
}
