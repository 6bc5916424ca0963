/*
 * The disk behind the kernel's cache: see disk.h. Both are kept in memory,
 * whole.
 */

#include "tests/unit/disk.h"

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK     4096
#define FILES     2
#define MAX_BYTES (64u << 20)

struct image {
	char *cache;
	char *disk;
	char *before; /* the disk before the last sync of the database file */
	bool is_dirty[MAX_BYTES / BLOCK];
	size_t n;
	size_t before_n;
};

static struct {
	pthread_mutex_t lock;
	bool is_on;
	char path[256];
	uint64_t random;
	struct image files[FILES];
} state = {.lock = PTHREAD_MUTEX_INITIALIZER};

static const char *const endings[FILES] = {[FAULT_DB] = "", [FAULT_LOG] = "-wal"};

static bool
toss(void)
{
	state.random = state.random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return state.random >> 63;
}

static FILE *
open_file(const char *path, enum fault_file file, const char *mode)
{
	char name[256];

	snprintf(name, sizeof(name), "%s%s", path, endings[file]);
	return fopen(name, mode);
}

static void
load(struct image *im, FILE *f)
{
	im->cache = calloc(1, MAX_BYTES);
	im->disk = calloc(1, MAX_BYTES);
	im->before = calloc(1, MAX_BYTES);
	ck_assert(im->cache != NULL && im->disk != NULL && im->before != NULL);
	memset(im->is_dirty, 0, sizeof(im->is_dirty));
	im->n = im->before_n = 0;
	if (f == NULL)
		return;
	im->n = fread(im->cache, 1, MAX_BYTES, f);
	memcpy(im->disk, im->cache, im->n);
	fclose(f);
}

void
disk_begin(const char *path, uint64_t seed)
{
	pthread_mutex_lock(&state.lock);
	for (int i = 0; i < FILES; i++)
		load(&state.files[i], open_file(path, i, "rb"));
	snprintf(state.path, sizeof(state.path), "%s", path);
	state.random = seed;
	state.is_on = true;
	pthread_mutex_unlock(&state.lock);
}

void
disk_end(void)
{
	pthread_mutex_lock(&state.lock);
	for (int i = 0; i < FILES; i++) {
		free(state.files[i].cache);
		free(state.files[i].disk);
		free(state.files[i].before);
		state.files[i].cache = state.files[i].disk = state.files[i].before = NULL;
	}
	state.is_on = false;
	pthread_mutex_unlock(&state.lock);
}

bool
disk_is_under(const char *name)
{
	bool is_under;

	pthread_mutex_lock(&state.lock);
	is_under = !state.is_on || strncmp(name, state.path, strlen(state.path)) == 0;
	pthread_mutex_unlock(&state.lock);
	return is_under;
}

/** Brings dirty blocks to the disk: all of them, or those that the die says. */
static void
write_back(struct image *im, bool all)
{
	for (size_t at = 0; at < im->n; at += BLOCK)
		if (im->is_dirty[at / BLOCK] && (all || toss()))
			memcpy(im->disk + at, im->cache + at, BLOCK);
}

static void
save(const char *path, enum fault_file file, const char *p, size_t n)
{
	FILE *f = open_file(path, file, "wb");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(p, 1, n, f), n);
	ck_assert_int_eq(fclose(f), 0);
}

void
disk_save(const char *path)
{
	pthread_mutex_lock(&state.lock);
	for (int i = 0; i < FILES; i++) {
		write_back(&state.files[i], false);
		save(path, i, state.files[i].disk, state.files[i].n);
	}
	pthread_mutex_unlock(&state.lock);
}

bool
disk_save_before_sync(const char *path)
{
	bool has_one;

	pthread_mutex_lock(&state.lock);
	has_one = state.files[FAULT_DB].before_n > 0;
	for (int i = 0; i < FILES && has_one; i++)
		save(path, i, state.files[i].before, state.files[i].before_n);
	pthread_mutex_unlock(&state.lock);
	return has_one;
}

static void
keep_before_sync(void)
{
	for (int i = 0; i < FILES; i++) {
		struct image *im = &state.files[i];

		write_back(im, false);
		memcpy(im->before, im->disk, im->n);
		im->before_n = im->n;
	}
}

void
disk_on_write(enum fault_file file, const void *p, size_t n, size_t at)
{
	struct image *im = &state.files[file];

	pthread_mutex_lock(&state.lock);
	if (state.is_on && n > 0) {
		ck_assert_uint_le(at + n, MAX_BYTES);
		memcpy(im->cache + at, p, n);
		for (size_t block = at / BLOCK; block <= (at + n - 1) / BLOCK; block++)
			im->is_dirty[block] = true;
		im->n = at + n > im->n ? at + n : im->n;
	}
	pthread_mutex_unlock(&state.lock);
}

void
disk_on_truncate(enum fault_file file, size_t n)
{
	struct image *im = &state.files[file];

	pthread_mutex_lock(&state.lock);
	if (state.is_on && n < im->n) {
		memset(im->cache + n, 0, im->n - n);
		memset(im->disk + n, 0, im->n - n);
		im->n = n;
	}
	pthread_mutex_unlock(&state.lock);
}

void
disk_on_sync(enum fault_file file, bool has_failed)
{
	struct image *im = &state.files[file];

	pthread_mutex_lock(&state.lock);
	if (state.is_on && file == FAULT_DB)
		keep_before_sync();
	if (state.is_on) {
		write_back(im, !has_failed);
		memset(im->is_dirty, 0, sizeof(im->is_dirty));
	}
	pthread_mutex_unlock(&state.lock);
}
