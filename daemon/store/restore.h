#pragma once
/*
 * A store out of a backup. Works on files that no daemon has: the lock is held
 * meanwhile. Nothing is touched before the backup was copied next to the store and
 * checked there; then the old store gets another name, its search index goes, and
 * the copy takes its place, so that there is a whole store at every moment. The epoch
 * that the next start adds begins behind the last seq of the backup: every position
 * beyond that is invalid from then on, and clients that have one begin anew.
 */

#include "common/err.h"
#include "daemon/base/conf.h"
#include "daemon/store/verify.h"

/** Puts the backup `from` in the place of the store at `path`, where there need not be one. *aside:
 * the name that the old one has now, to be freed; NULL: there was none. */
enum err restore_file(const char *path, const char *from, const struct conf *conf, char **aside,
	struct verify *found, struct error *error);
