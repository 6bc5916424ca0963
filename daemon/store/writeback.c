/* The database file's way to the disk: see writeback.h. */

#include "daemon/store/writeback.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SLICE_PAGES     32 /* about so many to a slice: a millisecond of a fast disk */
#define SLICE_MIN_BYTES (INT64_C(1) << 16)

enum err
writeback_open(struct writeback *w, const char *path, struct error *error)
{
	*w = (struct writeback){.fd = open(path, O_RDONLY | O_CLOEXEC)};
	if (w->fd < 0)
		return error_set(error, ERR_IO_ERROR, "%s: %s", path, strerror(errno));
	return OK;
}

void
writeback_close(struct writeback *w)
{
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
}

void
writeback_add(struct writeback *w, int64_t pages_n)
{
	w->dirty_n += pages_n;
}

/** The pages are anywhere in the file: the fewer they are, the longer a slice that holds enough. */
static int64_t
slice_bytes(int64_t file_bytes, int64_t dirty_n)
{
	int64_t n = file_bytes / dirty_n * SLICE_PAGES;

	return n < SLICE_MIN_BYTES ? SLICE_MIN_BYTES : n / SLICE_MIN_BYTES * SLICE_MIN_BYTES;
}

void
writeback_run(struct writeback *w)
{
	const unsigned how =
		SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
	struct stat st;
	int64_t step;

	if (w->dirty_n <= 0 || fstat(w->fd, &st) != 0)
		return;
	step = slice_bytes(st.st_size, w->dirty_n);
	w->dirty_n = 0;
	for (int64_t at = 0; at < st.st_size; at += step)
		if (sync_file_range(w->fd, at, step, how) != 0)
			return;
}

int64_t
writeback_bytes(const struct writeback *w)
{
	struct stat st;

	return fstat(w->fd, &st) == 0 ? st.st_size : 0;
}
