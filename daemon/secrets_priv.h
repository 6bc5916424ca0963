#pragma once
/*
 * What the two sources of secrets.h share: a request on its way. Each step ends with the
 * next one: on the thread, in the store, or the end of it.
 */

#include "common/list.h"
#include "daemon/base/offload.h"
#include "daemon/guard/vault_plan.h"
#include "daemon/secrets.h"

struct secrets {
	struct loop *loop;
	struct store *store;
	struct peers *peers;
	struct vault *vault;
	const struct conf *conf;
	struct offload *offload;
	struct list waiting;
	unsigned waiting_n;
	struct work *now;
};

/** A request, with all that it needs and all that came of it. */
struct work {
	struct offload_work slow; /* first */
	struct list link;
	struct secrets *owner;
	struct origin origin;
	char id[RPC_ID_RAW_MAX + 1];
	struct vault_wish wish; /* its secrets are owned, its texts are in `texts` */
	char *texts;
	enum seal_cipher cipher;
	/* on the thread, where nothing changes the vault meanwhile: it is this work's turn */
	const char *path;       /* of the store */
	struct vault_head head; /* what a passphrase is stretched for */
	struct secret *key;
	const char *source;
	struct buf reply; /* of a test */
	enum err result;
	struct error error;
	/* in the store */
	struct vault_plan plan;
	int64_t version;
};

static inline struct work *
work_of(struct offload_work *w)
{
	return (struct work *)(void *)w;
}

/* secrets.c */

/** The end of it: answers, and begins the next. */
void work_fail(struct work *w, enum err e, const struct error *error);
void work_succeed(struct work *w);
/** After a plan was made: hands it to the store; or fails. */
void work_go_on(struct work *w, enum err e, const struct error *error);
/** run() on the thread, then done() on the loop. */
void work_go_slow(
	struct work *w, void (*run)(struct offload_work *), void (*done)(struct offload_work *));

/** After a plan was tried on the thread. */
void work_end_plan(struct offload_work *slow);

/* secrets_key.c */

void work_unlock(struct work *w);
void work_lock(struct work *w);
void work_rekey(struct work *w);
