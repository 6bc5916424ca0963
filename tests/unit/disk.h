#pragma once
/*
 * What the disk would have if the power failed now. The kernel keeps what is
 * written in its cache; a sync brings it to the disk. A sync that fails does so
 * once: what was to be written is forgotten, though it can be read on from the
 * cache, and the next sync succeeds. Of what is not synced, nobody knows which
 * blocks are on the disk: here a die decides. Any thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fault_file { FAULT_DB, FAULT_LOG };

/** From now on: what is in the files of this store is on the disk. */
void disk_begin(const char *path, uint64_t seed);
void disk_end(void);
/** True unless the disk is that of another store. */
bool disk_is_under(const char *name);
/** Writes what the disk has to another store's files: now, or as it was when the database file was
 * last about to be synced (false: it never was). */
void disk_save(const char *path);
bool disk_save_before_sync(const char *path);

/* What happens to the files. */
void disk_on_write(enum fault_file file, const void *p, size_t n, size_t at);
void disk_on_truncate(enum fault_file file, size_t n);
void disk_on_sync(enum fault_file file, bool has_failed);
