#pragma once
/*
 * The texts that the hub sends, as frames. Pure; loop thread.
 */

#include <stdint.h>

#include "common/span.h"
#include "daemon/base/frame.h"

/** A change: the head of subscription `number`, before a change's body. */
struct frame *notify_change(
	enum framing framing, unsigned number, int64_t seq, int64_t prev, struct body *body);
/** `synced` or `progress`: {subscription, seq}. */
struct frame *notify_position(
	enum framing framing, const char *method, unsigned number, int64_t seq);
/** `lagged`; dropped 0 is left out. */
struct frame *notify_lagged(enum framing framing, unsigned number, int64_t seq, unsigned dropped);
/** `resync`: seq is the lowest position that is still valid. */
struct frame *notify_resync(enum framing framing, unsigned number, int64_t seq, const char *epoch);

/** `unsubscribed`; reason: needs no escapes. */
struct frame *notify_unsubscribed(enum framing framing, unsigned number, const char *reason);

/** `stale`, since a time; `fresh` when that is 0. feed: needs no escapes. */
struct frame *notify_outage(
	enum framing framing, unsigned number, struct span feed, int64_t since_ms);

/** The shared part of a topic message; NULL when out of memory. data: JSON. */
struct body *notify_message_body(struct span topic, struct span data);
struct frame *notify_message(enum framing framing, unsigned number, struct body *body);
