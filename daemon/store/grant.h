#pragma once
/*
 * The rows of tokens: who was granted what. Written inside a transaction that the
 * writer has open, read once at the start. A token's text is not among what is kept:
 * only a hash of it, whose key is in the store too. Writer thread, but for reading.
 */

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "daemon/store/job.h"

struct grants;
struct sqlite3;

/** db is borrowed. */
enum err grants_new(struct sqlite3 *db, struct grants **out, struct error *error);
void grants_free(struct grants *g);
/** OP_GRANT, OP_WITHDRAW, OP_WITHDRAW_EXPIRED, OP_NOTE_USE. ERR_CONFLICT: there is one of this
 * name, and it has not expired; ERR_NOT_FOUND. */
enum err grants_apply(struct grants *g, struct op *op, struct error *error);

/** Removes all of them. The key stays. */
enum err grants_drop(struct sqlite3 *db, struct error *error);

/** A row, with texts of its own. */
struct grant {
	char *name;
	char *hash; /* hexadecimal */
	char *scopes;
	int64_t created_at;
	int64_t expires_at; /* 0: never */
	int64_t used_at;    /* 0: not yet */
};

struct grant_list {
	struct grant *v; /* owned */
	size_t n;
	char *key; /* owned: that of the hashes, hexadecimal; NULL: it is damaged */
};

/** All that prove themselves; those that do not are logged and left out. On a failure the list is
 * empty. Any thread. */
enum err grants_read(const char *path, struct grant_list *list, struct error *error);
void grant_list_fini(struct grant_list *list);
