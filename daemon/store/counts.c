/*
 * Counts: see counts.h. A balanced tree (that of the C library) by category; the
 * steps since the last commit are noted, to be taken back.
 */

#include "daemon/store/counts.h"

#include <search.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"

/* Beyond so many categories all are forgotten and counted again when they are asked for. */
#define CATEGORIES_MAX 10000

struct count {
	struct span category; /* behind this struct */
	int64_t n;
};

struct step {
	struct count *count; /* NULL: a number was told here */
	int64_t n;
};

struct counts {
	void *tree;
	size_t size;
	struct step *steps;
	size_t steps_n;
	size_t steps_cap;
	uint64_t forgets; /* how often all were forgotten */
};

struct counts *
counts_new(void)
{
	return xnew(struct counts);
}

void
counts_free(struct counts *c)
{
	if (c == NULL)
		return;
	counts_forget(c);
	free(c->steps);
	free(c);
}

static int
compare(const void *a, const void *b)
{
	const struct count *x = a, *y = b;

	return span_compare(x->category, y->category);
}

static struct count *
find(const struct counts *c, struct span category)
{
	struct count key = {.category = category};
	struct count **found = c->size > 0 ? tfind(&key, &c->tree, compare) : NULL;

	return found != NULL ? *found : NULL;
}

int64_t
counts_get(const struct counts *c, struct span category)
{
	const struct count *found = find(c, category);

	return found != NULL ? found->n : -1;
}

static void
note(struct counts *c, struct step step)
{
	if (c->steps_n == c->steps_cap) {
		c->steps_cap = c->steps_cap > 0 ? 2 * c->steps_cap : 64;
		c->steps = xrealloc(c->steps, c->steps_cap, sizeof(*c->steps));
	}
	c->steps[c->steps_n++] = step;
}

void
counts_set(struct counts *c, struct span category, int64_t n)
{
	struct count *count;

	if (c->size >= CATEGORIES_MAX)
		counts_forget(c);
	count = xcalloc(1, sizeof(*count) + category.n);
	memcpy(count + 1, category.p, category.n);
	count->category = (struct span){(char *)(count + 1), category.n};
	count->n = n;
	must(tsearch(count, &c->tree, compare) != NULL);
	c->size++;
	note(c, (struct step){.count = NULL});
}

void
counts_add(struct counts *c, struct span category, int64_t n)
{
	struct count *count = find(c, category);

	if (count == NULL)
		return;
	count->n += n;
	note(c, (struct step){count, n});
}

struct counts_mark
counts_mark(const struct counts *c)
{
	return (struct counts_mark){c->steps_n, c->forgets};
}

void
counts_return(struct counts *c, struct counts_mark mark)
{
	bool is_unsure = c->forgets != mark.forgets; /* what is known was told since */

	while (!is_unsure && c->steps_n > mark.step) {
		struct step *s = &c->steps[--c->steps_n];

		if (s->count != NULL)
			s->count->n -= s->n;
		else
			is_unsure = true; /* it counted what is taken back now */
	}
	if (is_unsure)
		counts_forget(c);
}

void
counts_committed(struct counts *c)
{
	c->steps_n = 0;
}

void
counts_forget(struct counts *c)
{
	tdestroy(c->tree, free);
	c->tree = NULL;
	c->size = c->steps_n = 0;
	c->forgets++;
}
