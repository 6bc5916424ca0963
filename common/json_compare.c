/* Comparing values: see json_compare.h. */

#include "common/json_compare.h"

#include <stdlib.h>

#include "common/json_priv.h"
#include "common/xalloc.h"

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

struct json_decimal
json_decimal_of(struct span raw)
{
	struct json_decimal d = {.sign = *raw.p == '-' ? -1 : 1};
	const char *p = raw.p + (d.sign < 0), *end = raw.p + raw.n;
	const char *first = NULL, *last = NULL;
	bool has_point = false;

	for (; p < end && (is_digit(*p) || *p == '.'); p++) {
		if (*p == '.') {
			has_point = true;
			continue;
		}
		if (*p != '0') {
			first = first != NULL ? first : p;
			last = p;
		}
		if (first != NULL)
			d.exponent += !has_point;
		else
			d.exponent -= has_point;
	}
	if (first == NULL)
		return (struct json_decimal){
			.digits = {raw.p, 0}
                };
	if (p < end)
		d.exponent += json_read_exponent(p, end);
	d.digits = (struct span){first, (size_t)(last + 1 - first)};
	return d;
}

/** The next digit at *p, behind a point; '0' at the end. */
static char
next_digit(const char **p, const char *end)
{
	if (*p < end && **p == '.')
		++*p;
	return *p < end ? *(*p)++ : '0';
}

int
json_decimal_compare(const struct json_decimal *a, const struct json_decimal *b)
{
	const char *p = a->digits.p, *p_end = p + a->digits.n;
	const char *q = b->digits.p, *q_end = q + b->digits.n;

	if (a->sign != b->sign)
		return a->sign < b->sign ? -1 : 1;
	if (a->sign == 0)
		return 0;
	if (a->exponent != b->exponent)
		return a->exponent < b->exponent ? -a->sign : a->sign;
	while (p < p_end && q < q_end) {
		char x = next_digit(&p, p_end), y = next_digit(&q, q_end);

		if (x != y)
			return x < y ? -a->sign : a->sign;
	}
	/* What is left ends in a digit that is not 0. */
	return p < p_end ? a->sign : q < q_end ? -a->sign : 0;
}

static struct span
inside_quotes(struct span raw)
{
	return (struct span){raw.p + 1, raw.n - 2};
}

/** A raw string, read byte by byte as it decodes. */
struct decoder {
	const char *p;
	const char *end;
	char bytes[4]; /* of an escape */
	size_t at;
	size_t n;
};

static struct decoder
decoder_start(struct span raw)
{
	return (struct decoder){.p = raw.p + 1, .end = raw.p + raw.n - 1};
}

/** The next byte, or -1 at the end. */
static int
decoder_next(struct decoder *d)
{
	if (d->at < d->n)
		return (unsigned char)d->bytes[d->at++];
	if (d->p >= d->end)
		return -1;
	if (*d->p != '\\')
		return (unsigned char)*d->p++;
	d->n = json_decode_escape(&d->p, d->end, d->bytes);
	if (d->n == 0)
		d->n = 3;
	d->at = 1;
	return (unsigned char)d->bytes[0];
}

int
json_string_compare(struct span a, struct span b)
{
	struct decoder x, y;
	int c, d;

	if (json_string_is_plain(a) && json_string_is_plain(b))
		return span_compare(inside_quotes(a), inside_quotes(b));
	x = decoder_start(a);
	y = decoder_start(b);
	do {
		c = decoder_next(&x);
		d = decoder_next(&y);
	} while (c == d && c >= 0);
	return c - d;
}

int
json_string_compare_text(struct span raw, struct span text)
{
	struct span s = inside_quotes(raw);
	struct decoder d;

	/* Most differ in their first byte. */
	if (s.n > 0 && text.n > 0 && *s.p != *text.p && *s.p != '\\')
		return (unsigned char)*s.p - (unsigned char)*text.p;
	if (json_string_is_plain(raw))
		return span_compare(s, text);
	d = decoder_start(raw);
	for (size_t i = 0; i < text.n; i++) {
		int c = decoder_next(&d);

		if (c != (unsigned char)text.p[i])
			return c - (unsigned char)text.p[i];
	}
	return decoder_next(&d) >= 0;
}

bool
json_string_has_prefix(struct span raw, struct span text)
{
	struct decoder d;

	if (raw.n - 2 < text.n)
		return false;
	if (json_string_is_plain(raw))
		return span_has_prefix(inside_quotes(raw), text);
	d = decoder_start(raw);
	for (size_t i = 0; i < text.n; i++)
		if (decoder_next(&d) != (unsigned char)text.p[i])
			return false;
	return true;
}

void
json_fill_fallback(struct span text, uint16_t *fallback)
{
	uint16_t k = 0;

	if (text.n > 0)
		fallback[0] = 0;
	for (size_t i = 1; i < text.n; i++) {
		while (k > 0 && text.p[i] != text.p[k])
			k = fallback[k - 1];
		k = (uint16_t)(k + (text.p[i] == text.p[k]));
		fallback[i] = k;
	}
}

