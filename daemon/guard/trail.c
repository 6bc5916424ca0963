/* What went wrong for one session: see trail.h. */

#include "daemon/guard/trail.h"

#include <stdbool.h>
#include <stdlib.h>

#include "common/xalloc.h"

/** Several in a row that differ in nothing but the time are one. */
struct event {
	enum err code;      /* of a refusal; OK: the session was held back */
	const char *method; /* NULL: not known */
	const char *limit;  /* NULL: none */
	int64_t first_ms;   /* wall clock */
	int64_t last_ms;
	int64_t wait_ms; /* the last one: when to try again, or how long it was held back */
	uint64_t times;
};

struct trail {
	uint64_t refusals[ERR_COUNT];
	struct event events[TRAIL_EVENTS]; /* a ring */
	unsigned n;
	unsigned last;
};

void
trail_free(struct trail *t)
{
	free(t);
}

static void
note(struct trail **trail, const struct event *e)
{
	struct trail *t = *trail;
	struct event *last;

	if (t == NULL)
		t = *trail = xnew(struct trail);
	last = &t->events[t->last];
	if (t->n > 0 && last->code == e->code && last->method == e->method &&
		last->limit == e->limit) {
		last->times++;
		last->last_ms = e->last_ms;
		last->wait_ms = e->wait_ms;
		return;
	}
	if (t->n > 0)
		t->last = (t->last + 1) % TRAIL_EVENTS;
	if (t->n < TRAIL_EVENTS)
		t->n++;
	t->events[t->last] = *e;
}

/** True for what says more of the session than of what it asked for. */
static bool
is_refusal(enum err code)
{
	return code == ERR_UNAUTHENTICATED || code == ERR_PERMISSION_DENIED ||
	       code == ERR_RATE_LIMITED || code == ERR_LIMIT_EXCEEDED || code == ERR_TIMEOUT ||
	       code == ERR_UNAVAILABLE;
}

void
trail_note_refusal(struct trail **t, const char *method, const struct error *error, int64_t wall_ms)
{
	if (!is_refusal(error->code))
		return;
	note(t, &(struct event){.code = error->code,
			.method = method,
			.limit = error->limit.name,
			.first_ms = wall_ms,
			.last_ms = wall_ms,
			.wait_ms = error->limit.retry_after_ms,
			.times = 1});
	(*t)->refusals[error->code]++;
}

void
trail_note_hold(struct trail **t, const char *bucket, int64_t wait_ms, int64_t wall_ms)
{
	note(t, &(struct event){.limit = bucket,
			.first_ms = wall_ms,
			.last_ms = wall_ms,
			.wait_ms = wait_ms,
			.times = 1});
}

static bool
is_bucket(const struct event *e)
{
	return e->code == OK || e->code == ERR_RATE_LIMITED;
}

static void
put_event(struct json_out *o, const struct event *e)
{
	json_begin_object(o, NULL);
	json_put_str(o, "what", e->code != OK ? "refused" : "held back");
	if (e->code != OK)
		json_put_str(o, "code", err_info(e->code)->name);
	if (e->method != NULL)
		json_put_str(o, "method", e->method);
	if (e->limit != NULL)
		json_put_str(o, is_bucket(e) ? "bucket" : "limit", e->limit);
	if (e->wait_ms > 0)
		json_put_int(o, "wait_ms", e->wait_ms);
	json_put_int(o, "times", (int64_t)e->times);
	json_put_int(o, "first_at", e->first_ms);
	json_put_int(o, "last_at", e->last_ms);
	json_end_object(o);
}

void
trail_add(const struct trail *t, struct json_out *o)
{
	json_begin_object(o, "refusals");
	for (enum err code = 0; t != NULL && code < ERR_COUNT; code++)
		if (t->refusals[code] > 0)
			json_put_int(o, err_info(code)->name, (int64_t)t->refusals[code]);
	json_end_object(o);
	json_begin_array(o, "events");
	for (unsigned i = 0; t != NULL && i < t->n; i++)
		put_event(o, &t->events[(t->last + TRAIL_EVENTS - i) % TRAIL_EVENTS]);
	json_end_array(o);
}
