/* Whose turn it is: see turn.h. */

#include "daemon/store/turn.h"

/* Beside a get, which looks at one row. */
#define COST 100

static uint64_t
cost_of(const struct job *j)
{
	return j->kind == JOB_GET ? 1 : COST;
}

void
turn_give(struct job *j, uint64_t now, uint64_t *newest)
{
	j->turn = (newest != NULL && *newest > now ? *newest : now) + cost_of(j);
	if (newest != NULL)
		*newest = j->turn;
}

void
turn_drop(const struct job *j, uint64_t *newest)
{
	*newest -= cost_of(j);
}

uint64_t
turn_at(const struct job *j)
{
	return j->turn - cost_of(j);
}

static uint64_t
turn_of(const struct qitem *it)
{
	return ((const struct job *)(const void *)it)->turn;
}

/** Inserts what came behind all that is not after it; from `at` on, where that was done before. */
static struct qitem **
insert(struct qlist *waiting, struct qitem **at, struct qitem *it)
{
	while (*at != NULL && turn_of(*at) <= turn_of(it))
		at = &(*at)->next;
	it->next = *at;
	*at = it;
	if (it->next == NULL)
		waiting->tail = &it->next;
	waiting->n++;
	return &it->next;
}

void
turn_take(struct queue *q, struct qlist *waiting)
{
	struct qitem **at = &waiting->first, *it;
	struct qlist fresh;
	uint64_t last = 0;

	qlist_init(&fresh);
	queue_take(q, &fresh);
	while ((it = qlist_shift(&fresh)) != NULL) {
		if (turn_of(it) < last)
			at = &waiting->first;
		last = turn_of(it);
		at = insert(waiting, at, it);
	}
}
