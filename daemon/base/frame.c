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

/** With a head of n bytes, which the caller fills. */
static struct frame *
frame_of_size(size_t n)
{
	struct frame *f;

	must(n <= INT32_MAX);
	f = xrealloc(NULL, 1, sizeof(*f) + n);
	*f = (struct frame){.refs = 1, .head_n = (uint32_t)n & INT32_MAX};
	return f;
}

struct frame *
frame_new(struct span head, struct body *body)
{
	struct frame *f = frame_of_size(head.n);

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
frame_join(struct frame *const *frames, size_t n)
{
	struct frame *all;
	size_t total = 0;
	char *to;

	for (size_t i = 0; i < n; i++)
		total += frame_size(frames[i]);
	all = frame_of_size(total);
	to = all->head;
	for (size_t i = 0; i < n; i++) {
		const struct frame *f = frames[i];

		all->is_secret |= f->is_secret;
		memcpy(to, f->head, f->head_n);
		to += f->head_n;
		if (f->body != NULL) {
			memcpy(to, f->body->bytes, f->body->n);
			to += f->body->n;
		}
	}
	return all;
}

struct frame *
frame_message(enum framing framing, struct span text, struct body *body)
{
	size_t total = text.n + (body != NULL ? body->n : 0), head_n = 0;
	char head[WS_HEADER_MAX] = "";
	struct frame *f;

	if (framing == FRAMING_WEBSOCKET)
		head_n = ws_header(head, WS_TEXT, total);
	f = frame_of_size(head_n + text.n);
	f->body = body != NULL ? body_ref(body) : NULL;
	memcpy(f->head, head, head_n);
	memcpy(f->head + head_n, text.p, text.n);
	return f;
}
