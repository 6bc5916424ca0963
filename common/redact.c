/* Leaving secrets out of texts: see redact.h. */

#include "common/redact.h"

#include <limits.h>

#include "common/json_priv.h"

#define STARS     SPAN("***")
#define DEPTH_MAX 3 /* of strings of JSON in strings of JSON */

static bool
is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/** Whether the backslash at p begins one of JSON's escapes: the text need not be JSON. */
static bool
is_escape(const char *p, const char *end)
{
	if (end - p < 2 || p[1] == '\0')
		return false;
	if (p[1] != 'u')
		return strchr("\"\\/bfnrt", p[1]) != NULL;
	return end - p >= 6 && is_hex(p[2]) && is_hex(p[3]) && is_hex(p[4]) && is_hex(p[5]);
}

/** A text, or what it is as JSON's string, whose escapes are read: `below` is the text then. */
struct reader {
	struct reader *below; /* NULL: it is the text itself, */
	const char *p;        /* which goes on here */
	const char *end;
	char bytes[4]; /* of an escape: those from `at` on come next */
	size_t n;
	size_t at;
};

static int next_byte(struct reader *r);

/** How long an escape is, of which n bytes are known. */
static size_t
escape_length(const char *p, size_t n)
{
	if (n < 2 || p[1] != 'u')
		return 2;
	return n >= 6 && (p[2] == 'd' || p[2] == 'D') && strchr("89abAB", p[3]) != NULL ? 12 : 6;
}

/** The first byte of what an escape stands for, whose backslash is read; -1: it is none. */
static int
next_escape(struct reader *r)
{
	char escape[12] = {'\\'};
	const char *p = escape;
	size_t n = 1;

	while (n < escape_length(escape, n)) {
		int c = next_byte(r->below);

		if (c <= 0)
			return -1;
		escape[n++] = (char)c;
	}
	if (!is_escape(escape, escape + n))
		return -1;
	r->n = json_decode_escape(&p, escape + n, r->bytes);
	r->at = 1;
	return r->n > 0 ? (unsigned char)r->bytes[0] : -1;
}

/** -1: at the end, or what comes is no text in JSON. */
static int
next_byte(struct reader *r)
{
	int c;

	if (r->below == NULL)
		return r->p < r->end ? (unsigned char)*r->p++ : -1;
	if (r->at < r->n)
		return (unsigned char)r->bytes[r->at++];
	c = next_byte(r->below);
	return c == '\\' ? next_escape(r) : c;
}

/** How many bytes of the text begin with the secret, written as a string of JSON in strings of
 * JSON, so many in all; 0: it does not. */
static size_t
match_escaped(struct span text, struct span secret, unsigned depth)
{
	struct reader readers[DEPTH_MAX + 1] = {
		{.p = text.p, .end = text.p + text.n}
        };

	for (unsigned i = 1; i <= depth; i++)
		readers[i].below = &readers[i - 1];
	for (size_t i = 0; i < secret.n; i++)
		if (next_byte(&readers[depth]) != (unsigned char)secret.p[i])
			return 0;
	return (size_t)(readers[0].p - text.p);
}

static size_t
match(struct span text, struct span secret, unsigned depth_max)
{
	size_t length = 0;

	if (secret.n == 0 || (*text.p != *secret.p && *text.p != '\\'))
		return 0;
	if (span_has_prefix(text, secret))
		return secret.n;
	for (unsigned depth = 1; depth <= depth_max && length == 0; depth++)
		length = match_escaped(text, secret, depth);
	return length;
}

static size_t
longest_match(struct span text, const struct span *secrets, size_t n, unsigned depth_max)
{
	size_t longest = 0;

	for (size_t i = 0; i < n; i++) {
		size_t length = match(text, secrets[i], depth_max);

		if (length > longest)
			longest = length;
	}
	return longest;
}

/** Otherwise there is no string in a string. */
static bool
has_escaped_backslash(struct span text)
{
	return text.n > 0 && (memmem(text.p, text.n, "\\\\", 2) != NULL ||
				     memmem(text.p, text.n, "\\u005", 5) != NULL);
}

bool
redact_text(struct span text, const struct span *secrets, size_t n, struct buf *out)
{
	bool may_begin[UCHAR_MAX + 1] = {['\\'] = true};
	unsigned depth_max = has_escaped_backslash(text) ? DEPTH_MAX : 1;
	size_t end = 0; /* of what was left out last: others may begin inside */
	bool found = false;

	for (size_t i = 0; i < n; i++)
		if (secrets[i].n > 0)
			may_begin[(unsigned char)*secrets[i].p] = true;
	for (size_t i = 0; i < text.n; i++) {
		size_t length = 0;

		if (may_begin[(unsigned char)text.p[i]])
			length = longest_match(
				(struct span){text.p + i, text.n - i}, secrets, n, depth_max);
		if (length == 0)
			continue;
		if (i >= end) {
			buf_add(out, text.p + end, i - end);
			buf_add_span(out, STARS);
		}
		found = true;
		if (i + length > end)
			end = i + length;
	}
	if (found)
		buf_add(out, text.p + end, text.n - end);
	return found;
}
