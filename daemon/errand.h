#pragma once
/*
 * Long work of the store's that somebody asks for and hears about, such as a check: one
 * of a kind at a time, with `job` notifications, stopped when who asked for it is gone.
 * Loop thread.
 */

#include "daemon/peer/peer.h"
#include "daemon/store/store.h"

/** How the store does it. */
struct errand_work {
	enum err (*start)(struct store *s, struct error *error);
	void (*stop)(struct store *s);
	bool (*progress)(const struct store *s, int64_t *done, int64_t *total);
};

struct errand;

/** All borrowed. */
struct errand *errand_new(struct loop *loop, struct store *store, struct peers *peers,
	const struct errand_work *work);
void errand_free(struct errand *a);
/** *job: its number. */
enum err errand_ask(struct errand *a, uint64_t peer, int64_t *job, struct error *error);
/** The store's answer. NULL is fine: nobody is left to hear it. */
void errand_done(struct errand *a, const struct job *j);
