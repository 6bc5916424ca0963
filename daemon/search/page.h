#pragma once
/* The answer to a search: a page of what was found, as JSON. Searcher thread. */

#include "common/err.h"
#include "daemon/search/find.h"
#include "daemon/store/job.h"

/** Fills the job's reply. Each record is held against the query once more, since it is taken apart
 * anyway: one that does not match is left out, and found->is_wrong. */
enum err page_put(struct follow *store, struct found *found, struct job *j, const char *epoch);
