/*
 * Watches and groups: see group.h.
 */

#include "daemon/hub/group.h"

#include <stdlib.h>

#include "common/xalloc.h"

#define NOT_LIVE UINT32_MAX
#define LIVE_MIN 2

void
watches_init(struct watches *ws, uint64_t seed)
{
	*ws = (struct watches){.n = 0};
	index_init(&ws->index, seed);
	list_init(&ws->all);
}

void
watches_fini(struct watches *ws)
{
	must(ws->n == 0);
	index_fini(&ws->index);
}

static struct watch *
watch_find(const struct watches *ws, struct span key, uint64_t hash)
{
	struct table_node *at = table_first(&ws->by_key, hash);

	for (; at != NULL; at = table_next(at)) {
		struct watch *w = list_item(at, struct watch, by_key);

		if (span_eq(w->pattern->key, key))
			return w;
	}
	return NULL;
}

bool
watches_have(const struct watches *ws, const struct pattern *p)
{
	return watch_find(ws, p->key, hash_span(ws->index.point, p->key)) != NULL;
}

/** The watch of a pattern, made if there is none; takes the pattern either way. */
static struct watch *
watch_get(struct watches *ws, struct pattern **pattern, int64_t published)
{
	uint64_t hash = hash_span(ws->index.point, (*pattern)->key);
	struct watch *w = watch_find(ws, (*pattern)->key, hash);

	if (w != NULL) {
		free(*pattern);
		*pattern = NULL;
		return w;
	}
	w = xnew(struct watch);
	w->pattern = *pattern;
	*pattern = NULL;
	w->prev = published;
	list_init(&w->groups);
	list_init(&w->fetches);
	list_append(&ws->all, &w->all);
	table_add(&ws->by_key, &w->by_key, hash);
	index_add(&ws->index, &w->entry, w->pattern);
	ws->n++;
	ws->pairs += index_cost(w->pattern);
	return w;
}

static void
watch_free(struct watches *ws, struct watch *w)
{
	must(list_is_empty(&w->fetches));
	index_remove(&ws->index, &w->entry);
	table_remove(&ws->by_key, &w->by_key);
	list_remove(&w->all);
	ws->n--;
	ws->pairs -= index_cost(w->pattern);
	free(w->pattern);
	free(w);
}

static struct group *
group_get(struct watch *w, enum framing framing, unsigned number)
{
	struct list *at, *tmp;
	struct group *g;

	list_each (at, tmp, &w->groups) {
		g = list_item(at, struct group, in_watch);
		if (g->number == number && g->framing == framing)
			return g;
	}
	g = xnew(struct group);
	g->watch = w;
	g->framing = framing;
	g->number = number;
	list_init(&g->members);
	list_init(&g->in_slice);
	list_append(&w->groups, &g->in_watch);
	return g;
}

void
group_join(struct watches *ws, struct member *m, struct pattern **pattern, enum framing framing,
	unsigned number, int64_t published)
{
	m->group = group_get(watch_get(ws, pattern, published), framing, number);
	list_append(&m->group->members, &m->in_group);
	m->place = NOT_LIVE;
}

void
group_quit(struct watches *ws, struct member *m)
{
	struct group *g = m->group;
	struct watch *w = g->watch;

	if (group_is_live(m))
		group_leave_live(m);
	m->group = NULL;
	list_remove(&m->in_group);
	if (!list_is_empty(&g->members))
		return;
	must(!list_is_linked(&g->in_slice));
	list_remove(&g->in_watch);
	free(g->live);
	free(g);
	if (list_is_empty(&w->groups))
		watch_free(ws, w);
}

bool
group_is_live(const struct member *m)
{
	return m->place != NOT_LIVE;
}

void
group_enter_live(struct member *m)
{
	struct group *g = m->group;

	must(!group_is_live(m));
	if (g->live_n == g->live_cap) {
		g->live_cap = g->live_cap > 0 ? 2 * g->live_cap : LIVE_MIN;
		g->live = xrealloc(g->live, g->live_cap, sizeof(*g->live));
	}
	m->place = g->live_n;
	g->live[g->live_n++] = m;
}

void
group_leave_live(struct member *m)
{
	struct group *g = m->group;
	struct member *last = g->live[g->live_n - 1];

	must(g->live[m->place] == m);
	g->live[m->place] = last;
	last->place = m->place;
	g->live_n--;
	m->place = NOT_LIVE;
}
