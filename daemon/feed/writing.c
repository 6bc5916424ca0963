/* A feed's writes: see writing.h. */

#include "daemon/feed/writing.h"

#include <sodium.h>
#include <stdlib.h>

#include "common/list.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "daemon/base/loop.h"
#include "daemon/store/store.h"

/* Of one job: the least and the most that it has room for. */
#define OPS_MIN   8
#define OPS_MAX   1024
#define BYTES_MIN ((size_t)4 << 10)
#define BYTES_MAX ((size_t)512 << 10)

#define AWAY_MAX 2 /* the store writes the one while it hands the other back */

#define GATHERED_MAX  ((size_t)3 << 20) /* bytes of all jobs that wait */
#define CONFLATED_MAX ((size_t)8 << 20)

/** A job, and what is known of it. */
struct parcel {
	struct list link;
	struct job *job; /* owned; NULL while the store has it */
	size_t used;     /* operations that are filled */
	size_t cap;
	size_t texts_n; /* bytes of their texts */
	size_t nbytes;  /* of the job, with the room that is not filled */
	int64_t came_us;
};

struct writing {
	struct store *store;
	struct store_client *client;
	const struct conf *conf;
	struct writing_ops ops;
	struct origin origin;
	struct list parcels; /* in order; the last one may be open */
	size_t nbytes;       /* of all of them */
	unsigned away_n;     /* of the first ones, that the store has */
	size_t next_ops;     /* room in the next one: as much as was needed */
	size_t next_bytes;
	struct conflation newest;
	bool conflates;
	bool is_hurried;
	bool is_failing; /* nothing is sent but what is tried again */
	struct loop_timer *retry;
	int64_t retry_ms; /* of the last wait; 0: none since something was written */
	uint64_t conflated;
};

static void on_retry(void *arg);

struct writing *
writing_new(struct loop *loop, struct store *store, const struct writing_wish *wish,
	const struct writing_ops *ops)
{
	struct writing *w = xnew(struct writing);
	uint64_t seed;

	randombytes_buf(&seed, sizeof(seed));
	w->store = store;
	w->client = store_client_new(store, wish->id, false);
	w->ops = *ops;
	w->origin = (struct origin){.kind = ORIGIN_FEED, .peer = wish->id};
	w->next_ops = OPS_MIN;
	w->next_bytes = BYTES_MIN;
	w->retry = loop_timer_new(loop, on_retry, w);
	list_init(&w->parcels);
	conflation_init(&w->newest, seed);
	writing_reload(w, wish->conf, wish->conflates);
	return w;
}

static void
parcel_free(struct writing *w, struct parcel *p)
{
	w->nbytes -= p->nbytes;
	list_remove(&p->link);
	job_free(p->job);
	free(p);
}

void
writing_free(struct writing *w)
{
	if (w == NULL)
		return;
	while (!list_is_empty(&w->parcels))
		parcel_free(w, list_item(w->parcels.next, struct parcel, link));
	conflation_fini(&w->newest);
	store_client_close(w->client);
	loop_timer_free(w->retry);
	free(w);
}

void
writing_reload(struct writing *w, const struct conf *conf, bool conflates)
{
	w->conf = conf;
	w->conflates = conflates;
}

/* Gathering. */

static struct parcel *
parcel_new(struct writing *w, size_t ops_n, size_t nbytes)
{
	struct job *j = job_new(JOB_WRITE, &w->origin, ops_n, nbytes);
	struct parcel *p;

	if (j == NULL)
		return NULL;
	p = xnew(struct parcel);
	p->job = j;
	p->cap = ops_n;
	p->nbytes = j->item.nbytes;
	w->nbytes += p->nbytes;
	j->is_many = true;
	list_append(&w->parcels, &p->link);
	return p;
}

static size_t
clip(size_t n, size_t least, size_t most)
{
	return n < least ? least : n > most ? most : n;
}

/** The parcel in which there is room for a record; NULL when out of memory. */
static struct parcel *
parcel_for(struct writing *w, size_t nbytes)
{
	struct parcel *p =
		list_is_empty(&w->parcels) ? NULL : list_item(w->parcels.prev, struct parcel, link);
	bool is_open = p != NULL && p->job != NULL;
	size_t room = 0;

	if (is_open)
		job_room(p->job, &room);
	if (is_open && p->used < p->cap && nbytes <= room)
		return p;
	/* More came than the last time. */
	if (is_open && p->used == p->cap)
		w->next_ops = clip(2 * w->next_ops, OPS_MIN, OPS_MAX);
	else if (is_open)
		w->next_bytes = clip(2 * w->next_bytes, BYTES_MIN, BYTES_MAX);
	return parcel_new(w, w->next_ops, nbytes > w->next_bytes ? nbytes : w->next_bytes);
}

static enum err
gather(struct writing *w, const struct feed_record *r, struct error *error)
{
	size_t nbytes = feedrecord_nbytes(r);
	struct parcel *p = parcel_for(w, nbytes);

	if (p == NULL)
		return error_set(error, ERR_LIMIT_EXCEEDED, "out of memory");
	if (p->used == 0)
		p->came_us = r->came_us;
	feedrecord_fill(r, w->conf, p->job, &p->job->ops[p->used++]);
	p->texts_n += nbytes;
	return OK;
}

