/* A backup: see backup.h. */

#include "daemon/store/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "daemon/store/beside.h"
#include "daemon/store/copy.h"
#include "daemon/store/folder.h"
#include "daemon/store/sql.h"
#include "daemon/store/verify.h"

#define PART_BYTES  (INT64_C(8) << 20)
#define SLICE_BYTES (INT64_C(256) << 10) /* a commit meets one of them, not all of a part */
#define CHUNK_BYTES (1 << 20)
#define SPARE_BYTES (INT64_C(16) << 20) /* what a backup leaves of the store's disk */
#define NICE        10

struct backup *
backup_new(const char *path, const struct store_backup *how)
{
	struct backup *b = xnew(struct backup);

	b->staged = xasprintf("%s.backup", path);
	b->place = how->place != NULL ? xstrdup(how->place) : NULL;
	b->folder = how->folder != NULL ? xstrdup(how->folder) : NULL;
	b->keep = how->keep;
	b->fd = how->fd;
	b->staged_fd = -1;
	b->does_verify = how->does_verify;
	b->started_us = clock_mono_us();
	return b;
}

void
backup_free(struct backup *b)
{
	if (b == NULL)
		return;
	if (b->staged_fd >= 0)
		close(b->staged_fd);
	if (b->fd >= 0)
		close(b->fd);
	free(b->staged);
	free(b->place);
	free(b->folder);
	free(b);
}

void
backup_clean(const char *path)
{
	char *staged = xasprintf("%s.backup", path);
	char *restored = xasprintf("%s" BESIDE_RESTORE, path);

	unlink(staged);
	beside_remove(restored);
	free(staged);
	free(restored);
}

/** Fails once nobody wants it any more. */
static enum err
check_wanted(const struct backup *b, struct error *error)
{
	return b->is_stopped ? error_set(error, ERR_UNAVAILABLE, "the backup was stopped") : OK;
}

/** The store goes on being written to: its disk must not be filled by a copy. */
static enum err
check_room(const struct backup *b, sqlite3 *db, int64_t *nbytes, struct error *error)
{
	char *folder = folder_of(b->staged);
	int64_t pages = 0, page_bytes = 0, free_bytes;
	struct statvfs disk;
	enum err e = sql_query_int(db, "PRAGMA page_count", 0, &pages, error);

	if (e == OK)
		e = sql_query_int(db, "PRAGMA page_size", 0, &page_bytes, error);
	*nbytes = pages * page_bytes;
	if (e == OK && statvfs(folder, &disk) == 0) {
		free_bytes = (int64_t)disk.f_bavail * (int64_t)disk.f_frsize;
		if (free_bytes < *nbytes + *nbytes / 8 + SPARE_BYTES)
			e = error_set(error, ERR_IO_ERROR,
				"the disk of the store has no room for a copy: %" PRId64
				" bytes are free, the store has %" PRId64,
				free_bytes, *nbytes);
	}
	free(folder);
	return e;
}

static enum err
begin(struct backup *b, sqlite3 *db, struct copy **copy, struct error *error)
{
	int64_t nbytes = 0;
	enum err e = check_room(b, db, &nbytes, error);

	b->total = b->is_elsewhere ? 2 * nbytes : nbytes;
	return e == OK ? copy_open(db, b->staged, copy, error) : e;
}

static void
note_progress(struct backup *b, const struct copy *copy)
{
	int64_t total = copy_total(copy);

	b->done = copy_done(copy);
	if (b->flushed > b->done)
		b->flushed = b->done; /* it began anew */
	b->total = b->is_elsewhere ? 2 * total : total;
}

bool
backup_copy(struct job *j, sqlite3 *db, struct copy **copy, int64_t until_us)
{
	struct backup *b = j->backup;
	enum err e = check_wanted(b, &j->error);

	if (e == OK && *copy == NULL)
		e = begin(b, db, copy, &j->error);
	if (e == OK) {
		e = copy_step(*copy, until_us, PART_BYTES, &j->error);
		note_progress(b, *copy);
	}
	if (e == PENDING && b->done - b->flushed < PART_BYTES)
		return true;
	if (e != PENDING) {
		copy_close(*copy);
		*copy = NULL;
	}
	j->result = e;
	return false;
}

/* From here on: the thread's. */

static bool
is_on_disk_of(const char *a, const char *b)
{
	char *x = folder_of(a), *y = folder_of(b);
	struct stat s, t;
	bool is = stat(x, &s) == 0 && stat(y, &t) == 0 && s.st_dev == t.st_dev;

	free(x);
	free(y);
	return is;
}

