#pragma once
/*
 * Which records an operation is about that does not name them: those that meet
 * its condition, or the oldest of a category. They are all found before the first
 * of them is deleted. Part of applying operations; writer thread.
 */

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/span.h"
#include "daemon/store/job.h"

/** Ids, in the order in which they were found. */
struct picked {
	struct buf texts; /* each behind its length */
	size_t at;
};

struct pick;

/** Prepares the statements; db is borrowed. */
enum err pick_new(sqlite3 *db, struct pick **out, struct error *error);
void pick_free(struct pick *p);

/** The record of the category that was written longest ago, if there is one. */
enum err pick_oldest(
	struct pick *p, struct span category, struct picked *found, struct error *error);
/** What an OP_DELETE_WHERE is to delete; sets where the next one goes on. */
enum err pick_matching(
	struct pick *p, const struct op *op, struct picked *found, struct error *error);

/** The next one; its text lives as long as the list. False: that was all. */
bool picked_next(struct picked *found, struct span *id);
/** Also after a failure. */
void picked_fini(struct picked *found);
