#pragma once
/*
 * Chains of writes: one that is chained is done only if the one before it of the
 * same client was. What is refused before it comes in is known when what follows
 * comes in (loop thread); what the writer has, fails or not when its transaction
 * has ended, so a chained job is not run in one with those before it (writer
 * thread). Private to the store.
 */

#include "common/err.h"
#include "daemon/store/client.h"
#include "daemon/store/job.h"

/** A job of a client (NULL: the daemon's own) comes in. ERR_UNAVAILABLE: it is chained to a write
 * that did not. Loop thread. */
enum err chain_admit(struct store_client *c, const struct job *j, struct error *error);
/** The job's turn has come. ERR_UNAVAILABLE: it is chained to one that failed. Writer thread. */
enum err chain_check(const struct job *j, struct error *error);
/** How these ended is certain. Writer thread. */
void chain_note(const struct qlist *jobs);
