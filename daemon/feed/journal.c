/* What happened: see journal.h. */

#include "daemon/feed/journal.h"

#include <stdlib.h>

#include "common/xalloc.h"

void
journal_fini(struct journal *j)
{
	for (size_t i = 0; i < JOURNAL_MAX; i++)
		free(j->v[i].detail);
	*j = (struct journal){.n = 0};
}

void
journal_note(struct journal *j, int64_t at_ms, const char *what, const char *detail)
{
	struct journal_entry *e = &j->v[(j->first + j->n) % JOURNAL_MAX];

	if (j->n == JOURNAL_MAX)
		j->first = (j->first + 1) % JOURNAL_MAX;
	else
		j->n++;
	free(e->detail);
	*e = (struct journal_entry){
		.at_ms = at_ms,
		.what = what,
		.detail = detail != NULL && detail[0] != '\0' ? xstrdup(detail) : NULL,
	};
}

void
journal_add_items(const struct journal *j, size_t limit, struct json_out *o)
{
	for (size_t i = j->n > limit ? j->n - limit : 0; i < j->n; i++) {
		const struct journal_entry *e = &j->v[(j->first + i) % JOURNAL_MAX];

		json_begin_object(o, NULL);
		json_put_int(o, "at", e->at_ms);
		json_put_str(o, "what", e->what);
		if (e->detail != NULL)
			json_put_str(o, "detail", e->detail);
		json_end_object(o);
	}
}
