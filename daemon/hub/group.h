#pragma once
/*
 * Who shares what. A watch is one pattern that somebody wants, with the seq of
 * its last match; a group is those of its subscriptions that have the same
 * framing and number, and so the same frames. Both live as long as they have
 * subscriptions. Loop thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/list.h"
#include "daemon/base/frame.h"
#include "daemon/hub/index.h"
#include "daemon/hub/table.h"
#include "daemon/store/pattern.h"

struct watch {
	struct index_entry entry;
	struct table_node by_key;
	struct pattern *pattern;
	int64_t prev; /* seq of the last match; at first: what was published when it appeared */
	struct list all;
	struct list groups;
	struct list fetches; /* replay's: pages on their way */
};

/** A subscription's place in its group: embedded in it. */
struct member {
	struct group *group;
	unsigned place; /* in group->live, while it is there */
	struct list in_group;
};

struct group {
	struct watch *watch;
	enum framing framing;
	unsigned number;
	struct list members; /* live or not */
	struct member **live;
	unsigned live_n;
	unsigned live_cap;
	uint32_t slice_first; /* its frames in the slice being published (slice.c) */
	uint32_t slice_last;
	struct list in_slice; /* linked while it has any */
	struct list in_watch;
};

/** All watches of one kind: on categories, or on topics. */
struct watches {
	struct index index;
	struct table by_key;
	struct list all;
	size_t n;
	size_t pairs;     /* of a category and an id, in all their patterns */
	size_t pairs_max; /* whoever adds one asks before */
};

void watches_init(struct watches *ws, uint64_t seed);
/** All members must be gone. */
void watches_fini(struct watches *ws);
/** True if somebody has this pattern. */
bool watches_have(const struct watches *ws, const struct pattern *p);

static inline struct watch *
watch_of(struct index_entry *e)
{
	return list_item(e, struct watch, entry);
}

/** Makes m a member, not live, of the group for (*pattern, framing, number); takes the pattern.
 * `published`: what a new watch starts with as prev. */
void group_join(struct watches *ws, struct member *m, struct pattern **pattern,
	enum framing framing, unsigned number, int64_t published);
/** The opposite; leaves the live ones too. */
void group_quit(struct watches *ws, struct member *m);
void group_enter_live(struct member *m);
void group_leave_live(struct member *m);
bool group_is_live(const struct member *m);
