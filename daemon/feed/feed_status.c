/* What a feed tells about itself. */

#include "common/clock.h"
#include "daemon/base/loop.h"
#include "daemon/feed/feed_priv.h"
#include "daemon/feed/recorder.h"
#include "daemon/feed/writing.h"
#include "daemon/hub/outage.h"

static void
add_state(const struct feed *f, struct json_out *o)
{
	int64_t next_ms = link_next_try_ms(f->link), now_ms = loop_now_ms(f->all->loop);

	json_put_str(o, "name", f->def->named.name);
	json_put_str(o, "source", f->source == FEED_OF_CONF ? "config" : "store");
	json_put_str(o, "state", machine_state_name(link_state(f->link)));
	json_put_int(o, "since", f->moved_ms);
	if (link_why(f->link)[0] != '\0')
		json_put_str(o, "why", link_why(f->link));
	if (next_ms != MACHINE_NEVER) {
		json_put_int(o, "retries", link_retries(f->link));
		json_put_int(o, "next_try_ms", next_ms > now_ms ? next_ms - now_ms : 0);
	}
	if (f->holds & HOLD_STORE)
		json_put_str(o, "waits_for", "store");
	else if (f->holds & HOLD_RATE)
		json_put_str(o, "waits_for", "rate");
	if (f->outage != NULL && outage_has_begun(f->outage))
		json_put_int(o, "stale_since", f->down_ms);
	json_put_str(o, "url", f->def->url);
}

static void
add_counters(const struct feed *f, struct json_out *o)
{
	json_put_int(o, "messages", (int64_t)f->messages);
	json_put_int(o, "bytes", (int64_t)link_read_bytes(f->link));
	json_put_int(o, "mapped", (int64_t)f->mapped);
	json_put_int(o, "unmapped", (int64_t)f->unmapped);
	json_put_int(o, "ignored", (int64_t)f->ignored);
	json_put_int(o, "conflated", (int64_t)writing_conflated(f->writing));
	json_put_int(o, "connects", (int64_t)f->connects);
	json_put_int(o, "paused_ms", feed_paused_us(f) / 1000);
	if (f->last_message_ms != 0)
		json_put_int(o, "last_message_at", f->last_message_ms);
}

static void
add_details(const struct feed *f, struct json_out *o)
{
	histogram_add_json(&f->commit_times, o, "commit_ms");
	histogram_add_json(&f->push_times, o, "push_ms");
	link_put_handshake(f->link, o, "handshake");
	if (f->recorder != NULL) {
		json_begin_object(o, "recorder");
		recorder_add_status(f->recorder, o);
		json_end_object(o);
	}
	json_begin_object(o, "definition");
	conf_feed_add(f->def, false, o);
	json_end_object(o);
}

void
feed_add_status(const struct feed *f, bool all, struct json_out *o)
{
	add_state(f, o);
	add_counters(f, o);
	if (all)
		add_details(f, o);
}

/* Figures. */

static double
read_up(const void *feed)
{
	return link_state(((const struct feed *)feed)->link) == FEED_LIVE;
}

static double
read_state(const void *feed)
{
	return link_state(((const struct feed *)feed)->link);
}

static double
read_reconnects(const void *feed)
{
	uint64_t n = ((const struct feed *)feed)->tries;

	return n > 0 ? (double)(n - 1) : 0;
}

static double
read_messages(const void *feed)
{
	return (double)((const struct feed *)feed)->messages;
}

static double
read_bytes(const void *feed)
{
	return (double)link_read_bytes(((const struct feed *)feed)->link);
}

static double
read_mapped(const void *feed)
{
	return (double)((const struct feed *)feed)->mapped;
}

static double
read_unmapped(const void *feed)
{
	return (double)((const struct feed *)feed)->unmapped;
}

static double
read_conflated(const void *feed)
{
	return (double)writing_conflated(((const struct feed *)feed)->writing);
}

static double
read_paused(const void *feed)
{
	return (double)feed_paused_us(feed) / 1e6;
}

static double
read_last_message(const void *feed)
{
	return (double)((const struct feed *)feed)->last_message_ms / 1000;
}

static double
read_commit_p50(const void *feed)
{
	return histogram_ms(&((const struct feed *)feed)->commit_times, 2) / 1000;
}

static double
read_commit_p99(const void *feed)
{
	return histogram_ms(&((const struct feed *)feed)->commit_times, 100) / 1000;
}

static double
read_push_p50(const void *feed)
{
	return histogram_ms(&((const struct feed *)feed)->push_times, 2) / 1000;
}

static double
read_push_p99(const void *feed)
{
	return histogram_ms(&((const struct feed *)feed)->push_times, 100) / 1000;
}

const struct feed_figure feed_figures[] = {
	{"sysrt_feed_up",			     read_up          },
	{"sysrt_feed_state",                          read_state       },
	{"sysrt_feed_reconnects_total",               read_reconnects  },
	{"sysrt_feed_messages_total",                 read_messages    },
	{"sysrt_feed_bytes_total",                    read_bytes       },
	{"sysrt_feed_mapped_total",                   read_mapped      },
	{"sysrt_feed_unmapped_total",                 read_unmapped    },
	{"sysrt_feed_conflated_total",                read_conflated   },
	{"sysrt_feed_paused_seconds_total",           read_paused      },
	{"sysrt_feed_last_message_timestamp_seconds", read_last_message},
	{"sysrt_feed_commit_p50_seconds",             read_commit_p50  },
	{"sysrt_feed_commit_p99_seconds",             read_commit_p99  },
	{"sysrt_feed_push_p50_seconds",               read_push_p50    },
	{"sysrt_feed_push_p99_seconds",               read_push_p99    },
};
const size_t feed_figures_n = sizeof(feed_figures) / sizeof(feed_figures[0]);
