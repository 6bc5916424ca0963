#pragma once
/*
 * The records of a store as a plain SQLite file, which any program reads: no log, no
 * migrations, none of what is the daemon's own business. It is no store: sysrtd
 * does not take it for one.
 */

#include "common/err.h"

/** Of the store at `path`, which no daemon may have, or of a backup, into a new file. */
enum err export_file(const char *path, const char *to, struct error *error);
