/*
 * Replay: subscriptions that are behind are fed from the ring while it still has
 * all that they missed, otherwise by pages from the store. A page is shared by
 * those who ask for the same; a few are under way at a time, the rest wait in
 * turn. What a peer has no room for is not kept: it is asked for again when the
 * peer has drained. Loop thread.
 */

#include <stdlib.h>

#include "common/log.h"
#include "common/xalloc.h"
#include "daemon/hub/hub_priv.h"
#include "daemon/hub/notify.h"

#define PAGE_CHANGES    256
#define OUTSTANDING_MAX 16
#define BACK_OFF_MS     1000
#define TURN_BUDGET     16384 /* changes looked at or told in one turn */
#define HEAD_SIZE       160   /* of a change's frame, about */
#define LOOK_BYTES      256   /* that a condition looks at, to count as a change */

/** A frame of a page's row, kept for the next who needs the same. */
struct shared_frame {
	struct frame *frame;
	enum framing framing;
	unsigned number;
	int64_t prev;
};

/** A page that somebody waits for. */
struct fetch {
	struct list in_replay; /* queued, running or ready */
	struct list in_watch;  /* while others may still join */
	struct list waiting;   /* subscriptions; may become empty while it is running */
	struct watch *watch;
	int64_t position;
	int64_t base;
	int64_t floor;
	bool history;
	int64_t asked_at;            /* what was published when it was submitted; -1: not yet */
	struct job *job;             /* when ready */
	struct shared_frame *frames; /* one a row; NULL before the first */
};

enum advance {
	ADVANCE_DONE, /* live, or something will wake it: a page, or the peer that drains */
	ADVANCE_WAIT, /* ahead of what is published: look again after the next slice */
	ADVANCE_MORE, /* this turn's budget is used up */
};

static void on_back_off(void *arg);

void
replay_init(struct hub *h)
{
	list_init(&h->replay.queued);
	list_init(&h->replay.running);
	list_init(&h->replay.ready);
	h->replay.timer = loop_timer_new(h->loop, on_back_off, h);
}

static void
drop_page(struct fetch *f)
{
	for (size_t i = 0; f->frames != NULL && i < f->job->page.n; i++)
		frame_unref(f->frames[i].frame);
	free(f->frames);
	f->frames = NULL;
	job_free(f->job);
	f->job = NULL;
}

static void
fetch_free(struct fetch *f)
{
	must(list_is_empty(&f->waiting));
	drop_page(f);
	list_remove(&f->in_replay);
	list_remove(&f->in_watch);
	free(f);
}

static void
free_all(struct list *fetches)
{
	while (!list_is_empty(fetches))
		fetch_free(list_item(fetches->next, struct fetch, in_replay));
}

void
replay_fini(struct hub *h)
{
	free_all(&h->replay.queued);
	free_all(&h->replay.running);
	free_all(&h->replay.ready);
	loop_timer_free(h->replay.timer);
}

void
replay_wake(struct subscriber *s)
{
	if (list_is_linked(&s->catching_up))
		return;
	list_append(&s->hub->catching_up, &s->catching_up);
	hub_schedule(s->hub);
}

/** True if the page is what the subscription needs next. */
static bool
fits(const struct fetch *f, const struct subscription *sub, int64_t base)
{
	return f->position == sub->position && f->base == base && f->history == sub->history &&
	       f->floor == sub->floor;
}

static struct fetch *
fetch_find(const struct watch *w, const struct subscription *sub, int64_t base)
{
	struct list *at, *tmp;

	list_each (at, tmp, &w->fetches) {
		struct fetch *f = list_item(at, struct fetch, in_watch);

		if (fits(f, sub, base))
			return f;
	}
	return NULL;
}

/** Has the subscription wait for the page behind its position. */
static void
ask(struct hub *h, struct subscription *sub)
{
	struct watch *w = sub->member.group->watch;
	int64_t base = sub->base > sub->position ? sub->base : 0;
	struct fetch *f = fetch_find(w, sub, base);

	if (f == NULL) {
		f = xnew(struct fetch);
		f->watch = w;
		f->position = sub->position;
		f->base = base;
		f->floor = sub->floor;
		f->history = sub->history;
		f->asked_at = -1;
		list_init(&f->waiting);
		list_append(&w->fetches, &f->in_watch);
		list_append(&h->replay.queued, &f->in_replay);
	}
	sub->fetch = f;
	list_append(&f->waiting, &sub->in_fetch);
}

void
replay_forget(struct subscription *sub)
{
	struct fetch *f = sub->fetch;

	if (f == NULL)
		return;
	sub->fetch = NULL;
	list_remove(&sub->in_fetch);
	if (!list_is_empty(&f->waiting))
		return;
	/* The watch may go now. A page under way still comes back, to nobody. */
	list_remove(&f->in_watch);
	if (f->asked_at < 0)
		fetch_free(f);
}

