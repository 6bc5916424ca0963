#pragma once
/*
 * Sends records to the daemon, many in a call, and counts what became of them.
 * Two batches are with the daemon while the next one is gathered: it reads the one
 * while it writes the other. Records take effect in their order all the same. A
 * batch that is sent behind another is chained to it: the daemon refuses it when
 * that one was refused, for whatever reason. So while a refused batch is halved
 * until the bad records are found, nothing behind it has been written; what was
 * refused for it is sent again afterwards, or never, when a bad record is the end.
 * Batches are dealt with from the front: what is told to be done has no gap, and a
 * break leaves two at most that may be there or not, the second not without the
 * first.
 *
 * Functions return 0, or an exit status after telling why not.
 */

#include <stdint.h>

#include "ctl/ctl.h"

/** Where a record stands in the input. */
struct place {
	uint64_t line;  /* from 1 */
	int64_t offset; /* of the byte behind it */
};

struct sender_options {
	struct ctl *c; /* borrowed */
	const char *method;
	struct span head;    /* members of the params before `records`, with a comma; borrowed */
	size_t batch_bytes;  /* the most that goes in one call, but for a single record */
	size_t record_bytes; /* the most that one record takes */
	/** A record was refused: 0 to pass over it, or an exit status. */
	int (*on_bad)(void *arg, uint64_t line, const char *why);
	/** A batch is dealt with. */
	int (*on_done)(void *arg);
	/** Something failed that is no fault of a record: its exit status. */
	int (*on_failure)(void *arg, const struct sysrt_error *error);
	void *arg;
};

struct sender;

struct sender *sender_new(const struct sender_options *options);
void sender_free(struct sender *s);

/** Takes one record, JSON of the params that the method takes. */
int sender_add(struct sender *s, struct span record, struct place place);
/** Sends what was gathered and waits for all answers. */
int sender_flush(struct sender *s);
/** Waits for the answers to what was sent, and sends nothing more. */
int sender_finish(struct sender *s);
/** True when something was gathered that is not sent. */
bool sender_has_waiting(const struct sender *s);

/** The last answer's `seq` of all that were not 0. */
int64_t sender_seq(const struct sender *s);
uint64_t sender_written(const struct sender *s);
uint64_t sender_skipped(const struct sender *s);
/** Up to where all is dealt with: written, or told to be bad. */
struct place sender_done(const struct sender *s);
