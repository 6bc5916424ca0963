#pragma once
/*
 * The tables of options, a value as text in both directions, and the tables that
 * have names. Private to conf*.c: everybody else reads the members of struct conf.
 */

#include <string.h>

#include "common/toml.h"
#include "daemon/base/conf.h"

enum conf_type {
	CONF_TEXT,
	CONF_BOOL,
	CONF_COUNT,
	CONF_SIZE,
	CONF_DURATION,
	CONF_CHOICE,
	CONF_TEXTS,
	CONF_SCOPES,   /* texts: scopes of data */
	CONF_NETWORKS, /* texts: addresses, or networks of them */
	CONF_FILTER,   /* a text: of the log */
	CONF_KEEP,     /* a count, a duration or "unlimited" */
	CONF_RATE,
};

/** One option: everything that is known about it. */
struct conf_option {
	const char *name; /* "section.key"; of a section with named tables: "key" */
	enum conf_type type;
	size_t offset;        /* in struct conf; or in the struct of a named table */
	const char *standard; /* the default, as a value in TOML */
	int64_t min;
	int64_t max;         /* INT64_MAX: "unlimited" is allowed */
	const char *choices; /* CONF_CHOICE, CONF_TEXTS: the words allowed, parted by spaces; NULL:
				any */
	bool needs_restart;
	const char *help;
};

extern const struct conf_option conf_options[];
extern const size_t conf_options_n;

/** A section whose tables have names of their own. */
struct conf_section {
	const char *name;
	size_t offset; /* of its struct conf_tables in struct conf */
	size_t size;   /* of the struct of one table, which begins with a struct conf_named */
	const struct conf_option *options;
	size_t options_n;
	const char *help;
};

extern const struct conf_section conf_sections[];
extern const size_t conf_sections_n;

/** Of "section.key". */
static inline size_t
conf_section_length(const char *name)
{
	return strcspn(name, ".");
}

const struct conf_option *conf_option_find(struct span name);
/** The known name that is most like this one, or NULL if none is near. */
const char *conf_option_nearest(struct span name);
const struct conf_section *conf_section_find(struct span name);
/** The name of the section with named tables that is most like this one, or NULL. */
const char *conf_section_nearest(struct span name);
/** The same of a section's options. */
const struct conf_option *conf_key_find(const struct conf_section *s, struct span key);
const char *conf_key_nearest(const struct conf_section *s, struct span key);

/* Of an option's value: `values` is the struct that its offset is in. */

/** Sets it to the default. */
void conf_set_standard(void *values, const struct conf_option *o);
/** Sets it from a value in TOML, or from a text of the environment or the command line. On an
 * error, which names the option, the old value stays. */
enum err conf_set_toml(void *values, const struct conf_option *o, const struct toml_node *node,
	struct error *error);
enum err conf_set_text(
	void *values, const struct conf_option *o, struct span text, struct error *error);
void conf_copy(void *to, const void *from, const struct conf_option *o);
bool conf_is_equal(const void *a, const void *b, const struct conf_option *o);
/** Frees what it owns. */
void conf_clear(void *values, const struct conf_option *o);
/** Appends what values are allowed, for people: "1 to 64". */
void conf_add_bounds(const struct conf_option *o, struct buf *out);
/** Appends it as TOML (for texts and lists that is JSON too). */
void conf_add_value(const void *values, const struct conf_option *o, struct buf *out);

/** Where a value came from, for people; NULL: the default. */
struct conf_origin {
	char *text;
};

/* Named tables: conf_named.c. */

/** The section's tables in a configuration. */
struct conf_tables *conf_tables_of(const struct conf *c, const struct conf_section *s);
/** The i-th table. */
static inline struct conf_named *
conf_tables_at(const struct conf_tables *t, size_t i)
{
	return (struct conf_named *)(void *)t->v[i];
}

void conf_tables_init(struct conf_tables *t, const struct conf_section *s);
void conf_tables_fini(struct conf_tables *t, const struct conf_section *s);
/** The table with this name ("sensor.*"), made with the defaults if there is none.
 * ERR_CONFIG_ERROR: it is not a name. */
enum err conf_tables_get(struct conf_tables *t, const struct conf_section *s, struct span name,
	struct conf_named **out, struct error *error);
/** The table with exactly this name, or the defaults. */
const struct conf_named *conf_tables_exact(const struct conf_tables *t, const char *name);
/** Appends `section."name"`. */
void conf_named_add_name(const struct conf_named *n, const struct conf_section *s, struct buf *out);
void conf_named_set_origin(struct conf_named *n, size_t row, char *text);
/** Adds copies of all tables, with their values and origins. */
void conf_tables_copy(
	struct conf_tables *to, const struct conf_tables *from, const struct conf_section *s);