/** Submits a fetch; false when the store does not take it now. */
static bool
submit(struct hub *h, struct fetch *f)
{
	struct job *job = job_new(JOB_REPLAY, &(struct origin){.kind = ORIGIN_NONE}, 0, 0);
	struct error error = ERROR_NONE;

	if (job == NULL)
		return false;
	job->read.pattern = pattern_dup(f->watch->pattern);
	job->read.since = f->position;
	job->read.base = f->base;
	job->read.history = f->history;
	job->read.floor = f->floor;
	job->read.limit = PAGE_CHANGES;
	job->waiter = f;
	if (job->read.pattern == NULL || store_submit(h->store, NULL, &job, &error) != PENDING) {
		log_debug("hub", "page not taken", F_ERROR(&error));
		job_free(job);
		return false;
	}
	f->asked_at = h->published;
	h->replay.outstanding++;
	h->pages_total++;
	list_remove(&f->in_replay);
	list_append(&h->replay.running, &f->in_replay);
	return true;
}

static void
submit_some(struct hub *h)
{
	struct replay *r = &h->replay;

	while (!r->is_backing_off && r->outstanding < OUTSTANDING_MAX &&
		!list_is_empty(&r->queued)) {
		if (submit(h, list_item(r->queued.next, struct fetch, in_replay)))
			continue;
		r->is_backing_off = true;
		loop_timer_start(r->timer, BACK_OFF_MS);
	}
}

static void
on_back_off(void *arg)
{
	struct hub *h = arg;

	h->replay.is_backing_off = false;
	submit_some(h);
}

/** The page could not be read: once more, later. */
static void
try_again(struct hub *h, struct fetch *f)
{
	log_warn("hub", "page not read, trying again", F_ERROR(&f->job->error));
	drop_page(f);
	f->asked_at = -1;
	h->replay.outstanding--;
	h->replay.is_backing_off = true;
	list_remove(&f->in_replay);
	list_append(&h->replay.queued, &f->in_replay);
	loop_timer_start(h->replay.timer, BACK_OFF_MS);
}

void
hub_page_done(struct hub *h, struct job **job)
{
	struct fetch *f = (*job)->waiter;

	f->job = *job;
	*job = NULL;
	if (f->job->result != OK && f->job->result != ERR_RESYNC_REQUIRED &&
		!list_is_empty(&f->waiting)) {
		try_again(h, f);
		return;
	}
	list_remove(&f->in_watch);
	list_remove(&f->in_replay);
	list_append(&h->replay.ready, &f->in_replay);
	hub_schedule(h);
}

/** The frame of a page's row for a subscription; borrowed from the fetch. */
static struct frame *
page_frame(struct fetch *f, size_t row, const struct subscription *sub)
{
	const struct change *c = f->job->page.changes[row];
	enum framing framing = sub->subscriber->framing;
	struct shared_frame *shared;

	if (f->frames == NULL)
		f->frames = xnew_n(f->job->page.n, struct shared_frame);
	shared = &f->frames[row];
	if (shared->frame != NULL && shared->framing == framing && shared->number == sub->number &&
		shared->prev == sub->told)
		return shared->frame;
	frame_unref(shared->frame);
	*shared = (struct shared_frame){
		.frame = notify_change(framing, sub->number, c->seq, sub->told, c->body),
		.framing = framing,
		.number = sub->number,
		.prev = sub->told,
	};
	return shared->frame;
}

/** What a replay tells of a change that matches: the change, or "leave". */
static struct body *
replayed_body(const struct pattern *pattern, struct change *c)
{
	return c->op == CHANGE_PUT && !pattern_accepts(pattern, c->data) ? change_leave_body(c)
									 : c->body;
}

static void
told_change(struct subscription *sub, int64_t seq)
{
	sub->told = sub->position = seq;
}

/** The page told the newest state of what is up to its end: it was silent about what moved on
 * behind it. What somebody else has written counts when the writer has seen it: then all replay. */
static void
note_horizon(struct hub *h, struct subscription *sub, const struct page *page)
{
	int64_t newest = store_newest_seq(h->store);
	int64_t seen = page->seq < newest ? page->seq : newest;

	if (seen > h->seen)
		h->seen = seen;
	if (seen > sub->horizon)
		sub->horizon = seen;
}

/** True if so many bytes more may be told. If not, nothing is read for the peer before it has
 * drained: it would be read again and again, while others wait for the reader. */
static bool
has_room(struct subscriber *s, size_t nbytes)
{
	s->is_full = !subscriber_has_replay_room(s, nbytes);
	return !s->is_full;
}

/** Tells a subscription what the page has for it, as far as there is room. Rows above what is
 * published come live. */
static void
tell_page(struct hub *h, struct fetch *f, struct subscription *sub)
{
	const struct page *page = &f->job->page;
	int64_t end = page->at_head && f->asked_at > page->end ? f->asked_at : page->end;

	if (end > h->published)
		end = h->published;
	sub->floor = page->floor;
	if (subscription_has_condition(sub))
		note_horizon(h, sub, page);
	for (size_t i = 0; i < page->n && page->changes[i]->seq <= end; i++) {
		const struct change *c = page->changes[i];

		if (!has_room(sub->subscriber, c->body->n + HEAD_SIZE))
			return;
		subscriber_send(sub->subscriber, page_frame(f, i, sub));
		told_change(sub, c->seq);
	}
	if (end > sub->position)
		sub->position = end;
}

