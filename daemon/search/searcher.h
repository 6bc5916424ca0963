#pragma once
/*
 * The searcher: a thread that answers searches, those of different clients in turn.
 * While some came lately it keeps the tail up by itself, so that the next one has
 * little to add; after a while without any it forgets the tail.
 */

#include "common/err.h"
#include "daemon/base/conf.h"
#include "daemon/base/queue.h"
#include "daemon/search/indexer.h"
#include "daemon/search/shared.h"

struct searcher;

/** Starts the thread. Borrowed: shared, the indexer, which is poked when the index cannot be read,
 * and `out`. */
struct searcher *searcher_start(struct search_shared *shared, struct indexer *indexer,
	const struct conf *conf, struct queue *out);
/** Where its jobs go in: the caller pushes. */
struct queue *searcher_queue(struct searcher *s);
/** Ends the thread after what is queued. */
void searcher_stop(struct searcher *s);
