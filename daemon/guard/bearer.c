/* The token of a request's head: see bearer.h. */

#include "daemon/guard/bearer.h"

#include <sodium.h>
#include <string.h>
#include <strings.h>

#include "daemon/guard/token.h"

/** What is too long to be a token is shown cut, and is none then either. */
static void
set(struct bearer *b, struct span text)
{
	b->n = text.n < sizeof(b->text) ? text.n : sizeof(b->text);
	memcpy(b->text, text.p, b->n);
	if (b->n == 0)
		b->text[b->n++] = ' ';
}

/** "Bearer ..."; what other schemes say is for others, such as a proxy before us. */
static bool
read_header(struct span value, struct bearer *b)
{
	static const struct span scheme = {"Bearer", 6};

	if (value.n < scheme.n || strncasecmp(value.p, scheme.p, scheme.n) != 0 ||
		(value.n > scheme.n && value.p[scheme.n] != ' '))
		return false;
	value.p += scheme.n;
	value.n -= scheme.n;
	while (value.n > 0 && value.p[0] == ' ') {
		value.p++;
		value.n--;
	}
	set(b, value);
	return true;
}

static void
read_subprotocol(struct span encoded, struct bearer *b)
{
	char text[BEARER_MAX];
	size_t n = 0;

	if (sodium_base642bin((unsigned char *)text, sizeof(text), encoded.p, encoded.n, NULL, &n,
		    NULL, sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0)
		n = 0;
	set(b, (struct span){text, n});
}

/** A parameter that is called so, or a token wherever it stands. */
static bool
has_token(struct span query)
{
	return token_is_in(query) || (query.n > 0 && memmem(query.p, query.n, "token=", 6) != NULL);
}

enum err
bearer_read(const struct http_request *q, const struct http_upgrade *up, struct bearer *out,
	struct error *error)
{
	unsigned count;
	struct span header = http_header_find(q, "Authorization", &count);

	out->n = 0;
	if (has_token(q->query))
		return error_set(error, ERR_INVALID_REQUEST,
			"a token does not belong in a URL, which ends up in logs: send it as "
			"\"Authorization: Bearer\", or as the subprotocol "
			"base64url.bearer.authorization.TOKEN, or with auth");
	if (count > 1 || up->bearers_n > 1)
		return error_set(error, ERR_INVALID_REQUEST, "more than one token is shown");
	if (count == 1 && read_header(header, out) && up->bearers_n > 0)
		return error_set(error, ERR_INVALID_REQUEST, "more than one token is shown");
	if (up->bearers_n > 0)
		read_subprotocol(up->bearer, out);
	return OK;
}
