/* Peers and their table: see peer.h. */

#include "daemon/peer/peer.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/rpc.h"
#include "common/secret.h"
#include "common/xalloc.h"
#include "daemon/base/loop.h"
#include "daemon/peer/peer_priv.h"

#define RESULT_MAX       (64u << 20)
#define BATCH_RESULT_MAX (16u << 20)  /* of all requests of a batch together */
#define BUFFER_KEPT      (256u << 10) /* of what is shared, after a large answer */
#define NO_BATCH         0
#define INPUT_FREE       (64u << 10) /* so much of a message may wait for its rest in any case */
#define LOOK_US          5000        /* of a turn, for the clocks of all peers */
#define CLOSE_BY_ADMIN   4000
#define CLOSE_INPUT      4001
#define FRAMING_OF(kind) ((kind) == ORIGIN_WEBSOCKET ? FRAMING_WEBSOCKET : FRAMING_LINE)

/** A JSON-RPC batch: its answers are collected and sent as one array. */
struct batch {
	struct list link;
	uint64_t id;
	unsigned waiting;
	struct buf answers; /* without the brackets */
};

static int64_t
read_input(const void *arg)
{
	return (int64_t)((const struct peers *)arg)->input;
}

struct peers *
peers_new(struct api *api, struct net *net, struct loop *loop)
{
	struct peers *ps = xnew(struct peers);

	ps->api = api;
	ps->net = net;
	ps->loop = loop;
	list_init(&ps->all);
	list_init(&ps->answered);
	peers_init_holds(ps);
	buf_init(&ps->result, RESULT_MAX);
	buf_init(&ps->answer, RESULT_MAX);
	stats_add_gauge(api->stats, "sysrt_peers_unfinished_bytes", read_input, ps);
	stats_add_counter(
		api->stats, "sysrt_peers_notifications_failed_total", &ps->notifications_failed);
	return ps;
}

void
peers_free(struct peers *ps)
{
	if (ps == NULL)
		return;
	must(list_is_empty(&ps->all));
	loop_undefer(ps->loop, ps);
	peers_fini_holds(ps);
	buf_fini(&ps->result);
	buf_fini(&ps->answer);
	free(ps);
}

struct peer *
peers_find(struct peers *ps, uint64_t id)
{
	struct peer *p = ps->buckets[id % PEERS_BUCKETS];

	while (p != NULL && p->caller.id != id)
		p = p->hash_next;
	return p;
}

unsigned
peers_count(const struct peers *ps, enum origin_kind kind)
{
	return ps->count[kind];
}

int64_t
peers_next_job(struct peers *ps)
{
	return ++ps->last_job;
}

struct api *
peers_api(struct peers *ps)
{
	return ps->api;
}

struct loop *
peers_loop(struct peers *ps)
{
	return ps->loop;
}

void
peers_each(struct peers *ps, void (*fn)(struct peer *p, void *arg), void *arg)
{
	bool was_giving_up = ps->is_giving_up;
	struct list *at, *tmp;

	ps->is_giving_up = true;
	list_each (at, tmp, &ps->all)
		fn(list_item(at, struct peer, all), arg);
	ps->is_giving_up = was_giving_up;
}

static void
look_on(void *arg)
{
	struct peers *ps = arg;
	int64_t ends_us = clock_mono_us() + LOOK_US;
	struct list *at, *tmp;

	list_each (at, tmp, &ps->all) {
		struct peer *p = list_item(at, struct peer, all);

		if (p->caller.id <= ps->looked_at)
			continue;
		ps->looked_at = p->caller.id;
		p->ops->look(p, loop_now_ms(ps->loop));
		if (clock_mono_us() > ends_us) {
			loop_defer(ps->loop, look_on, ps);
			return;
		}
	}
	ps->is_looking = false;
}

void
peers_look(struct peers *ps)
{
	if (ps->is_looking)
		return;
	ps->is_looking = true;
	ps->looked_at = 0;
	look_on(ps);
}

bool
peers_are_idle(const struct peers *ps)
{
	for (struct list *at = ps->all.next; at != &ps->all; at = at->next) {
		struct peer *p = list_item(at, struct peer, all);

		if (p->in_flight > 0 || conn_unsent(&p->conn) > 0)
			return false;
	}
	return true;
}

static struct peer *
peer_of(const struct subscriber *s)
{
	return list_item((uintptr_t)s, struct peer, subscriber);
}

static void
on_send(struct subscriber *s, struct frame *f)
{
	conn_queue(&peer_of(s)->conn, f);
}

static size_t
on_flush(struct subscriber *s)
{
	return conn_flush(&peer_of(s)->conn);
}

