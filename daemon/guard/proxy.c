/* Who is behind a proxy: see proxy.h. */

#include "daemon/guard/proxy.h"

#include <string.h>

#define V1_MAX   107 /* bytes of a line, as the protocol says */
#define V2_HEAD  16
#define V2_LOCAL 0x20
#define V2_PROXY 0x21
#define V2_TCP4  0x11
#define V2_TCP6  0x21
#define V4_SIZE  12 /* two addresses and two ports */
#define V6_SIZE  36
#define HOPS_MAX 64 /* entries of X-Forwarded-For that are looked at */

static const char v2_signature[12] = "\r\n\r\n\0\r\nQUIT\n";

/** The next word of a line, parted by one space. */
static struct span
next_word(struct span *line)
{
	const char *space = line->n > 0 ? memchr(line->p, ' ', line->n) : NULL;
	struct span word = {line->p, space != NULL ? (size_t)(space - line->p) : line->n};
	size_t skip = word.n + (space != NULL);

	*line = (struct span){line->p + skip, line->n - skip};
	return word;
}

/** "PROXY TCP4 192.0.2.7 192.0.2.1 51234 7117\r\n" */
static enum proxy_result
read_v1(struct span bytes, struct proxy_head *out, size_t *used)
{
	size_t most = bytes.n < V1_MAX ? bytes.n : V1_MAX;
	const char *end = memchr(bytes.p, '\n', most);
	struct span line, kind;

	if (end == NULL)
		return most == V1_MAX ? PROXY_BAD : PROXY_NEED_MORE;
	if (end - bytes.p < 2 || end[-1] != '\r')
		return PROXY_BAD;
	*used = (size_t)(end - bytes.p) + 1;
	line = (struct span){bytes.p, *used - 2};
	next_word(&line);
	kind = next_word(&line);
	out->has_client = !span_is(kind, "UNKNOWN");
	if (!out->has_client)
		return PROXY_DONE;
	if (!span_is(kind, "TCP4") && !span_is(kind, "TCP6"))
		return PROXY_BAD;
	return address_parse(next_word(&line), &out->client) ? PROXY_DONE : PROXY_BAD;
}

static enum proxy_result
read_v2(struct span bytes, struct proxy_head *out, size_t *used)
{
	const unsigned char *p = (const unsigned char *)bytes.p;
	size_t n;

	if (bytes.n < V2_HEAD)
		return PROXY_NEED_MORE;
	n = (size_t)p[14] << 8 | p[15];
	if ((p[12] != V2_LOCAL && p[12] != V2_PROXY) || n > PROXY_HEAD_MAX - V2_HEAD)
		return PROXY_BAD;
	if (bytes.n < V2_HEAD + n)
		return PROXY_NEED_MORE;
	*used = V2_HEAD + n;
	out->has_client = p[12] == V2_PROXY && (p[13] == V2_TCP4 || p[13] == V2_TCP6);
	if (!out->has_client)
		return PROXY_DONE;
	if (n < (p[13] == V2_TCP4 ? V4_SIZE : V6_SIZE))
		return PROXY_BAD;
	if (p[13] == V2_TCP4)
		address_set_ipv4(&out->client, p + V2_HEAD);
	else
		memcpy(out->client.bytes, p + V2_HEAD, sizeof(out->client.bytes));
	return PROXY_DONE;
}

enum proxy_result
proxy_read(struct span bytes, struct proxy_head *out, size_t *used)
{
	struct span v2 = {v2_signature, sizeof(v2_signature)}, v1 = SPAN("PROXY ");
	bool is_v2 = bytes.n > 0 && bytes.p[0] == v2.p[0];
	struct span start = is_v2 ? v2 : v1;

	*out = (struct proxy_head){.has_client = false};
	if (bytes.n < start.n)
		return span_has_prefix(start, bytes) ? PROXY_NEED_MORE : PROXY_BAD;
	if (!span_has_prefix(bytes, start))
		return PROXY_BAD;
	return is_v2 ? read_v2(bytes, out, used) : read_v1(bytes, out, used);
}

bool
networks_have(const struct networks *ns, const struct address *a)
{
	for (size_t i = 0; i < ns->n; i++)
		if (network_holds(&ns->v[i], a))
			return true;
	return false;
}

/** Cuts the last item off a list. */
static struct span
take_last(struct span *list)
{
	const char *comma = list->n > 0 ? memrchr(list->p, ',', list->n) : NULL;
	size_t at = comma != NULL ? (size_t)(comma - list->p) + 1 : 0;
	struct span item = span_trim((struct span){list->p + at, list->n - at});

	list->n = comma != NULL ? at - 1 : 0;
	return item;
}

enum err
proxy_find_client(const struct http_request *q, const struct networks *trusted,
	struct address *client, struct error *error)
{
	unsigned hops = 0;

	for (unsigned i = q->headers_n; i-- > 0;) {
		struct span list = q->headers[i].value;

		if (!http_text_is(q->headers[i].name, "X-Forwarded-For"))
			continue;
		while (list.n > 0 && hops++ < HOPS_MAX) {
			struct span item = take_last(&list);

			if (!address_parse(item, client))
				return error_set(error, ERR_INVALID_REQUEST,
					"X-Forwarded-For has \"%.*s\", which is no address",
					SPAN_FMT(item));
			if (!networks_have(trusted, client))
				return OK;
		}
	}
	return OK;
}

const char *
proxy_find_scheme(const struct http_request *q)
{
	unsigned count;
	struct span scheme = http_header_find(q, "X-Forwarded-Proto", &count);

	if (count != 1)
		return NULL;
	return http_text_is(scheme, "https")  ? "https"
	       : http_text_is(scheme, "http") ? "http"
					      : NULL;
}
