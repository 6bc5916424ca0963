/*
 * Topics: messages that are told to whoever listens and not kept. At most once:
 * what a lagging peer has no room for is dropped and counted, and its next
 * `lagged` says how many. Loop thread.
 */

#include "common/xalloc.h"
#include "daemon/hub/hub_priv.h"
#include "daemon/hub/notify.h"

/** Sends to a group's members; returns how many of them had room. */
static unsigned
tell_group(struct hub *h, struct group *g, struct body *body)
{
	struct frame *f = notify_message(g->framing, g->number, body);
	unsigned told = 0;

	for (unsigned i = 0; i < g->live_n; i++) {
		struct subscription *sub = subscription_of(g->live[i]);

		if (subscriber_offer(sub->subscriber, f)) {
			told++;
			continue;
		}
		sub->dropped++;
		h->dropped_total++;
	}
	frame_unref(f);
	return told;
}

unsigned
hub_publish_topic(struct hub *h, struct span topic, struct span data)
{
	struct index_entry *const *found;
	size_t n = index_match(&h->topics.index, topic, SPAN(""), &found);
	struct list *at, *tmp;
	struct body *body;
	unsigned told = 0;

	body = n > 0 ? notify_message_body(topic, data) : NULL;
	if (body == NULL)
		return 0;
	for (size_t i = 0; i < n; i++)
		list_each (at, tmp, &watch_of(found[i])->groups)
			told += tell_group(h, list_item(at, struct group, in_watch), body);
	body_unref(body);
	return told;
}

enum err
hub_subscribe_topics(
	struct subscriber *s, struct pattern **pattern, struct subscribed *out, struct error *error)
{
	enum err e = hub_check_pattern(s, &s->hub->topics, *pattern, error);
	struct subscription *sub;

	if (e != OK)
		return e;
	must((*pattern)->ids_n == 0);
	sub = subscription_new(s, pattern, true, s->hub->published, 0);
	*out = (struct subscribed){.number = sub->number, .seq = s->hub->published};
	return OK;
}