static size_t
on_unsent(const struct subscriber *s)
{
	return conn_unsent(&peer_of(s)->conn);
}

static const struct subscriber_ops subscriber_ops = {on_send, on_flush, on_unsent};

void
peer_init(struct peer *p, struct peers *ps, enum origin_kind kind, int fd, conn_fn on_conn,
	const struct peer_ops *ops)
{
	uint64_t id = ++ps->last_id;

	p->peers = ps;
	p->ops = ops;
	p->opened_ms = clock_wall_ms();
	p->caller = (struct caller){
		.kind = kind,
		.id = id,
		.passed_fd = -1,
		.store = store_client_new(ps->api->store, id, kind == ORIGIN_CONTROL),
		.subscriber = &p->subscriber,
		.limited = &p->limited,
		.trail = &p->trail,
	};
	list_init(&p->answered);
	list_init(&p->slowed);
	list_init(&p->batches);
	subscriber_init(&p->subscriber, ps->api->hub, FRAMING_OF(kind), &subscriber_ops);
	conn_init(&p->conn, ps->net, fd, on_conn);
	list_append(&ps->all, &p->all);
	p->hash_next = ps->buckets[id % PEERS_BUCKETS];
	ps->buckets[id % PEERS_BUCKETS] = p;
	ps->count[kind]++;
}

static void
batch_free(struct batch *b)
{
	list_remove(&b->link);
	buf_fini(&b->answers);
	free(b);
}

void
peer_fini(struct peer *p)
{
	struct peers *ps = p->peers;
	struct peer **at = &ps->buckets[p->caller.id % PEERS_BUCKETS];

	if (p->is_gone)
		return;
	p->is_gone = true;
	if (p->dismissal != NULL || p->is_waiting)
		loop_undefer(ps->loop, p);
	while (*at != p)
		at = &(*at)->hash_next;
	*at = p->hash_next;
	ps->count[p->caller.kind]--;
	ps->input -= p->input;
	p->input = 0;
	list_remove(&p->all);
	list_remove(&p->answered);
	list_remove(&p->slowed);
	while (!list_is_empty(&p->batches))
		batch_free(list_item(p->batches.next, struct batch, link));
	subscriber_fini(&p->subscriber);
	store_client_close(p->caller.store);
	p->caller.store = NULL;
	scopes_unref(p->caller.scopes);
	p->caller.scopes = NULL;
	auth_token_unref(p->caller.token);
	p->caller.token = NULL;
	p->limited.allowance = NULL;
	trail_free(p->trail);
	p->trail = NULL;
	conn_fini(&p->conn);
}

static void
wipe_buffer(struct buf *b)
{
	secret_wipe((struct span){b->p, b->cap});
}

/** Sends the message that is in ps->answer. */
static void
send_answer(struct peer *p)
{
	struct buf *answer = &p->peers->answer;
	struct frame *f;

	buf_add_char(answer, '\n');
	if (answer->failed) {
		struct error error = ERROR_NONE;

		error_set(&error, ERR_LIMIT_EXCEEDED, "the answer is too large");
		buf_reset(answer);
		rpc_add_error(answer, SPAN(""), &error);
		buf_add_char(answer, '\n');
	}
	f = frame_message(p->subscriber.framing, buf_span(answer), NULL);
	f->is_secret = p->peers->is_secret;
	conn_send(&p->conn, f);
	frame_unref(f);
	if (p->peers->is_secret)
		wipe_buffer(answer);
	p->peers->is_secret = false;
	buf_clear(answer, BUFFER_KEPT);
}

static void
add_outcome(struct buf *out, struct span id, enum err result, struct span reply,
	const struct error *error)
{
	if (result == OK)
		rpc_add_result(out, id, reply);
	else
		rpc_add_error(out, id, error);
}

static struct batch *
find_batch(struct peer *p, uint64_t id)
{
	for (struct list *at = p->batches.next; at != &p->batches; at = at->next) {
		struct batch *b = list_item(at, struct batch, link);

		if (b->id == id)
			return b;
	}
	return NULL;
}

static void
finish_batch(struct peer *p, struct batch *b)
{
	struct buf *answer = &p->peers->answer;

	if (b->waiting > 0)
		return;
	if (b->answers.n > 0 || b->answers.failed) {
		buf_add_char(answer, '[');
		buf_add_span(answer, buf_span(&b->answers));
		buf_add_char(answer, ']');
		answer->failed |= b->answers.failed;
		send_answer(p);
	}
	batch_free(b);
}

