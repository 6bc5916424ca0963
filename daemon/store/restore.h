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

struct restore {
	const char *path;  /* the store, where there need not be one */
	const char *from;  /* the backup */
	bool drops_tokens; /* leaves the backup's tokens out */
	char *aside; /* the name that the old store has now, to be freed; NULL: there was none */
	char *aside_log;      /* the same of a log whose store was gone */
	struct verify backup; /* what was in it */
};

/** Puts the backup in the place of the store; fills the last three of *r. */
enum err restore_file(struct restore *r, const struct conf *conf, struct error *error);
