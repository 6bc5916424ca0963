#pragma once
/*
 * The table of options, and a value as text in both directions. Private to
 * conf*.c: everybody else reads the members of struct conf.
 */

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
	CONF_FILTER, /* a text: of the log */
};

/** One option: everything that is known about it. */
struct conf_option {
	const char *name; /* "section.key" */
	enum conf_type type;
	size_t offset;        /* in struct conf */
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

const struct conf_option *conf_option_find(struct span name);
/** The known name that is most like this one, or NULL if none is near. */
const char *conf_option_nearest(struct span name);

/** Sets the option from a value in TOML, or from a text of the environment or the command line. On
 * an error, which names the option, the old value stays. */
enum err conf_set_toml(struct conf *c, const struct conf_option *o, const struct toml_node *node,
	struct error *error);
enum err conf_set_text(
	struct conf *c, const struct conf_option *o, struct span text, struct error *error);
/** Copies the option's value. */
void conf_copy(struct conf *to, const struct conf *from, const struct conf_option *o);
bool conf_is_equal(const struct conf *a, const struct conf *b, const struct conf_option *o);
/** Frees what the option's value owns. */
void conf_clear(struct conf *c, const struct conf_option *o);
/** Appends what values are allowed, for people: "1 to 64". */
void conf_add_bounds(const struct conf_option *o, struct buf *out);
/** Appends the value as TOML (for texts and lists that is JSON too). */
void conf_add_value(const struct conf *c, const struct conf_option *o, struct buf *out);
