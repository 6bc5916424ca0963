#pragma once
/*
 * What a feed has too much of while it has to wait: of each record the newest, in the
 * order in which the records came first. Pure; one thread at a time.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/list.h"
#include "daemon/feed/feedrecord.h"
#include "daemon/hub/table.h"

struct conflation {
	uint64_t point; /* of the hash */
	struct table by_key;
	struct list all;
	size_t n;
	size_t nbytes;
};

/** seed: random. */
void conflation_init(struct conflation *c, uint64_t seed);
void conflation_fini(struct conflation *c);
/** Takes a copy; true: in the place of an older one of the same record. */
bool conflation_put(struct conflation *c, const struct feed_record *r);
/** The one that came first, borrowed until conflation_drop(); false: there is none. */
bool conflation_peek(const struct conflation *c, struct feed_record *r);
void conflation_drop(struct conflation *c);
