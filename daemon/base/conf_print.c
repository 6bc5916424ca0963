/* Printing the configuration: see conf.h. */

#include "daemon/base/conf.h"

#include <string.h>

#include "daemon/base/conf_table.h"

/** "[section]" before its first option. */
static void
add_section(const struct conf_option *o, struct buf *out)
{
	size_t n = conf_section_length(o->name);
	bool is_first = o == conf_options;

	if (!is_first && conf_section_length(o[-1].name) == n &&
		strncmp(o[-1].name, o->name, n) == 0)
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

/** A section with named tables, commented out: there is none by default. */
static void
add_section_defaults(const struct conf *c, const struct conf_section *s, struct buf *out)
{
	const struct conf_named *standard = conf_tables_of(c, s)->standard;

	buf_add_char(out, '\n');
	add_comment(s->help, out);
	buf_addf(out, "#[%s.NAME]\n", s->name);
	for (size_t i = 0; i < s->options_n; i++) {
		add_description(&s->options[i], out);
		buf_addf(out, "#%s = ", s->options[i].name);
		conf_add_value(standard, &s->options[i], out);
		buf_add_char(out, '\n');
	}
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
		buf_addf(out, "%s = ", o->name + conf_section_length(o->name) + 1);
		conf_add_value(c, o, out);
		buf_add_char(out, '\n');
	}
	for (size_t i = 0; i < conf_sections_n; i++)
		add_section_defaults(c, &conf_sections[i], out);
	conf_free(c);
}

static const char *
origin_text(const struct conf_origin *origin)
{
	return origin->text != NULL ? origin->text : "default";
}

static void
add_table(const struct conf_named *n, const struct conf_section *s, struct buf *out)
{
	buf_addf(out, "\n[");
	conf_named_add_name(n, s, out);
	buf_addf(out, "]\n");
	for (size_t i = 0; i < s->options_n; i++) {
		buf_addf(out, "%s = ", s->options[i].name);
		conf_add_value(n, &s->options[i], out);
		buf_addf(out, "  # %s\n", origin_text(&n->origins[i]));
	}
}

void
conf_add_effective(const struct conf *c, struct buf *out)
{
	for (size_t i = 0; i < conf_options_n; i++) {
		const struct conf_option *o = &conf_options[i];

		add_section(o, out);
		buf_addf(out, "%s = ", o->name + conf_section_length(o->name) + 1);
		conf_add_value(c, o, out);
		buf_addf(out, "  # %s\n", origin_text(&c->origins[i]));
	}
	for (size_t i = 0; i < conf_sections_n; i++) {
		const struct conf_tables *t = conf_tables_of(c, &conf_sections[i]);

		for (size_t j = 0; j < t->n; j++)
			add_table(conf_tables_at(t, j), &conf_sections[i], out);
	}
}

/** An option as system.config tells it. */
static void
put_option(struct json_out *out, struct span name, const struct conf_option *o, const void *values,
	const void *standard)
{
	struct buf value;

	buf_init(&value, SIZE_MAX / 2);
	json_put_string(out, "name", name);
	conf_add_value_json(values, o, &value);
	json_put_raw(out, "value", buf_span(&value));
	buf_reset(&value);
	conf_add_value_json(standard, o, &value);
	json_put_raw(out, "default", buf_span(&value));
	buf_fini(&value);
}

static void
put_rest(struct json_out *out, const struct conf_option *o, const struct conf_origin *origin)
{
	json_put_str(out, "origin", origin_text(origin));
	json_put_bool(out, "needs_restart", o->needs_restart);
	json_put_str(out, "help", o->help);
}

static void
put_tables(struct json_out *out, const struct conf_tables *t, const struct conf_section *s)
{
	struct buf name;

	buf_init(&name, SIZE_MAX / 2);
	for (size_t i = 0; i < t->n; i++) {
		const struct conf_named *n = conf_tables_at(t, i);

		for (size_t row = 0; row < s->options_n; row++) {
			buf_reset(&name);
			conf_named_add_name(n, s, &name);
			buf_addf(&name, ".%s", s->options[row].name);
			json_begin_object(out, NULL);
			put_option(out, buf_span(&name), &s->options[row], n, t->standard);
			put_rest(out, &s->options[row], &n->origins[row]);
			json_end_object(out);
		}
	}
	buf_fini(&name);
}

void
conf_add_json(const struct conf *c, struct json_out *out)
{
	struct conf *standard = conf_new();

	json_begin_array(out, NULL);
	for (size_t i = 0; i < conf_options_n; i++) {
		const struct conf_option *o = &conf_options[i];

		json_begin_object(out, NULL);
		put_option(out, span_of(o->name), o, c, standard);
		put_rest(out, o, &c->origins[i]);
		json_end_object(out);
	}
	for (size_t i = 0; i < conf_sections_n; i++)
		put_tables(out, conf_tables_of(c, &conf_sections[i]), &conf_sections[i]);
	json_end_array(out);
	conf_free(standard);
}
