/* Long work that somebody hears about: see errand.h. */

#include "daemon/errand.h"

#include <stdlib.h>

#include "common/rpc.h"
#include "common/xalloc.h"
#include "daemon/base/loop.h"

#define TELL_EVERY_MS 100
#define TELL_AGAIN_MS 1000 /* though nothing has changed: that a peer is gone shows then */
#define RESULT_MAX    (4u << 20)

struct errand {
	struct loop *loop;
	struct store *store;
	struct peers *peers;
	const struct errand_work *work; /* borrowed */
	struct loop_timer *telling;     /* runs while somebody hears how far it is */
	int64_t job;
	uint64_t peer;   /* who asked for it */
	int64_t told;    /* of the last notice, as the next one */
	int64_t told_ms; /* monotonic */
};

/** Tells how far it is; error and reply: how it ended, or NULL. */
static void
tell(struct errand *a, struct peer *p, const struct error *error, const struct span *reply)
{
	int64_t done, total;
	struct buf params;
	struct json_out o;

	a->work->progress(a->store, &done, &total);
	buf_init(&params, RESULT_MAX);
	o = json_out_start(&params);
	json_begin_object(&o, NULL);
	json_put_int(&o, "job", a->job);
	json_put_int(&o, "done", done);
	json_put_int(&o, "total", total);
	if (reply != NULL)
		json_put_raw(&o, "result", *reply);
	else if (error != NULL)
		rpc_put_error(&o, error);
	json_end_object(&o);
	peer_notify(p, "job", buf_span(&params));
	buf_fini(&params);
	a->told = done;
	a->told_ms = loop_now_ms(a->loop);
}

static void
on_telling(void *arg)
{
	struct errand *a = arg;
	struct peer *p = peers_find(a->peers, a->peer);
	int64_t done, total;

	if (p == NULL) {
		a->work->stop(a->store);
		return;
	}
	loop_timer_start(a->telling, TELL_EVERY_MS);
	if (a->work->progress(a->store, &done, &total) &&
		(done != a->told || loop_now_ms(a->loop) - a->told_ms >= TELL_AGAIN_MS))
		tell(a, p, NULL, NULL);
}

enum err
errand_ask(struct errand *a, uint64_t peer, int64_t *job, struct error *error)
{
	enum err e = a->work->start(a->store, error);

	if (e != OK)
		return e;
	a->peer = peer;
	a->told = 0;
	a->told_ms = loop_now_ms(a->loop);
	*job = a->job = peers_next_job(a->peers);
	peer_begin_work(peers_find(a->peers, peer));
	loop_timer_start(a->telling, TELL_EVERY_MS);
	return OK;
}

void
errand_done(struct errand *a, const struct job *j)
{
	struct span reply = buf_span(&j->reply);
	struct peer *p;

	if (a == NULL)
		return;
	p = peers_find(a->peers, a->peer);
	loop_timer_stop(a->telling);
	if (p == NULL)
		return;
	tell(a, p, &j->error, j->result == OK ? &reply : NULL);
	peer_end_work(p);
}

struct errand *
errand_new(
	struct loop *loop, struct store *store, struct peers *peers, const struct errand_work *work)
{
	struct errand *a = xnew(struct errand);

	a->loop = loop;
	a->store = store;
	a->peers = peers;
	a->work = work;
	a->telling = loop_timer_new(loop, on_telling, a);
	return a;
}

void
errand_free(struct errand *a)
{
	if (a == NULL)
		return;
	loop_timer_free(a->telling);
	free(a);
}
