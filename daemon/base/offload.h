#pragma once
/*
 * Work that takes long and needs nothing of the loop's, such as stretching a passphrase:
 * on a thread of its own, one piece after the other, handed back to the loop. How much
 * may wait is for those to bound who hand it over.
 */

#include "daemon/base/queue.h"

struct loop;
struct offload;

/** Embedded as the first member of what it works on, which must not be touched elsewhere until it
 * is done. */
struct offload_work {
	struct qitem item;
	void (*run)(struct offload_work *w);  /* on the thread */
	void (*done)(struct offload_work *w); /* on the loop */
};

struct offload *offload_new(struct loop *loop);
void offload_submit(struct offload *o, struct offload_work *w);
/** Waits for the piece that runs. What was submitted and is not done is still its owner's. */
void offload_free(struct offload *o);
