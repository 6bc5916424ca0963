#pragma once
/*
 * `sysrtd store VERB`: what is done to a store that no daemon holds. Prints what came
 * of it, and answers the exit status. Main thread.
 */

#include <stdbool.h>

#include "daemon/base/conf.h"

struct offline {
	const struct conf *conf; /* store.path is the file */
	const char *file;        /* restore, export: the other file */
	int to;                  /* migrate: the version; 0: the newest */
	bool is_json;            /* print JSON */
	bool does_copy;          /* migrate: keep a copy from before */
	bool drops_tokens;       /* restore: leave the backup's tokens out */
};

struct offline_verb {
	const char *name;
	bool takes_file;                     /* behind it: the store itself, */
	bool needs_file;                     /* or another file, which must be given */
	bool is_move;                        /* of the schema */
	bool is_restore;                     /* of a backup */
	int (*run)(const struct offline *o); /* the exit status */
};

/** NULL: there is no such verb. */
const struct offline_verb *offline_find(const char *name);
/** Prints the error in one line; the exit status that it has. */
int offline_fail(enum err e, const char *text);
