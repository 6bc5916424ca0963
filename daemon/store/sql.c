/* SQLite as the store uses it: see sql.h. */

#include "daemon/store/sql.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/xalloc.h"

/* Readers map the file: point reads are twice as fast. The writer does not: an I/O error in a
 * mapping is a SIGBUS. */
#define READER_MMAP_BYTES (INT64_C(1) << 34)

#define APPLICATION_ID INT64_C(0x73797372) /* "sysr" */

void
sql_begin_work(void)
{
	errno = 0;
}

/** What the system said, if it was about the disk; 0: nothing. */
static int
disk_errno(void)
{
	static const int of_disks[] = {EIO, ENXIO, EROFS, EDQUOT, EPERM, ESTALE, EFBIG};

	for (size_t i = 0; i < sizeof(of_disks) / sizeof(of_disks[0]); i++)
		if (errno == of_disks[i])
			return errno;
	return 0;
}

enum err
sql_error(sqlite3 *db, struct error *error, const char *doing)
{
	int rc = sqlite3_extended_errcode(db) & 0xff, cause = disk_errno();
	enum err code = ERR_DATABASE_ERROR;

	/* SQLite calls a disk that cannot be read a malformed store. */
	if (rc == SQLITE_IOERR || (rc == SQLITE_CORRUPT && cause != 0)) {
		code = ERR_IO_ERROR;
		if (cause != 0)
			return error_set_errno(error, code, cause, "%s: disk I/O error", doing);
	} else if (rc == SQLITE_FULL || rc == SQLITE_CANTOPEN) {
		code = ERR_IO_ERROR;
	} else if (rc == SQLITE_BUSY || rc == SQLITE_LOCKED) {
		code = ERR_UNAVAILABLE;
	}
	return error_set(error, code, "%s: %s", doing, sqlite3_errmsg(db));
}

bool
sql_is_damage(sqlite3 *db, enum err e)
{
	int rc = sqlite3_extended_errcode(db);

	return e == ERR_DATABASE_ERROR ||
	       (e == ERR_IO_ERROR && ((rc & 0xff) == SQLITE_CORRUPT || rc == SQLITE_IOERR_READ ||
					     rc == SQLITE_IOERR_CORRUPTFS));
}

void
sql_init(void)
{
	sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	sqlite3_config(SQLITE_CONFIG_PAGECACHE, NULL, 0, 0);
}

/** SQLite removes a log that it finds beside a file without a page. It may be all that there is of
 * a store. */
static enum err
keep_log(const char *path, struct error *error)
{
	char *log = xasprintf("%s-wal", path);
	struct stat st, of_log;
	enum err e = OK;

	if (stat(log, &of_log) == 0 && of_log.st_size > 0 &&
		(stat(path, &st) != 0 || st.st_size == 0))
		e = error_set(error, ERR_DATABASE_ERROR,
			"it is gone or empty, but its log %s is there: put it back, or move the "
			"log away",
			log);
	free(log);
	return e;
}

static enum err
open_handle(const char *path, enum sql_role role, sqlite3 **db, struct error *error)
{
	int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;

	if (role != SQL_INDEXER && keep_log(path, error) != OK)
		return ERR_DATABASE_ERROR;
	if (role == SQL_READER)
		flags |= SQLITE_OPEN_READONLY;
	else if (role == SQL_WRITER || role == SQL_INDEXER)
		flags |= SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
	else
		flags |= SQLITE_OPEN_READWRITE;
	if (sqlite3_open_v2(path, db, flags, NULL) == SQLITE_OK)
		return OK;
	if (*db == NULL)
		return error_set(error, ERR_DATABASE_ERROR, "out of memory");
	return sql_error(*db, error, "cannot open the file");
}

/** Pragmas with a number: the name is ours, the number is checked configuration. */
static enum err
set_pragma(sqlite3 *db, const char *name, int64_t value, struct error *error)
{
	char text[96];

	snprintf(text, sizeof(text), "PRAGMA %s = %lld", name, (long long)value);
	return sql_exec(db, text, error);
}

/** A store that is made now will be able to give pages back. That is settled with its first page.
 * What another program has made stays as it is. */
static enum err
prepare(sqlite3 *db, struct error *error)
{
	int64_t pages = 0;
	bool yes;
	enum err e = sql_query_int(db, "PRAGMA page_count", 0, &pages, error);

	if (e == OK && pages == 0)
		e = sql_exec(db, "PRAGMA auto_vacuum = INCREMENTAL", error);
	else if (e == OK)
		e = sql_is_store(db, &yes, error);
	return e;
}

/** What every connection keeps to: a file may come from anywhere. */
static void
guard(sqlite3 *db)
{
	sqlite3_busy_timeout(db, SQL_BUSY_TIMEOUT_MS);
	sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
}

