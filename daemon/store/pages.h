#pragma once
/*
 * The pages of a database file, read without SQLite: for a file that SQLite cannot
 * read any more. What is committed in the log counts before what is in the file.
 * Nothing of it is trusted: whatever the bytes are, reading stays within the files.
 * No connection of this process may have the file open: closing it here would drop
 * SQLite's locks. Any thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

struct pages {
	int fd;
	int log_fd;       /* -1: there is none */
	uint32_t size;    /* of a page */
	uint32_t usable;  /* of it */
	uint32_t n;       /* they count from 1 */
	uint32_t *frames; /* by page: where in the log it is, from 1; 0: in the file */
};

/** Takes both descriptors over (log_fd may be -1), also on a failure. ERR_IO_ERROR: unreadable;
 * ERR_DATABASE_ERROR: too large. */
enum err pages_init(struct pages *p, int fd, int log_fd, struct error *error);
/** Opens PATH and, when it is there, PATH-wal. */
enum err pages_open(struct pages *p, const char *path, struct error *error);
void pages_close(struct pages *p);
/** Reads a page into size bytes; what the disk does not give is zero: false if that is any of it,
 * or the page does not exist. */
bool pages_read(const struct pages *p, uint32_t page, unsigned char *out);

/** Numbers as the file has them. */
uint32_t pages_get16(const unsigned char *at);
uint32_t pages_get32(const unsigned char *at);
