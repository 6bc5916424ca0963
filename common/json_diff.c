/* Differences between JSON values: see json_diff.h. */

#include "common/json_diff.h"

#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"

struct diff {
	void (*tell)(void *arg, const struct json_edit *step);
	void *arg;
	struct buf path;
};

/** The members of an object, sorted by key. */
struct members {
	struct member {
		struct span key; /* decoded */
		struct json_value value;
	} * v;
	size_t n;
	char *texts;
	bool is_odd; /* a key is there twice, or has no UTF-8 form: no pointer leads there */
};

static int
compare_members(const void *a, const void *b)
{
	return span_compare(((const struct member *)a)->key, ((const struct member *)b)->key);
}

static void
members_init(struct members *m, struct json_value object)
{
	struct json_walk w = json_walk_start(object);
	struct json_value value;
	struct span key;
	size_t cap = 0;
	char *text;

	*m = (struct members){.texts = xcalloc(1, object.raw.n)};
	text = m->texts;
	while (json_object_next(&w, &key, &value)) {
		size_t n = json_string_decode(key, text);

		m->is_odd |= n == SIZE_MAX;
		n = n == SIZE_MAX ? 0 : n;
		if (m->n == cap) {
			cap = cap > 0 ? 2 * cap : 16;
			m->v = xrealloc(m->v, cap, sizeof(*m->v));
		}
		m->v[m->n++] = (struct member){
			{text, n},
                        value
                };
		text += n;
	}
	if (m->n > 0)
		qsort(m->v, m->n, sizeof(*m->v), compare_members);
	for (size_t i = 1; i < m->n; i++)
		m->is_odd |= span_eq(m->v[i - 1].key, m->v[i].key);
}

static void
members_fini(struct members *m)
{
	free(m->v);
	free(m->texts);
}

static bool is_same(struct json_value a, struct json_value b);

static bool
is_same_string(struct span a, struct span b)
{
	char *x, *y;
	size_t n, m;
	bool same;

	if (span_eq(a, b) || (json_string_is_plain(a) && json_string_is_plain(b)))
		return span_eq(a, b);
	x = xcalloc(1, a.n);
	y = xcalloc(1, b.n);
	n = json_string_decode(a, x);
	m = json_string_decode(b, y);
	same = n != SIZE_MAX && n == m && memcmp(x, y, n) == 0;
	free(x);
	free(y);
	return same;
}

static bool
is_same_array(struct json_value a, struct json_value b)
{
	struct json_walk v = json_walk_start(a), w = json_walk_start(b);
	struct json_value x, y;
	bool has_x, has_y;

	do {
		has_x = json_array_next(&v, &x);
		has_y = json_array_next(&w, &y);
	} while (has_x && has_y && is_same(x, y));
	return !has_x && !has_y;
}

static bool
is_same_object(struct json_value a, struct json_value b)
{
	struct members x, y;
	bool same;

	members_init(&x, a);
	members_init(&y, b);
	same = x.n == y.n && !x.is_odd && !y.is_odd;
	for (size_t i = 0; i < x.n && same; i++)
		same = span_eq(x.v[i].key, y.v[i].key) && is_same(x.v[i].value, y.v[i].value);
	members_fini(&x);
	members_fini(&y);
	return same;
}

static bool
is_same(struct json_value a, struct json_value b)
{
	if (span_eq(a.raw, b.raw))
		return true;
	if (a.type != b.type)
		return false;
	if (a.type == JSON_STRING)
		return is_same_string(a.raw, b.raw);
	if (a.type == JSON_ARRAY)
		return is_same_array(a, b);
	return a.type == JSON_OBJECT && is_same_object(a, b);
}

static void
tell(struct diff *d, enum json_edit_kind kind, const struct json_value *from,
	const struct json_value *to)
{
	struct json_edit step = {.kind = kind, .path = buf_span(&d->path)};

	if (from != NULL)
		step.from = *from;
	if (to != NULL)
		step.to = *to;
	d->tell(d->arg, &step);
}

/** Steps down to a member; returns where to step back to. */
static size_t
enter(struct diff *d, struct span key)
{
	size_t above = d->path.n;

	buf_add_char(&d->path, '/');
	for (size_t i = 0; i < key.n; i++) {
		if (key.p[i] == '~')
			buf_add(&d->path, "~0", 2);
		else if (key.p[i] == '/')
			buf_add(&d->path, "~1", 2);
		else
			buf_add_char(&d->path, key.p[i]);
	}
	return above;
}

