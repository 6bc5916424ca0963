#pragma once
/*
 * The recorder: what comes from an upstream, message by message, in a file of its own,
 * so that it can be replayed. A line each: {"at":ms,"text":"..."}, or "base64" of what
 * is no text. All recorders share one thread that writes; of each one piece is under
 * way at a time, and whoever records reads no more until it is written: then no death
 * of the daemon takes what was mapped from it, since it was recorded before.
 *
 * A file that has half of what is allowed becomes NAME.ndjson.1, in place of the one
 * before it. What cannot be written, since the disk is full, is told once and left out.
 * Loop thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/json.h"
#include "common/span.h"

struct loop;
struct recorder;
struct recorders;

/** folder: is made when something is recorded. */
struct recorders *recorders_new(struct loop *loop, const char *folder);
/** Waits for the piece that is being written, and closes them all. */
void recorders_free(struct recorders *rs);

/** What one records into, and who hears that a piece is written. */
struct recorder_wish {
	const char *name; /* of the file, without ".ndjson" */
	int64_t max;      /* bytes of both files together */
	void (*written)(void *arg);
	void *arg;
};

/** NULL: somebody records under this name. */
struct recorder *recorder_open(struct recorders *rs, const struct recorder_wish *wish);
/** Nothing is added from now on: its name is free for another. */
void recorder_retire(struct recorder *r);
/** What was added and not written is lost; `written` is not called any more. NULL is fine. */
void recorder_close(struct recorder *r);

/** Adds a message to the next piece. */
void recorder_add(struct recorder *r, int64_t at_ms, bool is_text, struct span message);
/** Has it written, not while one is: true, and `written` is called; false: there is nothing in it.
 */
bool recorder_write(struct recorder *r);
bool recorder_is_writing(const struct recorder *r);
/** Writes members: file, messages, lost?, error? */
void recorder_add_status(const struct recorder *r, struct json_out *o);
