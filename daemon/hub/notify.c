/*
 * Notifications: see notify.h. Each ends with a newline, which the Unix socket
 * needs and a WebSocket message does not mind.
 */

#include "daemon/hub/notify.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/buf.h"
#include "common/json.h"
#include "common/xalloc.h"

/* The longest text here, with all its numbers; an epoch is short. */
#define TEXT_MAX 256

static struct frame *text_frame(enum framing framing, struct body *body, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static struct frame *
text_frame(enum framing framing, struct body *body, const char *fmt, ...)
{
	char text[TEXT_MAX];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	must(n >= 0 && (size_t)n < sizeof(text));
	return frame_message(framing, (struct span){text, (size_t)n}, body);
}

#define NOTIFICATION(method) "{\"jsonrpc\":\"2.0\",\"method\":\"" method "\",\"params\":{"

struct frame *
notify_change(enum framing framing, unsigned number, int64_t seq, int64_t prev, struct body *body)
{
	return text_frame(framing, body,
		NOTIFICATION("change") "\"subscription\":%u,\"seq\":%lld,\"prev\":%lld,", number,
		(long long)seq, (long long)prev);
}

struct frame *
notify_position(enum framing framing, const char *method, unsigned number, int64_t seq)
{
	return text_frame(framing, NULL, NOTIFICATION("%s") "\"subscription\":%u,\"seq\":%lld}}\n",
		method, number, (long long)seq);
}

struct frame *
notify_lagged(enum framing framing, unsigned number, int64_t seq, unsigned dropped)
{
	if (dropped == 0)
		return notify_position(framing, "lagged", number, seq);
	return text_frame(framing, NULL,
		NOTIFICATION("lagged") "\"subscription\":%u,\"seq\":%lld,\"dropped\":%u}}\n",
		number, (long long)seq, dropped);
}

struct frame *
notify_resync(enum framing framing, unsigned number, int64_t seq, const char *epoch)
{
	return text_frame(framing, NULL,
		NOTIFICATION("resync") "\"subscription\":%u,\"seq\":%lld,\"epoch\":\"%s\"}}\n",
		number, (long long)seq, epoch);
}

struct frame *
notify_unsubscribed(enum framing framing, unsigned number, const char *reason)
{
	return text_frame(framing, NULL,
		NOTIFICATION("unsubscribed") "\"subscription\":%u,\"reason\":\"%s\"}}\n", number,
		reason);
}

struct frame *
notify_outage(enum framing framing, unsigned number, struct span feed, int64_t since_ms)
{
	if (since_ms == 0)
		return text_frame(framing, NULL,
			NOTIFICATION("fresh") "\"subscription\":%u,\"feed\":\"%.*s\"}}\n", number,
			SPAN_FMT(feed));
	return text_frame(framing, NULL,
		NOTIFICATION("stale") "\"subscription\":%u,\"feed\":\"%.*s\",\"since\":%lld}}\n",
		number, SPAN_FMT(feed), (long long)since_ms);
}

struct body *
notify_message_body(struct span topic, struct span data)
{
	struct body *body = NULL;
	struct buf text;

	buf_init(&text, data.n + 6 * topic.n + TEXT_MAX);
	buf_add_span(&text, SPAN("\"topic\":"));
	json_add_string(&text, topic);
	buf_add_span(&text, SPAN(",\"data\":"));
	json_compact((struct json_value){.raw = data}, &text);
	buf_add_span(&text, SPAN("}}\n"));
	if (!text.failed)
		body = body_new(text.n);
	if (body != NULL)
		memcpy(body->bytes, text.p, text.n);
	buf_fini(&text);
	return body;
}

struct frame *
notify_message(enum framing framing, unsigned number, struct body *body)
{
	return text_frame(framing, body, NOTIFICATION("message") "\"subscription\":%u,", number);
}
