/* A copy that is made beside the writing: see copy.h. */

#include "daemon/store/copy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/xalloc.h"
#include "daemon/store/sql.h"

/* In the head of the file: how it is written and how it is read. Of both, 1: without a log, which
 * the store that it is a copy of has. */
#define FORMAT_AT 18
#define FORMAT    "\1\1"
#define FORMAT_N  2

#define STEP_PAGES 32 /* a quarter of a millisecond or so */

struct copy {
	sqlite3 *to;
	sqlite3_backup *backup;
	int64_t page_bytes;
};

/** A file whose loss costs nothing: no journal, no sync. */
static enum err
open_to(const char *path, sqlite3 **to, struct error *error)
{
	if (unlink(path) != 0 && errno != ENOENT)
		return error_set_errno(error, ERR_IO_ERROR, errno, "removing %s", path);
	if (sqlite3_open_v2(path, to,
		    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
			    SQLITE_OPEN_EXRESCODE,
		    NULL) != SQLITE_OK)
		return sql_error(*to, error, "making the copy");
	return sql_exec(*to, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF", error);
}

enum err
copy_open(sqlite3 *from, const char *path, struct copy **out, struct error *error)
{
	struct copy *c = xnew(struct copy);
	enum err e = sql_query_int(from, "PRAGMA page_size", 4096, &c->page_bytes, error);

	if (e == OK)
		e = open_to(path, &c->to, error);
	if (e == OK) {
		c->backup = sqlite3_backup_init(c->to, "main", from, "main");
		if (c->backup == NULL)
			e = sql_error(c->to, error, "beginning the copy");
	}
	if (e != OK) {
		copy_close(c);
		return e;
	}
	*out = c;
	return OK;
}

/** What a step answered. The source is the writer's: only another program can keep it busy. */
static enum err
judge(int rc, struct error *error)
{
	if (rc == SQLITE_DONE)
		return OK;
	if (rc == SQLITE_OK || rc == SQLITE_BUSY || rc == SQLITE_LOCKED)
		return PENDING;
	if ((rc & 0xff) == SQLITE_FULL)
		return error_set(error, ERR_IO_ERROR, "copying the store: the disk is full");
	return error_set(error, (rc & 0xff) == SQLITE_IOERR ? ERR_IO_ERROR : ERR_DATABASE_ERROR,
		"copying the store: %s", sqlite3_errstr(rc));
}

enum err
copy_step(struct copy *c, int64_t until_us, int64_t most, struct error *error)
{
	int64_t start = copy_done(c);
	enum err e;

	do
		e = judge(sqlite3_backup_step(c->backup, STEP_PAGES), error);
	while (e == PENDING && clock_mono_us() < until_us && copy_done(c) - start < most);
	return e;
}

int64_t
copy_total(const struct copy *c)
{
	return sqlite3_backup_pagecount(c->backup) * c->page_bytes;
}

int64_t
copy_done(const struct copy *c)
{
	return copy_total(c) - sqlite3_backup_remaining(c->backup) * c->page_bytes;
}

void
copy_close(struct copy *c)
{
	if (c == NULL)
		return;
	sqlite3_backup_finish(c->backup);
	sql_close(c->to);
	free(c);
}

enum err
copy_seal(int fd, struct error *error)
{
	if (pwrite(fd, FORMAT, FORMAT_N, FORMAT_AT) != FORMAT_N || fsync(fd) != 0)
		return error_set_errno(error, ERR_IO_ERROR, errno, "writing the copy to the disk");
	return OK;
}
