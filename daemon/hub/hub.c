/*
 * The hub's face: making and ending it and its subscribers, subscribing, the
 * turn, status. The work is in publish.c, replay.c, topic.c and subscription.c.
 */

#include "daemon/hub/hub.h"

#include <stdlib.h>
#include <unistd.h>

#include "common/log.h"
#include "common/xalloc.h"
#include "daemon/hub/hub_priv.h"

/* What one pattern may take in the index. */
#define PATTERN_COST_MAX 4096
/* Peers written to before the loop looks at its sockets again: else the requests that a commit's
 * answers bring wait for the last of its subscribers, and the writer for them. */
#define FLUSHES_PER_TURN 16

static uint64_t
random_seed(void)
{
	uint64_t seed;

	must(getentropy(&seed, sizeof(seed)) == 0);
	return seed;
}

static size_t
clamp(int64_t value, size_t max)
{
	return (uint64_t)value < max ? (size_t)value : max;
}

static void
take_conf(struct hub *h, const struct conf *conf)
{
	h->send_queue = clamp(conf->websocket.send_queue, SIZE_MAX / 2);
	h->max_subscriptions = (unsigned)clamp(conf->websocket.max_subscriptions, UINT32_MAX);
	h->changes.pairs_max = clamp(conf->hub.max_patterns, SIZE_MAX / 2);
	h->topics.pairs_max = clamp(conf->hub.max_topics, SIZE_MAX / 2);
}

static size_t
ring_bytes(const struct conf *conf)
{
	return clamp(conf->hub.recent_bytes, SIZE_MAX / 2);
}

struct hub *
hub_new(struct loop *loop, struct store *store, const struct conf *conf)
{
	struct hub *h = xnew(struct hub);

	h->loop = loop;
	h->store = store;
	h->published = h->newest = store_last_seq(store);
	ring_init(&h->ring, clamp(conf->hub.recent, SIZE_MAX / 2), ring_bytes(conf), h->published);
	watches_init(&h->changes, random_seed());
	watches_init(&h->topics, random_seed());
	take_conf(h, conf);
	slice_init(&h->slice);
	list_init(&h->touched);
	list_init(&h->flushing);
	list_init(&h->catching_up);
	list_init(&h->outages);
	list_init(&h->owing);
	replay_init(h);
	return h;
}

void
hub_free(struct hub *h)
{
	if (h == NULL)
		return;
	must(list_is_empty(&h->touched) && list_is_empty(&h->flushing));
	must(list_is_empty(&h->catching_up));
	must(list_is_empty(&h->outages) && list_is_empty(&h->owing));
	loop_undefer(h->loop, h);
	replay_fini(h);
	publish_fini(h);
	ring_fini(&h->ring);
	watches_fini(&h->changes);
	watches_fini(&h->topics);
	free(h);
}

void
hub_reload(struct hub *h, const struct conf *conf)
{
	take_conf(h, conf);
	ring_resize(&h->ring, clamp(conf->hub.recent, SIZE_MAX / 2), ring_bytes(conf));
}

void
hub_note_bounds(struct hub *h, struct bounds *bounds)
{
	h->bounds = bounds;
}

enum err
hub_warm(struct hub *h, struct error *error)
{
	struct tail t = {.max_n = h->ring.cap, .max_bytes = h->ring.max_bytes};
	enum err e = store_read_tail(h->store, &t, error);

	if (e != OK)
		return e;
	/* Not the last seq of now: the writer may have gone on, and that is told as changes. */
	h->published = h->newest = t.seq;
	ring_void(&h->ring, t.floor);
	for (size_t i = 0; i < t.n; i++)
		ring_push(&h->ring, t.changes[i]);
	tail_fini(&t);
	return OK;
}

/** Writes what was queued, one flush a peer, to some of those whose turn it is. */
static void
flush_some(struct hub *h)
{
	struct list *at;

	for (unsigned n = 0; n < FLUSHES_PER_TURN && (at = list_shift(&h->flushing)) != NULL; n++) {
		struct subscriber *s = list_item(at, struct subscriber, touched);

		s->ops->flush(s);
	}
}

static void
turn(void *arg)
{
	struct hub *h = arg;

	h->is_turn_due = false;
	flush_some(h);
	if (list_is_empty(&h->flushing)) {
		outages_turn(h);
		replay_turn(h);
		publish_turn(h);
		list_splice(&h->flushing, &h->touched);
		flush_some(h);
	}
	if (!list_is_empty(&h->flushing) || !list_is_empty(&h->touched))
		hub_schedule(h);
}

