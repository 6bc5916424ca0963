#pragma once
/* A record that a feed is about to write, as the mapping has found it. Pure. */

#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/span.h"
#include "common/uuid.h"
#include "daemon/base/conf.h"
#include "daemon/base/mapping.h"
#include "daemon/store/job.h"

struct feed_record {
	struct span category;
	struct span id;
	struct span name;
	struct span data; /* JSON without white space between tokens */
	int64_t now_ms;   /* when it was written, as it says itself, or when it came: wall clock */
	int64_t at_ms;    /* when it was written here */
	int64_t expires_at; /* 0: as the category has it */
	int64_t came_us;    /* monotonic */
};

/** What is made anew for a record, in the place of what was made for the one before it. */
struct feedrecord_texts {
	struct buf data;
	char uuid[UUID_SIZE];
};

/** When it came, on the wall clock: as it will say itself; and now. */
struct feedrecord_times {
	int64_t received_ms;
	int64_t now_ms;
	int64_t came_us;
};

void feedrecord_texts_init(struct feedrecord_texts *t);
void feedrecord_texts_fini(struct feedrecord_texts *t);
/** The record is not needed any more: what a large one took is given back. */
void feedrecord_texts_clear(struct feedrecord_texts *t);
/* Of a record: */

/** The bytes of its texts. */
static inline size_t
feedrecord_nbytes(const struct feed_record *r)
{
	return r->category.n + r->id.n + r->name.n + r->data.n;
}

/** ERR_LIMIT_EXCEEDED: it is larger than its category or the store allows. */
enum err feedrecord_check(
	const struct feed_record *r, const struct conf *conf, struct error *error);
/** Makes the operation that writes it; the job has room for its texts. */
void feedrecord_fill(
	const struct feed_record *r, const struct conf *conf, struct job *j, struct op *op);

/** The record, of r's texts and of t's. False: out of memory. */
bool feedrecord_make(const struct conf_feed *f, const struct mapping *m, const struct mapped *r,
	const struct feedrecord_times *at, struct feedrecord_texts *t, struct feed_record *out);
