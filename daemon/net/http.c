/*
 * The rules for Host and Origin: see http.h. Names are compared without regard to
 * letter case; a port that is not there is the scheme's.
 */

#include "daemon/net/http.h"

#include <string.h>
#include <strings.h>

#define HTTP_PORT  80
#define HTTPS_PORT 443

struct authority {
	struct span host;
	int port; /* -1: none */
	bool is_address;
};

struct origin_parts {
	struct span scheme;
	struct authority authority;
};

/** The header of a proxy, or NULL. */
static const struct http_header *
find_proxy(const struct http_request *q)
{
	static const char *const names[] = {"Forwarded", "Via", "X-Real-IP"};

	for (unsigned i = 0; i < q->headers_n; i++) {
		const struct http_header *h = &q->headers[i];

		if (h->name.n > 12 && strncasecmp(h->name.p, "X-Forwarded-", 12) == 0)
			return h;
		for (size_t k = 0; k < sizeof(names) / sizeof(names[0]); k++)
			if (http_text_is(h->name, names[k]))
				return h;
	}
	return NULL;
}

enum err
http_forwarded_check(const struct http_request *q, struct error *error)
{
	const struct http_header *h = find_proxy(q);

	if (h == NULL)
		return OK;
	return error_set(error, ERR_PERMISSION_DENIED,
		"this came through a proxy (%.*s), so that nobody knows who asks: show a token, and "
		"set websocket.auth = \"required\" where there is a proxy",
		SPAN_FMT(h->name));
}

static bool
authority_parse(struct span text, struct authority *a)
{
	return http_authority_split(text, &a->host, &a->port, &a->is_address);
}

static bool
text_eq(struct span a, struct span b)
{
	return a.n == b.n && strncasecmp(a.p, b.p, a.n) == 0;
}

static bool
is_allowed_host(const struct authority *a, const struct conf_list *allowed)
{
	for (size_t i = 0; i < allowed->n; i++) {
		struct authority entry;

		if (authority_parse(span_of(allowed->v[i]), &entry) &&
			text_eq(entry.host, a->host) && (entry.port < 0 || entry.port == a->port))
			return true;
	}
	return false;
}

/** The host that is asked for: an absolute target's, which overrules the header (RFC 9112, 3.2.2),
 * else the only Host. A request of HTTP/1.0 may have none; then *a is empty. */
static enum err
read_host(const struct http_request *q, struct authority *a, struct error *error)
{
	unsigned count;
	struct span host = http_header_find(q, "Host", &count);

	*a = (struct authority){.host = SPAN(""), .port = -1};
	if (count > 1 || (count == 0 && q->minor > 0))
		return error_set(
			error, ERR_INVALID_REQUEST, "%u Host headers: there must be one", count);
	if (count == 1 && !authority_parse(host, a))
		return error_set(
			error, ERR_INVALID_REQUEST, "Host \"%.*s\" is malformed", SPAN_FMT(host));
	if (q->authority.n > 0 && !authority_parse(q->authority, a))
		return error_set(error, ERR_INVALID_REQUEST,
			"the host of the request target, \"%.*s\", is malformed",
			SPAN_FMT(q->authority));
	return OK;
}

enum err
http_host_check(const struct http_request *q, const struct conf *conf, struct error *error)
{
	struct authority a;
	enum err e = read_host(q, &a, error);

	if (e != OK || a.host.n == 0 || a.is_address || http_text_is(a.host, "localhost") ||
		is_allowed_host(&a, &conf->websocket.hosts))
		return e;
	return error_set(error, ERR_PERMISSION_DENIED,
		"Host \"%.*s\" is neither an address nor localhost; add it to websocket.hosts",
		SPAN_FMT(a.host));
}

static int
default_port(struct span scheme)
{
	if (http_text_is(scheme, "http"))
		return HTTP_PORT;
	return http_text_is(scheme, "https") ? HTTPS_PORT : -1;
}

/** Cuts "scheme://host[:port]"; false for anything else ("null", a path behind it). */
static bool
origin_parse(struct span text, struct origin_parts *o)
{
	const char *mark = memmem(text.p, text.n, "://", 3);
	size_t skip;

	if (mark == NULL)
		return false;
	o->scheme = (struct span){text.p, (size_t)(mark - text.p)};
	skip = o->scheme.n + 3;
	if (!authority_parse((struct span){text.p + skip, text.n - skip}, &o->authority))
		return false;
	if (o->authority.port < 0)
		o->authority.port = default_port(o->scheme);
	return true;
}

static bool
origin_eq(const struct origin_parts *a, const struct origin_parts *b)
{
	return text_eq(a->scheme, b->scheme) && text_eq(a->authority.host, b->authority.host) &&
	       a->authority.port == b->authority.port;
}

/** That of the page which has this scheme and the request's Host. */
static bool
is_of_host(const struct origin_parts *o, const struct http_request *q, const char *scheme)
{
	struct authority host;

	return http_text_is(o->scheme, scheme) && read_host(q, &host, NULL) == OK &&
	       text_eq(host.host, o->authority.host) &&
	       (host.port < 0 ? default_port(span_of(scheme)) : host.port) == o->authority.port;
}

static bool
is_own_origin(
	const struct origin_parts *o, const struct http_request *q, const struct http_here *here)
{
	const char *scheme = here->is_tls ? "https" : "http";
	struct authority host;

	if (here->proxy_scheme != NULL)
		return is_of_host(o, q, here->proxy_scheme);
	return is_of_host(o, q, scheme) && read_host(q, &host, NULL) == OK &&
	       (host.port < 0 ? default_port(span_of(scheme)) : host.port) == here->port;
}

static bool
is_allowed_origin(const struct origin_parts *o, const struct conf_list *allowed)
{
	for (size_t i = 0; i < allowed->n; i++) {
		struct origin_parts entry;

		if (strcmp(allowed->v[i], "*") == 0)
			return true;
		if (origin_parse(span_of(allowed->v[i]), &entry) && origin_eq(&entry, o))
			return true;
	}
	return false;
}

enum err
http_origin_check(const struct http_request *q, const struct http_here *here,
	const struct conf *conf, struct error *error)
{
	unsigned count;
	struct span text = http_header_find(q, "Origin", &count);
	struct origin_parts origin;

	if (count == 0)
		return OK;
	if (count == 1 && origin_parse(text, &origin) &&
		(is_own_origin(&origin, q, here) ||
			is_allowed_origin(&origin, &conf->websocket.origins)))
		return OK;
	return error_set(error, ERR_PERMISSION_DENIED,
		"Origin \"%.*s\" is not allowed; add it to websocket.origins", SPAN_FMT(text));
}
