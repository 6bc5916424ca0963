/* The store's file at the start: see file.h. */

#include "daemon/store/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/log.h"
#include "common/xalloc.h"
#include "daemon/store/beside.h"
#include "daemon/store/job.h"
#include "daemon/store/migrate.h"
#include "daemon/store/read.h"
#include "daemon/store/sql.h"

/* Beside the copy and the log, in which a migration may write all of the store once more. */
#define ROOM_BYTES (INT64_C(16) << 20)

#define EPOCH_BYTES ((EPOCH_SIZE - 1) / 2)

/** The number of the process that wrote itself into the lock file, 0 if unknown. */
static long
holder_of(int fd)
{
	char text[32] = "";

	if (pread(fd, text, sizeof(text) - 1, 0) <= 0)
		return 0;
	return strtol(text, NULL, 10);
}

static void
write_holder(int fd)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());

	/* Only a hint for people: the lock itself is what counts. */
	if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)n, 0) != n)
		errno = 0;
}

enum err
file_lock(const char *path, int *out, struct error *error)
{
	char *name = xasprintf("%s.lock", path);
	int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	enum err e = OK;

	if (fd < 0) {
		e = error_set_errno(error, ERR_IO_ERROR, errno, "opening %s", name);
	} else if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		e = error_set(error, ERR_UNAVAILABLE,
			"another sysrtd (process %ld) has this store open", holder_of(fd));
		close(fd);
	} else {
		write_holder(fd);
		*out = fd;
	}
	free(name);
	return e;
}

enum err
file_lock_if_there(const char *path, int *out, struct error *error)
{
	char *name = xasprintf("%s.lock", path);
	enum err e = access(name, F_OK) == 0 ? file_lock(path, out, error) : OK;

	free(name);
	return e;
}

static enum err
add_epoch(sqlite3 *db, struct error *error)
{
	unsigned char random[EPOCH_BYTES];
	char name[EPOCH_SIZE];
	sqlite3_stmt *st;
	enum err e = sql_prepare(db,
		"INSERT INTO epochs (epoch, first_seq, sum) "
		"SELECT ?1, first_seq, row_sum('epochs', ?1, first_seq) "
		"FROM (SELECT (" SQL_LAST_SEQ ") + 1 AS first_seq)",
		&st, error);

	if (e != OK)
		return e;
	randombytes_buf(random, sizeof(random));
	sodium_bin2hex(name, sizeof(name), random, sizeof(random));
	sql_bind_span(st, 1, span_of(name));
	if (sql_run(st) != SQLITE_DONE)
		e = sql_error(db, error, "adding an epoch");
	sqlite3_finalize(st);
	return e;
}

static enum err
read_epochs(sqlite3 *db, struct epochs *epochs, struct error *error)
{
	sqlite3_stmt *st;
	enum err e =
		sql_prepare(db, "SELECT epoch, first_seq FROM epochs ORDER BY rowid", &st, error);
	int rc;

	if (e != OK)
		return e;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct epoch *one;

		epochs->v = xrealloc(epochs->v, epochs->n + 1, sizeof(*epochs->v));
		one = &epochs->v[epochs->n++];
		snprintf(one->name, sizeof(one->name), "%s",
			(const char *)sqlite3_column_text(st, 0));
		one->first_seq = sqlite3_column_int64(st, 1);
	}
	if (rc != SQLITE_DONE)
		e = sql_error(db, error, "reading the epochs");
	sqlite3_finalize(st);
	return e;
}

/** Before the schema changes: what is there is copied, whole, to a file that stays. */
static enum err
copy_before(sqlite3 *db, const char *path, int to, struct error *error)
{
	char *copy = xasprintf("%s.before-v%d", path, to);
	enum err e = beside_has_room(path, 2 * beside_nbytes(path) + ROOM_BYTES, error);

	if (e == OK)
		e = beside_copy(db, path, copy, error);
	free(copy);
	return e == OK ? OK : error_wrap(error, "copying the store before its schema changes");
}

static enum err
migrate_open(sqlite3 *db, const char *path, int to, bool does_copy, int *from, struct error *error)
{
	enum err e = sql_exec(db, "PRAGMA synchronous = FULL", error);

	if (e == OK)
		e = migrate_version(db, from, error);
	if (e == OK && does_copy && *from > 0 && *from != to && to <= migrate_newest())
		e = copy_before(db, path, to, error);
	return e == OK ? migrate_to(db, to, error) : e;
}

enum err
file_prepare(const char *path, const struct conf *conf, struct epochs *epochs, struct error *error)
{
	sqlite3 *db;
	int from = 0;
	enum err e = sql_open(path, SQL_WRITER, conf, &db, error);

	*epochs = (struct epochs){.v = NULL};
	if (e != OK)
		return e;
	e = migrate_open(db, path, migrate_newest(), true, &from, error);
	if (e == OK && from > 0 && from < migrate_newest())
		log_info("store", "the schema has changed: a copy from before stays beside it",
			F_INT("from", from), F_INT("to", migrate_newest()));
	if (e == OK)
		e = add_epoch(db, error);
	if (e == OK)
		e = read_epochs(db, epochs, error);
	sql_close(db);
	return e;
}

void
epochs_fini(struct epochs *e)
{
	free(e->v);
	*e = (struct epochs){.v = NULL};
}

/** The last seq that belongs to the history of this epoch; -1: the epoch is unknown. */
static int64_t
last_seq_of(const struct epochs *e, struct span epoch, int64_t last_seq)
{
	for (size_t i = e->n; i-- > 0;) {
		if (!span_is(epoch, e->v[i].name))
			continue;
		return i + 1 < e->n ? e->v[i + 1].first_seq - 1 : last_seq;
	}
	return -1;
}

