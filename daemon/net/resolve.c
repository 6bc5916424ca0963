/*
 * Names to addresses: see resolve.h. A look-up's thread owns all that it touches and
 * hands it over through a queue, which both sides hold: one that the system keeps for
 * half a minute may outlive the resolver.
 */

#include "daemon/net/resolve.h"

#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/list.h"
#include "common/url.h"
#include "common/xalloc.h"
#include "daemon/base/loop.h"
#include "daemon/base/queue.h"
#include "daemon/base/stats.h"

#define STACK_SIZE   ((size_t)256 * 1024)
#define SLOW_US      1000000
#define DOUBTED_MAX  256 /* names that are remembered */
#define HOST_SIZE    256
#define SERVICE_SIZE 8

/** Where threads put what they found. */
struct outbox {
	_Atomic unsigned refs;
	struct queue *queue;
};

/** The loop's before its thread runs and after. */
struct lookup {
	/* The loop's all the time: */
	struct resolve *asked; /* borrowed; NULL once nobody asks any more */
	struct list young;     /* linked in the resolver's while it runs and is not slow yet */
	int64_t began_us;
	bool is_doubtful; /* it was slow before, or is now */

	/* The thread's while it runs: */
	struct qitem item;
	struct outbox *outbox; /* owned reference */
	char host[HOST_SIZE];
	char service[SERVICE_SIZE];
	struct addrinfo *list; /* owned: what was found */
	int code;              /* of getaddrinfo() */
};

struct resolve {
	struct resolver *resolver;
	struct list waiting;   /* linked in the resolver's until it has a thread */
	struct lookup *lookup; /* owned; while a thread runs: its `asked` is what is ours */
	bool is_running;
	resolve_fn fn;
	void *arg;
};

struct doubted {
	struct list link;
	char host[HOST_SIZE];
};

struct resolver {
	struct loop *loop;
	struct outbox *outbox; /* owned reference */
	struct loop_watch *watch;
	struct list waiting;      /* of struct resolve, first come first */
	struct list young;        /* of struct lookup, oldest first */
	struct list doubted;      /* of struct doubted, newest first */
	struct loop_timer *timer; /* the oldest of the young is slow then */
	unsigned asked_n;
	unsigned doubted_n;
	unsigned threads; /* that run: of the young, and of the doubtful */
	unsigned young_n;
	unsigned doubtful_n;
	struct counter lookups;
	struct counter failures;
};

static void
lookup_free(struct lookup *l)
{
	if (l->list != NULL)
		freeaddrinfo(l->list);
	free(l);
}

static void
outbox_unref(struct outbox *o)
{
	struct qlist rest;
	struct qitem *it;

	if (atomic_fetch_sub(&o->refs, 1) > 1)
		return;
	qlist_init(&rest);
	queue_take(o->queue, &rest);
	while ((it = qlist_shift(&rest)) != NULL)
		lookup_free(list_item(it, struct lookup, item));
	queue_free(o->queue);
	free(o);
}

static void
look_up(struct lookup *l, int flags)
{
	struct addrinfo hints = {.ai_flags = flags | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};

	l->code = getaddrinfo(url_lookup_name(l->host), l->service, &hints, &l->list);
	if (l->code != 0)
		l->list = NULL;
}

static void *
run(void *arg)
{
	struct lookup *l = arg;
	struct outbox *outbox = l->outbox;
	struct qlist one;

	look_up(l, 0);
	qlist_init(&one);
	qlist_append(&one, &l->item);
	queue_push(outbox->queue, &one);
	outbox_unref(outbox);
	return NULL;
}

static struct doubted *
find_doubted(const struct resolver *r, const char *host)
{
	const struct list *head = &r->doubted;

	for (struct list *l = head->next; l != head; l = l->next) {
		struct doubted *d = list_item(l, struct doubted, link);

		if (strcmp(d->host, host) == 0)
			return d;
	}
	return NULL;
}

static void
drop_doubted(struct resolver *r, struct doubted *d)
{
	list_remove(&d->link);
	free(d);
	r->doubted_n--;
}

