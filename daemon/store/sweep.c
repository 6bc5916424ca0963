/* Deleting by a condition: see sweep.h. */

#include "daemon/store/sweep.h"

#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"

struct sweep *
sweep_new(const struct where *where, int64_t since)
{
	size_t n = where_size(where);
	struct sweep *s = try_alloc(sizeof(*s) + n);

	if (s == NULL)
		return NULL;
	memcpy(s + 1, where, n);
	*s = (struct sweep){.where = (const struct where *)(const void *)(s + 1), .since = since};
	return s;
}

void
sweep_add(struct sweep *s, struct change **change)
{
	if (s->n == s->cap) {
		s->cap = s->cap > 0 ? 2 * s->cap : 16;
		s->changes = xrealloc(s->changes, s->cap, sizeof(struct change *));
	}
	s->changes[s->n++] = *change;
	*change = NULL;
}

void
sweep_reset(struct sweep *s)
{
	for (size_t i = 0; i < s->n; i++)
		change_unref(s->changes[i]);
	free(s->changes);
	s->changes = NULL;
	s->n = s->cap = 0;
	s->end = 0;
}

void
sweep_free(struct sweep *s)
{
	if (s == NULL)
		return;
	sweep_reset(s);
	free(s);
}
