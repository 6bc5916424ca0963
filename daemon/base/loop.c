/*
 * The loop on libevent: see loop.h. A turn is one poll and the callbacks of all
 * that was ready (or of some, if they are many), then the deferred calls.
 * loop_run() turns until told to stop.
 */

#include "daemon/base/loop.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/xalloc.h"
#include "daemon/base/slots.h"

#define CROWD_US 5000

struct deferred {
	void (*fn)(void *arg);
	void *arg;
};

struct deferred_list {
	struct deferred *v;
	size_t n;
	size_t cap;
};

struct loop_signal {
	struct loop_signal *next;
	struct event event;
	void (*fn)(void *arg, int signo);
	void *arg;
};

struct loop {
	struct event_base *base;
	struct deferred_list deferred; /* for the end of this turn */
	struct deferred_list running;  /* being called now */
	struct loop_signal *signals;
	uint64_t turn;
	int64_t crowd_ends_us; /* of this turn's time for what is many; 0: none of it came yet */
	int64_t now_ms;        /* -1: not read in this turn */
	bool stopped;
};

struct loop_timer {
	struct event event;
	void (*fn)(void *arg);
	void *arg;
};

struct loop_watch {
	struct event event;
	void (*fn)(void *arg);
	void *arg;
};

struct loop *
loop_new(void)
{
	struct loop *l = xnew(struct loop);
	struct event_config *config;

	slots_use();
	config = event_config_new();
	must(config != NULL);
	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
	event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
	l->base = event_base_new_with_config(config);
	must(l->base != NULL);
	event_config_free(config);
	must(event_base_priority_init(l->base, LOOP_PRIORITIES) == 0);
	l->now_ms = -1;
	return l;
}

void
loop_free(struct loop *l)
{
	if (l == NULL)
		return;
	while (l->signals != NULL) {
		struct loop_signal *s = l->signals;

		l->signals = s->next;
		event_del(&s->event);
		free(s);
	}
	free(l->deferred.v);
	free(l->running.v);
	event_base_free(l->base);
	free(l);
}

static void
run_deferred(struct loop *l)
{
	struct deferred_list calls = l->deferred;

	l->deferred = l->running;
	l->deferred.n = 0;
	l->running = calls;
	for (size_t i = 0; i < l->running.n; i++) {
		struct deferred d = l->running.v[i];

		if (d.fn != NULL)
			d.fn(d.arg);
	}
	l->running.n = 0;
}

void
loop_run(struct loop *l)
{
	while (!l->stopped) {
		/* Not blocking alone would go on for as long as there is something to do. */
		int flags = EVLOOP_ONCE | (l->deferred.n > 0 ? EVLOOP_NONBLOCK : 0);

		l->turn++;
		l->crowd_ends_us = 0;
		l->now_ms = -1;
		must(event_base_loop(l->base, flags) >= 0);
		run_deferred(l);
	}
	l->stopped = false;
}

void
loop_stop(struct loop *l)
{
	l->stopped = true;
	event_base_loopbreak(l->base);
}

void
loop_yield_if_late(struct loop *l)
{
	int64_t now_us = clock_mono_us();

	if (l->crowd_ends_us == 0)
		l->crowd_ends_us = now_us + CROWD_US;
	else if (now_us > l->crowd_ends_us)
		event_base_loopbreak(l->base);
}

struct event_base *
loop_base(struct loop *l)
{
	return l->base;
}

uint64_t
loop_turn(const struct loop *l)
{
	return l->turn;
}

int64_t
loop_now_ms(struct loop *l)
{
	if (l->now_ms < 0)
		l->now_ms = clock_mono_ms();
	return l->now_ms;
}

void
loop_defer(struct loop *l, void (*fn)(void *arg), void *arg)
{
	struct deferred_list *d = &l->deferred;

	if (d->n == d->cap) {
		d->cap = d->cap > 0 ? 2 * d->cap : 16;
		d->v = xrealloc(d->v, d->cap, sizeof(*d->v));
	}
	d->v[d->n++] = (struct deferred){fn, arg};
}

static void
forget(struct deferred_list *d, const void *arg)
{
	for (size_t i = 0; i < d->n; i++)
		if (d->v[i].arg == arg)
			d->v[i].fn = NULL;
}

void
loop_undefer(struct loop *l, void *arg)
{
	forget(&l->deferred, arg);
	forget(&l->running, arg);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct loop_timer *t = arg;

	(void)fd;
	(void)what;
	t->fn(t->arg);
}

struct loop_timer *
loop_timer_new(struct loop *l, void (*fn)(void *arg), void *arg)
{
	struct loop_timer *t = xnew(struct loop_timer);

	t->fn = fn;
	t->arg = arg;
	must(event_assign(&t->event, l->base, -1, 0, on_timer, t) == 0);
	return t;
}

void
loop_timer_start(struct loop_timer *t, int64_t wait_ms)
{
	struct timeval tv = {.tv_sec = wait_ms / 1000, .tv_usec = wait_ms % 1000 * 1000};

	must(event_add(&t->event, &tv) == 0);
}

void
loop_timer_stop(struct loop_timer *t)
{
	event_del(&t->event);
}

void
loop_timer_free(struct loop_timer *t)
{
	if (t == NULL)
		return;
	event_del(&t->event);
	free(t);
}

static void
on_signal(evutil_socket_t signo, short what, void *arg)
{
	struct loop_signal *s = arg;

	(void)what;
	s->fn(s->arg, (int)signo);
}

void
loop_on_signal(struct loop *l, int signo, void (*fn)(void *arg, int signo), void *arg)
{
	struct loop_signal *s = xnew(struct loop_signal);

	s->fn = fn;
	s->arg = arg;
	s->next = l->signals;
	l->signals = s;
	must(event_assign(&s->event, l->base, signo, EV_SIGNAL | EV_PERSIST, on_signal, s) == 0);
	must(event_add(&s->event, NULL) == 0);
}

static void
on_watch(evutil_socket_t fd, short what, void *arg)
{
	struct loop_watch *w = arg;

	(void)fd;
	(void)what;
	w->fn(w->arg);
}

struct loop_watch *
loop_watch_new(struct loop *l, int fd, void (*fn)(void *arg), void *arg)
{
	struct loop_watch *w = xnew(struct loop_watch);

	w->fn = fn;
	w->arg = arg;
	must(event_assign(&w->event, l->base, fd, EV_READ | EV_PERSIST, on_watch, w) == 0);
	must(event_add(&w->event, NULL) == 0);
	return w;
}

void
loop_watch_prefer(struct loop_watch *w)
{
	event_del(&w->event);
	must(event_priority_set(&w->event, LOOP_FIRST) == 0);
	must(event_add(&w->event, NULL) == 0);
}

void
loop_watch_free(struct loop_watch *w)
{
	if (w == NULL)
		return;
	event_del(&w->event);
	free(w);
}
