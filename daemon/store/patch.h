#pragma once
/*
 * A merge patch that becomes a put: the texts that it is made of, and the put.
 * Writer thread.
 */

#include "common/buf.h"
#include "common/err.h"
#include "common/span.h"
#include "daemon/store/job.h"

struct patch {
	struct op put; /* its texts are in the buffers below */
	struct span change;
	struct buf name;
	struct buf data;
};

/** For the operation, which must outlive it. */
void patch_init(struct patch *p, const struct op *op);
void patch_fini(struct patch *p);
/** What the put has to write, for a record of this name and data. ERR_LIMIT_EXCEEDED: the data
 * would be too large. */
enum err patch_merge(struct patch *p, struct span name, struct span data, struct error *error);
/** Hands the results of the put, which it owns, to the operation. */
void patch_take_results(struct patch *p, struct op *op);
