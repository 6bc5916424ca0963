/* Loading the configuration, and what a reload changes: see conf.h. */

#include "daemon/base/conf.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/xalloc.h"
#include "daemon/base/conf_table.h"

#define FILE_BYTES_MAX (4u << 20)

static size_t
row_of(const struct conf_option *o)
{
	return (size_t)(o - conf_options);
}

static void
set_origin(struct conf *c, const struct conf_option *o, char *text)
{
	free(c->origins[row_of(o)].text);
	c->origins[row_of(o)].text = text;
}

struct conf *
conf_new(void)
{
	struct conf *c = xnew(struct conf);

	c->origins = xnew_n(conf_options_n, struct conf_origin);
	for (size_t i = 0; i < conf_options_n; i++)
		conf_set_standard(c, &conf_options[i]);
	for (size_t i = 0; i < conf_sections_n; i++)
		conf_tables_init(conf_tables_of(c, &conf_sections[i]), &conf_sections[i]);
	return c;
}

void
conf_free(struct conf *c)
{
	if (c == NULL)
		return;
	for (size_t i = 0; i < conf_options_n; i++) {
		conf_clear(c, &conf_options[i]);
		free(c->origins[i].text);
	}
	for (size_t i = 0; i < conf_sections_n; i++)
		conf_tables_fini(conf_tables_of(c, &conf_sections[i]), &conf_sections[i]);
	free(c->origins);
	free(c);
}

const struct conf_category *
conf_category(const struct conf *c, struct span name)
{
	const struct conf_tables *t = &c->categories;
	const struct name_pattern *p = name_patterns_match(t->v, t->n, name);

	return p != NULL ? (const struct conf_category *)(const void *)p
			 : (const struct conf_category *)(const void *)t->standard;
}

static enum err
unknown_key(
	const char *file, const char *name, unsigned line, const char *nearest, struct error *error)
{
	if (nearest == NULL)
		return error_set(error, ERR_CONFIG_ERROR,
			"%s: unknown key \"%s\" in line %u (sysrtd --print-defaults lists all)",
			file, name, line);
	return error_set(error, ERR_CONFIG_ERROR,
		"%s: unknown key \"%s\" in line %u, did you mean \"%s\"?", file, name, line,
		nearest);
}

static enum err
unknown_option(const char *file, const char *name, unsigned line, struct error *error)
{
	return unknown_key(file, name, line, conf_option_nearest(span_of(name)), error);
}

static enum err
apply_key(struct conf *c, const char *file, const char *name, const struct toml_node *node,
	struct error *error)
{
	const struct conf_option *o = conf_option_find(span_of(name));
	enum err e;

	if (o == NULL)
		return unknown_option(file, name, node->line, error);
	e = conf_set_toml(c, o, node, error);
	if (e != OK)
		return error_wrap(error, "%s:%u", file, node->line);
	set_origin(c, o, xasprintf("%s:%u", file, node->line));
	return OK;
}

static bool
is_section(struct span name)
{
	for (size_t i = 0; i < conf_options_n; i++) {
		const char *option = conf_options[i].name;

		if (span_eq(name, (struct span){option, conf_section_length(option)}))
			return true;
	}
	return false;
}

/** A name with a dot that was not put in quotes looks like a table in a table. */
static enum err
unknown_key_of(const char *file, const struct conf_section *s, const struct conf_named *n,
	const struct toml_node *node, struct error *error)
{
	char *place, *key;
	enum err e;

	if (node->type == TOML_TABLE)
		return error_set(error, ERR_CONFIG_ERROR,
			"%s:%u: a name with a dot stands in quotes: [%s.\"%s.%.*s\"]", file,
			node->line, s->name, n->name, SPAN_FMT(node->key));
	place = xasprintf("%s: [%s.\"%s\"]", file, s->name, n->name);
	key = xstrndup(node->key.p, node->key.n);
	e = unknown_key(place, key, node->line, conf_key_nearest(s, node->key), error);
	free(place);
	free(key);
	return e;
}

