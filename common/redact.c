/* Leaving secrets out of texts: see redact.h. */

#include "common/redact.h"

#include <limits.h>

#include "common/json_priv.h"

#define STARS SPAN("***")

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

/** How many bytes of the text begin with the secret, some of them in escapes; 0: it does not. */
static size_t
match_escaped(struct span text, struct span secret)
{
	const char *p = text.p, *end = text.p + text.n;

	while (secret.n > 0) {
		char bytes[4];
		size_t n = 1;

		if (p == end)
			return 0;
		if (*p == '\\' && is_escape(p, end))
			n = json_decode_escape(&p, end, bytes);
		else
			bytes[0] = *p++;
		if (n == 0 || n > secret.n || memcmp(bytes, secret.p, n) != 0)
			return 0;
		secret = (struct span){secret.p + n, secret.n - n};
	}
	return (size_t)(p - text.p);
}

static size_t
match(struct span text, struct span secret)
{
	if (secret.n == 0 || (*text.p != *secret.p && *text.p != '\\'))
		return 0;
	return span_has_prefix(text, secret) ? secret.n : match_escaped(text, secret);
}

static size_t
longest_match(struct span text, const struct span *secrets, size_t n)
{
	size_t longest = 0;

	for (size_t i = 0; i < n; i++) {
		size_t length = match(text, secrets[i]);

		if (length > longest)
			longest = length;
	}
	return longest;
}

bool
redact_text(struct span text, const struct span *secrets, size_t n, struct buf *out)
{
	bool may_begin[UCHAR_MAX + 1] = {['\\'] = true};
	size_t end = 0; /* of what was left out last: others may begin inside */
	bool found = false;

	for (size_t i = 0; i < n; i++)
		if (secrets[i].n > 0)
			may_begin[(unsigned char)*secrets[i].p] = true;
	for (size_t i = 0; i < text.n; i++) {
		size_t length = 0;

		if (may_begin[(unsigned char)text.p[i]])
			length = longest_match((struct span){text.p + i, text.n - i}, secrets, n);
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
