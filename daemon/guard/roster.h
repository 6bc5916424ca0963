#pragma once
/*
 * The roster: all that the vault holds, by name, version and a digest of the row, and
 * how often it has changed; proven by a key of the vault's. It tells an older version
 * that was put back, a row of another name, and one that is missing. Bound in is the
 * vault's head. Pure. Any thread.
 */

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/name.h"
#include "common/secret.h"
#include "daemon/store/safe.h"

#define ROSTER_MAX      1000 /* secrets */
#define ROSTER_DIGEST_N 32

struct roster_entry {
	char name[NAME_TEXT_MAX + 1];
	int64_t version;
	unsigned char digest[ROSTER_DIGEST_N];
};

struct roster {
	int64_t generation;
	struct roster_entry *v; /* owned; by name */
	size_t n;
};

/** The entry of a row. */
struct roster_entry roster_entry_of(const struct safe_row *row);
/** Adds an entry, or replaces the one of its name. */
void roster_put(struct roster *r, const struct roster_entry *entry);
/** Takes one out, if it is there. */
void roster_remove(struct roster *r, const char *name);
/** NULL: there is none. */
const struct roster_entry *roster_find(const struct roster *r, const char *name);
void roster_copy(struct roster *to, const struct roster *from);
void roster_fini(struct roster *r);

/** Appends it as text, proven by the key. */
void roster_write(
	const struct roster *r, const struct secret *key, struct span head, struct buf *out);
/** ERR_DATABASE_ERROR: it is not as it was written, or not with this key and head. */
enum err roster_read(struct span text, const struct secret *key, struct span head,
	struct roster *out, struct error *error);
