/*
 * A file system with faults: see fault_vfs.h. Each file is ours with the default
 * one's behind it in the same block; every call goes through to that one.
 */

#include "tests/unit/fault_vfs.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Of the shared memory beside the log (its format is documented and fixed): the number of frames
 * in the log, how many of them are copied, and the lock of whoever copies. */
#define AT_FRAMES       16
#define AT_COPIED       96
#define CHECKPOINT_LOCK 1

struct file {
	sqlite3_file base;
	bool is_log;
	volatile void *shm; /* its first page */
	sqlite3_file *real;
};

static sqlite3_vfs vfs;
static sqlite3_vfs *real_vfs;

static struct {
	_Atomic int call;
	_Atomic int file;
	_Atomic int rc; /* 0: not armed */
	_Atomic int skip;
	_Atomic int left;
	_Atomic unsigned hits;
	_Atomic unsigned passes;
	_Atomic unsigned bad_passes;
} state;

static sqlite3_file *
real_of(sqlite3_file *f)
{
	return ((struct file *)(void *)f)->real;
}

static enum fault_file
which(sqlite3_file *f)
{
	return ((struct file *)(void *)f)->is_log ? FAULT_LOG : FAULT_DB;
}

/** What to fail this call with, or SQLITE_OK. */
static int
fault_of(sqlite3_file *f, enum fault_call call)
{
	int rc = state.rc;

	if (rc == 0 || state.call != (int)call || state.file != (int)which(f))
		return SQLITE_OK;
	if (atomic_fetch_sub(&state.skip, 1) > 0 || atomic_fetch_sub(&state.left, 1) <= 0)
		return SQLITE_OK;
	state.hits++;
	return rc;
}

static int
file_close(sqlite3_file *f)
{
	return real_of(f)->pMethods->xClose(real_of(f));
}

static int
file_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
	int rc = fault_of(f, FAULT_READ);

	return rc != SQLITE_OK ? rc : real_of(f)->pMethods->xRead(real_of(f), p, n, at);
}

static int
file_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
	int rc = fault_of(f, FAULT_WRITE);

	if (rc == SQLITE_OK)
		rc = real_of(f)->pMethods->xWrite(real_of(f), p, n, at);
	if (rc == SQLITE_OK)
		disk_on_write(which(f), p, (size_t)n, (size_t)at);
	return rc;
}

static int
file_truncate(sqlite3_file *f, sqlite3_int64 n)
{
	disk_on_truncate(which(f), (size_t)n);
	return real_of(f)->pMethods->xTruncate(real_of(f), n);
}

static int
file_sync(sqlite3_file *f, int flags)
{
	int rc = fault_of(f, FAULT_SYNC);

	disk_on_sync(which(f), rc != SQLITE_OK);
	return rc != SQLITE_OK ? rc : real_of(f)->pMethods->xSync(real_of(f), flags);
}

static int
file_size(sqlite3_file *f, sqlite3_int64 *n)
{
	return real_of(f)->pMethods->xFileSize(real_of(f), n);
}

static int
file_lock(sqlite3_file *f, int lock)
{
	return real_of(f)->pMethods->xLock(real_of(f), lock);
}

static int
file_unlock(sqlite3_file *f, int lock)
{
	return real_of(f)->pMethods->xUnlock(real_of(f), lock);
}

static int
file_check_lock(sqlite3_file *f, int *is_reserved)
{
	return real_of(f)->pMethods->xCheckReservedLock(real_of(f), is_reserved);
}

static int
file_control(sqlite3_file *f, int op, void *arg)
{
	return real_of(f)->pMethods->xFileControl(real_of(f), op, arg);
}

static int
file_sector(sqlite3_file *f)
{
	return real_of(f)->pMethods->xSectorSize(real_of(f));
}

static int
file_device(sqlite3_file *f)
{
	return real_of(f)->pMethods->xDeviceCharacteristics(real_of(f));
}

static int
file_shm_map(sqlite3_file *f, int page, int n, int extend, void volatile **out)
{
	int rc = real_of(f)->pMethods->xShmMap(real_of(f), page, n, extend, out);

	if (rc == SQLITE_OK && page == 0)
		((struct file *)(void *)f)->shm = *out;
	return rc;
}