static enum err
set_pragmas(sqlite3 *db, enum sql_role role, const struct conf *conf, struct error *error)
{
	enum err e = OK;

	guard(db);
	if (role == SQL_WRITER)
		e = prepare(db, error);
	if (e == OK && (role == SQL_WRITER || role == SQL_INDEXER))
		e = sql_exec(db, "PRAGMA journal_mode = WAL", error);
	if (e == OK)
		e = sql_exec(db,
			conf->store.durability == DURABILITY_FULL ? "PRAGMA synchronous = FULL"
								  : "PRAGMA synchronous = NORMAL",
			error);
	if (e == OK)
		e = set_pragma(db, "wal_autocheckpoint", 0, error);
	if (e == OK)
		e = set_pragma(db, "cache_size", -conf->store.cache_bytes / 1024, error);
	if (e == OK)
		e = set_pragma(db, "mmap_size", role == SQL_READER ? READER_MMAP_BYTES : 0, error);
	return e;
}

enum err
sql_open(const char *path, enum sql_role role, const struct conf *conf, sqlite3 **out,
	struct error *error)
{
	sqlite3 *db = NULL;
	int keep_log = 1;
	enum err e = open_handle(path, role, &db, error);

	if (e == OK)
		e = set_pragmas(db, role, conf, error);
	if (e != OK) {
		sql_close(db);
		return e;
	}
	sqlite3_file_control(db, "main", SQLITE_FCNTL_PERSIST_WAL, &keep_log);
	*out = db;
	return OK;
}

static enum err
open_plain(const char *path, enum sql_role role, sqlite3 **out, struct error *error)
{
	sqlite3 *db = NULL;
	enum err e = open_handle(path, role, &db, error);

	if (e == OK)
		guard(db); /* first: the pragmas read, and may have to wait */
	/* A check looks rows of an index up all over the file: it takes twice as long without. */
	if (e == OK)
		e = sql_exec(db, "PRAGMA mmap_size = 0; PRAGMA cache_size = -65536", error);
	if (e != OK) {
		sql_close(db);
		return e;
	}
	*out = db;
	return OK;
}

enum err
sql_open_plain(const char *path, sqlite3 **out, struct error *error)
{
	return open_plain(path, SQL_READER, out, error);
}

enum err
sql_open_plain_writer(const char *path, sqlite3 **out, struct error *error)
{
	return open_plain(path, SQL_CHECKPOINTER, out, error);
}

void
sql_close(sqlite3 *db)
{
	sqlite3_close(db);
}

enum err
sql_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **out, struct error *error)
{
	if (sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL) != SQLITE_OK)
		return sql_error(db, error, "preparing a statement");
	return OK;
}

int
sql_run(sqlite3_stmt *st)
{
	int rc = sqlite3_step(st);

	sqlite3_reset(st);
	return rc == SQLITE_ROW ? SQLITE_DONE : rc;
}

enum err
sql_exec(sqlite3 *db, const char *sql, struct error *error)
{
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		return sql_error(db, error, "running a statement");
	return OK;
}

int64_t
sql_int(sqlite3_stmt *st, int64_t otherwise, int *rc)
{
	int step = sqlite3_step(st);
	int64_t value = step == SQLITE_ROW ? sqlite3_column_int64(st, 0) : otherwise;

	sqlite3_reset(st);
	if (rc != NULL)
		*rc = step;
	return value;
}

enum err
sql_query_int(sqlite3 *db, const char *sql, int64_t otherwise, int64_t *out, struct error *error)
{
	sqlite3_stmt *st;
	enum err e = sql_prepare(db, sql, &st, error);
	int rc;

	if (e != OK)
		return e;
	*out = sql_int(st, otherwise, &rc);
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		e = sql_error(db, error, "reading a number");
	sqlite3_finalize(st);
	return e;
}

enum err
sql_is_store(sqlite3 *db, bool *yes, struct error *error)
{
	int64_t application = 0, objects = 0;
	enum err e = sql_query_int(db, "PRAGMA application_id", 0, &application, error);

	if (e == OK)
		e = sql_query_int(db, "SELECT count(*) FROM sqlite_schema", 0, &objects, error);
	if (e != OK)
		return e;
	*yes = application == APPLICATION_ID;
	if (!*yes && (application != 0 || objects > 0))
		return error_set(error, ERR_DATABASE_ERROR,
			"this is an SQLite file of another program, not a store of sysrt");
	return OK;
}

void
sql_bind_span(sqlite3_stmt *st, int i, struct span text)
{
	sqlite3_bind_text64(
		st, i, text.p != NULL ? text.p : "", text.n, SQLITE_STATIC, SQLITE_UTF8);
}

struct span
sql_span(sqlite3_stmt *st, int column)
{
	const void *p = sqlite3_column_text(st, column);

	return (struct span){p, (size_t)sqlite3_column_bytes(st, column)};
}
