#pragma once
/*
 * The store's sink: answers the peers whose jobs are done, then tells the hub
 * what changed. Reply first, then echo. Loop thread.
 */

#include "daemon/backups.h"
#include "daemon/errand.h"
#include "daemon/feed/feeds.h"
#include "daemon/hub/hub.h"
#include "daemon/peer/peer.h"
#include "daemon/search/search.h"
#include "daemon/secrets.h"
#include "daemon/store/store.h"

struct deliver {
	struct peers *peers;
	struct hub *hub;
	struct backups *backups;
	struct errand *check;
	struct errand *compaction;
	struct search *search;
	struct auth *auth;
	struct secrets *secrets;
	struct feeds *feeds;
	uint64_t dropped;        /* answers whose peer is gone */
	struct change **changes; /* of the run that is delivered */
	size_t changes_n;
	size_t changes_cap;
};

/** The store's sink that delivers to d; peers, hub and search are set before the first job is done.
 */
struct store_sink deliver_sink(struct deliver *d);
void deliver_fini(struct deliver *d);
