/* The search as the store sees it: see search.h. */

#include "daemon/search/search.h"

#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"
#include "daemon/search/indexer.h"
#include "daemon/search/indexfile.h"
#include "daemon/search/kinds.h"
#include "daemon/search/searcher.h"
#include "daemon/search/tokens.h"

struct search {
	struct store *store; /* borrowed */
	struct search_shared shared;
	struct indexer *indexer;
	struct searcher *searcher;
	char *kinds; /* what the configuration says */
	int64_t cache_bytes;
};

struct search *
search_start(struct store *store, const struct conf *conf)
{
	struct search *s = xnew(struct search);
	char *kinds = kinds_text(conf);

	s->store = store;
	s->shared.store_path = store_path(store);
	s->shared.index_path = indexfile_path(store_path(store));
	s->shared.epoch = store_epoch(store);
	s->shared.pace = store_pace(store);
	s->shared.max_lag = conf->search.max_lag;
	s->shared.generation = 1;
	s->kinds = xstrdup(kinds);
	s->cache_bytes = conf->store.cache_bytes;
	s->indexer = indexer_start(&s->shared, &kinds, conf);
	s->searcher = searcher_start(&s->shared, s->indexer, conf, store_done_queue(store));
	store_set_searcher(store, searcher_queue(s->searcher));
	indexer_poke(s->indexer);
	return s;
}

void
search_poke(struct search *s)
{
	if (s->shared.state != SEARCH_IDLE)
		indexer_poke(s->indexer);
}

void
search_reload(struct search *s, const struct conf *conf)
{
	char *kinds = kinds_text(conf);

	s->shared.max_lag = conf->search.max_lag;
	if (strcmp(kinds, s->kinds) == 0) {
		free(kinds);
		return;
	}
	free(s->kinds);
	s->kinds = xstrdup(kinds);
	indexer_set_kinds(s->indexer, &kinds);
}

void
search_mend(struct search *s)
{
	s->shared.damaged = s->shared.generation;
	indexer_poke(s->indexer);
}

static void
put_settings(const struct search *s, struct json_out *o)
{
	json_begin_array(o, "tokenizers");
	for (int i = 0; i < INDEX_KINDS; i++)
		json_put_str(o, NULL, tokenizer_option((enum tokenizer_kind)i));
	json_end_array(o);
	json_begin_object(o, "pragmas");
	json_put_str(o, "journal_mode", INDEX_JOURNAL);
	json_put_str(o, "synchronous", INDEX_SYNCHRONOUS);
	json_put_int(o, "cache_bytes", s->cache_bytes);
	json_put_int(o, "automerge", INDEX_AUTOMERGE);
	json_put_int(o, "hashsize", INDEX_HASH_BYTES);
	json_end_object(o);
}

void
search_add_status(const struct search *s, int64_t last_seq, struct json_out *o)
{
	const struct search_shared *shared = &s->shared;
	int64_t mark = shared->mark;
	enum search_state state = shared->state;

	json_begin_object(o, "search");
	json_put_str(o, "state", search_state_name(state));
	json_put_str(o, "path", shared->index_path);
	json_put_int(o, "mark", mark);
	json_put_int(o, "lag", state != SEARCH_IDLE && last_seq > mark ? last_seq - mark : 0);
	json_put_int(o, "bytes", shared->index_bytes);
	json_put_int(o, "tail_records", (int64_t)shared->tail_records);
	json_put_int(o, "tail_bytes", (int64_t)shared->tail_bytes);
	json_put_int(o, "indexed", (int64_t)shared->indexed);
	json_put_int(o, "removed", (int64_t)shared->removed);
	json_put_int(o, "batches", (int64_t)shared->batches);
	json_put_int(o, "rebuilds", (int64_t)shared->rebuilds);
	json_put_int(o, "searches", (int64_t)shared->searches);
	json_put_int(o, "timeouts", (int64_t)shared->timeouts);
	json_put_int(o, "waited_ms", (int64_t)(shared->pace->waited_us / 1000));
	put_settings(s, o);
	json_end_object(o);
}

void
search_stop(struct search *s)
{
	if (s == NULL)
		return;
	store_set_searcher(s->store, NULL);
	searcher_stop(s->searcher);
	indexer_stop(s->indexer);
	free(s->shared.index_path);
	free(s->kinds);
	free(s);
}
