/* Work on a thread of its own: see offload.h. */

#include "daemon/base/offload.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/xalloc.h"
#include "daemon/base/loop.h"

struct offload {
	pthread_t thread;
	struct queue *in;
	struct queue *out;
	struct loop_watch *watch;
	_Atomic bool is_stopping;
};

static void *
run(void *arg)
{
	struct offload *o = arg;
	struct qlist waiting, one;
	struct qitem *it;

	qlist_init(&waiting);
	while (!o->is_stopping) {
		queue_take(o->in, &waiting);
		while ((it = qlist_shift(&waiting)) != NULL && !o->is_stopping) {
			struct offload_work *w = (struct offload_work *)(void *)it;

			w->run(w);
			qlist_init(&one);
			qlist_append(&one, it);
			queue_push(o->out, &one);
		}
		if (!o->is_stopping)
			queue_wait(o->in, INT64_MAX);
	}
	return NULL;
}

static void
on_done(void *arg)
{
	struct offload *o = arg;
	struct qlist done;
	struct qitem *it;

	qlist_init(&done);
	queue_take(o->out, &done);
	while ((it = qlist_shift(&done)) != NULL) {
		struct offload_work *w = (struct offload_work *)(void *)it;

		w->done(w);
	}
}

struct offload *
offload_new(struct loop *loop)
{
	struct offload *o = xnew(struct offload);

	o->in = queue_new();
	o->out = queue_new();
	o->watch = loop_watch_new(loop, queue_fd(o->out), on_done, o);
	must(pthread_create(&o->thread, NULL, run, o) == 0);
	pthread_setname_np(o->thread, "offload");
	return o;
}

void
offload_submit(struct offload *o, struct offload_work *w)
{
	struct qlist one;

	qlist_init(&one);
	qlist_append(&one, &w->item);
	queue_push(o->in, &one);
}

void
offload_free(struct offload *o)
{
	struct qlist rest;

	if (o == NULL)
		return;
	o->is_stopping = true;
	queue_close(o->in);
	pthread_join(o->thread, NULL);
	loop_watch_free(o->watch);
	qlist_init(&rest);
	queue_take(o->in, &rest);
	queue_take(o->out, &rest);
	queue_free(o->in);
	queue_free(o->out);
	free(o);
}
