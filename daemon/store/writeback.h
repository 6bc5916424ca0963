#pragma once
/*
 * The database file's way to the disk. Checkpoints only copy pages into the
 * kernel's cache. A sync of tens of thousands of them at once takes half a second,
 * and every commit's own sync waits in the same queue of the disk: 40 ms instead of
 * 8, measured on a million records. So before the file is synced its pages are
 * written in the file's order (neighbours join) in slices of a millisecond or so, each
 * waited for: a commit then meets one slice, and the sync finds little left.
 *
 * The descriptor is the store's own, beside SQLite's: closing it gives up all POSIX
 * locks that this process has on the file, SQLite's too. So it is closed when no
 * connection of this process is open any more.
 *
 * The checkpointer's thread, but for open, close and what says otherwise.
 */

#include <stdint.h>

#include "common/err.h"

struct writeback {
	int fd;
	int64_t dirty_n; /* pages copied since the last run, some of them more than once */
};

/** Opens the file, which is there. */
enum err writeback_open(struct writeback *w, const char *path, struct error *error);
void writeback_close(struct writeback *w);
/** So many pages were copied into the file. */
void writeback_add(struct writeback *w, int64_t pages_n);
/** Writes what was added, and waits for it. No promise: failures, and file systems that cannot do
 * this, are left to the sync that follows. */
void writeback_run(struct writeback *w);
/** How many bytes the file has. Any thread. */
int64_t writeback_bytes(const struct writeback *w);
