/* JSON Pointers: see json_pointer.h. */

#include "common/json_pointer.h"

#include <stdint.h>

#include "common/xalloc.h"

static enum err
check(struct span text, struct error *error)
{
	if (text.n > 0 && text.p[0] != '/')
		return error_set(
			error, ERR_INVALID_ARGUMENT, "a JSON Pointer is empty or starts with '/'");
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] == '~' &&
			(i + 1 == text.n || (text.p[i + 1] != '0' && text.p[i + 1] != '1')))
			return error_set(error, ERR_INVALID_ARGUMENT,
				"in a JSON Pointer '~' is written ~0, and '/' in a name ~1");
	return OK;
}

/** The place that a name means in an array: digits, no leading zeros. */
static size_t
index_of(struct span name)
{
	size_t value = 0;

	if (name.n == 0 || (name.n > 1 && name.p[0] == '0'))
		return SIZE_MAX;
	for (size_t i = 0; i < name.n; i++) {
		unsigned digit = (unsigned)(unsigned char)name.p[i] - '0';

		if (digit > 9 || __builtin_mul_overflow(value, (size_t)10, &value) ||
			__builtin_add_overflow(value, digit, &value))
			return SIZE_MAX;
	}
	return value;
}

/** Copies a token, its escapes resolved; returns the end of the copy. */
static char *
unescape(struct span token, char *to)
{
	for (size_t i = 0; i < token.n; i++) {
		if (token.p[i] == '~')
			*to++ = token.p[++i] == '0' ? '~' : '/';
		else
			*to++ = token.p[i];
	}
	return to;
}

enum err
json_pointer_new(struct span text, struct json_pointer **out, struct error *error)
{
	struct json_pointer *p;
	struct json_step *steps;
	size_t n = 0;
	char *names;
	enum err e = check(text, error);

	if (e != OK)
		return e;
	for (size_t i = 0; i < text.n; i++)
		n += text.p[i] == '/';
	p = try_alloc(sizeof(*p) + n * sizeof(*steps) + text.n);
	if (p == NULL)
		return error_set(error, ERR_LIMIT_EXCEEDED, "out of memory");
	steps = (struct json_step *)(p + 1);
	names = (char *)(steps + n);
	*p = (struct json_pointer){steps, n};
	for (size_t i = 0; i < n; i++) {
		const char *token = text.p + 1;
		const char *end = text.p + text.n;
		const char *slash = memchr(token, '/', (size_t)(end - token));
		const char *stop = slash != NULL ? slash : end;
		char *name = names;

		names = unescape((struct span){token, (size_t)(stop - token)}, name);
		steps[i].name = (struct span){name, (size_t)(names - name)};
		steps[i].index = index_of(steps[i].name);
		text = (struct span){stop, (size_t)(end - stop)};
	}
	*out = p;
	return OK;
}

static bool
find_member(struct json_value object, struct span name, struct json_value *value)
{
	struct json_walk w = json_walk_start(object);
	struct json_value member;
	struct span key;
	bool is_there = false;

	while (json_object_next(&w, &key, &member)) {
		if (json_string_eq(key, name)) {
			*value = member;
			is_there = true;
		}
	}
	return is_there;
}

static bool
find_item(struct json_value array, size_t index, struct json_value *value)
{
	struct json_walk w = json_walk_start(array);

	if (index == SIZE_MAX)
		return false;
	while (json_array_next(&w, value))
		if (index-- == 0)
			return true;
	return false;
}

/** From a step on. */
static bool
find_from(const struct json_pointer *p, size_t step, struct json_value at, struct json_value *value)
{
	for (size_t i = step; i < p->steps_n; i++) {
		bool is_there = false;

		if (at.type == JSON_OBJECT)
			is_there = find_member(at, p->steps[i].name, &at);
		else if (at.type == JSON_ARRAY)
			is_there = find_item(at, p->steps[i].index, &at);
		if (!is_there)
			return false;
	}
	*value = at;
	return true;
}

bool
json_pointer_find(const struct json_pointer *p, struct json_value root, struct json_value *value)
{
	return find_from(p, 0, root, value);
}

bool
json_pointer_find_in(
	const struct json_pointer *p, struct json_members *root, struct json_value *value)
{
	struct json_value at;

	if (p->steps_n == 0 || root->of.type != JSON_OBJECT)
		return find_from(p, 0, root->of, value);
	return json_members_find(root, p->steps[0].name, &at) && find_from(p, 1, at, value);
}
