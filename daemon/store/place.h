#pragma once
/*
 * Where the store's files are. SQLite goes on with files that were moved or
 * removed under it, and what is written to them then is gone with the process:
 * so they are looked for, by name. It never opens them (closing would drop
 * SQLite's locks). Writer thread.
 */

#include <sqlite3.h>
#include <sys/types.h>

#include "common/err.h"

struct place_file {
	const char *name; /* borrowed: SQLite's */
	dev_t dev;
	ino_t ino;
};

/** The database and its log. */
struct place {
	struct place_file files[2];
};

/** Notes which files db has open; it must live as long. */
enum err place_init(struct place *p, sqlite3 *db, struct error *error);
/** ERR_UNAVAILABLE while one of them is not at its name. */
enum err place_check(const struct place *p, struct error *error);
