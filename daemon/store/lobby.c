/* The lobby: see lobby.h. */

#include "daemon/store/lobby.h"

#include "common/xalloc.h"
#include "daemon/store/turn.h"

void
lobby_init(struct lobby *l, unsigned queue_max, size_t bytes_max, const struct lobby_ops *ops)
{
	*l = (struct lobby){.ops = *ops, .queue_max = queue_max, .bytes_max = bytes_max};
	list_init(&l->waiting);
	list_init(&l->going_on);
	list_init(&l->choked);
}

static enum lane
lane_of(const struct job *j)
{
	if (j->kind == JOB_WRITE)
		return LANE_WRITES;
	return j->kind == JOB_SEARCH ? LANE_SEARCHES : LANE_READS;
}

static bool
has_slot(const struct lobby *l, const struct store_client *c, enum lane lane)
{
	return l->lanes[lane].inside < l->queue_max + (c->is_control ? LOBBY_CONTROL_SLOTS : 0);
}

static bool
has_room(const struct lobby *l, const struct store_client *c, const struct job *j)
{
	enum lane lane = lane_of(j);

	return l->lanes[lane].inside == 0 ||
	       (has_slot(l, c, lane) &&
		       l->lanes[lane].inside_bytes + j->item.nbytes <= l->bytes_max);
}

static void
enter(struct lobby *l, struct job *j)
{
	enum lane lane = lane_of(j);

	j->is_inside = true;
	l->lanes[lane].inside++;
	l->lanes[lane].inside_bytes += j->item.nbytes;
	if (j->client != NULL)
		j->client->queued[lane]++;
	turn_give(j, l->lanes[lane].now, j->client != NULL ? &j->client->turns[lane] : NULL);
	l->ops.enter(l->ops.arg, j);
}

/** A read goes on only when the writes before it are back. */
static bool
must_hold(const struct store_client *c, const struct job *j)
{
	return j->kind != JOB_WRITE && c->last_done < j->ticket;
}

static void
enter_or_hold(struct lobby *l, struct store_client *c, struct job *j)
{
	if (must_hold(c, j))
		qlist_append(&c->held, &j->item);
	else
		enter(l, j);
}

void
lobby_submit(struct lobby *l, struct store_client *c, struct job *j)
{
	if (c == NULL) {
		enter(l, j);
		return;
	}
	j->client = client_ref(c);
	if (j->kind == JOB_WRITE)
		c->last_submitted = ++l->last_ticket;
	j->ticket = c->last_submitted;
	if (c->parked.n == 0 && list_is_empty(&l->waiting) && has_room(l, c, j)) {
		enter_or_hold(l, c, j);
		return;
	}
	qlist_append(&c->parked, &j->item);
	l->parked_n++;
	if (!list_is_linked(&c->waiting)) {
		client_ref(c);
		list_append(&l->waiting, &c->waiting);
	}
	lobby_serve(l);
}

static void
release_held(struct lobby *l, struct store_client *c)
{
	while (c->held.first != NULL) {
		struct job *j = (struct job *)(void *)c->held.first;

		if (must_hold(c, j))
			return;
		qlist_shift(&c->held);
		if (c->is_closed)
			job_free(j);
		else
			enter(l, j);
	}
}

static void
put_off(struct lobby *l, struct store_client *c, struct job *j)
{
	j->is_inside = j->is_put_off = false;
	if (c->is_closed) {
		job_free(j);
		return;
	}
	qlist_append(&c->put_off, &j->item);
	if (!list_is_linked(&c->resting))
		list_append(&l->going_on, &c->resting);
}

bool
lobby_returned(struct lobby *l, struct job *j)
{
	struct store_client *c = j->client;
	enum lane lane = lane_of(j);

	if (!j->is_inside)
		return true;
	l->lanes[lane].inside--;
	l->lanes[lane].inside_bytes -= j->item.nbytes;
	if (!j->is_put_off && turn_at(j) > l->lanes[lane].now)
		l->lanes[lane].now = turn_at(j);
	if (c == NULL)
		return true;
	c->queued[lane]--;
	if (j->is_put_off && !l->is_ending) {
		turn_drop(j, &c->turns[lane]);
		put_off(l, c, j);
		return false;
	}
	if (j->kind == JOB_WRITE)
		c->last_done = j->ticket;
	else
		c->made -= j->reply.n;
	release_held(l, c);
	return true;
}

static void
enter_put_off(struct lobby *l, struct store_client *c)
{
	struct qlist jobs;
	struct qitem *it;

	list_remove(&c->resting);
	qlist_init(&jobs);
	qlist_splice(&jobs, &c->put_off);
	while ((it = qlist_shift(&jobs)) != NULL)
		enter(l, (struct job *)(void *)it);
}

