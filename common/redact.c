/* Leaving secrets out of texts: see redact.h. */

#include "common/redact.h"

#include <limits.h>

#include "common/utf8.h"

#define STARS   SPAN("***")
#define LEVELS  3 /* JSON in JSON in JSON */
#define CUT_MIN 4 /* bytes of a secret that were cut off the others */

/** Takes a text byte by byte, each level of it with the escapes of the one below undone. */
struct reader {
	const char *p;
	const char *end;
	struct {
		char bytes[4]; /* of a character */
		unsigned char n;
		unsigned char at; /* which one comes next */
	} undone[LEVELS];
};

static int take(struct reader *r, unsigned level);

/** Four digits; -1: they are none. */
static int
take_code(struct reader *r, unsigned level)
{
	static const char digits[] = "0123456789abcdef0123456789ABCDEF";
	int code = 0;

	for (int i = 0; i < 4; i++) {
		int c = take(r, level);
		const char *digit = c >= 0 ? memchr(digits, c, sizeof(digits) - 1) : NULL;

		if (digit == NULL)
			return -1;
		code = code << 4 | ((int)(digit - digits) & 15);
	}
	return code;
}

/** What is behind "\u", with the other half of a pair; -1: no character. */
static int
take_character(struct reader *r, unsigned level)
{
	int code = take_code(r, level), low;

	if (code < 0xd800 || code > 0xdfff)
		return code;
	if (code >= 0xdc00 || take(r, level) != '\\' || take(r, level) != 'u')
		return -1;
	low = take_code(r, level);
	return low >= 0xdc00 && low <= 0xdfff ? 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00)
					      : -1;
}

/** What is behind a backslash of the level below; -1: that is no escape. */
static int
take_escaped(struct reader *r, unsigned level)
{
	static const char names[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
	int c = take(r, level - 1);
	const char *name = c >= 0 ? memchr(names, c, sizeof(names) - 1) : NULL;

	if (c != 'u')
		return name != NULL ? meanings[name - names] : -1;
	c = take_character(r, level - 1);
	if (c < 0)
		return -1;
	r->undone[level - 1].n =
		(unsigned char)utf8_encode((uint32_t)c, r->undone[level - 1].bytes);
	r->undone[level - 1].at = 1;
	return (unsigned char)r->undone[level - 1].bytes[0];
}

/** The next byte of a level; -1: there is none. */
static int
take(struct reader *r, unsigned level)
{
	int c;

	if (level == 0)
		return r->p < r->end ? (unsigned char)*r->p++ : -1;
	if (r->undone[level - 1].at < r->undone[level - 1].n)
		return (unsigned char)r->undone[level - 1].bytes[r->undone[level - 1].at++];
	c = take(r, level - 1);
	return c == '\\' ? take_escaped(r, level) : c;
}

/** How many bytes of the text begin with the secret; 0: it does not. */
static size_t
match_level(struct span text, struct span secret, unsigned level, bool may_be_cut)
{
	struct reader r = {.p = text.p, .end = text.p + text.n};

	for (size_t i = 0; i < secret.n; i++) {
		int c = take(&r, level);

		if (c < 0 && r.p == r.end && may_be_cut && i >= CUT_MIN)
			return text.n;
		if (c != (unsigned char)secret.p[i])
			return 0;
	}
	return (size_t)(r.p - text.p);
}

static size_t
match(struct span text, struct span secret, unsigned levels, bool may_be_cut)
{
	size_t n = text.n < secret.n ? text.n : secret.n, longest = 0;

	if (secret.n == 0)
		return 0;
	if (span_has_prefix(text, secret))
		longest = secret.n;
	else if (may_be_cut && text.n >= CUT_MIN && span_has_prefix(secret, text))
		longest = text.n;
	/* Without a backslash in it it would be that. */
	if (memchr(text.p, '\\', n) == NULL)
		return longest;
	for (unsigned level = 1; level <= levels; level++) {
		size_t length = match_level(text, secret, level, may_be_cut);

		if (length > longest)
			longest = length;
	}
	return longest;
}

static size_t
longest_match(
	struct span text, const struct span *secrets, size_t n, unsigned levels, bool may_be_cut)
{
	size_t longest = 0;

	for (size_t i = 0; i < n; i++) {
		size_t length = match(text, secrets[i], levels, may_be_cut);

		if (length > longest)
			longest = length;
	}
	return longest;
}

/** Otherwise there is no JSON in JSON. */
static bool
has_escaped_backslash(struct span text)
{
	return text.n > 0 && (memmem(text.p, text.n, "\\\\", 2) != NULL ||
				     memmem(text.p, text.n, "\\u005", 5) != NULL);
}

/** How many backslashes end a text, of which only this much is new; `before` end what was before.
 */
static size_t
count_backslashes(struct span text, size_t before)
{
	size_t n = 0;

	while (n < text.n && text.p[text.n - n - 1] == '\\')
		n++;
	return n < text.n ? n : n + before;
}

bool
redact_text(
	struct span text, const struct span *secrets, size_t n, bool may_be_cut, struct buf *out)
{
	bool may_begin[UCHAR_MAX + 1] = {['\\'] = true};
	unsigned levels = has_escaped_backslash(text) ? LEVELS : 1;
	size_t end = 0; /* of what was left out last: others may begin inside */
	size_t run = 0; /* of backslashes before i */
	bool found = false;

	for (size_t i = 0; i < n; i++)
		if (secrets[i].n > 0)
			may_begin[(unsigned char)*secrets[i].p] = true;
	for (size_t i = 0; i < text.n; run = text.p[i++] == '\\' ? run + 1 : 0) {
		size_t length = 0, start = i, stop;

		if (may_begin[(unsigned char)text.p[i]])
			length = longest_match((struct span){text.p + i, text.n - i}, secrets, n,
				levels, may_be_cut);
		if (length == 0)
			continue;
		/* A backslash and what it escapes are not parted. */
		stop = i + length;
		if (stop < text.n)
			stop += count_backslashes((struct span){text.p + i, length}, run) % 2;
		start -= run % 2;
		if (start >= end) {
			buf_add(out, text.p + end, start - end);
			buf_add_span(out, STARS);
		}
		found = true;
		if (stop > end)
			end = stop;
	}
	if (found)
		buf_add(out, text.p + end, text.n - end);
	return found;
}