static uint32_t
shm_number(const struct file *f, size_t at)
{
	return *(volatile const uint32_t *)((volatile const char *)f->shm + at);
}

/** The lock is taken and the log not looked at yet: where does it stand? */
static void
watch_pass(const struct file *f)
{
	char name[16];

	if (pthread_getname_np(pthread_self(), name, sizeof(name)) != 0 ||
		strcmp(name, "checkpointer") != 0)
		return;
	state.passes++;
	if (f->shm != NULL && shm_number(f, AT_FRAMES) == shm_number(f, AT_COPIED))
		state.bad_passes++;
}

static int
file_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
	int rc = real_of(f)->pMethods->xShmLock(real_of(f), at, n, flags);

	if (rc == SQLITE_OK && at == CHECKPOINT_LOCK && n == 1 &&
		flags == (SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE))
		watch_pass((struct file *)(void *)f);
	return rc;
}

static void
file_shm_barrier(sqlite3_file *f)
{
	real_of(f)->pMethods->xShmBarrier(real_of(f));
}

static int
file_shm_unmap(sqlite3_file *f, int remove)
{
	((struct file *)(void *)f)->shm = NULL;
	return real_of(f)->pMethods->xShmUnmap(real_of(f), remove);
}

static int
file_fetch(sqlite3_file *f, sqlite3_int64 at, int n, void **out)
{
	return real_of(f)->pMethods->xFetch(real_of(f), at, n, out);
}

static int
file_unfetch(sqlite3_file *f, sqlite3_int64 at, void *p)
{
	return real_of(f)->pMethods->xUnfetch(real_of(f), at, p);
}

static const sqlite3_io_methods methods = {
	.iVersion = 3,
	.xClose = file_close,
	.xRead = file_read,
	.xWrite = file_write,
	.xTruncate = file_truncate,
	.xSync = file_sync,
	.xFileSize = file_size,
	.xLock = file_lock,
	.xUnlock = file_unlock,
	.xCheckReservedLock = file_check_lock,
	.xFileControl = file_control,
	.xSectorSize = file_sector,
	.xDeviceCharacteristics = file_device,
	.xShmMap = file_shm_map,
	.xShmLock = file_shm_lock,
	.xShmBarrier = file_shm_barrier,
	.xShmUnmap = file_shm_unmap,
	.xFetch = file_fetch,
	.xUnfetch = file_unfetch,
};

static int
vfs_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *out_flags)
{
	struct file *file = (struct file *)(void *)f;
	int rc;

	(void)v;
	if (name != NULL && !disk_is_under(name))
		return real_vfs->xOpen(real_vfs, name, f, flags, out_flags);
	*file = (struct file){.is_log = (flags & SQLITE_OPEN_WAL) != 0};
	file->real = (sqlite3_file *)(void *)(file + 1);
	rc = real_vfs->xOpen(real_vfs, name, file->real, flags, out_flags);
	file->base.pMethods = file->real->pMethods != NULL ? &methods : NULL;
	return rc;
}

void
fault_install(void)
{
	real_vfs = sqlite3_vfs_find(NULL);
	if (real_vfs == &vfs)
		return;
	vfs = *real_vfs;
	vfs.szOsFile += (int)sizeof(struct file);
	vfs.zName = "fault";
	vfs.xOpen = vfs_open;
	sqlite3_vfs_register(&vfs, 1);
}

void
fault_arm(enum fault_call call, enum fault_file file, unsigned skip, unsigned n, int rc)
{
	fault_disarm();
	state.call = (int)call;
	state.file = (int)file;
	state.skip = (int)skip;
	state.left = (int)n;
	state.hits = 0;
	state.rc = rc;
}

void
fault_disarm(void)
{
	state.rc = 0;
}

unsigned
fault_hits(void)
{
	return state.hits;
}

unsigned
fault_passes(void)
{
	return state.passes;
}

unsigned
fault_passes_on_copied_log(void)
{
	return state.bad_passes;
}
