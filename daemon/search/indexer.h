#pragma once
/*
 * The indexer: a thread that brings the search index up to the store. It reads
 * what has changed above the index's mark, records and tombstones, in batches,
 * and moves the mark with them in one transaction: a crash only leaves the mark
 * behind. It rests while little has happened, since each batch is a segment to be
 * merged later; searches do not wait for it. It has a low priority, so that bursts
 * are the writer's; what bounds its lag is the writer's pace (daemon/store/pace.h).
 */

#include "common/err.h"
#include "daemon/base/conf.h"
#include "daemon/search/shared.h"

struct indexer;

const char *search_state_name(enum search_state state);

/** Starts the thread; `kinds` is the text of kinds_text(), taken. What cannot be opened is tried
 * again and told by the state. shared is borrowed. */
struct indexer *indexer_start(struct search_shared *shared, char **kinds, const struct conf *conf);
/** Something was committed, or the index may have to be mended. Any thread; cheap. */
void indexer_poke(struct indexer *x);
/** Goes on with other kinds: a new index. Takes the text. Loop thread. */
void indexer_set_kinds(struct indexer *x, char **kinds);
/** Ends the thread; what is not committed is left. */
void indexer_stop(struct indexer *x);
