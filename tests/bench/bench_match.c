/*
 * What a change costs that one pattern matches, beside 0 to 10,000 others that
 * do not: other categories, other prefixes, other ids of the same category. Each
 * figure stands beside a plain loop over all the patterns. And what a condition
 * costs by its names, on data of very many members.
 */

#include <stdio.h>
#include <stdlib.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/where.h"
#include "common/xalloc.h"
#include "daemon/hub/index.h"

#define OTHERS_MAX 10000
#define NAMES_MAX  64
#define MEMBERS    100000
#define RUN_US     100000

struct patterns {
	struct index index;
	struct index_entry entries[OTHERS_MAX + 1];
	struct pattern *v[OTHERS_MAX + 1];
	size_t n;
};

static const struct span category = {"sensor.kitchen", 14}, id = {"temperature", 11};

static void
add(struct patterns *ps, struct term category_term, const struct term *id_term)
{
	size_t i = ps->n++;

	ps->v[i] = pattern_new(&category_term, 1, id_term, id_term != NULL ? 1 : 0, NULL);
	must(ps->v[i] != NULL);
	index_add(&ps->index, &ps->entries[i], ps->v[i]);
}

/** One that does not match: by its category, by its prefix, by its id, in turn. */
static void
add_other(struct patterns *ps, unsigned i)
{
	char text[32];
	struct term t = {
		.text = {text, 0}
        };

	t.text.n = (size_t)snprintf(text, sizeof(text), "sensor.%u", i);
	t.is_prefix = i % 3 == 1;
	if (i % 3 == 2)
		add(ps, (struct term){category, false}, &t);
	else
		add(ps, t, NULL);
}

static size_t
match_by_index(struct patterns *ps)
{
	struct index_entry *const *found;

	return index_match(&ps->index, category, id, &found);
}

static size_t
match_by_loop(struct patterns *ps)
{
	size_t n = 0;

	for (size_t i = 0; i < ps->n; i++)
		n += pattern_matches(ps->v[i], category, id);
	return n;
}

/** Nanoseconds a change. */
static double
measure(struct patterns *ps, size_t (*match)(struct patterns *ps))
{
	int64_t start = clock_mono_us(), now = start;
	uint64_t changes = 0;

	while (now - start < RUN_US) {
		for (int i = 0; i < 100; i++)
			must(match(ps) == 1);
		changes += 100;
		now = clock_mono_us();
	}
	return (double)(now - start) * 1000 / (double)changes;
}

static void
run(unsigned others)
{
	struct patterns *ps = xnew(struct patterns);

	index_init(&ps->index, 0x5eed5eed5eed);
	add(ps, (struct term){category, false}, NULL);
	for (unsigned i = 0; i < others; i++)
		add_other(ps, i);
	printf("match others=%u index_ns=%.0f loop_ns=%.0f\n", others, measure(ps, match_by_index),
		measure(ps, match_by_loop));
	for (size_t i = 0; i < ps->n; i++) {
		index_remove(&ps->index, &ps->entries[i]);
		free(ps->v[i]);
	}
	index_fini(&ps->index);
	free(ps);
}

static struct where *
condition_of(unsigned names)
{
	struct where *w = NULL;
	struct json_value value;
	struct json_fault fault;
	struct buf text;

	buf_init(&text, WHERE_BYTES_MAX);
	for (unsigned i = 0; i < names; i++)
		buf_addf(&text, "%s\"/a%02x\":1", i == 0 ? "{" : ",", i);
	buf_add_char(&text, '}');
	must(json_check(buf_span(&text), JSON_DEPTH_MAX, &value, &fault) == OK);
	must(where_new(value, &w, NULL) == OK);
	buf_fini(&text);
	return w;
}

/** None of the names is there, but each key is like them. */
static void
run_condition(unsigned names)
{
	struct where *w = condition_of(names);
	struct buf data;
	int64_t start;

	buf_init(&data, (size_t)1 << 24);
	for (unsigned i = 0; i < MEMBERS; i++)
		buf_addf(&data, "%s\"a%02x\":0", i == 0 ? "{" : ",", NAMES_MAX + i % 64);
	buf_add_char(&data, '}');
	start = clock_mono_us();
	for (unsigned i = 0; i < 10; i++)
		must(!where_matches(w, buf_span(&data)));
	printf("condition names=%u members=%u us=%.0f\n", names, MEMBERS,
		(double)(clock_mono_us() - start) / 10);
	buf_fini(&data);
	free(w);
}

int
main(void)
{
	for (unsigned others = 1; others <= OTHERS_MAX; others *= 10)
		run(others);
	for (unsigned names = 1; names <= NAMES_MAX; names *= 8)
		run_condition(names);
	return 0;
}
