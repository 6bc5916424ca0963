#pragma once
/*
 * What the threads of the search tell each other without a lock: where the index
 * stands, and what is to be done about it. Private to daemon/search.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/store/pace.h"

enum search_state {
	SEARCH_IDLE,     /* no category is searched: there is no index */
	SEARCH_BUILDING, /* the index is being made, or far behind */
	SEARCH_READY,
	SEARCH_FAILING, /* the index cannot be written; tried again */
	SEARCH_STATES
};

struct search_shared {
	const char *store_path; /* constant, borrowed */
	char *index_path;       /* constant */
	const char *epoch;      /* constant, borrowed: of this run of the store */
	struct pace *pace;      /* the writer's */
	_Atomic enum search_state state;
	_Atomic unsigned generation; /* grows when another file, or none, is at index_path */
	_Atomic unsigned damaged;    /* the generation that was seen to be damaged: the indexer
					makes it anew. 0: none */
	_Atomic int64_t max_lag;
	_Atomic int64_t mark; /* committed */
	_Atomic int64_t index_bytes;
	_Atomic uint64_t indexed; /* records */
	_Atomic uint64_t removed;
	_Atomic uint64_t batches;
	_Atomic uint64_t rebuilds;
	_Atomic uint64_t tail_records;
	_Atomic uint64_t tail_bytes;
	_Atomic uint64_t searches;
	_Atomic uint64_t timeouts;
};
