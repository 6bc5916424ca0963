#pragma once
/*
 * A slice of what is published: for each group the frames that its members get, in
 * their order. Small frames of a group that has some members are joined to runs, so
 * that their bytes are put together once, and not once a peer, and a peer handles
 * one frame for many changes. A run is taken whole; a peer that has no room for
 * that is offered its frames one by one. What is joined in a slice is bounded, and
 * the rest goes frame by frame. Loop thread.
 */

#include <stddef.h>
#include <stdint.h>

#include "common/list.h"
#include "daemon/base/frame.h"

#define SLICE_NONE UINT32_MAX

struct group;

/** One frame for the members of a group, whose frames are a chain. */
struct delivery {
	struct frame *frame; /* owned */
	int64_t seq;
	uint32_t next; /* in v, or SLICE_NONE */
	uint32_t run;  /* in runs: the one that begins here; or SLICE_NONE */
};

/** Some frames of a chain, joined. */
struct run {
	struct frame *frame; /* owned */
	int64_t seq;         /* of the last one */
	uint32_t n;
	uint32_t next; /* in v: what comes after it, or SLICE_NONE */
};

struct slice {
	struct delivery *v;
	uint32_t n;
	uint32_t cap;
	struct run *runs;
	uint32_t runs_n;
	uint32_t runs_cap;
	size_t joined;      /* bytes of all runs */
	size_t looked;      /* bytes of data that conditions looked at */
	struct list groups; /* those that have frames */
};

void slice_init(struct slice *s);
void slice_fini(struct slice *s);
/** Adds a frame to what the group's members will get; takes it. */
void slice_add(struct slice *s, struct group *g, struct frame *f, int64_t seq);
/** Joins what is worth it of the group's frames, to runs of at most run_max bytes. */
void slice_join(struct slice *s, const struct group *g, size_t run_max);
/** Drops all frames; its groups must be gone from it. */
void slice_clear(struct slice *s);
