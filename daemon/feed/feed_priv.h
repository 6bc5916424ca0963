#pragma once
/* The inside of a feed: what its files share. */

#include "daemon/base/histogram.h"
#include "daemon/feed/feed.h"
#include "daemon/feed/feedrecord.h"
#include "daemon/feed/journal.h"
#include "daemon/guard/bucket.h"

struct outage;
struct recorder;
struct writing;

/** Why it does not read. */
enum feed_hold { HOLD_RECORDER = 1, HOLD_STORE = 2, HOLD_RATE = 4 };

#define FEED_PUSHES 32

/** Records that are committed and not told yet. */
struct feed_push {
	int64_t seq;
	int64_t committed_us;
};

struct feed {
	uint64_t id;
	enum feed_source source;
	const struct feed_context *all;
	struct list in_list;
	struct conf_feed *def; /* owned, as all of these */
	struct mapping *mapping;
	struct link *link;
	struct writing *writing;
	struct recorder *recorder; /* NULL: nothing is recorded */
	struct outage *outage;     /* NULL: nobody is told */
	struct loop_timer *rate_timer;
	struct loop_timer *stale_timer;
	struct feedrecord_texts texts;
	struct buf waiting; /* messages that are to be recorded: see feed.c */
	size_t recording;   /* bytes of them, at the front, that the recorder is writing */
	struct bucket bucket;
	bool is_retired;
	bool is_withheld;
	bool wants_start;     /* it is to be started when it is not withheld any more */
	unsigned holds;       /* set of enum feed_hold */
	int64_t held_us;      /* monotonic: since when it waits for store or rate; 0: it does not */
	int64_t batch_ms;     /* wall clock: when this read came; 0: it has not begun */
	int64_t batch_us;     /* monotonic: likewise */
	int64_t down_ms;      /* wall clock: since when it is not live; 0: it is */
	int64_t moved_ms;     /* wall clock: when its state changed last */
	int64_t next_line_ms; /* monotonic: not before is another line about what is unmapped */
	uint64_t unmapped_untold;
	struct feed_push pushes[FEED_PUSHES];
	unsigned pushes_n;
	struct journal journal;
	/* counters */
	uint64_t tries;    /* to connect */
	uint64_t connects; /* times that it was live */
	uint64_t messages;
	uint64_t ignored; /* messages that `where` does not want */
	uint64_t mapped;
	uint64_t unmapped;
	int64_t paused_us;
	int64_t last_message_ms;       /* wall clock; 0: none yet */
	struct histogram commit_times; /* received to committed */
	struct histogram push_times;   /* committed to told */
};

/** For how long it has not read, all in all, for want of room or for its rate. */
int64_t feed_paused_us(const struct feed *f);