void
lobby_go_on(struct lobby *l)
{
	struct list *link;

	while ((link = list_shift(&l->going_on)) != NULL) {
		struct store_client *c = list_item(link, struct store_client, resting);

		if (c->is_choked)
			list_append(&l->choked, &c->resting);
		else
			enter_put_off(l, c);
	}
}

void
lobby_end(struct lobby *l, struct qlist *out)
{
	struct list *link;

	l->is_ending = true;
	list_splice(&l->choked, &l->going_on);
	while ((link = list_shift(&l->choked)) != NULL)
		qlist_splice(out, &list_item(link, struct store_client, resting)->put_off);
}

void
lobby_choke(struct lobby *l, struct store_client *c, bool is_choked)
{
	if (c->is_choked == is_choked)
		return;
	c->is_choked = is_choked;
	if (!is_choked)
		enter_put_off(l, c);
}

/** The client whose turn it is: the first that has room and is below its share, else the first that
 * has room. Nobody passes one of its kind that lacks bytes only: a large job would wait for ever.
 */
static struct store_client *
next_client(const struct lobby *l)
{
	unsigned share = l->queue_max / 8 > 0 ? l->queue_max / 8 : 1;
	struct store_client *first = NULL;
	bool lacks_bytes[LANE_COUNT] = {false};

	for (struct list *it = l->waiting.next; it != &l->waiting; it = it->next) {
		struct store_client *c = list_item(it, struct store_client, waiting);
		const struct job *j = (const struct job *)(const void *)c->parked.first;
		enum lane lane = lane_of(j);

		if (l->lanes[lane].inside > 0 && !has_slot(l, c, lane))
			continue;
		lacks_bytes[lane] |= !has_room(l, c, j);
		if (lacks_bytes[lane])
			continue;
		if (c->queued[lane] < share)
			return c;
		if (first == NULL)
			first = c;
	}
	return first;
}

static void
stop_waiting(struct lobby *l, struct store_client *c)
{
	list_remove(&c->waiting);
	if (!c->is_closed)
		l->ops.room(l->ops.arg, c);
	client_unref(c);
}

void
lobby_serve(struct lobby *l)
{
	struct store_client *c;

	while ((c = next_client(l)) != NULL) {
		struct job *j = (struct job *)(void *)qlist_shift(&c->parked);

		l->parked_n--;
		list_remove(&c->waiting);
		list_append(&l->waiting, &c->waiting);
		enter_or_hold(l, c, j);
		if (c->parked.n == 0)
			stop_waiting(l, c);
	}
}

/** Moves the reads of a list to `dropped`. */
static void
drop_reads(struct qlist *jobs, struct qlist *dropped)
{
	struct qlist kept;
	struct qitem *it;

	qlist_init(&kept);
	while ((it = qlist_shift(jobs)) != NULL)
		qlist_append(((struct job *)(void *)it)->kind == JOB_WRITE ? &kept : dropped, it);
	qlist_splice(jobs, &kept);
}

static void
free_jobs(struct qlist *jobs)
{
	struct qitem *it;

	while ((it = qlist_shift(jobs)) != NULL)
		job_free((struct job *)(void *)it);
}

void
lobby_leave(struct lobby *l, struct store_client *c)
{
	struct qlist dropped;

	c->is_closed = true;
	c->is_choked = true; /* what the threads have of it comes back undone */
	qlist_init(&dropped);
	l->parked_n -= c->parked.n;
	drop_reads(&c->parked, &dropped);
	l->parked_n += c->parked.n;
	drop_reads(&c->held, &dropped);
	qlist_splice(&dropped, &c->put_off);
	list_remove(&c->resting);
	if (c->parked.n == 0 && list_is_linked(&c->waiting))
		stop_waiting(l, c);
	free_jobs(&dropped);
}

unsigned
lobby_inside(const struct lobby *l)
{
	unsigned n = 0;

	for (unsigned i = 0; i < LANE_COUNT; i++)
		n += l->lanes[i].inside;
	return n;
}

bool
lobby_is_idle(const struct lobby *l)
{
	return lobby_inside(l) == 0 && list_is_empty(&l->waiting);
}

void
lobby_drain(struct lobby *l, struct qlist *out)
{
	struct list *link;

	while ((link = list_shift(&l->waiting)) != NULL) {
		struct store_client *c = list_item(link, struct store_client, waiting);

		l->parked_n -= c->parked.n;
		qlist_splice(out, &c->parked);
		client_unref(c);
	}
}
