/*
 * The subscriptions' state machine and what is said to their peers: see
 * subscription.h.
 */

#include "daemon/hub/subscription.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "daemon/base/bounds.h"
#include "daemon/hub/hub_priv.h"
#include "daemon/hub/notify.h"

#define BIT(n) (1u << (n))

static const unsigned may_enter[SUB_COUNT] = {
	[SUB_REPLAY] = BIT(SUB_LIVE) | BIT(SUB_ENDED),
	[SUB_LIVE] = BIT(SUB_REPLAY) | BIT(SUB_LAGGED) | BIT(SUB_ENDED),
	[SUB_LAGGED] = BIT(SUB_REPLAY) | BIT(SUB_ENDED),
};

static const char *const state_names[SUB_COUNT] = {
	[SUB_REPLAY] = "replay",
	[SUB_LIVE] = "live",
	[SUB_LAGGED] = "lagged",
	[SUB_ENDED] = "ended",
};

const char *
subscription_state_name(enum sub_state state)
{
	return state_names[state];
}

static void
enter(struct subscription *sub, enum sub_state state, const char *why)
{
	struct hub *h = sub->subscriber->hub;

	must(may_enter[sub->state] & BIT(state));
	log_debug("hub", "subscription moves", F_INT("subscription", sub->number),
		F_STR("old", state_names[sub->state]), F_STR("new", state_names[state]),
		F_STR("why", why), F_INT("position", sub->position));
	if (sub->state == SUB_LIVE)
		group_leave_live(&sub->member);
	h->n[sub->state]--;
	sub->state = state;
	h->n[state]++;
	if (state == SUB_LIVE)
		group_enter_live(&sub->member);
}

static struct watches *
watches_of(const struct subscription *sub)
{
	struct hub *h = sub->subscriber->hub;

	return sub->is_topic ? &h->topics : &h->changes;
}

/** Another subscription with a condition, or one less: the store is told whether there are any. */
static void
count_conditional(struct hub *h, int change)
{
	h->conditional_n += (unsigned)change;
	store_keep_before(h->store, h->conditional_n > 0);
}

bool
subscription_has_condition(const struct subscription *sub)
{
	return sub->member.group->watch->pattern->where != NULL;
}

struct subscription *
subscription_new(struct subscriber *s, struct pattern **pattern, bool is_topic, int64_t position,
	int64_t base)
{
	struct subscription *sub = xnew(struct subscription);

	sub->number = s->next_number++;
	sub->state = SUB_REPLAY;
	sub->is_topic = is_topic;
	sub->position = sub->told = position;
	sub->base = base;
	sub->subscriber = s;
	list_init(&sub->in_fetch);
	list_init(&sub->in_owing);
	list_append(&s->subscriptions, &sub->in_subscriber);
	s->subscriptions_n++;
	s->hub->n[SUB_REPLAY]++;
	group_join(
		watches_of(sub), &sub->member, pattern, s->framing, sub->number, s->hub->published);
	if (subscription_has_condition(sub))
		count_conditional(s->hub, 1);
	if (is_topic)
		enter(sub, SUB_LIVE, "topics are not replayed");
	outages_owe_new(sub);
	return sub;
}

void
subscription_end(struct subscription *sub, const char *why)
{
	struct hub *h = sub->subscriber->hub;

	enter(sub, SUB_ENDED, why);
	h->n[SUB_ENDED]--;
	replay_forget(sub);
	if (subscription_has_condition(sub))
		count_conditional(h, -1);
	group_quit(watches_of(sub), &sub->member);
	list_remove(&sub->in_subscriber);
	outages_end_subscription(sub);
	sub->subscriber->subscriptions_n--;
	free(sub);
}

struct subscription *
subscription_find(struct subscriber *s, unsigned number)
{
	struct list *at, *tmp;

	list_each (at, tmp, &s->subscriptions) {
		struct subscription *sub = list_item(at, struct subscription, in_subscriber);

		if (sub->number == number)
			return sub;
	}
	return NULL;
}

/** What is published, but not below what the peer was told already in the slice under way. */
static int64_t
live_position(const struct subscription *sub)
{
	int64_t published = sub->subscriber->hub->published;

	return sub->told > published ? sub->told : published;
}

int64_t
subscription_position(const struct subscription *sub)
{
	return sub->state == SUB_LIVE ? live_position(sub) : sub->position;
}

