#pragma once
/* The inside of the daemon: what its files share. */

#include "daemon/base/heap.h"
#include "daemon/base/loop.h"
#include "daemon/deliver.h"
#include "daemon/doors.h"
#include "daemon/feed/feeds.h"
#include "daemon/peer/session.h"
#include "daemon/server.h"

enum phase { SERVING, ANNOUNCING, DRAINING, ABANDONING, CLOSING };

struct server {
	struct conf *conf; /* owned */
	const struct conf_sources *sources;
	struct loop *loop;
	struct net *net;
	struct stats *stats;
	struct bounds *bounds;
	struct store *store;
	struct auth *auth;
	struct audit *audit;
	struct vault *vault;
	struct secrets *secrets;
	struct feeds *feeds;
	struct search *search;
	struct hub *hub;
	struct limits *limits;
	struct deliver deliver;
	struct api api;
	struct peers *peers;
	struct sessions *sessions;
	struct backups *backups;
	struct errand *check;
	struct errand *compaction;
	struct doors *doors;
	struct loop_timer *look_timer;
	struct loop_timer *drain_timer;
	enum phase phase;
	int64_t phase_ends_ms; /* monotonic */
	int64_t started_ms;    /* monotonic */
	int64_t tidied_ms;     /* monotonic: when the use of tokens was last noted */
	struct heap heap;
};

/** What only the whole can do, for the API: server_api.c. */
struct daemon_ops server_api_ops(struct server *s);
/** Reads the configuration again; *result says what was applied. */
enum err server_reload(struct server *s, struct buf *result, struct error *error);
/** The way to a clean stop begins; a second time: it is over at once. */
void server_begin_stop(struct server *s);
