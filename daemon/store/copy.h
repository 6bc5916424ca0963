#pragma once
/*
 * A copy of the store that is made while it is written to: by SQLite's backup
 * interface, a few pages at a time, on the writer's own connection. From another one
 * it would begin anew at every commit; here a commit writes the pages that it changes
 * and that are copied already into the copy too. So the copy is what the store was at
 * the end of the last step. The writer's thread.
 *
 * A step reads in a transaction of its own, which ends with it: neither checkpoints nor
 * a restart of the log ever meet one. Nothing of the copy is synced here, and it is no
 * store before copy_step() said OK.
 */

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

struct copy;

/** Begins to copy into a new file at `path`; what is there is lost. */
enum err copy_open(sqlite3 *from, const char *path, struct copy **out, struct error *error);
/** Copies until `until_us` (monotonic) or `most` bytes, a few pages at least. OK: the copy is
 * whole; PENDING: there is more; otherwise it is over. */
enum err copy_step(struct copy *c, int64_t until_us, int64_t most, struct error *error);
/** How many bytes are copied, and how many there are now. Both may shrink: when another program
 * writes to the store the copy begins anew. */
int64_t copy_done(const struct copy *c);
int64_t copy_total(const struct copy *c);
/** Ends it, whole or not. NULL is fine. */
void copy_close(struct copy *c);
/** Makes a whole copy that was closed a file that stands for itself, wherever it is, and syncs it.
 */
enum err copy_seal(int fd, struct error *error);
