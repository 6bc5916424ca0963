/*
 * Frames and bodies: see frame.h. Plain counters, no atomics: a body has one
 * owner until it reaches the loop thread, and stays there.
 */

#include "daemon/base/frame.h"

#include <stdlib.h>
#include <string.h>

#include "common/wire/ws.h"
#include "common/xalloc.h"

struct body *
body_new(size_t n)
{
	struct body *b;

	if (n > UINT32_MAX)
		return NULL;
	b = try_alloc(sizeof(*b) + n);
	if (b == NULL)
		return NULL;
	b->refs = 1;
	b->n = (uint32_t)n;
	return b;
}

struct body *
body_ref(struct body *b)
{
	b->refs++;
	return b;
}

void
body_unref(struct body *b)
{
	if (b != NULL && --b->refs == 0)
		free(b);
}

struct frame *
frame_new(struct span head, struct body *body)
{
	struct frame *f = xcalloc(1, sizeof(*f) + head.n);

	f->refs = 1;
	f->head_n = (uint32_t)head.n;
	f->body = body != NULL ? body_ref(body) : NULL;
	memcpy(f->head, head.p, head.n);
	return f;
}

struct frame *
frame_ref(struct frame *f)
{
	f->refs++;
	return f;
}

void
frame_unref(struct frame *f)
{
	if (f == NULL || --f->refs > 0)
		return;
	if (f->is_secret)
		explicit_bzero(f->head, f->head_n);
	body_unref(f->body);
	free(f);
}

struct frame *
frame_message(enum framing framing, struct span text, struct body *body)
{
	size_t total = text.n + (body != NULL ? body->n : 0), head_n = 0;
	char head[WS_HEADER_MAX] = "";
	struct frame *f;

	if (framing == FRAMING_WEBSOCKET)
		head_n = ws_header(head, WS_TEXT, total);
	f = xcalloc(1, sizeof(*f) + head_n + text.n);
	f->refs = 1;
	f->head_n = (uint32_t)(head_n + text.n);
	f->body = body != NULL ? body_ref(body) : NULL;
	memcpy(f->head, head, head_n);
	memcpy(f->head + head_n, text.p, text.n);
	return f;
}
