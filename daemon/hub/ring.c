/*
 * The ring of recent changes: see ring.h. Pure.
 */

#include "daemon/hub/ring.h"

#include <stdlib.h>

#include "common/xalloc.h"

/* What a change takes besides its texts, about. */
#define CHANGE_OVERHEAD 96

static size_t
cost_of(const struct change *c)
{
	return CHANGE_OVERHEAD + c->category.n + c->id.n + c->body->n;
}

void
ring_init(struct ring *r, size_t max_n, size_t max_bytes, int64_t floor)
{
	*r = (struct ring){
		.v = max_n > 0 ? xnew_n(max_n, struct change *) : NULL,
		.cap = max_n,
		.max_bytes = max_bytes,
		.floor = floor,
	};
}

struct change *
ring_at(const struct ring *r, size_t i)
{
	size_t at = r->first + i;

	return r->v[at < r->cap ? at : at - r->cap];
}

/** Drops the oldest. */
static void
evict(struct ring *r)
{
	struct change *c = ring_at(r, 0);

	r->floor = c->seq;
	r->nbytes -= cost_of(c);
	r->first = r->first + 1 < r->cap ? r->first + 1 : 0;
	r->n--;
	change_unref(c);
}

void
ring_void(struct ring *r, int64_t floor)
{
	while (r->n > 0)
		evict(r);
	r->floor = floor;
}

void
ring_fini(struct ring *r)
{
	ring_void(r, 0);
	free(r->v);
	r->v = NULL;
}

void
ring_push(struct ring *r, struct change *c)
{
	size_t cost = cost_of(c), at;

	must(c->seq > r->floor && (r->n == 0 || c->seq > ring_at(r, r->n - 1)->seq));
	if (r->cap == 0 || cost > r->max_bytes) {
		ring_void(r, c->seq);
		return;
	}
	while (r->n == r->cap || r->nbytes + cost > r->max_bytes)
		evict(r);
	at = r->first + r->n;
	r->v[at < r->cap ? at : at - r->cap] = change_ref(c);
	r->n++;
	r->nbytes += cost;
}

void
ring_resize(struct ring *r, size_t max_n, size_t max_bytes)
{
	struct ring old = *r;

	if (max_n == r->cap && max_bytes == r->max_bytes)
		return;
	ring_init(r, max_n, max_bytes, old.floor);
	for (size_t i = 0; i < old.n; i++)
		ring_push(r, ring_at(&old, i));
	ring_fini(&old);
}

bool
ring_has_all_after(const struct ring *r, int64_t seq)
{
	return seq >= r->floor;
}

size_t
ring_place_after(const struct ring *r, int64_t seq)
{
	size_t low = 0, high = r->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (ring_at(r, middle)->seq <= seq)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}
