#pragma once
/*
 * The rows of feeds that were added while the daemon ran: a name and a definition, which
 * is JSON that is not known here. Written inside a transaction that the writer has open,
 * read once at the start. Each row that is written gets a new number, so that of two with
 * one name in a damaged file the newer is known. Writer thread, but for reading.
 */

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "daemon/store/job.h"

struct feedrows;
struct sqlite3;

/** db is borrowed. */
enum err feedrows_new(struct sqlite3 *db, struct feedrows **out, struct error *error);
void feedrows_free(struct feedrows *f);
/** OP_FEED_SET, OP_FEED_DROP. ERR_CONFLICT: there is one of this name; ERR_NOT_FOUND. */
enum err feedrows_apply(struct feedrows *f, struct op *op, struct error *error);

/** A row, with texts of its own. */
struct feedrow {
	char *name;
	char *definition;
	int64_t version; /* how often it was set, from 1 */
	int64_t created_at;
	int64_t updated_at;
};

struct feedrow_list {
	struct feedrow *v; /* owned; by name */
	size_t n;
};

/** All that prove themselves; those that do not are logged and left out. On a failure the list is
 * empty. Any thread. */
enum err feedrows_read(const char *path, struct feedrow_list *list, struct error *error);
void feedrow_list_fini(struct feedrow_list *list);
