#pragma once
/*
 * Whether a file is a whole store: SQLite's own check of all of it, what it holds,
 * and whether its seqs are such as a store can have. Opens the file read-only, and
 * knows no daemon: nobody may write to the file meanwhile. Any thread.
 */

#include <sqlite3.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "daemon/store/findings.h"

#define VERIFY_EPOCH_SIZE 32

/** What a whole store holds. */
struct verify {
	int version;                   /* of the schema */
	char epoch[VERIFY_EPOCH_SIZE]; /* the newest */
	int64_t last_seq;
	int64_t pruned_to;
	int64_t records;
	int64_t tombstones;
	int64_t tokens;
	int64_t doubtful; /* rows that their sums do not prove; not counted at a glance */
	int64_t nbytes;
};

/** Checks the file, which may have rows that are doubtful: fills *out, or tells the first thing
 * that is wrong. ERR_DATABASE_ERROR: it is damaged, or no store; ERR_IO_ERROR: it cannot be read.
 * `stop` (may be NULL): ERR_UNAVAILABLE soon after it became true. */
enum err verify_file(
	const char *path, const _Atomic bool *stop, struct verify *out, struct error *error);
/** The same without the checks: what the file says it holds. */
enum err verify_glance(const char *path, struct verify *out, struct error *error);
/** Writes it as "epoch=... seq=... records=..." in one line without its end; doubtful=... only if
 * there are such rows. */
void verify_add_line(const struct verify *v, struct buf *out);

/** The pieces. They add to the findings, those of `where`; a failure is one of checking. SQLite's
 * own check, of one table with its indexes or (NULL) of all that is in the file; */
enum err verify_integrity(
	sqlite3 *db, const char *table, const char *where, struct findings *f, struct error *error);
/** whether the schema is that of a model; */
enum err verify_schema(
	sqlite3 *db, sqlite3 *model, const char *where, struct findings *f, struct error *error);
/** and what no store may hold. */
enum err verify_rules(sqlite3 *db, struct findings *f, struct error *error);
