/* What must hold of a feed's machine: see machine_rules.h. */

#include "tests/unit/machine_rules.h"

#include "common/xalloc.h"

#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)

static void
check_backoff(const struct machine *m, const struct machine_event *e, int64_t now_ms)
{
	bool is_permanent = e->kind == MACHINE_ENDED && e->is_permanent;
	int64_t wait_ms = machine_next(m) - now_ms, asked_ms = 0;

	if (e->kind == MACHINE_ENDED)
		asked_ms = e->wait_ms < HOUR ? e->wait_ms : HOUR;
	must(wait_ms >= asked_ms + (is_permanent ? 4 * MINUTE : 0));
	must(wait_ms <= asked_ms + (is_permanent ? 6 * MINUTE : 30 * SECOND));
	must(m->retries >= 1 && m->retries <= m->limits.max_retries);
}

/** Never a second connection, and none that is forgotten. */
static void
check_connection(const struct machine *before, const struct machine *m,
	const struct machine_event *e, unsigned actions)
{
	bool had = before->has_connection && e->kind != MACHINE_ENDED;

	must(((actions & MACHINE_CONNECT) != 0) == (!before->has_connection && m->has_connection));
	must(((actions & MACHINE_CLOSE) != 0) == (had && !m->has_connection));
	must(m->has_connection == (m->state >= FEED_RESOLVING && m->state <= FEED_LIVE));
	must(m->has_connection || !m->is_held);
}

unsigned
rules_step(struct machine *m, const struct machine_event *e, int64_t now_ms, uint64_t random)
{
	struct machine before = *m;
	unsigned actions = machine_step(m, e, now_ms, random);

	check_connection(&before, m, e, actions);
	if (actions & (MACHINE_PING | MACHINE_APP_PING))
		must(m->state == FEED_LIVE && before.state == FEED_LIVE);
	if (m->is_held)
		must((actions & MACHINE_PING) == 0);
	must(m->unanswered <= 3);
	if (m->state != before.state) {
		must(m->since_ms == now_ms);
		must(m->state != FEED_PAUSED || e->kind == MACHINE_LOCKED);
		must(m->state != FEED_IDLE || e->kind == MACHINE_STOP);
		must(m->state != FEED_FAILED || before.retries >= m->limits.max_retries);
		if (m->state == FEED_BACKOFF)
			check_backoff(m, e, now_ms);
	}
	if (!m->has_connection && m->state != FEED_BACKOFF)
		must(machine_next(m) == MACHINE_NEVER);
	/* A tick that was wanted is not wanted again at once. */
	if (e->kind == MACHINE_TICK && m->state != FEED_BACKOFF)
		must(machine_next(m) > now_ms);
	return actions;
}
