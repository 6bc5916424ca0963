/* The items of an array: see unarray.h. */

#include "ctl/unarray.h"

struct unarray
unarray_start(void)
{
	return (struct unarray){.place = UNARRAY_BEFORE};
}

struct unarray
unarray_resume(bool is_behind_array)
{
	return (struct unarray){.place = is_behind_array ? UNARRAY_BEHIND : UNARRAY_ITEM};
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/** Before the array and behind it: white space, and the bracket that opens it. */
static enum unarray_found
outside(struct unarray *u, const char *p, size_t n, size_t *used)
{
	size_t i = 0;

	while (i < n && is_space(p[i]))
		i++;
	*used = i;
	if (i < n && (u->place == UNARRAY_BEHIND || p[i] != '['))
		return UNARRAY_FAULT;
	if (i < n) {
		u->place = UNARRAY_FIRST;
		*used = i + 1;
	}
	return i > 0 || i < n ? UNARRAY_NOTHING : UNARRAY_MORE;
}

/** Inside a string: up to its closing quote. */
static size_t
pass_string(struct unarray *u, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (u->is_escaped)
			u->is_escaped = false;
		else if (p[i] == '\\')
			u->is_escaped = true;
		else if (p[i] == '"') {
			u->in_string = false;
			return i + 1;
		}
	}
	return n;
}

/** One byte outside of strings; true if it ends the item. */
static bool
take(struct unarray *u, char c)
{
	if (u->depth == 0 && (c == ',' || c == ']'))
		return true;
	if (c == '"')
		u->in_string = true;
	else if (c == '[' || c == '{')
		u->depth++;
	else if ((c == ']' || c == '}') && u->depth > 0)
		u->depth--;
	return false;
}

enum unarray_found
unarray_next(struct unarray *u, const char *p, size_t n, size_t *used)
{
	size_t i = 0;
	bool has_ended = false;

	if (u->place == UNARRAY_BEFORE || u->place == UNARRAY_BEHIND)
		return outside(u, p, n, used);
	while (i < n && !has_ended) {
		if (u->in_string) {
			i += pass_string(u, p + i, n - i);
			continue;
		}
		has_ended = take(u, p[i]);
		if (u->place == UNARRAY_FIRST && p[i] == ']' && has_ended) {
			u->place = UNARRAY_BEHIND;
			*used = i + 1;
			return UNARRAY_NOTHING;
		}
		if (!is_space(p[i]))
			u->place = UNARRAY_ITEM;
		i++;
	}
	*used = i;
	if (has_ended && p[i - 1] == ']')
		u->place = UNARRAY_BEHIND;
	return has_ended ? UNARRAY_END : UNARRAY_MORE;
}
