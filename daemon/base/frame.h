#pragma once
/*
 * What is sent: a frame is a small head of its own and, optionally, a body that
 * many frames share. Both are immutable and counted. A change is encoded once as
 * a body; each pattern and subscription number adds a head. Frames that have been
 * joined are one, all of it head, with many messages in it. Loop thread only, but
 * for a body's making: whoever makes it owns it until it hands it over.
 */

#include <stddef.h>
#include <stdint.h>

#include "common/span.h"

/** Counted bytes. */
struct body {
	unsigned refs;
	uint32_t n;
	char bytes[];
};

/** A body with one reference and room for n bytes, which the caller fills; NULL when out of memory.
 * Any thread. */
struct body *body_new(size_t n);
struct body *body_ref(struct body *b);
void body_unref(struct body *b);

struct frame {
	unsigned refs;
	uint32_t head_n : 31;
	uint32_t is_secret : 1; /* it is overwritten when it is freed */
	struct body *body;      /* owned reference, or NULL */
	char head[];
};

/** A frame with one reference: head is copied, *body (may be NULL) gets a reference of its own. */
struct frame *frame_new(struct span head, struct body *body);
struct frame *frame_ref(struct frame *f);
void frame_unref(struct frame *f);
/** One frame with the bytes of all these, in their order: a copy. */
struct frame *frame_join(struct frame *const *frames, size_t n);

static inline size_t
frame_size(const struct frame *f)
{
	return f->head_n + (f->body != NULL ? f->body->n : 0);
}

/** How a peer wants messages wrapped. */
enum framing {
	FRAMING_LINE,      /* Unix socket: the text and "\n" */
	FRAMING_WEBSOCKET, /* one unmasked text frame */
	FRAMING_COUNT
};

/** Makes a frame of a message that starts with `text` and goes on with `body` (may be NULL; gets a
 * reference). The one place that knows a WebSocket data header. A body ends its message; for
 * FRAMING_LINE a "\n" must be part of the body, or of the text when there is no body (white space
 * is harmless in a WebSocket message). */
struct frame *frame_message(enum framing framing, struct span text, struct body *body);
