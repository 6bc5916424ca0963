#pragma once
/*
 * Whether a store is whole, one bounded piece after the other: its schema, its
 * counters, the sum of every row, SQLite's own check of the file, and the search index
 * beside it, if it has one. Each piece is a snapshot of its own, so that a check of a store that is
 * in use keeps the log from being restarted no longer than one piece takes. The thread of the
 * connection.
 */

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/json.h"
#include "daemon/store/findings.h"

struct check;

/** db is borrowed. is_alone: nobody else has the file open, and all of it is checked at once. */
enum err check_new(sqlite3 *db, bool is_alone, struct check **out, struct error *error);
void check_free(struct check *c);
/** Has `look` called now and then while a piece is done; it stops it by not answering 0. Once. */
void check_watch(struct check *c, int (*look)(void *), void *arg);
/** Does the next piece; *more becomes false with the last one. A failure is one of checking. */
enum err check_step(struct check *c, bool *more, struct error *error);
/** Rows looked at, and how many there were at the start. */
int64_t check_done(const struct check *c);
int64_t check_total(const struct check *c);
const struct findings *check_findings(const struct check *c);

/** The names of the checks, in order; NULL behind the last. */
const char *check_name(unsigned i);
/** How many findings a check has; those beyond what is kept count for none. */
size_t check_found(const struct check *c, const char *name);
/** Writes the members "ok", "schema", "rows", "found", "checks": [{"check", "ok", "findings"}]. */
void check_add_json(const struct check *c, struct json_out *o);
