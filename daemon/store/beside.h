#pragma once
/*
 * Files beside the store: a verified copy before its schema changes, a new file that
 * takes the store's place. Nothing half done ever has a final name. Nobody else may
 * have the store open. Any thread.
 */

#include <sqlite3.h>
#include <stdint.h>

#include "common/err.h"

/* What ends the name of a backup's copy that is to take the store's place. */
#define BESIDE_RESTORE ".restore"

/** ERR_IO_ERROR, saying how much, unless nbytes fit on the file system of the file. */
enum err beside_has_room(const char *path, int64_t nbytes, struct error *error);
/** The bytes of the file and of its log; 0: it is not there. */
int64_t beside_nbytes(const char *path);
/** Copies the database to `to`, which gets the owner and the mode of `path`, syncs and verifies it.
 * A file of that name is replaced. */
enum err beside_copy(sqlite3 *db, const char *path, const char *to, struct error *error);
/** Gives the file, synced, the owner and the mode of another. */
enum err beside_seal(const char *file, const char *like, struct error *error);
/** Puts `fresh` into the place of path. What was there, with its log, stays as `aside`; a log whose
 * file is gone stays as `aside`-wal. */
enum err beside_swap(const char *fresh, const char *path, const char *aside, struct error *error);
/** Removes a database with what SQLite has put beside it. */
void beside_remove(const char *path);
