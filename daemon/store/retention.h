#pragma once
/*
 * What the categories keep, as the writer needs it for the work that it does by
 * itself: made from the configuration on the loop thread, handed to the writer
 * whole, immutable. Pure.
 */

#include <stdint.h>

#include "common/span.h"
#include "daemon/base/conf.h"

struct retention;

/** What holds for one category. */
struct retention_rule {
	struct conf_keep history;
	int64_t max_records; /* INT64_MAX: any number */
};

struct retention *retention_new(const struct conf *conf);
void retention_free(struct retention *r);
/** The rule of a category; r may be NULL: nothing is kept and nothing is bounded. */
const struct retention_rule *retention_find(const struct retention *r, struct span category);
/** True if some rule keeps earlier versions. */
bool retention_has_history(const struct retention *r);
