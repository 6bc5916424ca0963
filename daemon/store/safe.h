#pragma once
/*
 * The rows of secrets, sealed: what is in them is not known here. Written inside a
 * transaction that the writer has open, read at the start and for tests of them. Each
 * row that is written gets a new number, so that of two with one name in a damaged file
 * the newer is known. Writer thread, but for reading.
 */

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "daemon/store/job.h"

/* The row that speaks of all. */
#define SAFE_VAULT "$vault"

struct safe;
struct sqlite3;

/** db is borrowed. */
enum err safe_new(struct sqlite3 *db, struct safe **out, struct error *error);
void safe_free(struct safe *s);
/** OP_STOW, OP_DROP. ERR_CONFLICT: the vault's row is not at the version that it should be at. */
enum err safe_apply(struct safe *s, struct op *op, struct error *error);

/** A row, with texts of its own. */
struct safe_row {
	char *name;
	char *key;
	char *value;
	int64_t version;
	int64_t created_at;
	int64_t updated_at; /* when the value was set */
	int64_t sealed_at;
};

struct safe_rows {
	struct safe_row *v; /* owned; by name, the vault's first */
	size_t n;
};

/** All there are, whether they prove themselves or not; of those that do not that is logged. On a
 * failure the list is empty. Any thread. */
enum err safe_read(const char *path, struct safe_rows *rows, struct error *error);
void safe_row_fini(struct safe_row *row);
void safe_rows_fini(struct safe_rows *rows);
/** Sets an operation that writes the row, with texts that it borrows. */
void safe_op(const struct safe_row *row, struct op *op);