/** Serves one of those who wait for a page. */
static void
serve(struct hub *h, struct fetch *f)
{
	struct list *at = list_shift(&f->waiting);
	struct subscription *sub = list_item(at, struct subscription, in_fetch);
	struct subscriber *s = sub->subscriber;

	sub->fetch = NULL;
	if (f->job->result == ERR_RESYNC_REQUIRED) {
		subscription_resync(sub, f->job->error.seq);
		return;
	}
	if (s->lagging)
		return; /* goes on when it has drained */
	tell_page(h, f, sub);
	replay_wake(s);
}

static void
serve_ready(struct hub *h, size_t *budget)
{
	while (*budget > 0 && !list_is_empty(&h->replay.ready)) {
		struct fetch *f = list_item(h->replay.ready.next, struct fetch, in_replay);
		size_t cost = 1 + f->job->page.n;

		if (list_is_empty(&f->waiting)) {
			fetch_free(f);
			h->replay.outstanding--;
			continue;
		}
		serve(h, f);
		*budget -= cost < *budget ? cost : *budget;
	}
}

/** Tells a change out of the ring; false when the peer has no room for it. */
static bool
tell_ringed(struct subscription *sub, const struct change *c, struct body *body)
{
	struct frame *f;

	if (!has_room(sub->subscriber, body->n + HEAD_SIZE))
		return false;
	f = notify_change(sub->subscriber->framing, sub->number, c->seq, sub->told, body);
	subscriber_send(sub->subscriber, f);
	frame_unref(f);
	told_change(sub, c->seq);
	return true;
}

/** Feeds a subscription from the ring. */
static enum advance
advance_by_ring(struct hub *h, struct subscription *sub, size_t *budget)
{
	const struct pattern *pattern = sub->member.group->watch->pattern;
	size_t i = ring_place_after(&h->ring, sub->position);

	for (; i < h->ring.n; i++) {
		struct change *c = ring_at(&h->ring, i);
		size_t cost = 1;

		if (*budget == 0)
			return ADVANCE_MORE;
		if (!pattern_matches(pattern, c->category, c->id)) {
			sub->position = c->seq;
		} else {
			if (pattern->where != NULL)
				cost += c->data.n / LOOK_BYTES;
			if (!tell_ringed(sub, c, replayed_body(pattern, c)))
				return ADVANCE_DONE;
		}
		*budget -= cost < *budget ? cost : *budget;
	}
	sub->position = h->published;
	if (sub->horizon > sub->position)
		return ADVANCE_WAIT;
	subscription_go_live(sub);
	return ADVANCE_DONE;
}

/** Up to its base a replay from 0 is not told deletions. So until then it may only be told what is
 * there: pages, which were read behind the base, and not the ring, which tells what was. */
static enum advance
advance(struct hub *h, struct subscription *sub, size_t *budget)
{
	if (sub->state != SUB_REPLAY || sub->fetch != NULL)
		return ADVANCE_DONE;
	if (sub->position > h->published || sub->base > h->published)
		return ADVANCE_WAIT;
	if (sub->position >= sub->base && ring_has_all_after(&h->ring, sub->position))
		return advance_by_ring(h, sub, budget);
	if (has_room(sub->subscriber, HEAD_SIZE))
		ask(h, sub);
	return ADVANCE_DONE;
}

/** Goes on with all replays of a peer; says what the one that has most to do needs. */
static enum advance
advance_all(struct hub *h, struct subscriber *s, size_t *budget)
{
	enum advance most = ADVANCE_DONE;
	struct list *at, *tmp;

	if (s->has_drained)
		subscriber_end_lag(s);
	if (s->lagging || s->is_full)
		return ADVANCE_DONE;
	list_each (at, tmp, &s->subscriptions) {
		struct subscription *sub = list_item(at, struct subscription, in_subscriber);
		enum advance a = advance(h, sub, budget);

		if (a > most)
			most = a;
	}
	return most;
}

void
replay_turn(struct hub *h)
{
	size_t budget = TURN_BUDGET;
	struct list todo;

	list_init(&todo);
	serve_ready(h, &budget);
	list_splice(&todo, &h->catching_up);
	while (budget > 0 && !list_is_empty(&todo)) {
		struct list *at = list_shift(&todo);
		struct subscriber *s = list_item(at, struct subscriber, catching_up);

		if (advance_all(h, s, &budget) != ADVANCE_DONE && !list_is_linked(at))
			list_append(&h->catching_up, at);
	}
	if (budget == 0 || !list_is_empty(&h->replay.ready))
		hub_schedule(h);
	/* Those that were not reached come before those that were. */
	list_splice(&todo, &h->catching_up);
	list_splice(&h->catching_up, &todo);
	submit_some(h);
}
