#pragma once
/*
 * A WebSocket to a daemon, as libsysrt uses it: messages as lines in, messages out, the
 * heartbeat. Opening blocks, with a time limit; nothing else does. One thread at a time.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/client/sysrt.h"
#include "common/rpc.h"
#include "common/span.h"

struct remote;

int remote_open(const char *url, const struct sysrt_options *options, int64_t until_us,
	struct remote **out, struct sysrt_error *error);
/** With a close, as far as that goes at once. NULL is fine. */
void remote_close(struct remote *r);
int remote_fd(const struct remote *r);

/** Reads what is there, some of it at least; each message becomes a line. 0, or -1: it ended or
 * failed. */
int remote_read(struct remote *r, struct rpc_lines *lines, struct sysrt_error *error);
/** True if there is something to be read that poll() does not know of. */
bool remote_has_pending(const struct remote *r);
/** Queues a message. */
void remote_queue(struct remote *r, struct span message);
/** Writes what is queued: 1 when that is all, 0 when no more is taken now, -1 on a failure. */
int remote_flush(struct remote *r, struct sysrt_error *error);
bool remote_has_unsent(const struct remote *r);

/** The heartbeat: says a ping when it is time for one. -1: too many had no answer. */
int remote_beat(struct remote *r, int64_t now_us, struct sysrt_error *error);
/** When it has to be called again. */
int64_t remote_beat_us(const struct remote *r);