static enum err
resync(struct error *error, int64_t lowest, const char *why)
{
	error_set(error, ERR_RESYNC_REQUIRED, "%s: start at since 0", why);
	if (error != NULL)
		error->seq = lowest;
	return ERR_RESYNC_REQUIRED;
}

enum err
epochs_check(const struct epochs *e, const struct epochs_claim *claim, int64_t last_seq,
	int64_t pruned_to, struct error *error)
{
	int64_t last;

	if (claim->since == 0)
		return OK;
	if (claim->epoch.n == 0)
		return error_set(error, ERR_INVALID_ARGUMENT,
			"since: a position above 0 needs the epoch that it belongs to");
	last = last_seq_of(e, claim->epoch, last_seq);
	if (last < 0)
		return resync(error, pruned_to, "this store does not know that epoch");
	if (claim->since > last || claim->base > last)
		return resync(error, pruned_to,
			"the position is one that the history of this store does not have");
	if (pruned_to > claim->since && pruned_to > claim->base)
		return resync(error, pruned_to, "deletions since that position are forgotten");
	return OK;
}

enum err
file_migrate(const struct conf *conf, int to, bool does_copy, int *from, struct error *error)
{
	const char *path = conf->store.path;
	int lock_fd = -1;
	sqlite3 *db;
	enum err e;

	if (access(path, F_OK) != 0)
		return error_set_errno(error, ERR_NOT_FOUND, errno, "opening the file");
	e = file_lock(path, &lock_fd, error);
	if (e != OK)
		return e;
	e = sql_open(path, SQL_WRITER, conf, &db, error);
	if (e == OK) {
		e = migrate_open(db, path, to > 0 ? to : migrate_newest(), does_copy, from, error);
		if (e == OK && sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL,
				       NULL) != SQLITE_OK)
			e = sql_error(db, error, "copying the log");
		sql_close(db);
	}
	close(lock_fd);
	return e;
}

/** Where the newest max_n changes begin: the last seq that is not among them. */
static enum err
find_floor(sqlite3 *db, size_t max_n, int64_t *floor, struct error *error)
{
	sqlite3_stmt *st;
	enum err e = sql_prepare(db,
		"SELECT max(coalesce((" SQL_PRUNED_TO "), 0), coalesce((SELECT min(seq) - 1 FROM "
		"(SELECT seq FROM (SELECT seq FROM records ORDER BY seq DESC LIMIT ?1) UNION ALL "
		"SELECT seq FROM (SELECT seq FROM tombstones ORDER BY seq DESC LIMIT ?1) "
		"ORDER BY seq DESC LIMIT ?1)), 0))",
		&st, error);
	int rc;

	if (e != OK)
		return e;
	sqlite3_bind_int64(st, 1, (int64_t)max_n);
	*floor = sql_int(st, 0, &rc);
	if (rc != SQLITE_ROW)
		e = sql_error(db, error, "reading the newest changes");
	sqlite3_finalize(st);
	return e;
}

/** Takes the changes of a page over. */
static void
append_page(struct tail *t, struct page *page)
{
	t->changes = xrealloc(t->changes, t->n + page->n + 1, sizeof(struct change *));
	for (size_t i = 0; i < page->n; i++)
		t->changes[t->n++] = page->changes[i];
	free(page->changes);
	page->changes = NULL;
	page->n = 0;
}

/** Drops the oldest ones beyond the bounds. */
static void
trim(struct tail *t)
{
	size_t drop = 0, nbytes = 0;

	for (size_t i = 0; i < t->n; i++)
		nbytes += t->changes[i]->body->n;
	while (drop < t->n && (t->n - drop > t->max_n || nbytes > t->max_bytes)) {
		t->floor = t->changes[drop]->seq;
		nbytes -= t->changes[drop]->body->n;
		change_unref(t->changes[drop++]);
	}
	t->n -= drop;
	if (t->n > 0)
		memmove(t->changes, t->changes + drop, t->n * sizeof(struct change *));
}

static enum err
read_pages(struct read *r, struct tail *t, struct error *error)
{
	struct job *j = job_new(JOB_REPLAY, &(struct origin){.kind = ORIGIN_NONE}, 0, 0);
	enum err e = OK;

	if (j == NULL)
		return error_set(error, ERR_UNAVAILABLE, "out of memory");
	j->read.since = t->floor;
	j->read.base = -1; /* every tombstone, also from 0 */
	j->read.limit = 1000;
	do {
		read_run(r, j);
		e = j->result;
		if (e != OK) {
			*error = j->error;
		} else {
			append_page(t, &j->page);
			trim(t);
			j->read.since = j->page.end;
		}
	} while (e == OK && !j->page.at_head);
	job_free(j);
	return e;
}

/** All of it in one snapshot: the writer may be at work already. */
static enum err
read_snapshot(struct read *r, sqlite3 *db, struct tail *t, struct error *error)
{
	enum err e = read_begin(r, error);

	if (e != OK)
		return e;
	t->seq = t->floor = read_seq(r);
	if (t->max_n > 0)
		e = find_floor(db, t->max_n, &t->floor, error);
	if (e == OK && t->max_n > 0)
		e = read_pages(r, t, error);
	read_end(r);
	return e;
}

enum err
file_read_tail(const char *path, const struct conf *conf, struct tail *t, struct error *error)
{
	struct read *r = NULL;
	sqlite3 *db;
	enum err e = sql_open(path, SQL_READER, conf, &db, error);

	if (e != OK)
		return e;
	e = read_new(db, "", &r, error);
	if (e == OK)
		e = read_snapshot(r, db, t, error);
	read_free(r);
	sql_close(db);
	if (e != OK)
		tail_fini(t);
	return e;
}
