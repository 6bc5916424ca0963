/* Loading, printing and comparing the configuration: see conf.h. */

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

/** Where an option's value came from, for people; NULL: the default. */
struct conf_origin {
	char *text;
};

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

/** The default is TOML like any other value. */
static void
set_standard(struct conf *c, const struct conf_option *o)
{
	char *text = xasprintf("x = %s", o->standard);
	struct error error = ERROR_NONE;
	struct toml *t = NULL;

	must(toml_parse(span_of(text), "default", &t, &error) == OK);
	must(conf_set_toml(c, o, toml_find(toml_root(t), "x"), &error) == OK);
	toml_free(t);
	free(text);
}

struct conf *
conf_new(void)
{
	struct conf *c = xnew(struct conf);

	c->origins = xnew_n(conf_options_n, struct conf_origin);
	for (size_t i = 0; i < conf_options_n; i++)
		set_standard(c, &conf_options[i]);
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
	free(c->origins);
	free(c);
}

static enum err
unknown_key(const char *file, const char *name, unsigned line, struct error *error)
{
	const char *nearest = conf_option_nearest(span_of(name));

	if (nearest == NULL)
		return error_set(error, ERR_CONFIG_ERROR,
			"%s: unknown key \"%s\" in line %u (sysrtd --print-defaults lists all)",
			file, name, line);
	return error_set(error, ERR_CONFIG_ERROR,
		"%s: unknown key \"%s\" in line %u, did you mean \"%s\"?", file, name, line,
		nearest);
}

static enum err
apply_key(struct conf *c, const char *file, const char *name, const struct toml_node *node,
	struct error *error)
{
	const struct conf_option *o = conf_option_find(span_of(name));
	enum err e;

	if (o == NULL)
		return unknown_key(file, name, node->line, error);
	e = conf_set_toml(c, o, node, error);
	if (e != OK)
		return error_wrap(error, "%s:%u", file, node->line);
	set_origin(c, o, xasprintf("%s:%u", file, node->line));
	return OK;
}

static size_t
section_length(const char *name)
{
	return strcspn(name, ".");
}

static bool
is_section(struct span name)
{
	for (size_t i = 0; i < conf_options_n; i++) {
		const char *option = conf_options[i].name;

		if (span_eq(name, (struct span){option, section_length(option)}))
			return true;
	}
	return false;
}

/** An unknown section is told by its first key, which may be near to a known one. */
static enum err
apply_section(
	struct conf *c, const char *file, const struct toml_node *section, struct error *error)
{
	const struct toml_node *node = section->type == TOML_TABLE ? section->first : NULL;
	enum err e = OK;

	if (section->type != TOML_TABLE || (node == NULL && !is_section(section->key))) {
		char *name = xstrndup(section->key.p, section->key.n);

		e = unknown_key(file, name, section->line, error);
		free(name);
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
		return unknown_key("command line", v->name, 1, error);
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
	if (e != OK) {
		conf_free(c);
		return e;
	}
	*out = c;
	return OK;
}

/** "[section]" before its first option. */
static void
add_section(const struct conf_option *o, struct buf *out)
{
	size_t n = section_length(o->name);
	bool is_first = o == conf_options;

	if (!is_first && section_length(o[-1].name) == n && strncmp(o[-1].name, o->name, n) == 0)
		return;
	buf_addf(out, "%s[%.*s]\n", is_first ? "" : "\n", (int)n, o->name);
}

/** Help as comment lines of at most 90 characters. */
static void
add_comment(const char *text, struct buf *out)
{
	size_t column = 0;

	while (*text != '\0') {
		size_t n = strcspn(text, " ");

		if (column == 0 || column + 1 + n > 90) {
			buf_addf(out, "%s#", column > 0 ? "\n" : "");
			column = 1;
		}
		buf_addf(out, " %.*s", (int)n, text);
		column += n + 1;
		text += n + (text[n] == ' ');
	}
	buf_add_char(out, '\n');
}

/** What it is for, then what values it takes. */
static void
add_description(const struct conf_option *o, struct buf *out)
{
	struct buf bounds;

	add_comment(o->help, out);
	buf_init(&bounds, SIZE_MAX / 2);
	conf_add_bounds(o, &bounds);
	buf_addf(&bounds, o->needs_restart ? "; a change needs a restart." : ".");
	buf_add_char(&bounds, '\0');
	add_comment(bounds.p, out);
	buf_fini(&bounds);
}

void
conf_add_defaults(struct buf *out)
{
	struct conf *c = conf_new();

	buf_addf(out, "# The configuration of sysrtd: every option with its default.\n"
		      "# See sysrt.conf(5). `sysrtd --check` checks a file.\n\n");
	for (size_t i = 0; i < conf_options_n; i++) {
		const struct conf_option *o = &conf_options[i];

		add_section(o, out);
		add_description(o, out);
		buf_addf(out, "%s = ", o->name + section_length(o->name) + 1);
		conf_add_value(c, o, out);
		buf_add_char(out, '\n');
	}
	conf_free(c);
}

static const char *
origin_text(const struct conf *c, const struct conf_option *o)
{
	const char *text = c->origins[row_of(o)].text;

	return text != NULL ? text : "default";
}

void
conf_add_effective(const struct conf *c, struct buf *out)
{
	for (size_t i = 0; i < conf_options_n; i++) {
		const struct conf_option *o = &conf_options[i];

		add_section(o, out);
		buf_addf(out, "%s = ", o->name + section_length(o->name) + 1);
		conf_add_value(c, o, out);
		buf_addf(out, "  # %s\n", origin_text(c, o));
	}
}

void
conf_add_json(const struct conf *c, struct json_out *o)
{
	struct conf *standard = conf_new();
	struct buf value;

	buf_init(&value, SIZE_MAX / 2);
	json_begin_array(o, NULL);
	for (size_t i = 0; i < conf_options_n; i++) {
		const struct conf_option *option = &conf_options[i];

		json_begin_object(o, NULL);
		json_put_str(o, "name", option->name);
		buf_reset(&value);
		conf_add_value(c, option, &value);
		json_put_raw(o, "value", buf_span(&value));
		buf_reset(&value);
		conf_add_value(standard, option, &value);
		json_put_raw(o, "default", buf_span(&value));
		json_put_str(o, "origin", origin_text(c, option));
		json_put_bool(o, "needs_restart", option->needs_restart);
		json_put_str(o, "help", option->help);
		json_end_object(o);
	}
	json_end_array(o);
	buf_fini(&value);
	conf_free(standard);
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
	return c;
}
