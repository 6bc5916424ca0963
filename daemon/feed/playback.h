#pragma once
/*
 * A playback: messages of a recording go through the mapping of a feed, and all that
 * they are is written at once. Loop thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/list.h"
#include "daemon/base/conf.h"
#include "daemon/store/job.h"

struct hub;
struct mapping;
struct playback;

/** What it is through and into: borrowed, until playback_job(). */
struct playback_of {
	const struct conf_feed *feed;
	struct mapping *mapping;
	const struct conf *conf;
	struct hub *hub;
};

struct playback *playback_new(const struct playback_of *of);
void playback_free(struct playback *p);
/** A message, that came at that time. */
void playback_add(struct playback *p, int64_t at_ms, struct span message);
/** All of it as one job; NULL: there is nothing to write. ERR_LIMIT_EXCEEDED: out of memory. id: of
 * the job's origin; what is asked for by `origin` is answered when it is back. */
enum err playback_job(struct playback *p, uint64_t id, const struct origin *origin,
	struct job **out, struct error *error);

uint64_t playback_id(const struct playback *p);
const struct origin *playback_origin(const struct playback *p);
/** The list that it is in. */
struct list *playback_in_list(struct playback *p);
struct playback *playback_of_list(struct list *link);
/** Writes the answer; j: the job that is back, or NULL. */
void playback_add_answer(const struct playback *p, const struct job *j, struct buf *out);
