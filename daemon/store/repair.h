#pragma once
/*
 * A store that no daemon holds: is it whole, and if it is not, made whole again. What
 * can be rebuilt in its place is (indexes); otherwise what can be salvaged goes into a
 * new file, and the damaged one is kept. A search index that is damaged, or of a store
 * that is replaced, is removed: the daemon makes another. Prints and exits nowhere: for `sysrtd
 * store`.
 */

#include <stdbool.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/json.h"
#include "daemon/base/conf.h"

/** Checks the file. Writes the members of check_add_json(); *ok tells whether all is well. A
 * failure is one of checking; a file that SQLite cannot read at all is a finding. */
enum err repair_check(const char *path, struct json_out *o, bool *ok, struct error *error);

enum repair_how { REPAIR_NOTHING, REPAIR_SEARCH, REPAIR_INDEXES, REPAIR_SALVAGED };

/** Repairs it, and tells how. Writes the members "how", "kept" (the damaged file), "records",
 * "tombstones", "doubtful", "lost", "unreadable_pages", "findings", "removed" (the search index).
 */
enum err repair_file(const char *path, const struct conf *conf, struct json_out *o,
	enum repair_how *how, struct error *error);
