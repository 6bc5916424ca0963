/* A store as a plain SQLite file: see export.h. */

#include "daemon/store/export.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/xalloc.h"
#include "daemon/store/file.h"
#include "daemon/store/folder.h"
#include "daemon/store/migrate.h"
#include "daemon/store/sql.h"

/* The tables by name, so that what a later version keeps beside them stays where it is. */
static const char copy_tables[] =
	"CREATE TABLE main.records (seq INTEGER PRIMARY KEY, category TEXT NOT NULL,"
	" id TEXT NOT NULL, name TEXT NOT NULL, data TEXT NOT NULL, rev INTEGER NOT NULL,"
	" created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, expires_at INTEGER);"
	"INSERT INTO main.records SELECT seq, category, id, name, data, rev, created_at,"
	" updated_at, expires_at FROM store.records ORDER BY seq;"
	"CREATE UNIQUE INDEX main.records_by_id ON records (category, id);"
	"CREATE TABLE main.tombstones (seq INTEGER PRIMARY KEY, category TEXT NOT NULL,"
	" id TEXT NOT NULL, rev INTEGER NOT NULL, deleted_at INTEGER NOT NULL);"
	"INSERT INTO main.tombstones SELECT seq, category, id, rev, deleted_at"
	" FROM store.tombstones ORDER BY seq;"
	"CREATE TABLE main.epochs (epoch TEXT NOT NULL, first_seq INTEGER NOT NULL);"
	"INSERT INTO main.epochs SELECT epoch, first_seq FROM store.epochs ORDER BY rowid;"
	"CREATE TABLE main.meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL);"
	"INSERT INTO main.meta SELECT key, value FROM store.meta"
	" WHERE key IN ('last_seq', 'pruned_to');";

static enum err
attach(sqlite3 *db, const char *path, struct error *error)
{
	sqlite3_stmt *st;
	enum err e = sql_prepare(db, "ATTACH ?1 AS store", &st, error);

	if (e != OK)
		return e;
	sql_bind_span(st, 1, span_of(path));
	if (sql_run(st) != SQLITE_DONE)
		e = sql_error(db, error, "opening the store");
	sqlite3_finalize(st);
	return e;
}

/** A plain file is made anew by every export: no journal is needed. */
static enum err
fill(const char *path, const char *to, struct error *error)
{
	sqlite3 *db = NULL;
	enum err e = OK;

	if (sqlite3_open_v2(to, &db,
		    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_EXRESCODE,
		    NULL) != SQLITE_OK)
		e = sql_error(db, error, "making the file");
	if (e == OK)
		e = sql_exec(db, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF", error);
	if (e == OK)
		e = attach(db, path, error);
	if (e == OK)
		e = sql_exec(db, "BEGIN", error);
	if (e == OK)
		e = sql_exec(db, copy_tables, error);
	if (e == OK)
		e = sql_exec(db, "COMMIT", error);
	sql_close(db);
	return e;
}

/** A store of another version is none that this program can read. */
static enum err
check_store(const char *path, struct error *error)
{
	int version = 0;
	sqlite3 *db;
	enum err e = sql_open_plain(path, &db, error);

	if (e != OK)
		return e;
	e = migrate_version(db, &version, error);
	if (e == OK && version == 0)
		e = error_set(error, ERR_DATABASE_ERROR, "there is no store in it");
	sql_close(db);
	return e;
}

static enum err
sync_and_rename(const char *to, const char *name, struct error *error)
{
	int fd = open(to, O_RDWR | O_CLOEXEC);
	enum err e = OK;

	if (fd < 0 || fsync(fd) != 0)
		e = error_set_errno(error, ERR_IO_ERROR, errno, "writing %s to the disk", to);
	if (fd >= 0)
		close(fd);
	if (e == OK && rename(to, name) != 0)
		e = error_set_errno(error, ERR_IO_ERROR, errno, "renaming %s", to);
	return e == OK ? folder_sync(name, error) : e;
}

enum err
export_file(const char *path, const char *to, struct error *error)
{
	char *temporary;
	int lock_fd = -1;
	enum err e;

	if (access(path, R_OK) != 0)
		return error_set_errno(error, ERR_NOT_FOUND, errno, "%s", path);
	if (access(to, F_OK) == 0)
		return error_set(error, ERR_INVALID_ARGUMENT, "%s is there already", to);
	e = file_lock_if_there(path, &lock_fd, error);
	if (e != OK)
		return e;
	temporary = xasprintf("%s.tmp", to);
	unlink(temporary);
	e = check_store(path, error);
	if (e == OK)
		e = fill(path, temporary, error);
	if (e == OK)
		e = sync_and_rename(temporary, to, error);
	if (e != OK)
		unlink(temporary);
	free(temporary);
	if (lock_fd >= 0)
		close(lock_fd);
	return e;
}
