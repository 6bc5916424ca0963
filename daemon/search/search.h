#pragma once
/*
 * The search as the store sees it: an index that follows the store in a file and a
 * thread of its own (the indexer), and a thread that answers (the searcher). Both
 * only read the store. Loop thread.
 */

#include "common/err.h"
#include "common/json.h"
#include "daemon/base/conf.h"
#include "daemon/store/store.h"

struct search;

/** Starts the threads: from now on the store's searches are answered. What is wrong with the index
 * is told by the status, and by searches. */
struct search *search_start(struct store *store, const struct conf *conf);
/** Something was committed. */
void search_poke(struct search *s);
/** Takes over what may change at run time; other kinds of categories make a new index. */
void search_reload(struct search *s, const struct conf *conf);
/** A check found the index damaged: it is made anew. */
void search_mend(struct search *s);
/** Writes the member "search" of status. last_seq: where the store stands. */
void search_add_status(const struct search *s, int64_t last_seq, struct json_out *o);
void search_stop(struct search *s);
