#pragma once
/*
 * UTF-8 (RFC 3629), strictly: no overlong forms, no surrogates, nothing above
 * U+10FFFF. Pure; any thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/span.h"

static inline size_t
utf8_sequence_length(unsigned char lead)
{
	if (lead < 0x80)
		return 1;
	if (lead < 0xc2 || lead > 0xf4)
		return 0;
	return lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

/** The length of the one valid sequence that starts at p (1 to 4), or 0. `p` is below `end`. */
static inline size_t
utf8_next(const char *p, const char *end)
{
	const unsigned char *s = (const unsigned char *)p;
	size_t n = utf8_sequence_length(s[0]);
	unsigned char lowest = 0x80;
	unsigned char highest = 0xbf;

	if (n <= 1)
		return n;
	if ((size_t)(end - p) < n)
		return 0;
	if (s[0] == 0xe0)
		lowest = 0xa0;
	else if (s[0] == 0xed)
		highest = 0x9f;
	else if (s[0] == 0xf0)
		lowest = 0x90;
	else if (s[0] == 0xf4)
		highest = 0x8f;
	if (s[1] < lowest || s[1] > highest)
		return 0;
	for (size_t i = 2; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return n;
}

/** True if all of it is. */
static inline bool
utf8_is_valid(struct span text)
{
	const char *p = text.n > 0 ? text.p : "", *end = p + text.n;
	size_t n = 1;

	while (p < end && n > 0) {
		n = utf8_next(p, end);
		p += n;
	}
	return n > 0;
}

/** The longest length up to n at which text can be cut without cutting through a sequence. */
static inline size_t
utf8_cut(const char *text, size_t n)
{
	size_t back = 0;

	while (back < 4 && back < n) {
		unsigned char c = (unsigned char)text[n - 1 - back];

		back++;
		if ((c & 0xc0) == 0x80)
			continue;
		return utf8_sequence_length(c) > back ? n - back : n;
	}
	return n;
}

/** Writes the sequence of a code point (no surrogate, at most U+10FFFF); returns its length. */
static inline size_t
utf8_encode(uint32_t code, char out[4])
{
	if (code < 0x80) {
		out[0] = (char)code;
		return 1;
	}
	if (code < 0x800) {
		out[0] = (char)(0xc0 | code >> 6);
		out[1] = (char)(0x80 | (code & 0x3f));
		return 2;
	}
	if (code < 0x10000) {
		out[0] = (char)(0xe0 | code >> 12);
		out[1] = (char)(0x80 | (code >> 6 & 0x3f));
		out[2] = (char)(0x80 | (code & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | code >> 18);
	out[1] = (char)(0x80 | (code >> 12 & 0x3f));
	out[2] = (char)(0x80 | (code >> 6 & 0x3f));
	out[3] = (char)(0x80 | (code & 0x3f));
	return 4;
}
