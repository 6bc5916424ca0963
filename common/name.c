/*
 * Names: see name.h. In the order of texts, all that stands between a prefix and
 * a name that begins with it begins with it too. So the longest that fits a name
 * is where the name would stand, or is reached from there by way of `shorter`.
 */

#include "common/name.h"

static bool
is_name_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '.' || c == '_' || c == '/' || c == '-';
}

enum err
name_check(const char *what, struct span text, bool is_prefix, struct error *error)
{
	char first = text.n > 0 ? text.p[0] : 'a';

	if (text.n > NAME_TEXT_MAX || (text.n == 0 && !is_prefix))
		return error_set(error, ERR_INVALID_ARGUMENT, "%s must have 1 to %d bytes", what,
			NAME_TEXT_MAX);
	if (first == '$')
		return error_set(error, ERR_INVALID_ARGUMENT,
			"%s: names that start with $ are reserved", what);
	if (first == '.' || first == '-' || first == '/')
		return error_set(error, ERR_INVALID_ARGUMENT,
			"%s must not start with '.', '-' or '/'", what);
	for (size_t i = 0; i < text.n; i++)
		if (!is_name_byte(text.p[i]))
			return error_set(error, ERR_INVALID_ARGUMENT,
				"%s: only A-Z a-z 0-9 . _ / - are allowed, byte %zu is another",
				what, i + 1);
	return OK;
}

enum err
name_check_id(const char *what, struct span text, bool is_prefix, struct error *error)
{
	if (text.n > ID_TEXT_MAX || (text.n == 0 && !is_prefix))
		return error_set(error, ERR_INVALID_ARGUMENT, "%s must have 1 to %d bytes", what,
			ID_TEXT_MAX);
	for (size_t i = 0; i < text.n; i++)
		if ((unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7f)
			return error_set(error, ERR_INVALID_ARGUMENT,
				"%s must not hold control characters, byte %zu is one", what,
				i + 1);
	return OK;
}

int
name_pattern_compare(const struct name_pattern *a, const struct name_pattern *b)
{
	int c = span_compare(a->text, b->text);

	return c != 0 ? c : (int)b->is_prefix - (int)a->is_prefix;
}

static bool
fits(const struct name_pattern *p, struct span name)
{
	return p->is_prefix ? span_has_prefix(name, p->text) : span_eq(p->text, name);
}

void
name_patterns_link(struct name_pattern *const *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct name_pattern *p = i > 0 ? v[i - 1] : NULL;

		while (p != NULL && !(p->is_prefix && fits(p, v[i]->text)))
			p = p->shorter;
		v[i]->shorter = p;
	}
}

struct name_pattern *
name_patterns_match(struct name_pattern *const *v, size_t n, struct span name)
{
	size_t low = 0, high = n;
	struct name_pattern *p;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (span_compare(v[middle]->text, name) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	p = low > 0 ? v[low - 1] : NULL;
	while (p != NULL && !fits(p, name))
		p = p->shorter;
	return p;
}
