#pragma once
/*
 * Printing: tables on a terminal, JSON for programs. Control characters and
 * bidirectional overrides in data are shown escaped in tables.
 */

#include "ctl/ctl.h"

/** Prints a result whose member `items` is a list: a table with these columns (a NULL ends them),
 * or one item a line. */
void out_list(const struct ctl *c, const char *result, const char *const *columns);
/** Prints an object: a line for each member, or JSON. */
void out_object(const struct ctl *c, const char *result);
/** Prints text of JSON as it is, and a line feed. */
void out_raw(struct span json);
/** Flushes standard output; an exit status: EXIT_REFUSED when it could not be written. */
int out_finish(void);

/** Appends text for a terminal. */
void out_add_safe(struct buf *out, struct span text);
/** The member of an object of JSON text; raw.n == 0: there is none. */
struct json_value out_member(struct span object, const char *name);