/** Remembers, or forgets, that a name was slow. */
static void
doubt(struct resolver *r, const char *host, bool is_slow)
{
	struct doubted *d = find_doubted(r, host);

	if (d != NULL && !is_slow)
		drop_doubted(r, d);
	if (d != NULL || !is_slow)
		return;
	if (r->doubted_n == DOUBTED_MAX)
		drop_doubted(r, list_item(r->doubted.prev, struct doubted, link));
	d = xnew(struct doubted);
	snprintf(d->host, sizeof(d->host), "%s", host);
	list_append(r->doubted.next, &d->link); /* before the newest */
	r->doubted_n++;
}

static const char *
reason_of(int code)
{
	switch (code) {
	case EAI_NONAME:
	case EAI_NODATA:
		return "there is no host of this name";
	case EAI_AGAIN:
		return "no name server answers";
	default:
		return gai_strerror(code);
	}
}

/** Takes every other one from the families, beginning with the one that came first. */
static void
order(const struct addrinfo *list, struct resolved *out)
{
	const struct addrinfo *next[2] = {list, list};
	int family = list->ai_family;

	for (int turn = 0; out->n < RESOLVE_MAX; turn = !turn) {
		while (next[turn] != NULL && (next[turn]->ai_family == family) == (turn == 1))
			next[turn] = next[turn]->ai_next;
		if (next[turn] == NULL && next[!turn] == NULL)
			break;
		if (next[turn] == NULL)
			continue;
		if (next[turn]->ai_addrlen <= sizeof(out->v[0]))
			memcpy(&out->v[out->n++], next[turn]->ai_addr, next[turn]->ai_addrlen);
		next[turn] = next[turn]->ai_next;
	}
}

/** Tells who asked, and frees both. */
static void
tell(struct resolve *q, struct lookup *l)
{
	struct resolver *r = q->resolver;
	struct resolved found = {.why = ""};
	resolve_fn fn = q->fn;
	void *arg = q->arg;

	if (l->list != NULL)
		order(l->list, &found);
	if (found.n == 0) {
		found.why = reason_of(l->code != 0 ? l->code : EAI_NODATA);
		counter_add(&r->failures, 1);
	}
	lookup_free(l);
	free(q);
	r->asked_n--;
	fn(arg, &found);
}

static void
tell_at_once(void *arg)
{
	struct resolve *q = arg;

	tell(q, q->lookup);
}

/** Its thread begins, or cannot. */
static void
start_thread(struct resolver *r, struct resolve *q)
{
	struct lookup *l = q->lookup;
	pthread_attr_t attr;
	pthread_t thread;
	int failed;

	list_remove(&q->waiting);
	l->asked = q;
	l->outbox = r->outbox;
	l->began_us = clock_mono_us();
	atomic_fetch_add(&r->outbox->refs, 1);
	must(pthread_attr_init(&attr) == 0);
	must(pthread_attr_setstacksize(&attr, STACK_SIZE) == 0);
	must(pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED) == 0);
	failed = pthread_create(&thread, &attr, run, l);
	pthread_attr_destroy(&attr);
	if (failed != 0) {
		outbox_unref(r->outbox);
		l->code = EAI_MEMORY;
		loop_defer(r->loop, tell_at_once, q);
		return;
	}
	q->is_running = true;
	r->threads++;
	if (l->is_doubtful) {
		r->doubtful_n++;
		return;
	}
	if (r->young_n++ == 0)
		loop_timer_start(r->timer, SLOW_US / 1000);
	list_append(&r->young, &l->young);
}

static void
start_waiting(struct resolver *r)
{
	struct list *it, *tmp;

	list_each (it, tmp, &r->waiting) {
		struct resolve *q = list_item(it, struct resolve, waiting);

		if (r->threads == RESOLVE_ALL)
			break;
		q->lookup->is_doubtful = find_doubted(r, q->lookup->host) != NULL;
		if (q->lookup->is_doubtful ? r->doubtful_n < RESOLVE_DOUBTFUL
					   : r->young_n < RESOLVE_THREADS)
			start_thread(r, q);
	}
}

