#pragma once
/*
 * The states of a feed's connection, and when to do what about it. Pure: time (monotonic)
 * and randomness are passed in, what is to be done comes out. One thread at a time.
 *
 *     idle ▶ resolving ▶ connecting ▶ tls ▶ handshake ▶ greeting ▶ live
 *                ▲ backoff ◀─────────── it ended ──────────────────┘ ▶ failed
 *
 * There is never a second connection: MACHINE_CONNECT comes only when there is none, and
 * MACHINE_CLOSE gives the one up that is there, of which nothing is told from then on.
 * Events that do not fit the state, as some do that were under way, change nothing.
 *
 * Back-off: 100 ms doubled up to 30 s, of which any part is waited; what the upstream asked
 * for is waited in any case (an hour at most). It starts anew after a minute live. What was
 * refused for good is tried again after 4 to 6 minutes.
 */

#include <stdbool.h>
#include <stdint.h>

#define MACHINE_NEVER INT64_MAX

enum machine_state {
	FEED_IDLE,      /* not started, or stopped */
	FEED_RESOLVING, /* these four: within connect_timeout */
	FEED_CONNECTING,
	FEED_TLS,
	FEED_HANDSHAKE,
	FEED_GREETING, /* the messages of on_connect */
	FEED_LIVE,
	FEED_BACKOFF, /* waits before it tries again */
	FEED_PAUSED,  /* the vault is locked */
	FEED_FAILED,  /* too many retries; until it is started again */
	FEED_STATES
};

enum machine_event_kind {
	MACHINE_START, /* also out of backoff, paused and failed, at once */
	MACHINE_STOP,
	MACHINE_RESOLVED,  /* the phases may come again, after a redirect */
	MACHINE_CONNECTED, /* is_tls */
	MACHINE_SECURED,
	MACHINE_OPENED,
	MACHINE_AWAITS,  /* a step of the greeting waits: wait_ms */
	MACHINE_GREETED, /* the greeting is done */
	MACHINE_MESSAGE,
	MACHINE_PONG,
	MACHINE_HELD, /* the feed does not read: all clocks but app_ping stand still */
	MACHINE_RELEASED,
	MACHINE_ENDED,  /* there is no connection any longer: is_permanent, wait_ms (it asked for;
			   0: it did not), why */
	MACHINE_LOCKED, /* a secret is needed, and the vault is locked: why */
	MACHINE_UNLOCKED,
	MACHINE_TICK,
};

struct machine_event {
	enum machine_event_kind kind;
	bool is_tls;
	bool is_permanent;
	int64_t wait_ms;
	const char *why; /* a plain sentence, copied; NULL: none */
};

/** What is to be done now: a set of bits. */
enum machine_action {
	MACHINE_CONNECT = 1,
	MACHINE_CLOSE = 2,
	MACHINE_PING = 4,
	MACHINE_APP_PING = 8,
};

/** Settings; MACHINE_NEVER: not at all. */
struct machine_limits {
	int64_t connect_timeout_ms;
	int64_t app_ping_every_ms;
	int64_t heartbeat_ms;
	int64_t idle_timeout_ms;
	int64_t max_retries;
};

#define MACHINE_WHY_SIZE 256

struct machine {
	enum machine_state state;
	bool has_connection;
	bool is_held;
	unsigned unanswered; /* pings in a row */
	int64_t retries;     /* in a row, without a stable minute */
	int64_t since_ms;    /* in this state */
	int64_t held_ms;     /* when it was held */
	int64_t live_ms;     /* when it was live, moved by what it was held; */
	int64_t deadline_ms; /* of connecting, of a step, of waiting; or MACHINE_NEVER */
	int64_t ping_ms;     /* when the next is due; likewise */
	int64_t app_ping_ms;
	int64_t idle_ms;
	struct machine_limits limits;
	char why[MACHINE_WHY_SIZE]; /* it is not live: why it ended last; "" */
};

struct conf_feed;

/** What holds for a feed. */
struct machine_limits machine_limits_of(const struct conf_feed *f);
void machine_init(struct machine *m, const struct machine_limits *limits);
/** Returns what is to be done. It moves at most once. random: any 64 bits. */
unsigned machine_step(
	struct machine *m, const struct machine_event *e, int64_t now_ms, uint64_t random);
/** When MACHINE_TICK is wanted (an earlier one does nothing), or MACHINE_NEVER. */
int64_t machine_next(const struct machine *m);
const char *machine_state_name(enum machine_state state);
