#pragma once
/*
 * A reader: a thread with a read-only connection. Takes the jobs that wait,
 * answers a handful of them in one snapshot, those of different clients in turn,
 * hands them back. Short snapshots: an old one would keep the log from being
 * restarted.
 */

#include <stdbool.h>

#include "common/err.h"
#include "daemon/base/conf.h"
#include "daemon/base/queue.h"

struct job;
struct reader;

/** Opens its connection and starts the thread. `out` and `epoch` are borrowed. */
enum err reader_start(const char *path, const struct conf *conf, const char *epoch,
	struct queue *out, struct reader **r, struct error *error);
/** Where its jobs go in: the caller pushes. */
struct queue *reader_queue(struct reader *r);
/** What every thread does that answers reads: true when the job is put off, since its client asks
 * and does not listen, and must not fill the memory with answers; and noting the answer that was
 * made. */
bool reader_puts_off(struct job *j);
void reader_note_made(const struct job *j);
/** Ends the thread after what is queued. */
void reader_stop(struct reader *r);
