#pragma once
/*
 * TOML 1.0, the whole language, into a tree. Every fault comes with its line
 * and column (both from 1, the column in characters). A tree belongs to one
 * arena and is freed at once. Pure; any thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/span.h"

enum toml_type {
	TOML_STRING,
	TOML_INTEGER,
	TOML_FLOAT,
	TOML_BOOL,
	TOML_OFFSET_DATETIME,
	TOML_LOCAL_DATETIME,
	TOML_LOCAL_DATE,
	TOML_LOCAL_TIME,
	TOML_ARRAY,
	TOML_TABLE,
};

/** A value in the tree. Children of a table or an array hang in `first`, linked by `next`, in their
 * order. */
struct toml_node {
	enum toml_type type;
	unsigned line; /* where its key (or the item) stands */
	unsigned column;
	struct span key; /* decoded; in a table only */
	struct toml_node *next;
	union {
		struct span text; /* a string, decoded; dates and times normalised as toml-test
				     writes them */
		int64_t integer;
		double number;
		bool boolean;
		struct toml_node *first;
	};
};

struct toml;

/** Parses a text of at most 64 MiB, nested at most 128 deep; `name` is what errors call it
 * ("config.toml"; with "" they start with the line). On success the caller owns *out (toml_free()).
 * ERR_CONFIG_ERROR: "config.toml:3:7: expected ...". */
enum err toml_parse(struct span text, const char *name, struct toml **out, struct error *error);
const struct toml_node *toml_root(const struct toml *t);
/** The child of a table with this key, or NULL. */
const struct toml_node *toml_find(const struct toml_node *table, const char *key);
void toml_free(struct toml *t);
