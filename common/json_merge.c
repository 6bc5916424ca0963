/*
 * Merge patches: see json_merge.h. The members of a patch are sorted, so that a
 * large one on a large target is not the product of both.
 */

#include "common/json_merge.h"

#include <stdlib.h>

#include "common/json_compare.h"
#include "common/xalloc.h"

struct member {
	struct span key;
	struct json_value value;
	struct json_value target; /* what it meets; JSON_NULL: nothing that it could merge with */
	size_t place;             /* in the patch */
	bool is_done;
};

struct members {
	struct member *v; /* sorted by key */
	size_t n;
};

static const struct json_value nothing = {
	JSON_NULL, {"null", 4}
};

static int
compare_members(const void *a, const void *b)
{
	const struct member *x = a, *y = b;
	int c = json_string_compare(x->key, y->key);

	return c != 0 ? c : (x->place > y->place) - (x->place < y->place);
}

static int
compare_key(const void *key, const void *member)
{
	return json_string_compare(*(const struct span *)key, ((const struct member *)member)->key);
}

static struct member *
find(const struct members *m, struct span key)
{
	return m->n > 0 ? bsearch(&key, m->v, m->n, sizeof(*m->v), compare_key) : NULL;
}

/** The members of a patch, each key once; false when out of memory. */
static bool
sort_members(struct json_value patch, struct members *m)
{
	struct json_walk w = json_walk_start(patch);
	struct json_value value;
	struct span key;
	size_t n = 0, kept = 0;

	while (json_object_next(&w, &key, &value))
		n++;
	*m = (struct members){.v = n > 0 ? try_alloc(n * sizeof(*m->v)) : NULL};
	if (n == 0 || m->v == NULL)
		return n == 0;
	w = json_walk_start(patch);
	for (size_t i = 0; json_object_next(&w, &key, &value); i++)
		m->v[i] = (struct member){key, value, nothing, i, false};
	qsort(m->v, n, sizeof(*m->v), compare_members);
	for (size_t i = 0; i < n; i++) {
		if (kept > 0 && json_string_compare(m->v[kept - 1].key, m->v[i].key) == 0)
			kept--;
		m->v[kept++] = m->v[i];
	}
	m->n = kept;
	return true;
}

static void
begin_member(struct buf *out, struct span key, size_t start)
{
	if (out->n > start)
		buf_add_char(out, ',');
	buf_add_span(out, key);
	buf_add_char(out, ':');
}

/** Appends what a member becomes, unless that is nothing. */
static bool
add_member(struct buf *out, struct member *m, struct span key, size_t start)
{
	if (m->is_done || m->value.type == JSON_NULL)
		return true;
	m->is_done = true;
	begin_member(out, key, start);
	return json_merge_patch(m->target, m->value, out);
}

/** The members of the target, changed or as they are. */
static bool
merge_old(struct json_value target, const struct members *m, struct buf *out, size_t start)
{
	struct json_walk w = json_walk_start(target);
	struct json_value value;
	struct member *hit;
	struct span key;

	while (json_object_next(&w, &key, &value))
		if ((hit = find(m, key)) != NULL)
			hit->target = value;
	w = json_walk_start(target);
	while (json_object_next(&w, &key, &value)) {
		hit = find(m, key);
		if (hit != NULL && !add_member(out, hit, key, start))
			return false;
		if (hit != NULL)
			continue;
		begin_member(out, key, start);
		json_compact(value, out);
	}
	return true;
}

/** What the patch has and the target had not, in the order of the patch. */
static bool
merge_new(struct json_value patch, const struct members *m, struct buf *out, size_t start)
{
	struct json_walk w = json_walk_start(patch);
	struct json_value value;
	struct span key;

	while (json_object_next(&w, &key, &value))
		if (!add_member(out, find(m, key), key, start))
			return false;
	return true;
}

bool
json_merge_patch(struct json_value target, struct json_value patch, struct buf *out)
{
	struct members m;
	bool is_done = true;
	size_t start;

	if (patch.type != JSON_OBJECT) {
		json_compact(patch, out);
		return true;
	}
	if (!sort_members(patch, &m))
		return false;
	buf_add_char(out, '{');
	start = out->n;
	if (target.type == JSON_OBJECT)
		is_done = merge_old(target, &m, out, start);
	is_done = is_done && merge_new(patch, &m, out, start);
	buf_add_char(out, '}');
	free(m.v);
	return is_done;
}
