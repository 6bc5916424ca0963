/* Greetings: see greeting.h. */

#include "daemon/feed/greeting.h"

#include <stdlib.h>

#include "common/json.h"
#include "common/where.h"
#include "common/xalloc.h"
#include "daemon/base/conf.h"

struct greeting {
	const struct conf_steps *steps;
	struct where **awaits; /* owned; NULL where it does not wait */
	size_t at;             /* the step that comes next, or is waited for */
	bool is_waiting;
};

static struct where *
read_condition(const char *text)
{
	struct json_value value;
	struct json_fault fault;
	struct where *where = NULL;

	must(json_check(span_of(text), JSON_DEPTH_MAX, &value, &fault) == OK);
	must(where_new(value, &where, NULL) == OK);
	return where;
}

struct greeting *
greeting_new(const struct conf_steps *steps)
{
	struct greeting *g = xnew(struct greeting);

	g->steps = steps;
	g->awaits = xnew_n(steps->n + 1, struct where *);
	for (size_t i = 0; i < steps->n; i++)
		if (steps->v[i].await != NULL)
			g->awaits[i] = read_condition(steps->v[i].await);
	return g;
}

void
greeting_free(struct greeting *g)
{
	if (g == NULL)
		return;
	for (size_t i = 0; i < g->steps->n; i++)
		free(g->awaits[i]);
	free(g->awaits);
	free(g);
}

void
greeting_begin(struct greeting *g)
{
	g->at = 0;
	g->is_waiting = false;
}

bool
greeting_next(struct greeting *g, struct greeting_step *step)
{
	const struct conf_step *s = &g->steps->v[g->at];

	if (g->is_waiting || g->at == g->steps->n)
		return false;
	g->is_waiting = g->awaits[g->at] != NULL;
	*step = (struct greeting_step){
		.send = span_of(s->send),
		.is_binary = s->is_binary,
		.wait_ms = g->is_waiting ? s->timeout_ms : 0,
	};
	g->at += !g->is_waiting;
	return true;
}

bool
greeting_hear(struct greeting *g, struct span text)
{
	struct json_value value;
	struct json_fault fault;

	if (!g->is_waiting || json_check(text, JSON_DEPTH_MAX, &value, &fault) != OK ||
		!where_matches(g->awaits[g->at], value.raw))
		return false;
	g->is_waiting = false;
	g->at++;
	return true;
}