/** Before anything is copied: whether the place is there, which may take a while to find out. */
static enum err
prepare(struct backup *b, struct error *error)
{
	char *folder;
	enum err e = PENDING;

	b->is_prepared = true;
	b->is_elsewhere = b->place == NULL || !is_on_disk_of(b->staged, b->place);
	if (b->place == NULL)
		return PENDING;
	folder = folder_of(b->place);
	if (access(folder, W_OK | X_OK) != 0)
		e = error_set_errno(error, ERR_IO_ERROR, errno, "the folder of backups %s", folder);
	free(folder);
	return e;
}

/** Brings bytes of a file to the disk in slices, each waited for. */
static void
write_back(const struct backup *b, int fd, int64_t from, int64_t to)
{
	const unsigned how =
		SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;

	for (int64_t at = from; at < to && !b->is_stopped; at += SLICE_BYTES)
		if (sync_file_range(fd, at, SLICE_BYTES, how) != 0)
			return; /* left to the sync that follows */
}

static enum err
open_staged(struct backup *b, struct error *error)
{
	if (b->staged_fd < 0)
		b->staged_fd = open(b->staged, O_RDWR | O_CLOEXEC);
	if (b->staged_fd < 0)
		return error_set_errno(error, ERR_IO_ERROR, errno, "opening the copy");
	return OK;
}

/** What cannot be opened now is told when all is copied. */
static void
flush_part(struct backup *b)
{
	if (open_staged(b, NULL) == OK)
		write_back(b, b->staged_fd, b->flushed, b->done);
	b->flushed = b->done;
}

static enum err
sync_file(int fd, const char *what, struct error *error)
{
	if (fsync(fd) != 0)
		return error_set_errno(error, ERR_IO_ERROR, errno, "writing %s to the disk", what);
	return OK;
}

/** Pages that changed were written anew since they were flushed. */
static enum err
seal(struct backup *b, struct error *error)
{
	write_back(b, b->staged_fd, 0, b->done);
	return copy_seal(b->staged_fd, error);
}

static enum err
write_all(int fd, const char *p, size_t n, int64_t at, struct error *error)
{
	while (n > 0) {
		ssize_t done = pwrite(fd, p, n, at);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return error_set_errno(error, ERR_IO_ERROR, errno, "writing the backup");
		p += done;
		at += done;
		n -= (size_t)done;
	}
	return OK;
}

/** Reads all of a file, writes it to another one (or nowhere: to < 0), and sums it up. */
static enum err
pass_over(struct backup *b, int from, int to, unsigned char sum[crypto_generichash_BYTES],
	struct error *error)
{
	char *chunk = xnew_n(CHUNK_BYTES, char);
	crypto_generichash_state state;
	int64_t at = 0, flushed = 0;
	enum err e = OK;
	ssize_t n;

	crypto_generichash_init(&state, NULL, 0, crypto_generichash_BYTES);
	while (e == OK && !b->is_stopped && (n = pread(from, chunk, CHUNK_BYTES, at)) != 0) {
		if (n < 0) {
			e = error_set_errno(error, ERR_IO_ERROR, errno, "reading the copy");
			break;
		}
		crypto_generichash_update(&state, (unsigned char *)chunk, (size_t)n);
		if (to >= 0)
			e = write_all(to, chunk, (size_t)n, at, error);
		at += n;
		if (to >= 0)
			b->done += n;
		if (to >= 0 && at - flushed >= PART_BYTES) {
			write_back(b, to, flushed, at);
			flushed = at;
		}
	}
	crypto_generichash_final(&state, sum, crypto_generichash_BYTES);
	free(chunk);
	return e == OK ? check_wanted(b, error) : e;
}

/** Brings the copy's bytes into another file; when it is to be verified they are read back. */
static enum err
send(struct backup *b, int to, struct error *error)
{
	unsigned char sum[crypto_generichash_BYTES], back[crypto_generichash_BYTES];
	enum err e = pass_over(b, b->staged_fd, to, sum, error);

	if (e == OK)
		e = sync_file(to, "the backup", error);
	if (e != OK || !b->does_verify)
		return e;
	posix_fadvise(to, 0, 0, POSIX_FADV_DONTNEED);
	e = pass_over(b, to, -1, back, error);
	if (e == OK && memcmp(sum, back, sizeof(sum)) != 0)
		e = error_set(error, ERR_IO_ERROR,
			"the backup holds other bytes than were written to it: its disk is broken");
	return e;
}

/** Into a folder on another disk: under a temporary name first. */
static enum err
send_to_place(struct backup *b, struct error *error)
{
	char *name = xasprintf("%s.tmp", b->place);
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0640);
	enum err e = OK;

	if (fd < 0)
		e = error_set_errno(error, ERR_IO_ERROR, errno, "making %s", name);
	if (e == OK)
		e = send(b, fd, error);
	if (fd >= 0)
		close(fd);
	if (e == OK && rename(name, b->place) != 0)
		e = error_set_errno(error, ERR_IO_ERROR, errno, "renaming %s", name);
	if (fd >= 0 && e != OK)
		unlink(name);
	free(name);
	return e;
}