/** One table of a section whose tables have names. */
static enum err
apply_named(struct conf *c, const char *file, const struct conf_section *s,
	const struct toml_node *table, struct error *error)
{
	struct conf_named *n = NULL;
	enum err e;

	if (table->type != TOML_TABLE)
		return error_set(error, ERR_CONFIG_ERROR, "%s:%u: expected a table, [%s.NAME]",
			file, table->line, s->name);
	e = conf_tables_get(conf_tables_of(c, s), s, table->key, &n, error);
	if (e != OK)
		return error_wrap(error, "%s:%u", file, table->line);
	for (const struct toml_node *node = table->first; node != NULL; node = node->next) {
		const struct conf_option *o = conf_key_find(s, node->key);

		if (o == NULL)
			return unknown_key_of(file, s, n, node, error);
		if (conf_set_toml(n, o, node, error) != OK)
			return error_wrap(
				error, "%s:%u: [%s.\"%s\"]", file, node->line, s->name, n->name);
		conf_named_set_origin(
			n, (size_t)(o - s->options), xasprintf("%s:%u", file, node->line));
	}
	return OK;
}

static enum err
apply_all_named(struct conf *c, const char *file, const struct conf_section *s,
	const struct toml_node *section, struct error *error)
{
	const struct toml_node *table = section->first;
	enum err e = OK;

	if (section->type != TOML_TABLE)
		return error_set(error, ERR_CONFIG_ERROR, "%s:%u: expected tables, [%s.NAME]", file,
			section->line, s->name);
	for (; table != NULL && e == OK; table = table->next)
		e = apply_named(c, file, s, table, error);
	return e;
}

/** Told by its first key, which may be near to a known one. */
static enum err
unknown_section(const char *file, const struct toml_node *section, struct error *error)
{
	const struct toml_node *first = section->type == TOML_TABLE ? section->first : NULL;
	const struct toml_node *at = first != NULL ? first : section;
	const char *nearest = conf_section_nearest(section->key);
	char *name = xasprintf("%.*s%s%.*s", SPAN_FMT(section->key), first != NULL ? "." : "",
		first != NULL ? (int)first->key.n : 0, first != NULL ? first->key.p : "");
	enum err e;

	if (nearest == NULL || conf_option_nearest(span_of(name)) != NULL)
		e = unknown_option(file, name, at->line, error);
	else
		e = unknown_key(file, name, at->line, nearest, error);
	free(name);
	return e;
}

static enum err
apply_section(
	struct conf *c, const char *file, const struct toml_node *section, struct error *error)
{
	const struct toml_node *node = section->type == TOML_TABLE ? section->first : NULL;
	const struct conf_section *named = conf_section_find(section->key);
	enum err e = OK;

	if (named != NULL)
		return apply_all_named(c, file, named, section, error);
	if (section->type != TOML_TABLE || !is_section(section->key)) {
		e = unknown_section(file, section, error);
		node = NULL;
	}
	for (; node != NULL && e == OK; node = node->next) {
		char *name = xasprintf("%.*s.%.*s", SPAN_FMT(section->key), SPAN_FMT(node->key));

		e = apply_key(c, file, name, node, error);
		free(name);
	}
	return e;
}

static enum err
read_text(int fd, const char *path, struct buf *text, struct error *error)
{
	ssize_t n;

	do {
		char *room = buf_reserve(text, 65536);

		if (room == NULL)
			return error_set(error, ERR_CONFIG_ERROR, "%s is too large", path);
		n = read(fd, room, 65536);
		if (n < 0)
			return error_set_errno(error, ERR_CONFIG_ERROR, errno, "reading %s", path);
		text->n += (size_t)n;
	} while (n > 0);
	return OK;
}

