/* The states of a feed's connection: see machine.h. */

#include "daemon/feed/machine.h"

#include <stdio.h>

#include "common/time.h"
#include "common/xalloc.h"
#include "daemon/base/conf.h"

#define BACKOFF_MIN_MS    100
#define BACKOFF_MAX_MS    30000
#define BACKOFF_DOUBLINGS 9 /* then it is at its most */
#define PERMANENT_MIN_MS  240000
#define PERMANENT_MAX_MS  360000
#define ASKED_MAX_MS      3600000
#define STABLE_MS         60000
#define BEATS_MISSED      3

#define BIT(state) (1u << (state))

/* Whatever has a connection may end so. */
#define ENDS   (BIT(FEED_IDLE) | BIT(FEED_BACKOFF) | BIT(FEED_PAUSED) | BIT(FEED_FAILED))
#define PHASES (BIT(FEED_CONNECTING) | BIT(FEED_TLS) | BIT(FEED_HANDSHAKE) | BIT(FEED_GREETING))

static const unsigned may_enter[FEED_STATES] = {
	[FEED_IDLE] = BIT(FEED_RESOLVING),
	[FEED_RESOLVING] = PHASES | ENDS,
	[FEED_CONNECTING] = PHASES | ENDS,
	[FEED_TLS] = PHASES | ENDS,
	[FEED_HANDSHAKE] = PHASES | ENDS,
	[FEED_GREETING] = BIT(FEED_LIVE) | ENDS,
	[FEED_LIVE] = ENDS,
	[FEED_BACKOFF] = BIT(FEED_RESOLVING) | BIT(FEED_IDLE),
	[FEED_PAUSED] = BIT(FEED_RESOLVING) | BIT(FEED_IDLE),
	[FEED_FAILED] = BIT(FEED_RESOLVING) | BIT(FEED_IDLE),
};

/** What is told of who took too long. */
static const char *const too_late[FEED_STATES] = {
	[FEED_RESOLVING] = "the name of the host was not resolved",
	[FEED_CONNECTING] = "no connection came about",
	[FEED_TLS] = "the TLS handshake was not done",
	[FEED_HANDSHAKE] = "the upstream did not answer the WebSocket handshake",
};

static const char *const names[FEED_STATES] = {
	[FEED_IDLE] = "idle",
	[FEED_RESOLVING] = "resolving",
	[FEED_CONNECTING] = "connecting",
	[FEED_TLS] = "tls",
	[FEED_HANDSHAKE] = "handshake",
	[FEED_GREETING] = "greeting",
	[FEED_LIVE] = "live",
	[FEED_BACKOFF] = "backoff",
	[FEED_PAUSED] = "paused",
	[FEED_FAILED] = "failed",
};

const char *
machine_state_name(enum machine_state state)
{
	return names[state];
}

struct machine_limits
machine_limits_of(const struct conf_feed *f)
{
	return (struct machine_limits){
		.connect_timeout_ms = f->connect_timeout_ms,
		.app_ping_every_ms = f->app_ping[0] != '\0' ? f->app_ping_every_ms : MACHINE_NEVER,
		.heartbeat_ms = f->heartbeat_ms,
		.idle_timeout_ms = f->idle_timeout_ms,
		.max_retries = f->max_retries,
	};
}

void
machine_init(struct machine *m, const struct machine_limits *limits)
{
	*m = (struct machine){
		.deadline_ms = MACHINE_NEVER,
		.ping_ms = MACHINE_NEVER,
		.app_ping_ms = MACHINE_NEVER,
		.idle_ms = MACHINE_NEVER,
		.limits = *limits,
	};
}

/** A time that far from now; never is never. */
static int64_t
later(int64_t now_ms, int64_t wait_ms)
{
	return wait_ms >= MACHINE_NEVER - now_ms ? MACHINE_NEVER : now_ms + wait_ms;
}

static void
note(struct machine *m, const char *why)
{
	snprintf(m->why, sizeof(m->why), "%s", why != NULL ? why : "");
}

static void
enter(struct machine *m, enum machine_state to, int64_t now_ms)
{
	must((may_enter[m->state] & BIT(to)) != 0);
	m->state = to;
	m->since_ms = now_ms;
}

/** There is no connection from here on. Returns what is to be done about the one there was. */
static unsigned
leave(struct machine *m, enum machine_state to, int64_t now_ms)
{
	unsigned actions = m->has_connection ? MACHINE_CLOSE : 0;

	enter(m, to, now_ms);
	m->has_connection = false;
	m->is_held = false;
	m->unanswered = 0;
	m->deadline_ms = MACHINE_NEVER;
	m->ping_ms = MACHINE_NEVER;
	m->app_ping_ms = MACHINE_NEVER;
	m->idle_ms = MACHINE_NEVER;
	return actions;
}