/** What was asked for has happened, but would make the batch's answer too large. */
static void
add_too_large(struct batch *b, struct span id)
{
	struct error error = ERROR_NONE;

	error_set(&error, ERR_LIMIT_EXCEEDED,
		"this was done, but its answer is too large for what a batch may answer: "
		"ask for it alone");
	add_outcome(&b->answers, id, ERR_LIMIT_EXCEEDED, SPAN(""), &error);
}

/** One outcome, to be sent at once or with its batch. */
static void
tell_outcome(struct peer *p, struct batch *b, struct span id, enum err result, struct span reply,
	const struct error *error)
{
	if (id.n == 0) {
		if (result == OK)
			return;
		counter_add(&p->peers->notifications_failed, 1);
		log_debug("peer", "a notification failed", F_INT("session", p->caller.id),
			F_ERROR(error));
		return;
	}
	if (b == NULL) {
		add_outcome(&p->peers->answer, id, result, reply, error);
		send_answer(p);
		return;
	}
	if (b->answers.n > 0)
		buf_add_char(&b->answers, ',');
	if (result == OK && b->answers.n + reply.n > BATCH_RESULT_MAX)
		add_too_large(b, id);
	else
		add_outcome(&b->answers, id, result, reply, error);
}

static void
give_room(void *arg)
{
	peers_check_room(arg);
}

static void
note_answered(struct peer *p)
{
	struct peers *ps = p->peers;

	must(p->in_flight > 0);
	p->in_flight--;
	if (list_is_linked(&p->answered))
		return;
	if (list_is_empty(&ps->answered))
		loop_defer(ps->loop, give_room, ps);
	list_append(&ps->answered, &p->answered);
}

void
peer_begin_work(struct peer *p)
{
	p->in_flight++;
}

void
peer_end_work(struct peer *p)
{
	note_answered(p);
}

/** The answer that is made next is secret. It has room for all: a buffer that grows would leave it
 * behind. */
static void
begin_secret(struct peer *p, size_t nbytes)
{
	p->peers->is_secret = true;
	buf_reserve(&p->peers->answer, nbytes + 2 * RPC_ID_RAW_MAX);
}

void
peer_answer(struct peer *p, const struct origin *origin, enum err result, struct span reply,
	const struct error *error)
{
	struct batch *b = origin->batch != NO_BATCH ? find_batch(p, origin->batch) : NULL;

	if (result != OK) {
		trail_note_refusal(&p->trail, origin->audited, error, clock_wall_ms());
		peer_reach(p, error->limit.name);
	}
	tell_outcome(p, b, origin->id, result, reply, error);
	if (b != NULL) {
		b->waiting--;
		finish_batch(p, b);
	}
	note_answered(p);
}

void
peer_answer_secret(struct peer *p, const struct origin *origin, struct span reply)
{
	const struct error none = ERROR_NONE;

	if (origin->batch == NO_BATCH)
		begin_secret(p, reply.n);
	peer_answer(p, origin, OK, reply, &none);
}

void
peer_reach(struct peer *p, const char *limit)
{
	bounds_reach_name(p->peers->api->bounds, limit, clock_mono_ms(), p->caller.id);
}

void
peer_refuse(struct peer *p, const struct error *error)
{
	store_client_refuse(p->caller.store); /* it may have been a write */
	rpc_add_error(&p->peers->answer, SPAN("null"), error);
	send_answer(p);
}

/** Of those that keep more than a little, the one that has waited longest for the rest. */
static struct peer *
find_unfinished(struct peers *ps)
{
	struct peer *found = NULL;

	for (struct list *at = ps->all.next; at != &ps->all; at = at->next) {
		struct peer *p = list_item(at, struct peer, all);

		if (p->input > INPUT_FREE && (found == NULL || p->input_ms < found->input_ms))
			found = p;
	}
	return found;
}

static void
close_unfinished(struct peer *p)
{
	struct error error = ERROR_NONE;

	error_set_limit(&error, "websocket.max_input",
		"too many messages are unfinished (websocket.max_input): "
		"connect again and send yours");
	peer_reach(p, error.limit.name);
	if (p->caller.kind == ORIGIN_CONTROL)
		peer_refuse(p, &error);
	p->ops->close(p, CLOSE_INPUT, error.text);
}

static void
give_up(void *arg)
{
	struct peers *ps = arg;
	struct peer *victim;

	if (ps->is_giving_up)
		return;
	ps->is_giving_up = true;
	while ((int64_t)ps->input > ps->api->conf->websocket.max_input &&
		(victim = find_unfinished(ps)) != NULL) {
		close_unfinished(victim);
		must(victim->input == 0);
	}
	ps->is_giving_up = false;
}