static size_t
enter_item(struct diff *d, size_t i)
{
	size_t above = d->path.n;

	buf_addf(&d->path, "/%zu", i);
	return above;
}

static void diff_values(struct diff *d, const struct json_value *a, const struct json_value *b);

/** Compares the values of a member; either is NULL when there is none. */
static void
diff_member(struct diff *d, struct span key, const struct json_value *a, const struct json_value *b)
{
	size_t above = enter(d, key);

	if (b == NULL)
		tell(d, JSON_EDIT_REMOVE, a, NULL);
	else if (a == NULL)
		tell(d, JSON_EDIT_ADD, NULL, b);
	else
		diff_values(d, a, b);
	d->path.n = above;
}

static void
diff_objects(struct diff *d, const struct json_value *a, const struct json_value *b)
{
	struct members x, y;

	members_init(&x, *a);
	members_init(&y, *b);
	if (x.is_odd || y.is_odd) {
		tell(d, JSON_EDIT_REPLACE, a, b);
		x.n = y.n = 0;
	}
	for (size_t i = 0, j = 0; i < x.n || j < y.n;) {
		int c = i == x.n ? 1 : j == y.n ? -1 : span_compare(x.v[i].key, y.v[j].key);

		diff_member(d, c <= 0 ? x.v[i].key : y.v[j].key, c <= 0 ? &x.v[i].value : NULL,
			c >= 0 ? &y.v[j].value : NULL);
		i += c <= 0;
		j += c >= 0;
	}
	members_fini(&x);
	members_fini(&y);
}

static struct json_value *
items_of(struct json_value array, size_t *n)
{
	struct json_walk w = json_walk_start(array);
	struct json_value *v = NULL, item;
	size_t cap = 0;

	*n = 0;
	while (json_array_next(&w, &item)) {
		if (*n == cap) {
			cap = cap > 0 ? 2 * cap : 16;
			v = xrealloc(v, cap, sizeof(*v));
		}
		v[(*n)++] = item;
	}
	return v;
}

/** What both begin and end with stays; in between items are compared place by place, then the rest
 * goes or comes. */
static void
diff_arrays(struct diff *d, const struct json_value *a, const struct json_value *b)
{
	size_t n, m, start = 0, above;
	struct json_value *x = items_of(*a, &n), *y = items_of(*b, &m);

	while (start < n && start < m && is_same(x[start], y[start]))
		start++;
	while (n > start && m > start && is_same(x[n - 1], y[m - 1])) {
		n--;
		m--;
	}
	for (size_t i = start; i < n && i < m; i++) {
		above = enter_item(d, i);
		diff_values(d, &x[i], &y[i]);
		d->path.n = above;
	}
	for (size_t i = n; i > m; i--) {
		above = enter_item(d, i - 1);
		tell(d, JSON_EDIT_REMOVE, &x[i - 1], NULL);
		d->path.n = above;
	}
	for (size_t i = n; i < m; i++) {
		above = enter_item(d, i);
		tell(d, JSON_EDIT_ADD, NULL, &y[i]);
		d->path.n = above;
	}
	free(x);
	free(y);
}

static void
diff_values(struct diff *d, const struct json_value *a, const struct json_value *b)
{
	if (is_same(*a, *b))
		return;
	if (a->type == JSON_OBJECT && b->type == JSON_OBJECT)
		diff_objects(d, a, b);
	else if (a->type == JSON_ARRAY && b->type == JSON_ARRAY)
		diff_arrays(d, a, b);
	else
		tell(d, JSON_EDIT_REPLACE, a, b);
}

void
json_diff(struct json_value from, struct json_value to,
	void (*tell_step)(void *arg, const struct json_edit *step), void *arg)
{
	struct diff d = {.tell = tell_step, .arg = arg};

	buf_init(&d.path, SIZE_MAX / 2);
	diff_values(&d, &from, &to);
	buf_fini(&d.path);
}

void
json_edit_add(const struct json_edit *step, struct json_out *o)
{
	static const char *const names[] = {
		[JSON_EDIT_ADD] = "add",
		[JSON_EDIT_REMOVE] = "remove",
		[JSON_EDIT_REPLACE] = "replace",
	};

	json_begin_object(o, NULL);
	json_put_str(o, "op", names[step->kind]);
	json_put_string(o, "path", step->path);
	if (step->kind != JSON_EDIT_REMOVE)
		json_put_raw(o, "value", step->to.raw);
	json_end_object(o);
}
