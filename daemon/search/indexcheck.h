#pragma once
/*
 * Whether the search index beside a store is whole and holds what the store does, one
 * piece after the other: SQLite's check of its file, FTS5's of its tables, then each
 * entry against the record that it was made of. The indexer may go on meanwhile: a
 * piece is a snapshot of the index and then one of the store, and what the store has
 * above the index's mark is not asked for. Only while FTS5 checks a table the indexer
 * has to wait. The thread of the store's connection.
 */

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "daemon/store/findings.h"

struct index_place;
struct indexcheck;

/** Whether an index at this place can be gone on with: all that it has seen belongs to the store's
 * history, and no deletion that it has yet to see is forgotten. A mark of 0 always fits. */
enum err indexcheck_fits(
	sqlite3 *store, const struct index_place *place, bool *fits, struct error *error);

/** For the index beside a store, which is borrowed; NULL: it has none. */
struct indexcheck *indexcheck_open(sqlite3 *store);
void indexcheck_close(struct indexcheck *x);
/** Its connection, borrowed; NULL: it cannot be opened, which the first step finds. */
sqlite3 *indexcheck_db(struct indexcheck *x);
/** Does the next piece, as check_step(): what is wrong is added to the findings of "search". */
enum err indexcheck_step(
	struct indexcheck *x, bool *more, struct findings *findings, struct error *error);