static unsigned
start_connecting(struct machine *m, int64_t now_ms)
{
	must(!m->has_connection);
	enter(m, FEED_RESOLVING, now_ms);
	m->has_connection = true;
	m->deadline_ms = later(now_ms, m->limits.connect_timeout_ms);
	return MACHINE_CONNECT;
}

static int64_t
backoff_ms(const struct machine *m, const struct machine_event *e, uint64_t random)
{
	int64_t asked_ms = e->wait_ms < ASKED_MAX_MS ? e->wait_ms : ASKED_MAX_MS;
	int64_t most_ms = BACKOFF_MAX_MS;

	if (e->is_permanent)
		return asked_ms + PERMANENT_MIN_MS +
		       (int64_t)(random % (PERMANENT_MAX_MS - PERMANENT_MIN_MS + 1));
	if (m->retries < BACKOFF_DOUBLINGS)
		most_ms = (int64_t)BACKOFF_MIN_MS << m->retries;
	if (most_ms > BACKOFF_MAX_MS)
		most_ms = BACKOFF_MAX_MS;
	return asked_ms + (int64_t)(random % (uint64_t)(most_ms + 1));
}

static void
forget_retries_when_stable(struct machine *m, int64_t now_ms)
{
	if (m->state == FEED_LIVE && now_ms - m->live_ms >= STABLE_MS)
		m->retries = 0;
}

/** The connection ended, or has to: what then? */
static unsigned
end(struct machine *m, const struct machine_event *e, int64_t now_ms, uint64_t random)
{
	unsigned actions;

	note(m, e->why);
	if (m->retries >= m->limits.max_retries)
		return leave(m, FEED_FAILED, now_ms);
	actions = leave(m, FEED_BACKOFF, now_ms);
	m->deadline_ms = later(now_ms, backoff_ms(m, e, random));
	m->retries++;
	return actions;
}

static unsigned
give_up(struct machine *m, const char *what, int64_t wait_ms, int64_t now_ms, uint64_t random)
{
	char why[MACHINE_WHY_SIZE], wait[TIME_TEXT_SIZE] = "";

	if (wait_ms > 0)
		duration_format(wait_ms, wait);
	snprintf(why, sizeof(why), "%s%s%s", what, wait_ms > 0 ? " within " : "", wait);
	return end(m, &(struct machine_event){.kind = MACHINE_ENDED, .why = why}, now_ms, random);
}

/** One of the ways to a connection that is open. */
static void
advance(struct machine *m, enum machine_state to, int64_t now_ms)
{
	if (m->state < FEED_RESOLVING || m->state > FEED_HANDSHAKE || m->state == to)
		return;
	enter(m, to, now_ms);
	if (to == FEED_GREETING)
		m->deadline_ms = MACHINE_NEVER;
}

static void
go_live(struct machine *m, int64_t now_ms, uint64_t random)
{
	int64_t beat_ms = m->limits.heartbeat_ms;

	enter(m, FEED_LIVE, now_ms);
	note(m, "");
	m->live_ms = now_ms;
	m->deadline_ms = MACHINE_NEVER;
	m->idle_ms = later(now_ms, m->limits.idle_timeout_ms);
	m->app_ping_ms = later(now_ms, m->limits.app_ping_every_ms);
	/* Many feeds that connect at once do not send their pings at once. */
	if (beat_ms != MACHINE_NEVER)
		beat_ms = beat_ms / 2 + (int64_t)(random % (uint64_t)(beat_ms / 2 + 1));
	m->ping_ms = later(now_ms, beat_ms);
}

/** What we owe the upstream, whether we read or not. */
static unsigned
owe(struct machine *m, int64_t now_ms)
{
	if (now_ms < m->app_ping_ms)
		return 0;
	m->app_ping_ms = later(now_ms, m->limits.app_ping_every_ms);
	return MACHINE_APP_PING;
}

/** What is due of a connection that is live. */
static unsigned
beat(struct machine *m, int64_t now_ms, uint64_t random)
{
	unsigned actions = 0;

	if (m->is_held)
		return owe(m, now_ms);
	if (now_ms >= m->idle_ms)
		return give_up(m, "the upstream sent nothing (idle_timeout)", 0, now_ms, random);
	if (now_ms >= m->ping_ms && m->unanswered >= BEATS_MISSED)
		return give_up(m, "three pings were left unanswered", 0, now_ms, random);
	if (now_ms >= m->ping_ms) {
		m->unanswered++;
		m->ping_ms = later(now_ms, m->limits.heartbeat_ms);
		actions |= MACHINE_PING;
	}
	return actions | owe(m, now_ms);
}

