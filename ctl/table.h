#pragma once
/*
 * Records as rows of CSV with chosen columns: members of the record by name
 * ("id"), parts of its data by JSON Pointer ("/price").
 */

#include "common/json_pointer.h"
#include "ctl/ctl.h"

struct table_column {
	char *name;                   /* owned */
	struct json_pointer *pointer; /* owned; NULL: a member of the record */
};

struct table {
	struct table_column *columns;
	size_t n;
};

/** Reads the list of columns, parted by commas; NULL: all that a record has. 0, or an exit status
 * after telling what is wrong; table_fini() then too. */
int table_init(struct table *t, const char *columns);
void table_fini(struct table *t);
/** True if one of the columns is `op`: deletions have rows. */
bool table_has_op(const struct table *t);
/** Appends the row of the names, or that of a record or a change. */
void table_add_heading(const struct table *t, struct buf *out);
void table_add_row(const struct table *t, struct json_value record, struct buf *out);