/* Where there are escapes, as Knuth, Morris and Pratt do it: nothing is read twice. */
bool
json_string_contains(struct span raw, struct span text, const uint16_t *fallback)
{
	struct decoder d;
	size_t k = 0;
	int c;

	if (text.n == 0)
		return true;
	if (raw.n - 2 < text.n)
		return false;
	if (json_string_is_plain(raw))
		return memmem(raw.p + 1, raw.n - 2, text.p, text.n) != NULL;
	d = decoder_start(raw);
	while ((c = decoder_next(&d)) >= 0) {
		while (k > 0 && c != (unsigned char)text.p[k])
			k = fallback[k - 1];
		k += c == (unsigned char)text.p[k];
		if (k == text.n)
			return true;
	}
	return false;
}

size_t
json_string_bytes(struct span raw, char *out)
{
	struct decoder d = decoder_start(raw);
	size_t n = 0;
	int c;

	while ((c = decoder_next(&d)) >= 0)
		out[n++] = (char)c;
	return n;
}

static bool
arrays_equal(struct json_value a, struct json_value b)
{
	struct json_walk v = json_walk_start(a), w = json_walk_start(b);
	struct json_value x, y;

	while (json_array_next(&v, &x))
		if (!json_array_next(&w, &y) || !json_equal(x, y))
			return false;
	return !json_array_next(&w, &y);
}

struct member {
	struct span key;
	struct json_value value;
};

static int
compare_members(const void *a, const void *b)
{
	return json_string_compare(
		((const struct member *)a)->key, ((const struct member *)b)->key);
}

/** The n members of an object by their keys; free() them. */
static struct member *
sort_members(struct json_value object, size_t n)
{
	struct json_walk w = json_walk_start(object);
	struct member *v = xnew_n(n, struct member);

	for (size_t i = 0; i < n && json_object_next(&w, &v[i].key, &v[i].value); i++)
		;
	qsort(v, n, sizeof(*v), compare_members);
	return v;
}

/** How two objects compare by their keys alone. */
enum likeness { LIKE_IN_ORDER, LIKE_IN_NUMBER, UNLIKE };

/** *n: how many members both have, unless they are unlike. */
static enum likeness
compare_keys(struct json_value a, struct json_value b, size_t *n)
{
	struct json_walk v = json_walk_start(a), w = json_walk_start(b);
	struct json_value value;
	struct span key, other;
	bool in_order = true;

	for (*n = 0; json_object_next(&v, &key, &value); ++*n) {
		if (!json_object_next(&w, &other, &value))
			return UNLIKE;
		in_order = in_order && json_string_compare(key, other) == 0;
	}
	if (json_object_next(&w, &other, &value))
		return UNLIKE;
	return in_order ? LIKE_IN_ORDER : LIKE_IN_NUMBER;
}

static bool
members_equal(struct json_value a, struct json_value b)
{
	struct json_walk v = json_walk_start(a), w = json_walk_start(b);
	struct json_value x, y;
	struct span key;

	while (json_object_next(&v, &key, &x) && json_object_next(&w, &key, &y))
		if (!json_equal(x, y))
			return false;
	return true;
}

/** Of two objects with n members each, in whatever order; a key that is there twice is like none.
 */
static bool
sorted_equal(struct json_value a, struct json_value b, size_t n)
{
	struct member *x = sort_members(a, n), *y = sort_members(b, n);
	bool is_equal = true;

	for (size_t i = 0; i < n && is_equal; i++)
		is_equal = compare_members(&x[i], &y[i]) == 0 &&
			   (i == 0 || compare_members(&x[i - 1], &x[i]) != 0) &&
			   json_equal(x[i].value, y[i].value);
	free(x);
	free(y);
	return is_equal;
}

static bool
objects_equal(struct json_value a, struct json_value b)
{
	size_t n;

	switch (compare_keys(a, b, &n)) {
	case LIKE_IN_ORDER:
		return members_equal(a, b);
	case LIKE_IN_NUMBER:
		return sorted_equal(a, b, n);
	case UNLIKE:
		break;
	}
	return false;
}

bool
json_equal(struct json_value a, struct json_value b)
{
	struct json_decimal x, y;

	if (a.type != b.type)
		return false;
	switch (a.type) {
	case JSON_NULL:
	case JSON_FALSE:
	case JSON_TRUE:
		return true;
	case JSON_NUMBER:
		x = json_decimal_of(a.raw);
		y = json_decimal_of(b.raw);
		return json_decimal_compare(&x, &y) == 0;
	case JSON_STRING:
		return json_string_compare(a.raw, b.raw) == 0;
	case JSON_ARRAY:
		return arrays_equal(a, b);
	case JSON_OBJECT:
		return objects_equal(a, b);
	}
	return false;
}
