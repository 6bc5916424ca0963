#pragma once
/*
 * A span: a borrowed run of bytes, with its length, that somebody else owns.
 * It is not terminated. It is what parsers hand out, so that nothing is copied
 * before it has to be kept. Pure; any thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
	const char *p;
	size_t n;
};

#define SPAN(literal) ((struct span){(literal), sizeof(literal) - 1})

/* Of a number: as many as the highest seq has. */
#define SPAN_DIGITS_MAX 16

/* Arguments for a "%.*s" conversion. */
#define SPAN_FMT(s) (int)(s).n, (s).p

/** The span of a C string; the empty span for NULL. */
static inline struct span
span_of(const char *text)
{
	return (struct span){text, text != NULL ? strlen(text) : 0};
}

static inline bool
span_eq(struct span a, struct span b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool
span_is(struct span s, const char *text)
{
	return span_eq(s, span_of(text));
}

static inline bool
span_has_prefix(struct span s, struct span prefix)
{
	return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

/** Without the spaces and tabs at both ends. */
static inline struct span
span_trim(struct span s)
{
	while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
		s = (struct span){s.p + 1, s.n - 1};
	while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

/** Order by bytes, a shorter one before its extension: <0, 0, >0. */
static inline int
span_compare(struct span a, struct span b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int c = n > 0 ? memcmp(a.p, b.p, n) : 0;

	return c != 0 ? c : (a.n > b.n) - (a.n < b.n);
}

/** Reads digits, and nothing else, as a number. */
static inline bool
span_number(struct span text, int64_t *out)
{
	int64_t number = 0;

	if (text.n == 0 || text.n > SPAN_DIGITS_MAX)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] < '0' || text.p[i] > '9')
			return false;
		number = number * 10 + (text.p[i] - '0');
	}
	*out = number;
	return true;
}