/** Sends a frame and drops the caller's reference. */
static void
tell(struct subscription *sub, struct frame *f)
{
	subscriber_send(sub->subscriber, f);
	frame_unref(f);
}

static void
tell_position(struct subscription *sub, const char *method, int64_t seq)
{
	tell(sub, notify_position(sub->subscriber->framing, method, sub->number, seq));
	sub->told = seq;
}

void
subscription_go_live(struct subscription *sub)
{
	must(sub->position == sub->subscriber->hub->published);
	must(sub->horizon <= sub->position);
	tell_position(sub, "synced", sub->position);
	enter(sub, SUB_LIVE, "caught up");
}

void
subscription_go_back(struct subscription *sub, const char *why)
{
	sub->position = subscription_position(sub);
	enter(sub, SUB_REPLAY, why);
	replay_wake(sub->subscriber);
}

void
subscription_resync(struct subscription *sub, int64_t lowest_valid)
{
	struct hub *h = sub->subscriber->hub;

	h->resyncs_total++;
	tell(sub, notify_resync(sub->subscriber->framing, sub->number, lowest_valid,
			  store_epoch(h->store)));
	subscription_end(sub, "fell behind the pruning");
}

void
subscription_withdraw(struct subscription *sub, const char *reason)
{
	tell(sub, notify_unsubscribed(sub->subscriber->framing, sub->number, reason));
	subscription_end(sub, "its peer may not have it any longer");
}

void
subscription_tell_progress(struct subscription *sub)
{
	if (sub->state == SUB_LIVE)
		tell_position(sub, "progress", subscription_position(sub));
}

void
subscriber_send(struct subscriber *s, struct frame *f)
{
	s->ops->send(s, f);
	if (!list_is_linked(&s->touched)) {
		list_append(&s->hub->touched, &s->touched);
		hub_schedule(s->hub);
	}
}

/** Freezes the peer's live subscriptions where they are. */
static void
begin_lag(struct subscriber *s)
{
	struct list *at, *tmp;

	s->lagging = true;
	s->has_drained = false;
	s->hub->lagged_total++;
	s->lags++;
	s->lagged_ms = clock_wall_ms();
	if (s->hub->bounds != NULL)
		bounds_reach(s->hub->bounds, BOUND_SEND_QUEUE, clock_mono_ms(), 0);
	list_each (at, tmp, &s->subscriptions) {
		struct subscription *sub = list_item(at, struct subscription, in_subscriber);

		if (sub->state != SUB_LIVE || sub->is_topic)
			continue;
		sub->position = live_position(sub);
		enter(sub, SUB_LAGGED, "the peer's queue is full");
	}
}

/** True if n bytes more stay within `limit` unsent bytes, after a write if need be, or nothing is
 * unsent at all. */
static bool
has_room(struct subscriber *s, size_t n, size_t limit)
{
	size_t unsent = s->ops->unsent(s);

	if (unsent == 0 || (n <= limit && unsent <= limit - n))
		return true;
	unsent = s->ops->flush(s);
	return unsent == 0 || (n <= limit && unsent <= limit - n);
}

bool
subscriber_try(struct subscriber *s, struct frame *f)
{
	if (s->lagging || !has_room(s, frame_size(f), s->hub->send_queue))
		return false;
	subscriber_send(s, f);
	return true;
}

bool
subscriber_offer(struct subscriber *s, struct frame *f)
{
	if (subscriber_try(s, f))
		return true;
	if (!s->lagging)
		begin_lag(s);
	return false;
}

bool
subscriber_has_replay_room(struct subscriber *s, size_t nbytes)
{
	return has_room(s, nbytes, s->hub->send_queue / 2);
}

/** Tells `lagged` for a subscription, if it was concerned. */
static void
tell_lagged(struct subscription *sub)
{
	int64_t position = subscription_position(sub);

	if (sub->state != SUB_LAGGED && sub->dropped == 0)
		return;
	sub->lags++;
	tell(sub, notify_lagged(sub->subscriber->framing, sub->number, position, sub->dropped));
	sub->told = position;
	sub->dropped = 0;
}

void
subscriber_end_lag(struct subscriber *s)
{
	struct list *at, *tmp;

	s->lagging = s->has_drained = false;
	list_each (at, tmp, &s->subscriptions) {
		struct subscription *sub = list_item(at, struct subscription, in_subscriber);

		tell_lagged(sub);
		if (sub->state == SUB_LAGGED)
			subscription_go_back(sub, "the peer has drained");
		outages_owe_again(sub);
	}
}
