/* Giving back what is free: see compact.h. */

#include "daemon/store/compact.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "daemon/store/beside.h"
#include "daemon/store/file.h"
#include "daemon/store/folder.h"
#include "daemon/store/migrate.h"
#include "daemon/store/sql.h"

/** SQLite makes the new file elsewhere first, then writes it to the log, in one transaction. */
static enum err
vacuum(sqlite3 *db, struct error *error)
{
	int version = 0;
	enum err e = migrate_version(db, &version, error);

	if (e == OK)
		e = sql_exec(db, "PRAGMA synchronous = FULL", error);
	if (e == OK)
		e = sql_exec(db, "PRAGMA auto_vacuum = INCREMENTAL; VACUUM", error);
	if (e == OK && sqlite3_wal_checkpoint_v2(
			       db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) != SQLITE_OK)
		e = sql_error(db, error, "copying the log");
	return e;
}

enum err
compact_file(const struct conf *conf, int64_t *before, int64_t *now, struct error *error)
{
	const char *path = conf->store.path;
	char *folder = folder_of(path);
	sqlite3 *db = NULL;
	int lock_fd = -1;
	enum err e = OK;

	*before = beside_nbytes(path);
	setenv("SQLITE_TMPDIR", folder, 1); /* where there must be room in any case */
	free(folder);
	if (access(path, F_OK) != 0)
		return error_set_errno(error, ERR_NOT_FOUND, errno, "opening the file");
	e = file_lock(path, &lock_fd, error);
	if (e != OK)
		return e;
	e = beside_has_room(path, 2 * *before, error);
	if (e == OK)
		e = sql_open(path, SQL_WRITER, conf, &db, error);
	if (e == OK)
		e = vacuum(db, error);
	sql_close(db);
	close(lock_fd);
	*now = beside_nbytes(path);
	return e;
}
