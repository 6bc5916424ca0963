/*
 * Publishing what was committed. A slice is at most 64 changes: each is matched
 * once and framed once a group; then each group's members get all of their
 * frames in one go, and one flush a peer follows. So the costs are a look-up a
 * change, a head and a copy a group and change, some pointers a peer and slice,
 * and one system call. Loop thread.
 */

#include <stdlib.h>

#include "common/xalloc.h"
#include "daemon/hub/hub_priv.h"
#include "daemon/hub/notify.h"

#define SLICE_CHANGES    64
#define SLICE_DELIVERIES 8192 /* about: a slice ends with the change that reaches it, */
#define SLICE_LOOKED     ((size_t)1 << 20) /* or this: bytes that conditions look at */
#define LOOK_OVERHEAD    256
#define BACKLOG_MIN      64

static struct change **
backlog_at(const struct backlog *b, size_t i)
{
	return &b->v[(b->first + i) & (b->cap - 1)];
}

static void
backlog_grow(struct backlog *b)
{
	struct backlog old = *b;

	b->cap = old.cap > 0 ? 2 * old.cap : BACKLOG_MIN;
	b->v = xnew_n(b->cap, struct change *);
	b->first = 0;
	for (size_t i = 0; i < old.n; i++)
		b->v[i] = *backlog_at(&old, i);
	free(old.v);
}

static struct change *
backlog_shift(struct backlog *b)
{
	struct change *c = *backlog_at(b, 0);

	b->first = (b->first + 1) & (b->cap - 1);
	b->n--;
	return c;
}

void
hub_publish(struct hub *h, struct change *const *changes, size_t n)
{
	struct backlog *b = &h->backlog;

	for (size_t i = 0; i < n; i++) {
		if (changes[i]->seq <= h->newest)
			continue; /* told by replays, after somebody else's commit */
		h->newest = changes[i]->seq;
		if (b->n == b->cap)
			backlog_grow(b);
		*backlog_at(b, b->n++) = change_ref(changes[i]);
	}
	if (b->n > 0)
		hub_schedule(h);
}

bool
hub_is_idle(const struct hub *h)
{
	return h->backlog.n == 0 && list_is_empty(&h->touched) && list_is_empty(&h->flushing);
}

void
publish_drop(struct hub *h)
{
	struct backlog *b = &h->backlog;

	while (b->n > 0)
		change_unref(backlog_shift(b));
	free(b->v);
	*b = (struct backlog){.v = NULL};
}

void
publish_fini(struct hub *h)
{
	publish_drop(h);
	slice_fini(&h->slice);
}

static bool
has_live(const struct watch *w)
{
	struct list *at, *tmp;

	list_each (at, tmp, &w->groups)
		if (list_item(at, struct group, in_watch)->live_n > 0)
			return true;
	return false;
}

/** What a watch with a condition is told of a change, NULL: nothing. Its live ones know all that
 * was before. */
static struct body *
accepted_body(struct hub *h, const struct watch *w, struct change *c)
{
	const struct where *where = w->pattern->where;

	h->slice.looked += LOOK_OVERHEAD + c->data.n + c->before.n;
	if (c->op == CHANGE_PUT && where_matches(where, c->data))
		return c->body;
	if (c->knows_before && (c->before.n == 0 || !where_matches(where, c->before)))
		return NULL;
	return c->op == CHANGE_PUT ? change_leave_body(c) : c->body;
}

static void
slice_add_change(struct hub *h, struct change *c)
{
	struct index_entry *const *found;
	size_t n = index_match(&h->changes.index, c->category, c->id, &found);

	for (size_t i = 0; i < n; i++) {
		struct watch *w = watch_of(found[i]);
		struct body *body = c->body;
		struct list *at, *tmp;

		if (w->pattern->where != NULL)
			body = has_live(w) ? accepted_body(h, w, c) : NULL;
		if (body == NULL)
			continue;
		list_each (at, tmp, &w->groups) {
			struct group *g = list_item(at, struct group, in_watch);

			if (g->live_n > 0)
				slice_add(&h->slice, g,
					notify_change(g->framing, g->number, c->seq, w->prev, body),
					c->seq);
		}
		w->prev = c->seq;
	}
}

/** Gives one member its group's frames; false if it ran out of room and left the live ones. */
static bool
deliver_to(struct hub *h, struct subscription *sub, uint32_t first)
{
	const struct slice *s = &h->slice;
	uint32_t at = first;

	while (at != SLICE_NONE) {
		const struct delivery *d = &s->v[at];
		const struct run *run = d->run != SLICE_NONE ? &s->runs[d->run] : NULL;

		if (run != NULL && subscriber_try(sub->subscriber, run->frame)) {
			sub->told = run->seq;
			h->delivered_total += run->n;
			at = run->next;
			continue;
		}
		if (!subscriber_offer(sub->subscriber, d->frame))
			return false;
		sub->told = d->seq;
		h->delivered_total++;
		at = d->next;
	}
	return true;
}

/** A peer has one subscription in a group at most, so that one which begins to lag takes nobody but
 * itself from the array: the last one takes its place. */
static void
deliver_group(struct hub *h, struct group *g)
{
	slice_join(&h->slice, g, h->send_queue);
	for (unsigned i = 0; i < g->live_n;)
		if (deliver_to(h, subscription_of(g->live[i]), g->slice_first))
			i++;
}

static void
publish_slice(struct hub *h)
{
	struct slice *s = &h->slice;
	int64_t last = h->published;
	struct list *at;

	s->looked = 0;
	for (unsigned n = 0; n < SLICE_CHANGES && s->n < SLICE_DELIVERIES; n++) {
		struct change *c;

		if (h->backlog.n == 0 || s->looked > SLICE_LOOKED)
			break;
		c = backlog_shift(&h->backlog);
		slice_add_change(h, c);
		change_drop_before(c);
		ring_push(&h->ring, c);
		last = c->seq;
		h->published_total++;
		change_unref(c);
	}
	while ((at = list_shift(&s->groups)) != NULL)
		deliver_group(h, list_item(at, struct group, in_slice));
	h->published = last;
	slice_clear(s);
}

void
publish_turn(struct hub *h)
{
	/* One slice, or more when commits come faster than that: the backlog stays within about
	 * twice of what comes in while all peers are written to once. */
	size_t slices = 1 + h->backlog.n / (2 * SLICE_CHANGES);

	if (h->backlog.n == 0)
		return;
	for (; slices > 0 && h->backlog.n > 0; slices--)
		publish_slice(h);
	if (h->backlog.n > 0 || !list_is_empty(&h->catching_up))
		hub_schedule(h);
}