/** Some look-ups are slow: others need not wait for them. */
static void
on_timer(void *arg)
{
	struct resolver *r = arg;
	int64_t now_us = clock_mono_us();

	while (r->young_n > 0) {
		struct lookup *l = list_item(r->young.next, struct lookup, young);
		int64_t left_us = l->began_us + SLOW_US - now_us;

		if (left_us > 0) {
			loop_timer_start(r->timer, left_us / 1000 + 1);
			break;
		}
		list_remove(&l->young);
		l->is_doubtful = true;
		doubt(r, l->host, true);
		r->young_n--;
		r->doubtful_n++;
	}
	start_waiting(r);
}

static void
on_found(void *arg)
{
	struct resolver *r = arg;
	struct qlist found;
	struct qitem *it;

	qlist_init(&found);
	queue_take(r->outbox->queue, &found);
	while ((it = qlist_shift(&found)) != NULL) {
		struct lookup *l = list_item(it, struct lookup, item);

		r->threads--;
		if (l->is_doubtful)
			r->doubtful_n--;
		else
			r->young_n--;
		list_remove(&l->young);
		doubt(r, l->host, clock_mono_us() - l->began_us >= SLOW_US);
		if (l->asked != NULL)
			tell(l->asked, l);
		else
			lookup_free(l);
	}
	start_waiting(r);
}

struct resolver *
resolver_new(struct loop *loop)
{
	struct resolver *r = xnew(struct resolver);

	r->loop = loop;
	list_init(&r->waiting);
	list_init(&r->young);
	list_init(&r->doubted);
	r->timer = loop_timer_new(loop, on_timer, r);
	r->outbox = xnew(struct outbox);
	r->outbox->refs = 1;
	r->outbox->queue = queue_new();
	r->watch = loop_watch_new(loop, queue_fd(r->outbox->queue), on_found, r);
	return r;
}

void
resolver_free(struct resolver *r)
{
	if (r == NULL)
		return;
	must(r->asked_n == 0);
	while (r->doubted_n > 0)
		drop_doubted(r, list_item(r->doubted.next, struct doubted, link));
	loop_watch_free(r->watch);
	loop_timer_free(r->timer);
	outbox_unref(r->outbox);
	free(r);
}

static int64_t
read_threads(const void *arg)
{
	return ((const struct resolver *)arg)->threads;
}

void
resolver_add_stats(const struct resolver *r, struct stats *stats)
{
	stats_add_gauge(stats, "sysrt_resolve_threads", read_threads, r);
	stats_add_counter(stats, "sysrt_resolve_lookups_total", &r->lookups);
	stats_add_counter(stats, "sysrt_resolve_failures_total", &r->failures);
}

struct resolve *
resolve_start(struct resolver *r, const char *host, uint16_t port, resolve_fn fn, void *arg)
{
	struct resolve *q = xnew(struct resolve);
	struct lookup *l = xnew(struct lookup);

	q->resolver = r;
	q->lookup = l;
	q->fn = fn;
	q->arg = arg;
	list_init(&q->waiting);
	list_init(&l->young);
	r->asked_n++;
	snprintf(l->host, sizeof(l->host), "%s", host);
	snprintf(l->service, sizeof(l->service), "%u", port);
	look_up(l, AI_NUMERICHOST);
	if (l->code != EAI_NONAME) {
		loop_defer(r->loop, tell_at_once, q);
		return q;
	}
	counter_add(&r->lookups, 1);
	list_append(&r->waiting, &q->waiting);
	start_waiting(r);
	return q;
}

void
resolve_cancel(struct resolve *q)
{
	struct resolver *r = q != NULL ? q->resolver : NULL;

	if (q == NULL)
		return;
	loop_undefer(r->loop, q);
	list_remove(&q->waiting);
	if (q->is_running) {
		q->lookup->asked = NULL;
	} else {
		lookup_free(q->lookup);
	}
	r->asked_n--;
	free(q);
}
