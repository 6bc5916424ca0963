/* The store's sink: see deliver.h. */

#include "daemon/deliver.h"

#include <stdlib.h>

#include "common/xalloc.h"

static void
collect(struct deliver *d, struct change *c)
{
	if (c == NULL)
		return;
	if (d->changes_n == d->changes_cap) {
		d->changes_cap = d->changes_cap > 0 ? 2 * d->changes_cap : 256;
		d->changes = xrealloc(d->changes, d->changes_cap, sizeof(struct change *));
	}
	d->changes[d->changes_n++] = c;
}

static void
collect_changes(struct deliver *d, const struct job *j)
{
	if (j->result != OK)
		return;
	for (size_t i = 0; i < j->ops_n; i++)
		collect(d, j->ops[i].change);
	for (size_t i = 0; i < j->changes_n; i++)
		collect(d, j->changes[i]);
}

static void
answer(struct deliver *d, const struct job *j)
{
	struct peer *p = peers_find(d->peers, j->origin.peer);

	if (p == NULL)
		d->dropped++;
	else
		peer_answer(p, &j->origin, j->result, buf_span(&j->reply), &j->error);
}

static void
deliver_one(struct deliver *d, struct job **job)
{
	struct job *j = *job;

	switch (j->kind) {
	case JOB_NOTICE:
		hub_replay_all(d->hub);
		break;
	case JOB_REPLAY:
		hub_page_done(d->hub, job);
		break;
	case JOB_WRITE:
		collect_changes(d, j);
		if (j->origin.kind != ORIGIN_NONE)
			answer(d, j);
		break;
	case JOB_GET:
	case JOB_LIST:
	case JOB_COUNT:
	case JOB_CATEGORIES:
	case JOB_CHANGES:
		answer(d, j);
		break;
	}
}

static void
on_done(void *arg, struct qlist *jobs)
{
	struct deliver *d = arg;
	struct qlist done;
	struct qitem *it;

	qlist_init(&done);
	while ((it = qlist_shift(jobs)) != NULL) {
		struct job *j = (struct job *)(void *)it;

		deliver_one(d, &j);
		if (j != NULL)
			qlist_append(&done, &j->item);
	}
	hub_publish(d->hub, d->changes, d->changes_n);
	d->changes_n = 0;
	while ((it = qlist_shift(&done)) != NULL)
		job_free((struct job *)(void *)it);
	peers_check_room(d->peers);
}

static void
on_room(void *arg, struct store_client *client)
{
	struct deliver *d = arg;
	struct peer *p = peers_find(d->peers, store_client_id(client));

	if (p != NULL)
		peer_check_room(p);
}

struct store_sink
deliver_sink(struct deliver *d)
{
	return (struct store_sink){on_done, on_room, d};
}

void
deliver_fini(struct deliver *d)
{
	free(d->changes);
}
