#pragma once
/*
 * What the tests of the hub stand on: a real store in a folder of its own, a
 * real loop, a hub, and readers that stand for peers. A reader keeps what was
 * sent to it until it is let through, and then believes it as a client would: it
 * checks each change against its position and keeps the state that it was told.
 */

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/loop.h"
#include "daemon/hub/hub.h"
#include "daemon/store/store.h"

#define RIG_CATEGORIES 4
#define RIG_IDS        12
#define RIG_VIEWS      4

extern const char *const rig_categories[RIG_CATEGORIES]; /* ids are "i0" to "i11" */

/** The seq of each record's newest put; 0: it is not there. */
struct rig_state {
	int64_t seq[RIG_CATEGORIES][RIG_IDS];
	bool is_odd[RIG_CATEGORIES][RIG_IDS]; /* its data was put with an odd data_n */
};

/** What a client knows of one subscription. */
struct view {
	struct rig_state state;
	int64_t position;
	int64_t prev; /* of the last change */
	int64_t base;
	int64_t resync; /* -1, or the seq that `resync` told */
	unsigned changes;
	unsigned leaves; /* of these */
	unsigned synced;
	unsigned progress;
	unsigned lagged;
	unsigned messages;
	unsigned dropped;
	unsigned stale;
	unsigned fresh;
	int64_t stale_since;   /* 0: it is not stale */
	unsigned before_stale; /* changes and positions told before the first */
};

struct reader {
	struct subscriber subscriber; /* first */
	struct frame **queue;
	size_t queue_n;
	size_t unsent;
	size_t most_unsent; /* after a flush */
	unsigned frames;
	unsigned flushes;
	bool is_stuck;
	struct view views[RIG_VIEWS + 1]; /* by number of the subscription */
	struct frame *last_change;
};

struct rig {
	struct conf conf;
	struct loop *loop;
	struct store *store;
	struct hub *hub;
	struct rig_state state; /* by what the store answered */
	int64_t last_seq;
	unsigned writes_pending;
	char folder[64];
	char path[96];
};

extern struct rig rig;

/** Before and after each test; conf may be changed between rig_prepare() and rig_start(). */
void rig_prepare(void);
void rig_start(void);
void rig_setup(void);
void rig_teardown(void);

/** Submit a write; rig_settle() waits for it. */
void rig_put(unsigned category, unsigned id, size_t data_n);
void rig_delete(unsigned category, unsigned id);
/** Forgets all tombstones. */
void rig_prune(void);
/** Runs the loop until condition() holds. */
void rig_run_until(bool (*condition)(void *arg), void *arg);
/** Until every write is committed and published. */
void rig_settle(void);
/** Some turns of the loop. */
void rig_turns(unsigned n);

/** A pattern of one category ("x*" is a prefix) and, unless NULL, one id. */
struct pattern *rig_pattern(const char *category, const char *id);

/** The same, of records whose data was put with an odd data_n. */
struct pattern *rig_odd_pattern(const char *category, const char *id);

void reader_init(struct reader *r, enum framing framing);
/** Disconnects: what was not let through is lost. */
void reader_fini(struct reader *r);
/** Subscribes; must be accepted; returns the number. since: -1 is live from now. A view that
 * resumes keeps its state, one from 0 begins anew. */
unsigned reader_subscribe(struct reader *r, struct pattern *p, int64_t since, int64_t base);
/** The same; may be refused with ERR_RESYNC_REQUIRED. */
enum err reader_try_subscribe(
	struct reader *r, struct pattern *p, int64_t since, int64_t base, unsigned *number);
unsigned reader_subscribe_topics(struct reader *r, struct pattern *p);
/** Reads nothing from now on. */
void reader_stick(struct reader *r);
/** Reads everything that waits, and tells the hub. */
void reader_unstick(struct reader *r);
/** Runs until the subscription stands where the store does. */
void reader_catch_up(struct reader *r, unsigned number);
/** The state is what the store has of the pattern. */
void reader_check_state(const struct reader *r, unsigned number, const struct pattern *p);
