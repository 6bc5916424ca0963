/*
 * When a peer is not read, and until when: see peer.h. It is held while too much of it
 * is under way or unsent, when it had its share of a turn, and for a time when the
 * limiter says so.
 */

#include "common/clock.h"
#include "daemon/peer/peer_priv.h"

#define SHARE_US     2000 /* of a turn, that one peer may take */
#define SHARE_FEW_US 50
#define GRAIN_MS     20
#define TURN_US      10000 /* that peers have all of their share of */

/** True if the socket takes no more and too much is unsent: it is told when that has drained. */
static bool
is_choked(struct peer *p)
{
	size_t most = (size_t)p->peers->api->conf->websocket.send_queue;

	return conn_unsent(&p->conn) > most && conn_flush(&p->conn) > most;
}

/** Has the timer look at it when its time is up, or a little later: many are looked at together. */
static void
await(struct peers *ps, struct peer *p, int64_t now_ms)
{
	int64_t due_ms = (p->limited.held_until_ms / GRAIN_MS + 1) * GRAIN_MS;

	list_append(&ps->slowed, &p->slowed);
	if (due_ms >= ps->slow_due_ms)
		return;
	ps->slow_due_ms = due_ms;
	loop_timer_start(ps->slow_timer, due_ms - now_ms);
}

/** True if the limiter holds it back. */
static bool
is_slowed(struct peer *p)
{
	int64_t now_ms = p->limited.held_until_ms != 0 ? clock_mono_ms() : 0;

	if (now_ms == 0 || !limited_is_held(&p->limited, now_ms))
		return false;
	if (!list_is_linked(&p->slowed)) {
		trail_note_hold(&p->trail, p->limited.held_by, p->limited.held_until_ms - now_ms,
			clock_wall_ms());
		await(p->peers, p, now_ms);
	}
	return true;
}

static void
on_slow_due(void *arg)
{
	struct peers *ps = arg;
	int64_t now_ms = clock_mono_ms();
	struct list due, *at;

	list_init(&due);
	list_splice(&due, &ps->slowed);
	ps->slow_due_ms = INT64_MAX;
	while ((at = list_shift(&due)) != NULL) {
		struct peer *p = list_item(at, struct peer, slowed);

		if (p->limited.held_until_ms > now_ms)
			await(ps, p, now_ms);
		else
			peer_check_room(p);
	}
}

void
peers_init_holds(struct peers *ps)
{
	list_init(&ps->slowed);
	ps->slow_timer = loop_timer_new(ps->loop, on_slow_due, ps);
	ps->slow_due_ms = INT64_MAX;
}

void
peers_fini_holds(struct peers *ps)
{
	loop_timer_free(ps->slow_timer);
}

/** A batch that is under way counts as full: its answers wait in memory for the last one. */
static bool
is_full(struct peer *p)
{
	return (int64_t)p->in_flight >= p->peers->api->conf->websocket.max_in_flight ||
	       !list_is_empty(&p->batches) || store_client_is_waiting(p->caller.store) ||
	       is_choked(p) || is_slowed(p);
}

static const char *
why_full(struct peer *p)
{
	if (is_slowed(p))
		return p->limited.held_by;
	if ((int64_t)p->in_flight >= p->peers->api->conf->websocket.max_in_flight)
		return "websocket.max_in_flight";
	if (!list_is_empty(&p->batches))
		return "a batch is under way";
	if (store_client_is_waiting(p->caller.store))
		return "store.queue";
	/* It goes on when all is sent. */
	return p->is_waiting ? "its share of the turn" : "websocket.send_queue";
}

/** Few for one that used up its share of the last turn or was held back a short while ago, and for
 * all that come when the turn has taken long already: others wait. */
static int64_t
share_us(const struct peer *p, int64_t now_us)
{
	struct peers *ps = p->peers;
	uint64_t turn = loop_turn(ps->loop);
	bool goes_on = p->had_its_share && turn == p->turn + 1;

	if (ps->turn != turn) {
		ps->turn = turn;
		ps->turn_began_us = now_us;
	}
	if (goes_on || now_us - ps->turn_began_us > TURN_US ||
		limited_is_restless(&p->limited, now_us / 1000))
		return SHARE_FEW_US;
	return SHARE_US;
}

/** True if this turn was its own for long enough. */
static bool
has_had_its_share(struct peer *p)
{
	uint64_t turn = loop_turn(p->peers->loop);
	int64_t now_us = clock_mono_us();

	if (p->turn != turn) {
		p->turn_ends_us = now_us + share_us(p, now_us);
		p->turn = turn;
	}
	p->had_its_share = now_us > p->turn_ends_us;
	return p->had_its_share;
}

static void
go_on(void *arg)
{
	struct peer *p = arg;

	p->is_waiting = false;
	peer_check_room(p);
}

bool
peer_hold_if_full(struct peer *p)
{
	if (p->is_held || p->dismissal != NULL)
		return true;
	if (is_full(p)) {
		peer_reach(p, why_full(p));
	} else {
		if (!has_had_its_share(p))
			return false;
		p->is_waiting = true;
		loop_defer(p->peers->loop, go_on, p);
	}
	p->is_held = true;
	p->held_ms = clock_mono_ms();
	conn_pause(&p->conn);
	return true;
}

const char *
peer_held_why(struct peer *p)
{
	return p->is_held ? why_full(p) : NULL;
}

void
peer_check_room(struct peer *p)
{
	if (p->is_gone)
		return;
	store_client_choke(p->caller.store, is_choked(p));
	if (p->is_waiting || !(p->is_held || p->at_end) || is_full(p))
		return;
	p->is_held = false;
	p->ops->resume(p);
}

void
peers_check_room(struct peers *ps)
{
	struct list *at;

	while ((at = list_shift(&ps->answered)) != NULL)
		peer_check_room(list_item(at, struct peer, answered));
}