static enum err
apply_text(struct conf *c, const char *path, struct span text, struct error *error)
{
	struct toml *t = NULL;
	enum err e = toml_parse(text, path, &t, error);

	if (e != OK)
		return e;
	for (const struct toml_node *s = toml_root(t)->first; s != NULL && e == OK; s = s->next)
		e = apply_section(c, path, s, error);
	toml_free(t);
	return e;
}

static enum err
apply_file(struct conf *c, const char *path, bool is_required, struct error *error)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct buf text;
	enum err e;

	if (fd < 0 && errno == ENOENT && !is_required)
		return OK;
	if (fd < 0)
		return error_set_errno(error, ERR_CONFIG_ERROR, errno, "opening %s", path);
	buf_init(&text, FILE_BYTES_MAX);
	e = read_text(fd, path, &text, error);
	if (e == OK)
		e = apply_text(c, path, buf_span(&text), error);
	buf_fini(&text);
	close(fd);
	return e;
}

static int
is_toml(const struct dirent *d)
{
	size_t n = strlen(d->d_name);

	return d->d_name[0] != '.' && n > 5 && strcmp(d->d_name + n - 5, ".toml") == 0;
}

/** The files in conf.d beside the file, in order of name. */
static enum err
apply_folder(struct conf *c, const char *file, struct error *error)
{
	const char *slash = strrchr(file, '/');
	char *folder = slash != NULL ? xasprintf("%.*s/conf.d", (int)(slash - file), file)
				     : xstrdup("conf.d");
	struct dirent **names = NULL;
	int n = scandir(folder, &names, is_toml, alphasort);
	enum err e = OK;

	if (n < 0 && errno != ENOENT)
		e = error_set_errno(error, ERR_CONFIG_ERROR, errno, "reading %s", folder);
	for (int i = 0; i < n; i++) {
		char *path = xasprintf("%s/%s", folder, names[i]->d_name);

		if (e == OK)
			e = apply_file(c, path, true, error);
		free(path);
		free(names[i]);
	}
	free(names);
	free(folder);
	return e;
}

/** "SYSRT_STORE_MAX_RECORD" to "store.max_record"; SYSRT_LOG is log.filter. */
static char *
option_of_variable(const char *name, size_t n)
{
	char *out = xstrndup(name, n);
	char *first = strchr(out, '_');

	for (char *p = out; *p != '\0'; p++)
		*p = (char)tolower((unsigned char)*p);
	if (first != NULL)
		*first = '.';
	if (strcmp(out, "log") == 0) {
		free(out);
		return xstrdup("log.filter");
	}
	return out;
}

static enum err
apply_variable(struct conf *c, const char *entry, struct error *error)
{
	const char *name = entry + strlen("SYSRT_"), *equals = strchr(name, '=');
	const struct conf_option *o;
	char *option;
	enum err e = OK;

	/* SYSRT_SOCKET is sysrtctl's, and may well be in the environment of both. */
	if (equals == NULL || strncmp(name, "SOCKET=", 7) == 0)
		return OK;
	option = option_of_variable(name, (size_t)(equals - name));
	o = conf_option_find(span_of(option));
	if (o == NULL) {
		log_warn("conf", "unknown variable in the environment",
			F_SPAN("name", ((struct span){entry, (size_t)(equals - entry)})));
	} else {
		e = conf_set_text(c, o, span_of(equals + 1), error);
		if (e == OK)
			set_origin(c, o, xasprintf("%.*s", (int)(equals - entry), entry));
		else
			error_wrap(
				error, "environment variable %.*s", (int)(equals - entry), entry);
	}
	free(option);
	return e;
}

static enum err
apply_environment(struct conf *c, char *const *list, struct error *error)
{
	enum err e = OK;

	for (; list != NULL && *list != NULL && e == OK; list++)
		if (strncmp(*list, "SYSRT_", 6) == 0)
			e = apply_variable(c, *list, error);
	return e;
}