void
hub_schedule(struct hub *h)
{
	if (h->is_turn_due)
		return;
	h->is_turn_due = true;
	loop_defer(h->loop, turn, h);
}

void
subscriber_init(
	struct subscriber *s, struct hub *h, enum framing framing, const struct subscriber_ops *ops)
{
	*s = (struct subscriber){.hub = h, .ops = ops, .framing = framing, .next_number = 1};
	list_init(&s->subscriptions);
	list_init(&s->touched);
	list_init(&s->catching_up);
}

void
subscriber_fini(struct subscriber *s)
{
	while (!list_is_empty(&s->subscriptions))
		subscription_end(
			list_item(s->subscriptions.next, struct subscription, in_subscriber),
			"the peer is gone");
	list_remove(&s->touched);
	list_remove(&s->catching_up);
}

/** A pattern that is there already takes nothing. */
static bool
has_room_for(const struct watches *ws, const struct pattern *p)
{
	return ws->pairs + index_cost(p) <= ws->pairs_max || watches_have(ws, p);
}

enum err
hub_check_pattern(const struct subscriber *s, const struct watches *ws, const struct pattern *p,
	struct error *error)
{
	const char *most = ws == &s->hub->topics ? "hub.max_topics" : "hub.max_patterns";

	if (s->subscriptions_n >= s->hub->max_subscriptions)
		return error_set_limit(error, "websocket.max_subscriptions",
			"this session has %u subscriptions, which is the most it may have "
			"(websocket.max_subscriptions)",
			s->subscriptions_n);
	if (index_cost(p) > PATTERN_COST_MAX)
		return error_set_limit(error, "pairs in a subscription",
			"the subscription asks for %zu pairs of a category and an id, at most %d "
			"are possible",
			index_cost(p), PATTERN_COST_MAX);
	if (!index_can_hold(p))
		return error_set(error, ERR_INVALID_ARGUMENT,
			"a category or id of the subscription is longer than %d bytes",
			INDEX_TEXT_MAX);
	if (!has_room_for(ws, p))
		return error_set_limit(error, most,
			"all subscriptions together have as many patterns as there may be (%s)",
			most);
	return OK;
}

/** Where a new subscription starts: position and base. */
static void
start_of(const struct hub *h, const struct position *from, int64_t *position, int64_t *base)
{
	*position = from->since;
	*base = from->base > from->since ? from->base : 0;
	if (from->since < 0) {
		*position = h->published;
		*base = 0;
	} else if (from->since == 0) {
		*base = store_last_seq(h->store);
	}
}

/** What a client can have been told of, if not all of it, before now. */
static int64_t
known_by_now(const struct hub *h)
{
	int64_t last = store_last_seq(h->store);

	return last > h->seen ? last : h->seen;
}

enum err
hub_subscribe(struct subscriber *s, struct pattern **pattern, const struct position *from,
	struct subscribed *out, struct error *error)
{
	struct hub *h = s->hub;
	struct subscription *sub;
	int64_t position, base;
	enum err e;

	e = hub_check_pattern(s, &h->changes, *pattern, error);
	if (e == OK && from->since >= 0)
		e = store_check_position(h->store, from->epoch, from->since, from->base, error);
	if (e != OK)
		return e;
	start_of(h, from, &position, &base);
	sub = subscription_new(s, pattern, false, position, base);
	sub->history = from->history;
	if (from->since >= 0 && subscription_has_condition(sub))
		sub->horizon = known_by_now(h);
	replay_wake(s);
	*out = (struct subscribed){.number = sub->number, .seq = h->published, .base = base};
	return OK;
}

enum err
hub_unsubscribe(struct subscriber *s, unsigned number, struct error *error)
{
	struct subscription *sub = subscription_find(s, number);

	if (sub == NULL)
		return error_set(
			error, ERR_NOT_FOUND, "this session has no subscription %u", number);
	subscription_end(sub, "unsubscribed");
	return OK;
}

void
hub_withdraw(struct subscriber *s, bool (*may)(void *arg, const struct term *names, size_t n),
	void *arg, const char *reason)
{
	struct list *at, *tmp;

	list_each (at, tmp, &s->subscriptions) {
		struct subscription *sub = list_item(at, struct subscription, in_subscriber);
		const struct pattern *p = sub->member.group->watch->pattern;

		if (!may(arg, p->categories, p->categories_n))
			subscription_withdraw(sub, reason);
	}
}

