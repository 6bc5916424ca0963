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
	CONF_HOSTS,    /* texts: names with or without a port */
	CONF_ORIGINS,  /* texts: of web pages, or "*" */
	CONF_FILTER,   /* a text: of the log */
	CONF_KEEP,     /* a count, a duration or "unlimited" */
	CONF_RATE,
	CONF_STEPS, /* messages and tables: see struct conf_step */
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
	bool takes_prefixes; /* of names: "sensor.*" */
	/* Judges a table as a whole, each value of which is good by itself, among all of the
	 * section (NULL: it is alone); NULL: nothing is left to judge. */
	enum err (*check)(
		const struct conf_named *n, const struct conf_tables *all, struct error *error);
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
/** Sets it from a value in JSON, which it takes as if it were TOML. */
enum err conf_set_json(
	void *values, const struct conf_option *o, struct json_value value, struct error *error);
void conf_copy(void *to, const void *from, const struct conf_option *o);
bool conf_is_equal(const void *a, const void *b, const struct conf_option *o);
/** Frees what it owns. */
void conf_clear(void *values, const struct conf_option *o);
/** Appends what values are allowed, for people: "1 to 64". */
void conf_add_bounds(const struct conf_option *o, struct buf *out);
/** Appends it as TOML, or as JSON: but for steps that is the same. */
void conf_add_value(const void *values, const struct conf_option *o, struct buf *out);
void conf_add_value_json(const void *values, const struct conf_option *o, struct buf *out);

/** Where a value came from, for people; NULL: the default. */
struct conf_origin {
	char *text;
};

/* Steps: conf_steps.c. */

/** Reads a text, a table, or an array of them; as conf_set_toml(). */
enum err conf_steps_set(struct conf_steps *s, const struct conf_option *o,
	const struct toml_node *node, struct error *error);
void conf_steps_copy(struct conf_steps *to, const struct conf_steps *from);
void conf_steps_clear(struct conf_steps *s);
void conf_steps_add(const struct conf_steps *s, bool as_json, struct buf *out);

/* Feeds: conf_feed.c. */

/** The check of their section. */
enum err conf_feed_check(
	const struct conf_named *n, const struct conf_tables *all, struct error *error);

/* Named tables: conf_named.c. */

/** A table with the defaults, of no name. */
struct conf_named *conf_named_new(const struct conf_section *s);
void conf_named_free(struct conf_named *n, const struct conf_section *s);
/** Whether all their values are the same. */
bool conf_named_is_equal(
	const struct conf_named *a, const struct conf_named *b, const struct conf_section *s);

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
/** Judges each table as a whole. ERR_CONFIG_ERROR names the first that is wrong. */
enum err conf_tables_check(
	const struct conf_tables *t, const struct conf_section *s, struct error *error);
/** The table with exactly this name, or the defaults. */
const struct conf_named *conf_tables_exact(const struct conf_tables *t, const char *name);
/** Appends `section."name"`. */
void conf_named_add_name(const struct conf_named *n, const struct conf_section *s, struct buf *out);
void conf_named_set_origin(struct conf_named *n, size_t row, char *text);
/** Adds copies of all tables, with their values and origins. */
void conf_tables_copy(
	struct conf_tables *to, const struct conf_tables *from, const struct conf_section *s);