static unsigned
tick(struct machine *m, int64_t now_ms, uint64_t random)
{
	if (m->state == FEED_LIVE)
		return beat(m, now_ms, random);
	if (m->is_held || now_ms < m->deadline_ms)
		return 0;
	if (m->state == FEED_BACKOFF)
		return start_connecting(m, now_ms);
	if (m->state == FEED_GREETING)
		return give_up(
			m, "the upstream did not send what on_connect awaits", 0, now_ms, random);
	return give_up(m, too_late[m->state], m->limits.connect_timeout_ms, now_ms, random);
}

static void
move_clock(int64_t *clock_ms, int64_t by_ms)
{
	if (*clock_ms != MACHINE_NEVER)
		*clock_ms = later(*clock_ms, by_ms);
}

/** While nothing is read, what the upstream should have sent is not known. */
static void
stand_still(struct machine *m, int64_t now_ms)
{
	int64_t by_ms = now_ms - m->held_ms;

	move_clock(&m->deadline_ms, by_ms);
	move_clock(&m->ping_ms, by_ms);
	move_clock(&m->idle_ms, by_ms);
	move_clock(&m->live_ms, by_ms);
	m->held_ms = now_ms;
}

/** What goes on with a connection. */
static void
go_on(struct machine *m, const struct machine_event *e, int64_t now_ms, uint64_t random)
{
	bool is_open = m->state == FEED_GREETING || m->state == FEED_LIVE;

	if (e->kind == MACHINE_RESOLVED)
		advance(m, FEED_CONNECTING, now_ms);
	else if (e->kind == MACHINE_CONNECTED)
		advance(m, e->is_tls ? FEED_TLS : FEED_HANDSHAKE, now_ms);
	else if (e->kind == MACHINE_SECURED)
		advance(m, FEED_HANDSHAKE, now_ms);
	else if (e->kind == MACHINE_OPENED)
		advance(m, FEED_GREETING, now_ms);
	else if (e->kind == MACHINE_AWAITS && m->state == FEED_GREETING)
		m->deadline_ms = later(now_ms, e->wait_ms);
	else if (e->kind == MACHINE_GREETED && m->state == FEED_GREETING)
		go_live(m, now_ms, random);
	else if (e->kind == MACHINE_MESSAGE && m->state == FEED_LIVE)
		m->idle_ms = later(now_ms, m->limits.idle_timeout_ms);
	else if (e->kind == MACHINE_PONG)
		m->unanswered = 0;
	else if (e->kind == MACHINE_HELD && is_open && !m->is_held) {
		m->is_held = true;
		m->held_ms = now_ms;
	} else if (e->kind == MACHINE_RELEASED) {
		m->is_held = false;
	}
}

unsigned
machine_step(struct machine *m, const struct machine_event *e, int64_t now_ms, uint64_t random)
{
	if (m->is_held)
		stand_still(m, now_ms);
	forget_retries_when_stable(m, now_ms);
	switch (e->kind) {
	case MACHINE_START:
		if (m->has_connection)
			return 0;
		m->retries = 0;
		return start_connecting(m, now_ms);
	case MACHINE_STOP:
		return m->state != FEED_IDLE ? leave(m, FEED_IDLE, now_ms) : 0;
	case MACHINE_ENDED:
		if (!m->has_connection)
			return 0;
		m->has_connection = false;
		return end(m, e, now_ms, random);
	case MACHINE_LOCKED:
		if (!m->has_connection)
			return 0;
		note(m, e->why);
		return leave(m, FEED_PAUSED, now_ms);
	case MACHINE_UNLOCKED:
		return m->state == FEED_PAUSED ? start_connecting(m, now_ms) : 0;
	case MACHINE_TICK:
		return tick(m, now_ms, random);
	case MACHINE_RESOLVED:
	case MACHINE_CONNECTED:
	case MACHINE_SECURED:
	case MACHINE_OPENED:
	case MACHINE_AWAITS:
	case MACHINE_GREETED:
	case MACHINE_MESSAGE:
	case MACHINE_PONG:
	case MACHINE_HELD:
	case MACHINE_RELEASED:
		go_on(m, e, now_ms, random);
		break;
	}
	return 0;
}

static int64_t
earlier(int64_t a_ms, int64_t b_ms)
{
	return a_ms < b_ms ? a_ms : b_ms;
}

int64_t
machine_next(const struct machine *m)
{
	if (m->is_held)
		return m->app_ping_ms;
	return earlier(earlier(m->deadline_ms, m->ping_ms), earlier(m->app_ping_ms, m->idle_ms));
}
