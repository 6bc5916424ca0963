/* A store out of a backup: see restore.h. */

#include "daemon/store/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/xalloc.h"
#include "daemon/search/indexfile.h"
#include "daemon/store/beside.h"
#include "daemon/store/copy.h"
#include "daemon/store/file.h"
#include "daemon/store/folder.h"
#include "daemon/store/grant.h"
#include "daemon/store/sql.h"

/** All of the backup, with what its log has, into a file of its own. */
static enum err
copy_all(const char *from, const char *to, struct error *error)
{
	struct copy *copy = NULL;
	sqlite3 *db;
	enum err e = sql_open_plain(from, &db, error);

	if (e != OK)
		return e;
	e = copy_open(db, to, &copy, error);
	if (e == OK)
		e = copy_step(copy, INT64_MAX, INT64_MAX, error);
	copy_close(copy);
	sql_close(db);
	return e;
}

/** The store belongs to whom it belonged to, whoever restores it; a new one to the folder's owner.
 */
static void
give_to_owner(const char *path, int fd)
{
	char *folder = folder_of(path);
	struct stat st;

	if (geteuid() == 0 && (stat(path, &st) == 0 || stat(folder, &st) == 0) &&
		fchown(fd, st.st_uid, st.st_gid) != 0)
		errno = 0; /* the daemon says what it cannot open */
	free(folder);
}

static enum err
finish_copy(const char *path, const char *to, struct error *error)
{
	int fd = open(to, O_RDWR | O_CLOEXEC);
	enum err e;

	if (fd < 0)
		return error_set_errno(error, ERR_IO_ERROR, errno, "opening %s", to);
	give_to_owner(path, fd);
	e = copy_seal(fd, error);
	close(fd);
	return e;
}

/** What is only in the old store's log goes into its file. One that is too damaged for that keeps
 * its log beside it. */
static void
empty_log(const char *path, const struct conf *conf)
{
	sqlite3 *db;

	if (sql_open(path, SQL_WRITER, conf, &db, NULL) != OK)
		return;
	sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	sql_close(db);
}

/** It was made of the old store. */
static void
remove_index(const char *path)
{
	char *index = indexfile_path(path);

	indexfile_remove_file(index);
	free(index);
}

/** Of a copy that was checked. It has a journal of SQLite's for a moment. */
static enum err
drop_tokens(const char *to, struct error *error)
{
	sqlite3 *db;
	enum err e = sql_open_plain_writer(to, &db, error);

	if (e != OK)
		return e;
	e = grants_drop(db, error);
	sql_close(db);
	return e;
}

/** Tells what has the name now that the old store was given, or its log if that was all. */
static void
note_aside(struct restore *r, const char *name)
{
	char *log = xasprintf("%s-wal", name);

	if (access(name, F_OK) == 0)
		r->aside = xstrdup(name);
	else if (access(log, F_OK) == 0)
		r->aside_log = xstrdup(log);
	free(log);
}

static enum err
put_in_place(struct restore *r, const char *to, const struct conf *conf, struct error *error)
{
	char stamp[FOLDER_STAMP_SIZE];
	char *name;
	enum err e;

	folder_stamp(clock_wall_ms(), stamp);
	name = xasprintf("%s.replaced-%s", r->path, stamp);
	if (access(r->path, F_OK) == 0)
		empty_log(r->path, conf);
	e = beside_swap(to, r->path, name, error);
	if (e == OK) {
		note_aside(r, name);
		remove_index(r->path);
	}
	free(name);
	return e;
}

static bool
is_same_file(const char *a, const char *b)
{
	struct stat s, t;

	return stat(a, &s) == 0 && stat(b, &t) == 0 && s.st_dev == t.st_dev && s.st_ino == t.st_ino;
}

enum err
restore_file(struct restore *r, const struct conf *conf, struct error *error)
{
	char *to;
	int lock_fd;
	enum err e;

	r->aside = NULL;
	r->aside_log = NULL;
	if (access(r->from, R_OK) != 0)
		return error_set_errno(error, ERR_NOT_FOUND, errno, "%s", r->from);
	if (is_same_file(r->path, r->from))
		return error_set(error, ERR_INVALID_ARGUMENT, "%s is the store itself", r->from);
	e = file_lock(r->path, &lock_fd, error);
	if (e != OK)
		return e;
	give_to_owner(r->path, lock_fd);
	to = xasprintf("%s" BESIDE_RESTORE, r->path);
	e = copy_all(r->from, to, error);
	if (e == OK)
		e = finish_copy(r->path, to, error);
	if (e == OK)
		e = verify_file(to, NULL, &r->backup, error);
	if (e == OK && r->drops_tokens && r->backup.tokens > 0)
		e = drop_tokens(to, error);
	if (e == OK)
		e = put_in_place(r, to, conf, error);
	if (e != OK)
		beside_remove(to);
	free(to);
	close(lock_fd);
	return e;
}