/** True: nothing more is to be gathered before something is written. */
static bool
is_loaded(const struct writing *w)
{
	return w->nbytes >= GATHERED_MAX || (w->is_failing && !w->is_hurried);
}

enum err
writing_add(struct writing *w, const struct feed_record *r, struct error *error)
{
	enum err e = feedrecord_check(r, w->conf, error);

	if (e != OK)
		return e;
	if (w->newest.n == 0 && !(w->conflates && is_loaded(w)))
		return gather(w, r, error);
	w->conflated += conflation_put(&w->newest, r);
	return OK;
}

bool
writing_is_full(const struct writing *w)
{
	return w->conflates ? w->newest.nbytes >= CONFLATED_MAX : is_loaded(w);
}

bool
writing_is_idle(const struct writing *w)
{
	return list_is_empty(&w->parcels) && w->newest.n == 0;
}

uint64_t
writing_conflated(const struct writing *w)
{
	return w->conflated;
}

/* To the store, and back. */

/** What was kept as the newest goes on, as far as there is room. */
static void
unfold(struct writing *w)
{
	struct feed_record r;

	while ((w->is_hurried || !is_loaded(w)) && conflation_peek(&w->newest, &r) &&
		gather(w, &r, NULL) == OK)
		conflation_drop(&w->newest);
}

/** What the store could not write is tried again, when all that it has is back. */
static void
fail(struct writing *w, const struct error *error)
{
	if (!w->is_failing)
		w->ops.failing(w->ops.arg, error);
	w->is_failing = true;
	if (w->away_n > 0)
		return;
	w->retry_ms = clip((size_t)(2 * w->retry_ms), WRITING_RETRY_MIN_MS, WRITING_RETRY_MAX_MS);
	loop_timer_start(w->retry, w->retry_ms);
}

static void
note_loss(size_t n)
{
	log_error("feed",
		"records are given up: the daemon stops, and the store does not take them",
		F_INT("records", n));
}

/** The first parcel that the store has, or that it has not; NULL: there is none. */
static struct parcel *
first(const struct writing *w, bool is_away)
{
	for (struct list *at = w->parcels.next; at != &w->parcels; at = at->next) {
		struct parcel *p = list_item(at, struct parcel, link);

		if ((p->job == NULL) == is_away)
			return p;
	}
	return NULL;
}

static void
give_up(struct writing *w)
{
	size_t n = w->newest.n;

	struct parcel *p;

	while ((p = first(w, false)) != NULL) {
		n += p->used;
		parcel_free(w, p);
	}
	note_loss(n);
	while (w->newest.n > 0)
		conflation_drop(&w->newest);
}

/** Hands a parcel to the store, which writes it only if it has written those before. */
static void
send(struct writing *w, struct parcel *p)
{
	struct error error = ERROR_NONE;

	w->next_ops = clip(p->used + p->used / 4, OPS_MIN, OPS_MAX);
	w->next_bytes = clip(p->texts_n + p->texts_n / 4, BYTES_MIN, BYTES_MAX);
	p->job->ops_n = p->used;
	p->job->is_chained = w->away_n > 0;
	if (store_submit(w->store, w->client, &p->job, &error) == PENDING)
		w->away_n++;
	else if (w->is_hurried)
		give_up(w);
	else
		fail(w, &error);
}

/** While the store has one, the next goes behind it when it is full. */
static bool
may_send(const struct writing *w, const struct parcel *p)
{
	if (p == NULL || w->away_n == AWAY_MAX || (w->is_failing && !w->is_hurried))
		return false;
	return w->away_n == 0 || w->is_hurried || p->link.next != &w->parcels;
}

void
writing_flush(struct writing *w)
{
	struct parcel *p;

	unfold(w);
	while (may_send(w, p = first(w, false)))
		send(w, p);
}

static void
on_retry(void *arg)
{
	struct writing *w = arg;

	must(w->away_n == 0);
	send(w, first(w, false));
}

void
writing_hurry(struct writing *w)
{
	w->is_hurried = true;
	loop_timer_stop(w->retry);
	writing_flush(w);
}

static int64_t
last_seq(const struct job *j)
{
	int64_t seq = 0;

	for (size_t i = 0; i < j->ops_n; i++)
		if (j->ops[i].seq > seq)
			seq = j->ops[i].seq;
	return seq;
}

static void
commit(struct writing *w, const struct parcel *p, const struct job *j)
{
	w->retry_ms = 0;
	if (w->is_failing)
		w->ops.failing(w->ops.arg, NULL);
	w->is_failing = false;
	w->ops.committed(w->ops.arg, p->used, last_seq(j), p->came_us);
}

void
writing_done(struct writing *w, struct job **job)
{
	struct parcel *p = first(w, true); /* they come back in order */
	enum err e = (*job)->result;

	w->away_n--;
	if (e == OK || w->is_hurried) {
		if (e == OK)
			commit(w, p, *job);
		else
			note_loss(p->used);
		parcel_free(w, p);
	} else {
		p->job = *job;
		*job = NULL;
		fail(w, &p->job->error);
		job_renew(p->job);
	}
	writing_flush(w);
	w->ops.room(w->ops.arg);
}
