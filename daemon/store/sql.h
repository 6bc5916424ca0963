#pragma once
/*
 * SQLite as the store uses it: opening a connection with its pragmas, prepared
 * statements, errors as ours. Each connection belongs to one thread. Nothing
 * outside the store includes this.
 */

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/span.h"
#include "daemon/base/conf.h"

/* How long a call waits for another program that holds the file. */
#define SQL_BUSY_TIMEOUT_MS 2000

/* The newest seq that was ever given, as far as the tables know. */
#define SQL_LAST_SEQ                                                                               \
	"SELECT max(coalesce((SELECT max(seq) FROM records), 0), "                                 \
	"coalesce((SELECT max(seq) FROM tombstones), 0), "                                         \
	"coalesce((SELECT value FROM meta WHERE key = 'last_seq'), 0), "                           \
	"coalesce((SELECT max(first_seq) FROM epochs) - 1, 0))"
#define SQL_PRUNED_TO "SELECT value FROM meta WHERE key = 'pruned_to'"

enum sql_role {
	SQL_WRITER,
	SQL_INDEXER, /* the writer of another file, which never gives pages back */
	SQL_CHECKPOINTER,
	SQL_READER, /* read-only, by memory map */
};

/** Once, before the first connection: SQLite without its own counting of memory, which costs a lock
 * per allocation, and without 20 pages for each connection's cache before it needs them (580 KiB of
 * an idle daemon). */
void sql_init(void);
/** Opens the file with the pragmas of the role. The writer makes the file and puts it in WAL mode,
 * unless it is of another program; open it first. ERR_DATABASE_ERROR, here and below: the file is
 * gone or empty, and its log is not.
 */
enum err sql_open(const char *path, enum sql_role role, const struct conf *conf, sqlite3 **out,
	struct error *error);
/** Opens a file that no daemon has: read-only, whatever the configuration. */
enum err sql_open_plain(const char *path, sqlite3 **out, struct error *error);
/** The same for writing, which FTS5 also needs to check its tables. */
enum err sql_open_plain_writer(const char *path, sqlite3 **out, struct error *error);
/** Closes without a checkpoint; NULL is fine. All statements must be finalised. */
void sql_close(sqlite3 *db);

/** Before a transaction or a read: what the system says from here on is about it. */
void sql_begin_work(void);
/** Sets *error from what SQLite says of the last call on db: DATABASE_ERROR, IO_ERROR (disk full,
 * I/O error, no such file) or UNAVAILABLE (busy). Returns the code. */
enum err sql_error(sqlite3 *db, struct error *error, const char *doing);
/** True if what sql_error() returned of the last call on db means that the file is damaged, or that
 * its disk does not give it. */
bool sql_is_damage(sqlite3 *db, enum err e);

/** Prepares a statement that lives as long as the connection. */
enum err sql_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **out, struct error *error);
/** Steps a statement that returns no rows, and resets it. */
int sql_run(sqlite3_stmt *st);
/** Runs statements that return nothing, parted by semicolons: for migrations and pragmas. */
enum err sql_exec(sqlite3 *db, const char *sql, struct error *error);
/** The first column of the first row, or `otherwise` when there is no row; resets. *rc (may be
 * NULL) gets SQLITE_ROW, SQLITE_DONE or the failure. */
int64_t sql_int(sqlite3_stmt *st, int64_t otherwise, int *rc);
/** Prepares, takes the first column of the first row, finalises. */
enum err sql_query_int(
	sqlite3 *db, const char *sql, int64_t otherwise, int64_t *out, struct error *error);
/** *yes: it is a store; otherwise it is empty and can be made one. ERR_DATABASE_ERROR: it is of
 * another program. */
enum err sql_is_store(sqlite3 *db, bool *yes, struct error *error);

/** Binds text without a copy: it must live until the statement is reset. */
void sql_bind_span(sqlite3_stmt *st, int i, struct span text);
/** A text column, valid until the next step. */
struct span sql_span(sqlite3_stmt *st, int column);
