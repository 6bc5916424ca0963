#pragma once
/*
 * The parts of the TOML reader among themselves: the text (toml_scan.c), single
 * values (toml_value.c), the tree that is built (toml_tree.c) and the document
 * (toml.c). Functions that return bool are true on success; on a fault they
 * have filled the reader's error. Pure; any thread.
 */

#include "common/buf.h"
#include "common/toml.h"

#define TOML_DEPTH_MAX 128

/** What made a table, which decides who may add to it. */
enum toml_origin {
	TOML_BY_PATH,   /* stands on the way to another table: may still be defined */
	TOML_BY_HEADER, /* [x], and the array of [[x]] */
	TOML_BY_DOTS,   /* x of "x.y = 1": open to dotted keys of the same section */
	TOML_BY_VALUE,  /* written in one piece: complete */
};

/** A node of the tree with what only the reader knows. */
struct toml_branch {
	struct toml_node node; /* first, so that a pointer to one is a pointer to the other */
	struct toml_branch *parent;
	struct toml_branch *last; /* child */
	enum toml_origin origin;
	unsigned section; /* with TOML_BY_DOTS: where it was made */
	unsigned depth;
};

/** A place in the text; the column counts characters. */
struct toml_place {
	const char *p;
	unsigned line;
	unsigned column;
};

/** One part of a key. */
struct toml_key {
	struct span text; /* decoded */
	struct span raw;  /* as it stands in the file: what errors show */
	struct toml_place place;
};

/** Finds a child by its table and key in constant time. */
struct toml_index {
	struct toml_branch **slots;
	size_t n;
	size_t cap; /* a power of two, or 0 */
};

struct toml_reader {
	const char *p;
	struct toml_branch *table; /* that the last header opened */
	unsigned section;          /* numbers a header or an inline table */
	unsigned sections_n;

	const char *start; /* borrowed, down to error */
	const char *end;
	const char *name;
	struct error *error;

	struct toml *doc; /* owned, as is what follows */
	struct toml_index index;
	struct toml_place place; /* the last one that was asked for */
	struct buf scratch;
};

/* toml_scan.c */

/** Fills the error with the place of `at` and the text; returns false. */
bool toml_fault(struct toml_reader *r, const char *at, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/** Line and column of a byte; cheap when asked in the order of the text. */
struct toml_place toml_place_of(struct toml_reader *r, const char *p);
bool toml_scan_is_at(const struct toml_reader *r, char c);
void toml_scan_blank(struct toml_reader *r);
/** What may end a line: blanks, a comment, and the newline or the end of the text. */
bool toml_scan_line_end(struct toml_reader *r);
/** What may stand between the items of an array: blanks, comments, newlines. */
bool toml_scan_gap(struct toml_reader *r);
/** A string of any of the four kinds; `out` lives as long as the document. */
bool toml_scan_string(struct toml_reader *r, struct span *out);
/** One part of a key and the blanks behind it. */
bool toml_scan_key(struct toml_reader *r, struct toml_key *key);

/* toml_value.c */

/** A value that is neither string, array nor inline table. */
bool toml_value_read(struct toml_reader *r, struct toml_node *node);

/* toml_tree.c */

struct toml *toml_tree_new(void);
struct toml_branch *toml_tree_root(struct toml *t);
/** A copy that lives as long as the tree. */
struct span toml_tree_copy(struct toml *t, struct span s);
/** The child of a table, or NULL. */
struct toml_branch *toml_tree_find(
	const struct toml_reader *r, const struct toml_branch *table, struct span key);
/** A new child at the end of a table, or of an array if the key is empty (key.raw.n == 0). NULL,
 * and the fault is set, if it would be nested too deeply. */
struct toml_branch *toml_tree_add(
	struct toml_reader *r, struct toml_branch *parent, const struct toml_key *key);
void toml_index_fini(struct toml_index *index);
