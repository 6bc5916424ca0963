/*
 * Outages: see outage.h. What a subscription could not be told, and what a new one
 * has to be, it is owed: the hub's turn pays that, and the end of a lag.
 */

#include "daemon/hub/outage.h"

#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"
#include "daemon/hub/hub_priv.h"
#include "daemon/hub/notify.h"

struct outage {
	struct hub *hub;
	char *feed;
	char *names_text;
	struct term names;
	bool is_topic;
	int64_t since_ms; /* 0: it has not begun */
	bool is_freed;    /* it is kept for those who still have to be told of its end */
	struct list in_hub;
};

/** Whether there is a name that both fit. */
static bool
terms_meet(const struct term *a, const struct term *b)
{
	if (a->is_prefix && b->is_prefix)
		return span_has_prefix(a->text, b->text) || span_has_prefix(b->text, a->text);
	return a->is_prefix ? span_has_prefix(b->text, a->text) : term_matches(b, a->text);
}

static bool
meets(const struct outage *o, const struct pattern *p)
{
	for (size_t i = 0; i < p->categories_n; i++)
		if (terms_meet(&p->categories[i], &o->names))
			return true;
	return false;
}

/** It is owed something: paid by the next turn, or when its peer does not lag any longer. */
static void
owe(struct subscription *sub, enum owed owed)
{
	struct hub *h = sub->subscriber->hub;

	h->owed_n += sub->owed == OWED_NOTHING;
	if (owed > sub->owed)
		sub->owed = owed;
	if (sub->subscriber->lagging || list_is_linked(&sub->in_owing))
		return;
	list_append(&h->owing, &sub->in_owing);
	hub_schedule(h);
}

/** False if there was no room. */
static bool
tell(struct subscription *sub, const struct outage *o)
{
	struct frame *f =
		notify_outage(sub->subscriber->framing, sub->number, span_of(o->feed), o->since_ms);
	bool is_told = subscriber_offer(sub->subscriber, f);

	frame_unref(f);
	return is_told;
}

static void
tell_group(const struct outage *o, struct group *g)
{
	struct list *at, *tmp;

	list_each (at, tmp, &g->members) {
		struct subscription *sub = subscription_of(list_item(at, struct member, in_group));

		if (sub->owed != OWED_NOTHING || !tell(sub, o))
			owe(sub, OWED_ALL);
	}
}

/** Tells all whose pattern it meets how it stands. */
static void
tell_all(const struct outage *o)
{
	struct watches *ws = o->is_topic ? &o->hub->topics : &o->hub->changes;
	struct list *at, *at2, *tmp, *tmp2;

	list_each (at, tmp, &ws->all) {
		struct watch *w = list_item(at, struct watch, all);

		if (!meets(o, w->pattern))
			continue;
		list_each (at2, tmp2, &w->groups)
			tell_group(o, list_item(at2, struct group, in_watch));
	}
}

static void
forgive(struct subscription *sub)
{
	sub->subscriber->hub->owed_n -= sub->owed != OWED_NOTHING;
	sub->owed = OWED_NOTHING;
}

/** Tells one what it is owed; what there is no room for it is owed still. */
static void
pay(struct hub *h, struct subscription *sub)
{
	const struct pattern *p = sub->member.group->watch->pattern;
	enum owed owed = sub->owed;
	struct list *at, *tmp;

	forgive(sub);
	list_each (at, tmp, &h->outages) {
		const struct outage *o = list_item(at, struct outage, in_hub);

		if (o->is_topic != sub->is_topic || !meets(o, p) ||
			(owed == OWED_STALE && o->since_ms == 0))
			continue;
		if (!tell(sub, o)) {
			owe(sub, owed);
			return;
		}
	}
}

static void
destroy(struct outage *o)
{
	list_remove(&o->in_hub);
	free(o->feed);
	free(o->names_text);
	free(o);
}

/** Nobody has to be told of the end of one that was freed. */
static void
drop_freed(struct hub *h)
{
	struct list *at, *tmp;

	if (h->owed_n > 0)
		return;
	list_each (at, tmp, &h->outages)
		if (list_item(at, struct outage, in_hub)->is_freed)
			destroy(list_item(at, struct outage, in_hub));
}

void
outages_turn(struct hub *h)
{
	struct list *at;

	while ((at = list_shift(&h->owing)) != NULL) {
		struct subscription *sub = list_item(at, struct subscription, in_owing);

		if (!sub->subscriber->lagging)
			pay(h, sub);
	}
	drop_freed(h);
}

void
outages_end_subscription(struct subscription *sub)
{
	list_remove(&sub->in_owing);
	forgive(sub);
	drop_freed(sub->subscriber->hub);
}

void
outages_owe_new(struct subscription *sub)
{
	struct list *at, *tmp;

	list_each (at, tmp, &sub->subscriber->hub->outages) {
		if (list_item(at, struct outage, in_hub)->since_ms == 0)
			continue;
		owe(sub, OWED_STALE);
		return;
	}
}

void
outages_owe_again(struct subscription *sub)
{
	if (sub->owed != OWED_NOTHING)
		owe(sub, sub->owed);
}

struct outage *
outage_new(struct hub *h, const struct outage_of *of)
{
	struct outage *o = xnew(struct outage);

	o->hub = h;
	o->feed = xstrndup(of->feed.p, of->feed.n);
	o->names_text = xstrndup(of->names.text.n > 0 ? of->names.text.p : "", of->names.text.n);
	o->names = (struct term){
		{o->names_text, of->names.text.n},
                of->names.is_prefix
        };
	o->is_topic = of->is_topic;
	list_append(&h->outages, &o->in_hub);
	return o;
}

void
outage_free(struct outage *o)
{
	if (o == NULL)
		return;
	outage_end(o);
	o->is_freed = true;
	drop_freed(o->hub);
}

bool
outage_is_of(const struct outage *o, const struct outage_of *of)
{
	return span_is(of->feed, o->feed) && span_eq(of->names.text, o->names.text) &&
	       of->names.is_prefix == o->names.is_prefix && of->is_topic == o->is_topic;
}

void
outage_begin(struct outage *o, int64_t since_ms)
{
	must(since_ms > 0);
	if (o->since_ms != 0)
		return;
	o->since_ms = since_ms;
	tell_all(o);
}

void
outage_end(struct outage *o)
{
	if (o->since_ms == 0)
		return;
	o->since_ms = 0;
	tell_all(o);
}

bool
outage_has_begun(const struct outage *o)
{
	return o->since_ms != 0;
}