static enum err
apply_override(struct conf *c, const struct conf_override *v, struct error *error)
{
	const struct conf_option *o = conf_option_find(span_of(v->name));
	enum err e;

	if (o == NULL)
		return unknown_option("command line", v->name, 1, error);
	e = conf_set_text(c, o, span_of(v->value), error);
	if (e != OK)
		return error_wrap(error, "command line");
	set_origin(c, o, xstrdup("command line"));
	return OK;
}

enum err
conf_load(const struct conf_sources *from, struct conf **out, struct error *error)
{
	const char *file = from->file != NULL ? from->file : CONF_DEFAULT_FILE;
	struct conf *c = conf_new();
	enum err e = apply_file(c, file, from->is_file_required, error);

	if (e == OK)
		e = apply_folder(c, file, error);
	if (e == OK)
		e = apply_environment(c, from->environ_list, error);
	for (size_t i = 0; i < from->overrides_n && e == OK; i++)
		e = apply_override(c, &from->overrides[i], error);
	for (size_t i = 0; i < conf_sections_n && e == OK; i++)
		e = conf_tables_check(
			conf_tables_of(c, &conf_sections[i]), &conf_sections[i], error);
	if (e != OK) {
		conf_free(c);
		return e;
	}
	*out = c;
	return OK;
}

/** Names what is different between two tables with this name; those that are not there have the
 * defaults. */
static void
put_changed_table(const struct conf_tables *now, const struct conf_tables *next,
	const struct conf_section *s, const struct conf_named *table, struct json_out *o)
{
	const struct conf_named *a = conf_tables_exact(now, table->name);
	const struct conf_named *b = conf_tables_exact(next, table->name);
	struct buf name;

	buf_init(&name, SIZE_MAX / 2);
	for (size_t row = 0; row < s->options_n; row++) {
		if (conf_is_equal(a, b, &s->options[row]))
			continue;
		buf_reset(&name);
		conf_named_add_name(table, s, &name);
		buf_addf(&name, ".%s", s->options[row].name);
		json_put_string(o, NULL, buf_span(&name));
	}
	buf_fini(&name);
}

static void
put_changed_tables(const struct conf *now, const struct conf *next, const struct conf_section *s,
	struct json_out *o)
{
	const struct conf_tables *a = conf_tables_of(now, s), *b = conf_tables_of(next, s);

	for (size_t i = 0; i < b->n; i++)
		put_changed_table(a, b, s, conf_tables_at(b, i), o);
	for (size_t i = 0; i < a->n; i++)
		if (conf_tables_exact(b, conf_tables_at(a, i)->name) == b->standard)
			put_changed_table(a, b, s, conf_tables_at(a, i), o);
}

static void
put_changed(const struct conf *now, const struct conf *next, bool needs_restart, const char *key,
	struct json_out *o)
{
	json_begin_array(o, key);
	for (size_t i = 0; i < conf_options_n; i++)
		if (conf_options[i].needs_restart == needs_restart &&
			!conf_is_equal(now, next, &conf_options[i]))
			json_put_str(o, NULL, conf_options[i].name);
	for (size_t i = 0; i < conf_sections_n && !needs_restart; i++)
		put_changed_tables(now, next, &conf_sections[i], o);
	json_end_array(o);
}

struct conf *
conf_reload(const struct conf *now, const struct conf *next, struct json_out *o)
{
	struct conf *c = conf_new();

	json_begin_object(o, NULL);
	put_changed(now, next, false, "applied", o);
	put_changed(now, next, true, "needs_restart", o);
	json_end_object(o);
	for (size_t i = 0; i < conf_options_n; i++) {
		const struct conf_option *option = &conf_options[i];
		const struct conf *from = option->needs_restart ? now : next;
		const char *text = from->origins[i].text;

		conf_copy(c, from, option);
		set_origin(c, option, text != NULL ? xstrdup(text) : NULL);
	}
	for (size_t i = 0; i < conf_sections_n; i++)
		conf_tables_copy(conf_tables_of(c, &conf_sections[i]),
			conf_tables_of(next, &conf_sections[i]), &conf_sections[i]);
	return c;
}
