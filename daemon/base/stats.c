/* The table of counters and gauges: see stats.h. */

#include "daemon/base/stats.h"

#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"

struct stat_row {
	const char *name;
	const struct counter *counter; /* NULL: a gauge */
	int64_t (*read)(const void *arg);
	const void *arg;
	const struct stats_kind *kind; /* of a family; else NULL */
	double (*read_item)(const void *item);
};

struct stats {
	struct stat_row *rows;
	size_t n;
	size_t cap;
};

struct stats *
stats_new(void)
{
	return xnew(struct stats);
}

void
stats_free(struct stats *s)
{
	if (s == NULL)
		return;
	free(s->rows);
	free(s);
}

static void
add_row(struct stats *s, struct stat_row row)
{
	for (size_t i = 0; i < s->n; i++)
		must(strcmp(s->rows[i].name, row.name) != 0);
	if (s->n == s->cap) {
		s->cap = s->cap > 0 ? 2 * s->cap : 32;
		s->rows = xrealloc(s->rows, s->cap, sizeof(*s->rows));
	}
	s->rows[s->n++] = row;
}

void
stats_add_counter(struct stats *s, const char *name, const struct counter *counter)
{
	add_row(s, (struct stat_row){.name = name, .counter = counter});
}

void
stats_add_gauge(
	struct stats *s, const char *name, int64_t (*read)(const void *arg), const void *arg)
{
	add_row(s, (struct stat_row){.name = name, .read = read, .arg = arg});
}

void
stats_add_family(struct stats *s, const char *name, const struct stats_kind *kind,
	double (*read)(const void *item))
{
	add_row(s, (struct stat_row){.name = name, .read_item = read, .kind = kind});
}

static void
put_family(const struct stat_row *row, struct json_out *o)
{
	const struct stats_kind *kind = row->kind;
	const void *item = NULL;
	struct span name;

	while ((item = kind->next(kind->arg, item, &name)) != NULL) {
		char *key = xasprintf("%s{%s=\"%.*s\"}", row->name, kind->label, SPAN_FMT(name));

		json_put_double(o, key, row->read_item(item));
		free(key);
	}
}

void
stats_add_json(const struct stats *s, struct json_out *o)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct stat_row *row = &s->rows[i];

		if (row->kind != NULL)
			put_family(row, o);
		else if (row->counter != NULL)
			json_put_int(o, row->name, (int64_t)counter_read(row->counter));
		else
			json_put_int(o, row->name, row->read(row->arg));
	}
}
