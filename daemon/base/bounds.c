/* The limits on what a stranger can make us hold: see bounds.h. */

#include "daemon/base/bounds.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/xalloc.h"

#define LOG_EVERY_MS 10000

/* clang-format off */
static const struct row {
	const char *name;
	const char *counter;
	bool is_usual; /* reached by clients that do nothing wrong: told at debug */
} rows[BOUND_COUNT] = {
	[BOUND_RATE_SESSION]     = {"limits.session",              "sysrt_limits_session_refused_total",     false},
	[BOUND_RATE_TOKEN]       = {"rate of a token",             "sysrt_limits_token_refused_total",       false},
	[BOUND_RATE_ADDRESS]     = {"limits.address",              "sysrt_limits_address_refused_total",     false},
	[BOUND_RATE_CONNECTIONS] = {"limits.connections",          "sysrt_limits_connections_refused_total", false},
	[BOUND_RATE_TOTAL]       = {"limits.total",                "sysrt_limits_total_refused_total",       false},
	[BOUND_REFUSALS]         = {"limits.refusals",             "sysrt_limits_held_total",                false},
	[BOUND_ADDRESSES]        = {"limits.addresses",            "sysrt_limits_addresses_forgotten_total", false},
	[BOUND_SESSIONS]         = {"websocket.max_sessions",      "sysrt_limits_max_sessions_total",        false},
	[BOUND_HANDSHAKES]       = {"half-open connections",       "sysrt_session_cut_total",                false},
	[BOUND_TLS_HANDSHAKES]   = {"tls.max_handshakes",          "sysrt_tls_handshakes_cut_total",         false},
	[BOUND_PER_UID]          = {"control.max_per_uid",         "sysrt_limits_max_per_uid_total",         false},
	[BOUND_HEADER]           = {"websocket.max_header",        "sysrt_limits_max_header_total",          false},
	[BOUND_HEADER_TIME]      = {"websocket.header_timeout",    "sysrt_limits_header_timeout_total",      false},
	[BOUND_AUTH_TIME]        = {"websocket.auth_timeout",      "sysrt_limits_auth_timeout_total",        false},
	[BOUND_MESSAGE]          = {"websocket.max_message",       "sysrt_limits_max_message_total",         false},
	[BOUND_FRAGMENTS]        = {"websocket.max_fragments",     "sysrt_limits_max_fragments_total",       false},
	[BOUND_INPUT]            = {"websocket.max_input",         "sysrt_peers_given_up_total",             false},
	[BOUND_NESTING]          = {"nesting",                     "sysrt_limits_nesting_total",             false},
	[BOUND_BATCH]            = {"requests in a batch",         "sysrt_limits_batch_total",               false},
	[BOUND_SUBSCRIPTIONS]    = {"websocket.max_subscriptions", "sysrt_limits_max_subscriptions_total",   false},
	[BOUND_PATTERN]          = {"pairs in a subscription",     "sysrt_limits_pairs_total",               false},
	[BOUND_PATTERNS]         = {"hub.max_patterns",            "sysrt_limits_max_patterns_total",        false},
	[BOUND_TOPICS]           = {"hub.max_topics",              "sysrt_limits_max_topics_total",          false},
	[BOUND_RECORD]           = {"store.max_record",            "sysrt_limits_max_record_total",          false},
	[BOUND_IN_FLIGHT]        = {"websocket.max_in_flight",     "sysrt_limits_max_in_flight_total",       true },
	[BOUND_SEND_QUEUE]       = {"websocket.send_queue",        "sysrt_limits_send_queue_total",          true },
	[BOUND_STALL]            = {"websocket.stall_timeout",     "sysrt_limits_stall_timeout_total",       false},
};
/* clang-format on */

struct bounds {
	struct counter reached[BOUND_COUNT];
	int64_t next_line_ms[BOUND_COUNT];
	uint64_t untold[BOUND_COUNT]; /* times since the last line */
};

struct bounds *
bounds_new(struct stats *stats)
{
	struct bounds *b = xnew(struct bounds);

	for (unsigned i = 0; i < BOUND_COUNT; i++)
		stats_add_counter(stats, rows[i].counter, &b->reached[i]);
	return b;
}

void
bounds_free(struct bounds *b)
{
	free(b);
}

bool
bounds_count(struct bounds *b, enum bound which, int64_t now_ms, uint64_t *times)
{
	counter_add(&b->reached[which], 1);
	*times = ++b->untold[which];
	if (now_ms < b->next_line_ms[which])
		return false;
	b->next_line_ms[which] = now_ms + LOG_EVERY_MS;
	b->untold[which] = 0;
	return true;
}

void
bounds_reach(struct bounds *b, enum bound which, int64_t now_ms, uint64_t session)
{
	const struct row *row = &rows[which];
	uint64_t times;

	if (!bounds_count(b, which, now_ms, &times))
		return;
	log_at(row->is_usual ? LOG_DEBUG : LOG_WARN, "limits", "limit reached",
		F_STR("limit", row->name), F_INT("times", times), F_INT("session", session));
}

void
bounds_reach_name(struct bounds *b, const char *name, int64_t now_ms, uint64_t session)
{
	for (unsigned i = 0; name != NULL && i < BOUND_COUNT; i++) {
		if (strcmp(rows[i].name, name) != 0)
			continue;
		bounds_reach(b, (enum bound)i, now_ms, session);
		return;
	}
}