void
peer_keep_input(struct peer *p, size_t nbytes)
{
	struct peers *ps = p->peers;

	if (nbytes > p->input)
		p->input_ms = loop_now_ms(ps->loop);
	ps->input = ps->input - p->input + nbytes;
	p->input = nbytes;
	give_up(ps);
}

void
peers_bound_input(struct peers *ps)
{
	loop_defer(ps->loop, give_up, ps); /* not now: one of them may be the caller */
}

/** There may be a secret in the message: what that went through is overwritten. */
static void
overwrite_input(struct peer *p)
{
	p->had_secret = true;
	net_wipe(p->peers->net);
}

/** True if what was called had to do with a secret. */
static bool
took_secret(struct peer *p)
{
	struct api *api = p->peers->api;

	if (!api->had_secret)
		return false;
	api->had_secret = false;
	overwrite_input(p);
	return true;
}

static void
run_request(struct peer *p, struct batch *b, struct json_value value)
{
	struct buf *result = &p->peers->result;
	struct error error = ERROR_NONE;
	struct rpc_request request = {
		.id = {NULL, 0}
        };
	enum err e = rpc_read_request(value, &request, &error);
	bool is_secret = false;

	p->requests++;
	if (e != OK) {
		if (gate_charge(p->peers->api, &p->caller, 1, &error) != OK)
			e = error.code;
		trail_note_refusal(&p->trail, NULL, &error, clock_wall_ms());
		/* What is not a request is answered, even when no id could be read. */
		if (request.id.n == 0)
			request.id = SPAN("null");
		store_client_refuse(p->caller.store); /* it may have been a write */
		overwrite_input(p);
	} else {
		buf_clear(result, BUFFER_KEPT);
		e = gate_call(p->peers->api, &p->caller, &request, b != NULL ? b->id : NO_BATCH,
			result, &error);
		is_secret = took_secret(p) && b == NULL;
	}
	if (e == PENDING) {
		p->in_flight++;
		if (b != NULL)
			b->waiting++;
		return;
	}
	if (e == OK && result->failed)
		e = error_set(&error, ERR_LIMIT_EXCEEDED, "the answer is too large");
	if (is_secret)
		begin_secret(p, result->n);
	tell_outcome(p, b, request.id, e, buf_span(result), &error);
	if (is_secret)
		wipe_buffer(result);
}

static void
run_batch(struct peer *p, struct json_value array)
{
	struct json_walk w = json_walk_start(array);
	struct batch *b = xnew(struct batch);
	struct json_value item;

	b->id = ++p->peers->last_batch;
	buf_init(&b->answers, RESULT_MAX);
	list_append(&p->batches, &b->link);
	b->waiting = 1; /* itself, until all its requests have been started */
	while (json_array_next(&w, &item))
		run_request(p, b, item);
	b->waiting--;
	finish_batch(p, b);
}

/** What is no message costs as much as the cheapest request. */
static void
refuse_message(struct peer *p, struct error *error)
{
	struct error limit = ERROR_NONE;

	if (gate_charge(p->peers->api, &p->caller, 1, &limit) != OK)
		*error = limit;
	trail_note_refusal(&p->trail, NULL, error, clock_wall_ms());
	peer_reach(p, error->limit.name);
	peer_refuse(p, error);
	overwrite_input(p);
}

void
peer_message(struct peer *p, struct span message)
{
	struct error error = ERROR_NONE;
	enum rpc_kind kind = RPC_SINGLE;
	struct json_value value;

	if (rpc_check(message, &kind, &value, &error) != OK)
		refuse_message(p, &error);
	else if (kind == RPC_BATCH)
		run_batch(p, value);
	else
		run_request(p, NULL, value);
}

void
peer_notify(struct peer *p, const char *method, struct span params)
{
	buf_addf(&p->peers->answer, "{\"jsonrpc\":\"2.0\",\"method\":\"%s\",\"params\":", method);
	buf_add_span(&p->peers->answer, params);
	buf_add_char(&p->peers->answer, '}');
	send_answer(p);
}

static void
close_dismissed(void *arg)
{
	struct peer *p = arg;

	p->ops->close(p, CLOSE_BY_ADMIN, p->dismissal);
}

void
peer_dismiss(struct peer *p, const char *reason)
{
	if (p->dismissal != NULL)
		return;
	p->dismissal = reason;
	loop_defer(p->peers->loop, close_dismissed, p);
}

bool
peer_is_done(struct peer *p)
{
	return p->at_end && !p->is_held && p->in_flight == 0 &&
	       p->subscriber.subscriptions_n == 0 && conn_flush(&p->conn) == 0;
}
