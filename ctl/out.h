#pragma once
/*
 * Printing: tables for people, JSON for programs. On a terminal, control
 * characters and bidirectional overrides in data are shown escaped, in JSON as
 * JSON's own escapes, so that it stays the same value.
 */

#include "ctl/ctl.h"

/** Prints a result whose member `items` is a list: a table with these columns (NULL ends them), or
 * an item a line, or the result as it is. Pages of one listing share the heading. */
void out_list(struct ctl *c, const char *result, const char *const *columns);
/** Prints a value: a line for each member of an object, or JSON. */
void out_object(const struct ctl *c, struct span json);
/** Prints JSON as it is, and a line feed; or appends what it would print. */
void out_json(const struct ctl *c, struct span json);
void out_add_json(const struct ctl *c, struct buf *out, struct span json);
/** Writes text at once, from *at on, which then tells how far it came. Where nobody takes it it
 * waits, but not past an interruption, which has to be held meanwhile (see interrupt.h): 0, its
 * exit status, or EXIT_REFUSED after telling why not. */
int out_write(struct span text, size_t *at);
/** Before anything is written: what goes into a file or a pipe is written in large pieces, and if
 * it is less than one, what goes wrong is told with its reason. */
void out_start(void);
/** Flushes standard output: EXIT_DONE, EXIT_REFUSED after telling why not, or the exit status of an
 * interruption, which needs no telling. */
int out_finish(void);

/** Appends a member of an object as people read it; `key` with its quotation marks. */
void out_add_value(struct buf *out, struct span key, struct json_value value);
/** Appends a size as people read it ("1.5 MiB"). */
void out_add_size(struct buf *out, int64_t nbytes);
/** Appends text for a terminal. */
void out_add_safe(struct buf *out, struct span text);
/** Appends JSON for a terminal. */
void out_add_safe_json(struct buf *out, struct span json);
