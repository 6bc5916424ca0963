#pragma once
/*
 * The schema's versions, up and down. The checksum of each migration is kept, so
 * that a text that was changed afterwards is found. The texts are those of
 * migrations/, embedded at build time. Runs on the thread that owns the
 * connection.
 */

#include <sqlite3.h>
#include <stdbool.h>

#include "common/err.h"
#include "common/json.h"

/** The version that this program wants. */
int migrate_newest(void);
/** The version of the file; 0: nothing in it yet. ERR_DATABASE_ERROR for a file that is no store,
 * for a store from a newer version, and for one whose migrations are not the ones that this program
 * knows. */
enum err migrate_version(sqlite3 *db, int *version, struct error *error);
/** True if the file is a store from a newer version, as far as it can be read. */
bool migrate_is_newer(sqlite3 *db);
/** Brings the store to `version`, up or down, in one transaction: if a step fails, or the store is
 * refused as above, it is left as it was. */
enum err migrate_to(sqlite3 *db, int version, struct error *error);
/** Writes [{"version", "name", "applied"}] of all that this program knows. */
enum err migrate_add_list(sqlite3 *db, struct json_out *o, struct error *error);
