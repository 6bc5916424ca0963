/* Files beside the store: see beside.h. */

#include "daemon/store/beside.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/time.h"
#include "common/xalloc.h"
#include "daemon/store/folder.h"
#include "daemon/store/sql.h"
#include "daemon/store/verify.h"

/* What SQLite keeps beside a database. */
static const char *const companions[] = {"-wal", "-shm", "-journal"};
#define COMPANIONS_N (sizeof(companions) / sizeof(companions[0]))

enum err
beside_has_room(const char *path, int64_t nbytes, struct error *error)
{
	char *folder = folder_of(path), need[TIME_TEXT_SIZE], have[TIME_TEXT_SIZE];
	struct statvfs v;
	enum err e = OK;

	if (statvfs(folder, &v) != 0) {
		e = error_set_errno(error, ERR_IO_ERROR, errno, "looking for room in %s", folder);
	} else if ((uint64_t)v.f_bavail * v.f_frsize < (uint64_t)nbytes) {
		size_format(nbytes, need);
		size_format((int64_t)(v.f_bavail * v.f_frsize), have);
		e = error_set(error, ERR_IO_ERROR,
			"there is no room for it in %s: %s needed, %s free", folder, need, have);
	}
	free(folder);
	return e;
}

int64_t
beside_nbytes(const char *path)
{
	char *log = xasprintf("%s-wal", path);
	struct stat st;
	int64_t n = stat(path, &st) == 0 ? st.st_size : 0;

	n += stat(log, &st) == 0 ? st.st_size : 0;
	free(log);
	return n;
}

static void
remove_companions(const char *path)
{
	for (size_t i = 0; i < COMPANIONS_N; i++) {
		char *name = xasprintf("%s%s", path, companions[i]);

		unlink(name);
		free(name);
	}
}

void
beside_remove(const char *path)
{
	unlink(path);
	remove_companions(path);
}

enum err
beside_seal(const char *file, const char *like, struct error *error)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	struct stat st;
	enum err e = OK;

	/* Only root can give a file away, and only root needs to. */
	if (fd < 0 || stat(like, &st) != 0 || fchmod(fd, st.st_mode & 07777) != 0 ||
		(geteuid() == 0 && fchown(fd, st.st_uid, st.st_gid) != 0) || fsync(fd) != 0)
		e = error_set_errno(error, ERR_IO_ERROR, errno, "finishing %s", file);
	if (fd >= 0)
		close(fd);
	return e;
}

static enum err
copy_pages(sqlite3 *from, const char *to, struct error *error)
{
	sqlite3 *db = NULL;
	sqlite3_backup *backup = NULL;
	enum err e = OK;
	int rc;

	/* It is synced as a whole, under a name that does not count yet. */
	rc = sqlite3_open_v2(
		to, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(db, "PRAGMA synchronous = OFF", NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		backup = sqlite3_backup_init(db, "main", from, "main");
	if (backup != NULL) {
		sqlite3_backup_step(backup, -1);
		rc = sqlite3_backup_finish(backup);
	}
	if (rc != SQLITE_OK || backup == NULL)
		e = sql_error(db, error, "copying the store");
	sqlite3_close(db);
	return e;
}

static enum err
copy_verified(sqlite3 *db, const char *path, const char *to, struct error *error)
{
	struct verify v;
	enum err e = copy_pages(db, to, error);

	if (e == OK)
		e = verify_file(to, NULL, &v, error);
	return e == OK ? beside_seal(to, path, error) : e;
}

enum err
beside_copy(sqlite3 *db, const char *path, const char *to, struct error *error)
{
	char *fresh = xasprintf("%s.part", to);
	enum err e;

	beside_remove(fresh);
	e = copy_verified(db, path, fresh, error);
	if (e == OK)
		remove_companions(to); /* of the one that is replaced, which stays until then */
	if (e == OK && rename(fresh, to) != 0)
		e = error_set_errno(error, ERR_IO_ERROR, errno, "renaming %s", fresh);
	beside_remove(fresh);
	if (e == OK)
		e = folder_sync(path, error);
	free(fresh);
	return e == OK ? OK : error_wrap(error, "the copy %s", to);
}

/** Gives a file that holds something a second name. */
static enum err
keep_one(const char *path, const char *aside, const char *end, struct error *error)
{
	char *from = xasprintf("%s%s", path, end), *to = xasprintf("%s%s", aside, end);
	struct stat st;
	enum err e = OK;

	if (stat(from, &st) != 0 ? errno != ENOENT : st.st_size > 0 && link(from, to) != 0)
		e = error_set_errno(error, ERR_IO_ERROR, errno, "keeping %s as %s", from, to);
	free(from);
	free(to);
	return e;
}

static enum err
keep(const char *path, const char *aside, struct error *error)
{
	static const char *const ends[] = {"", "-wal", "-journal"};
	enum err e = OK;

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]) && e == OK; i++)
		e = keep_one(path, aside, ends[i], error);
	return e == OK ? folder_sync(path, error) : e;
}

static enum err
replace(const char *fresh, const char *path, struct error *error)
{
	enum err e = OK;

	/* The old log must never be taken for the new file's: so it goes first. */
	for (size_t i = 0; i < COMPANIONS_N && e == OK; i++) {
		char *name = xasprintf("%s%s", path, companions[i]);

		if (unlink(name) != 0 && errno != ENOENT)
			e = error_set_errno(error, ERR_IO_ERROR, errno, "removing %s", name);
		free(name);
	}
	if (e == OK)
		e = folder_sync(path, error);
	if (e == OK && rename(fresh, path) != 0)
		e = error_set_errno(error, ERR_IO_ERROR, errno, "renaming %s", fresh);
	return e == OK ? folder_sync(path, error) : e;
}

enum err
beside_swap(const char *fresh, const char *path, const char *aside, struct error *error)
{
	enum err e = keep(path, aside, error);

	if (e != OK)
		return e;
	e = replace(fresh, path, error);
	if (e != OK && access(aside, F_OK) == 0) /* the one at `path` may lack its log now */
		error_wrap(error, "what was there is kept as %s", aside);
	return e;
}
