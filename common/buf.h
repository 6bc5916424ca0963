#pragma once
/*
 * A growable run of bytes with a stated maximum. Appending past the maximum, or
 * out of memory for a size that a peer chose, sets `failed` and drops the bytes;
 * writers append freely and the owner looks once at the end. Any thread, one at
 * a time.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/span.h"

struct buf {
	char *p;
	size_t n;
	size_t cap;
	size_t max; /* 0 before buf_init() */
	bool failed;
	bool wipes; /* set it after buf_init(): what it leaves behind is overwritten */
};

/** An empty buffer that will hold at most `max` bytes; allocates nothing. */
void buf_init(struct buf *b, size_t max);
void buf_fini(struct buf *b);

/** Makes room for n more bytes and returns where they go (commit with b->n += n), or NULL and sets
 * failed. */
char *buf_reserve(struct buf *b, size_t n);
void buf_add(struct buf *b, const void *p, size_t n);
void buf_add_char(struct buf *b, char c);
void buf_add_span(struct buf *b, struct span s);
void buf_add_int(struct buf *b, int64_t value);
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** Drops the first n bytes. */
void buf_consume(struct buf *b, size_t n);
/** Empties it and clears failed; keeps the memory. */
void buf_reset(struct buf *b);
/** The same, but memory of more than `kept` bytes is given back. */
void buf_clear(struct buf *b, size_t kept);
/** The caller becomes the owner of the bytes (free() them); the buffer is empty after. */
char *buf_steal(struct buf *b, size_t *n);

static inline struct span
buf_span(const struct buf *b)
{
	return (struct span){b->p, b->n};
}
