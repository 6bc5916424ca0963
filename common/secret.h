#pragma once
/*
 * A secret in memory: in locked pages, which are neither swapped nor written into a
 * core dump, with pages around them that cannot be touched, and wiped when it is
 * freed. Any thread, one at a time.
 */

#include <stdbool.h>
#include <stddef.h>

#include "common/span.h"

struct secret {
	unsigned char *bytes;
	size_t n; /* may be made less, to leave off the end */
};

/** With n bytes, whatever they are. */
struct secret *secret_new(size_t n);
struct secret *secret_copy(struct span bytes);
/** Of base64 or hexadecimal digits; NULL: they are none. */
struct secret *secret_from_base64(struct span text);
struct secret *secret_from_hex(struct span text);
void secret_free(struct secret *s);
/** Borrowed. NULL has no bytes. */
static inline struct span
secret_span(const struct secret *s)
{
	return s != NULL ? (struct span){(const char *)s->bytes, s->n} : SPAN("");
}
/** Whether the system lets pages be locked: not beyond RLIMIT_MEMLOCK. */
bool secret_can_lock(void);
/** Overwrites what held a secret, in memory that is none of these: a buffer on its way. */
void secret_wipe(struct span bytes);
