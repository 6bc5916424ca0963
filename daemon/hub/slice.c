/*
 * Slices: see slice.h.
 */

#include "daemon/hub/slice.h"

#include <stdlib.h>

#include "common/xalloc.h"
#include "daemon/hub/group.h"

#define SLICE_MIN  64
#define RUN_FRAMES 64 /* as many as a slice has changes */
#define RUN_BYTES  32768
/* A larger frame costs more to copy than to hand on. */
#define RUN_PART 2048
/* Fewer are not worth a copy that has to stay for as long as one of them is slow. */
#define RUN_MEMBERS 4
/* Of a slice, so that many groups do not keep the loop from its sockets. */
#define JOINED_MAX ((size_t)1 << 20)

void
slice_init(struct slice *s)
{
	*s = (struct slice){.v = NULL};
	list_init(&s->groups);
}

void
slice_fini(struct slice *s)
{
	free(s->v);
	free(s->runs);
}

void
slice_add(struct slice *s, struct group *g, struct frame *f, int64_t seq)
{
	uint32_t at = s->n++;

	if (at == s->cap) {
		s->cap = s->cap > 0 ? 2 * s->cap : SLICE_MIN;
		s->v = xrealloc(s->v, s->cap, sizeof(*s->v));
	}
	s->v[at] = (struct delivery){f, seq, SLICE_NONE, SLICE_NONE};
	if (list_is_linked(&g->in_slice)) {
		s->v[g->slice_last].next = at;
	} else {
		g->slice_first = at;
		list_append(&s->groups, &g->in_slice);
	}
	g->slice_last = at;
}

static void
add_run(struct slice *s, struct delivery *first, struct run run)
{
	if (s->runs_n == s->runs_cap) {
		s->runs_cap = s->runs_cap > 0 ? 2 * s->runs_cap : SLICE_MIN;
		s->runs = xrealloc(s->runs, s->runs_cap, sizeof(*s->runs));
	}
	first->run = s->runs_n;
	s->runs[s->runs_n++] = run;
}

/** Joins the frames from `first` on that make one run; returns what comes after them. */
static uint32_t
join_from(struct slice *s, uint32_t first, size_t run_max)
{
	struct frame *frames[RUN_FRAMES];
	struct run run = {.next = first};
	size_t nbytes = 0;

	while (run.next != SLICE_NONE && run.n < RUN_FRAMES) {
		const struct delivery *d = &s->v[run.next];
		size_t n = frame_size(d->frame);

		if (n > RUN_PART || nbytes + n > run_max)
			break;
		nbytes += n;
		frames[run.n++] = d->frame;
		run.seq = d->seq;
		run.next = d->next;
	}
	if (run.n < 2)
		return s->v[first].next;
	run.frame = frame_join(frames, run.n);
	s->joined += nbytes;
	add_run(s, &s->v[first], run);
	return run.next;
}

void
slice_join(struct slice *s, const struct group *g, size_t run_max)
{
	uint32_t at = g->live_n >= RUN_MEMBERS ? g->slice_first : SLICE_NONE;

	if (run_max > RUN_BYTES)
		run_max = RUN_BYTES;
	while (at != SLICE_NONE && s->joined < JOINED_MAX)
		at = join_from(s, at, run_max);
}

void
slice_clear(struct slice *s)
{
	must(list_is_empty(&s->groups));
	for (uint32_t i = 0; i < s->n; i++)
		frame_unref(s->v[i].frame);
	for (uint32_t i = 0; i < s->runs_n; i++)
		frame_unref(s->runs[i].frame);
	s->n = s->runs_n = 0;
	s->joined = 0;
}