void
hub_replay_all(struct hub *h)
{
	struct list *at, *at2, *tmp, *tmp2;
	int64_t last = store_last_seq(h->store);

	log_info("hub", "every subscription replays", F_INT("published", h->published),
		F_INT("seq", last));
	list_each (at, tmp, &h->changes.all) {
		struct watch *w = list_item(at, struct watch, all);

		list_each (at2, tmp2, &w->groups) {
			struct group *g = list_item(at2, struct group, in_watch);

			while (g->live_n > 0)
				subscription_go_back(
					subscription_of(g->live[0]), "somebody else wrote");
		}
	}
	publish_drop(h);
	if (last > h->newest)
		h->newest = last;
	h->published = h->newest;
	ring_void(&h->ring, h->published);
	list_each (at, tmp, &h->changes.all)
		list_item(at, struct watch, all)->prev = h->published;
	hub_schedule(h);
}

void
subscriber_drained(struct subscriber *s)
{
	if (list_is_empty(&s->subscriptions))
		s->lagging = false;
	s->has_drained = s->lagging;
	s->is_full = false;
	if (!list_is_empty(&s->subscriptions))
		replay_wake(s);
}

void
subscriber_beat(struct subscriber *s)
{
	struct list *at, *tmp;

	if (s->lagging || !subscriber_has_replay_room(s, 0))
		return;
	list_each (at, tmp, &s->subscriptions)
		subscription_tell_progress(list_item(at, struct subscription, in_subscriber));
}

int64_t
hub_published(const struct hub *h)
{
	return h->published;
}

void
hub_add_status(struct hub *h, struct json_out *o)
{
	json_begin_object(o, "hub");
	json_put_int(o, "published", h->published);
	json_put_int(o, "backlog", (int64_t)h->backlog.n);
	json_put_int(o, "recent", (int64_t)h->ring.n);
	json_put_int(o, "recent_bytes", (int64_t)h->ring.nbytes);
	json_put_int(o, "recent_floor", h->ring.floor);
	json_put_int(o, "patterns", (int64_t)(h->changes.n + h->topics.n));
	json_begin_object(o, "subscriptions");
	for (unsigned i = 0; i < SUB_ENDED; i++)
		json_put_int(o, subscription_state_name(i), h->n[i]);
	json_end_object(o);
	json_put_int(o, "pages_outstanding", h->replay.outstanding);
	json_put_int(o, "changes_published", (int64_t)h->published_total);
	json_put_int(o, "changes_delivered", (int64_t)h->delivered_total);
	json_put_int(o, "pages", (int64_t)h->pages_total);
	json_put_int(o, "lagged", (int64_t)h->lagged_total);
	json_put_int(o, "resyncs", (int64_t)h->resyncs_total);
	json_put_int(o, "messages_dropped", (int64_t)h->dropped_total);
	json_end_object(o);
}

/** Writes terms as they are asked for; a prefix with its star. */
static void
add_terms(struct json_out *o, const char *key, const struct term *terms, size_t n)
{
	char text[INDEX_TEXT_MAX + 1];

	json_begin_array(o, key);
	for (size_t i = 0; i < n; i++) {
		struct span t = terms[i].text;

		if (t.n > 0)
			memcpy(text, t.p, t.n);
		text[t.n] = '*';
		json_put_string(o, NULL, (struct span){text, t.n + terms[i].is_prefix});
	}
	json_end_array(o);
}

void
subscriber_add_lags(const struct subscriber *s, struct json_out *o)
{
	json_put_bool(o, "lagging", s->lagging);
	json_put_int(o, "lags", s->lags);
	if (s->lags > 0)
		json_put_int(o, "lagged_at", s->lagged_ms);
}

void
subscriber_add_status(struct subscriber *s, struct json_out *o)
{
	struct list *at, *tmp;

	list_each (at, tmp, &s->subscriptions) {
		struct subscription *sub = list_item(at, struct subscription, in_subscriber);
		const struct pattern *p = sub->member.group->watch->pattern;

		json_begin_object(o, NULL);
		json_put_int(o, "subscription", sub->number);
		json_put_str(o, "state", subscription_state_name(sub->state));
		json_put_int(o, "position", subscription_position(sub));
		if (sub->lags > 0)
			json_put_int(o, "lags", sub->lags);
		if (sub->history)
			json_put_bool(o, "history", true);
		add_terms(
			o, sub->is_topic ? "topics" : "categories", p->categories, p->categories_n);
		if (p->ids_n > 0)
			add_terms(o, "ids", p->ids, p->ids_n);
		if (p->where != NULL)
			json_put_raw(o, "where", where_text(p->where));
		json_end_object(o);
	}
}