static enum err
bring_to_place(struct backup *b, struct error *error)
{
	enum err e = check_wanted(b, error);

	if (e != OK)
		return e;
	if (b->place == NULL)
		return send(b, b->fd, error);
	if (!b->is_elsewhere && rename(b->staged, b->place) != 0) {
		if (errno != EXDEV)
			return error_set_errno(
				error, ERR_IO_ERROR, errno, "renaming the copy to %s", b->place);
		b->is_elsewhere = true; /* one disk, by two mounts */
		b->total *= 2;
	}
	if (b->is_elsewhere)
		e = send_to_place(b, error);
	return e == OK ? folder_sync(b->place, error) : e;
}

static void
write_result(struct job *j, const struct verify *v)
{
	const struct backup *b = j->backup;
	struct json_out o = json_out_start(&j->reply);

	json_begin_object(&o, NULL);
	if (b->place != NULL)
		json_put_str(&o, "file", b->place);
	json_put_str(&o, "epoch", v->epoch);
	json_put_int(&o, "seq", v->last_seq);
	json_put_int(&o, "records", v->records);
	json_put_int(&o, "tombstones", v->tombstones);
	json_put_int(&o, "tokens", v->tokens);
	json_put_int(&o, "schema", v->version);
	json_put_int(&o, "bytes", v->nbytes);
	json_put_bool(&o, "verified", b->does_verify);
	if (v->doubtful > 0)
		json_put_int(&o, "doubtful", v->doubtful);
	json_put_int(&o, "took_ms", (clock_mono_us() - b->started_us) / 1000);
	json_end_object(&o);
}

static void
trim_folder(const struct backup *b)
{
	unsigned n = b->folder != NULL ? folder_trim(b->folder, b->keep, b->place) : 0;

	if (n > 0)
		log_info("backup", "old backups removed", F_INT("n", n));
}

/** All of it is copied. */
static enum err
finish(struct job *j)
{
	struct backup *b = j->backup;
	struct verify found = {.version = 0};
	enum err e = seal(b, &j->error);

	if (e == OK && b->does_verify)
		e = verify_file(b->staged, &b->is_stopped, &found, &j->error);
	else if (e == OK)
		e = verify_glance(b->staged, &found, &j->error);
	if (e == OK)
		e = bring_to_place(b, &j->error);
	if (e != OK)
		return e;
	write_result(j, &found);
	trim_folder(b);
	return OK;
}

/** True if the job goes back to the writer for the next part. */
static bool
work(struct job *j)
{
	struct backup *b = j->backup;
	enum err e = j->result;

	if (!b->is_prepared) {
		e = prepare(b, &j->error);
		if (e == PENDING)
			return true;
	} else if (e == PENDING) {
		flush_part(b);
		return true;
	}
	if (e == OK)
		e = open_staged(b, &j->error);
	if (e == OK)
		e = finish(j);
	j->result = e;
	unlink(b->staged);
	return false;
}

struct backup_thread {
	pthread_t thread;
	struct queue *in;
	struct queue *writer; /* borrowed */
	struct queue *out;    /* borrowed */
};

static void *
run(void *arg)
{
	struct backup_thread *t = arg;
	struct qlist jobs, one;
	struct qitem *it;

	/* A check takes a core for a while: whoever writes goes first. Where a service may not do
	 * this, it does without. */
	setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
	qlist_init(&jobs);
	while (queue_wait(t->in, INT64_MAX)) {
		queue_take(t->in, &jobs);
		while ((it = qlist_shift(&jobs)) != NULL) {
			bool goes_back = work((struct job *)(void *)it);

			qlist_init(&one);
			qlist_append(&one, it);
			queue_push(goes_back ? t->writer : t->out, &one);
		}
	}
	return NULL;
}

struct backup_thread *
backup_thread_start(struct queue *writer, struct queue *out)
{
	struct backup_thread *t = xnew(struct backup_thread);

	t->in = queue_new();
	t->writer = writer;
	t->out = out;
	must(pthread_create(&t->thread, NULL, run, t) == 0);
	pthread_setname_np(t->thread, "backup");
	return t;
}

struct queue *
backup_thread_queue(struct backup_thread *t)
{
	return t->in;
}

void
backup_thread_stop(struct backup_thread *t)
{
	if (t == NULL)
		return;
	queue_close(t->in);
	pthread_join(t->thread, NULL);
	queue_free(t->in);
	free(t);
}
