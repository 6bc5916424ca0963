/* URLs of WebSockets: see url.h. The syntax of host and port is http.h's. */

#include "common/url.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/wire/http.h"

#define PORT_PLAIN 80
#define PORT_TLS   443

static enum err
refuse(struct error *error, const char *why)
{
	return error_set(error, ERR_INVALID_ARGUMENT, "%s", why);
}

/** True if the text begins so, letter case ignored; it is cut off then. */
static bool
cut_prefix(struct span *text, const char *prefix)
{
	size_t n = strlen(prefix);

	if (text->n < n || strncasecmp(text->p, prefix, n) != 0)
		return false;
	*text = (struct span){text->p + n, text->n - n};
	return true;
}

static bool
is_printable(struct span text)
{
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] <= ' ' || text.p[i] > '~')
			return false;
	return true;
}

/** How many bytes come before the first of `marks`. */
static size_t
count_until(struct span text, const char *marks)
{
	size_t n = 0;

	while (n < text.n && strchr(marks, text.p[n]) == NULL)
		n++;
	return n;
}

static enum err
read_authority(struct span text, struct url *u, struct error *error)
{
	struct span host;
	int port;

	if (memchr(text.p, '@', text.n) != NULL)
		return refuse(error, "a URL here has no user and no password: a header is where "
				     "they go (Authorization)");
	if (text.n == 0)
		return refuse(error, "the URL has no host");
	if (!http_authority_split(text, &host, &port, &u->is_address) || port == 0 ||
		host.n > URL_HOST_MAX)
		return error_set(error, ERR_INVALID_ARGUMENT,
			"\"%.*s\" is no host with, perhaps, a port (\"example.com:443\", "
			"\"[::1]:7117\"; other letters than a-z in their form xn--...)",
			SPAN_FMT(text));
	for (size_t i = 0; i < host.n; i++)
		u->host[i] = host.p[i] >= 'A' && host.p[i] <= 'Z' ? (char)(host.p[i] + ('a' - 'A'))
								  : host.p[i];
	u->host[host.n] = '\0';
	u->port = port > 0 ? (uint16_t)port : u->is_tls ? PORT_TLS : PORT_PLAIN;
	return OK;
}

enum err
url_parse(struct span text, struct url *out, struct error *error)
{
	struct url u = {.is_tls = false};
	enum err e;
	size_t n;

	if (text.n > URL_MAX)
		return error_set(
			error, ERR_INVALID_ARGUMENT, "the URL is longer than %d bytes", URL_MAX);
	if (!is_printable(text))
		return refuse(error, "a URL has neither spaces nor letters beyond ASCII: write "
				     "their bytes as %XX");
	u.is_tls = cut_prefix(&text, "wss://");
	if (!u.is_tls && !cut_prefix(&text, "ws://"))
		return refuse(error, "the URL must begin with ws:// or wss://");
	if (memchr(text.p, '#', text.n) != NULL)
		return refuse(error, "the URL of a WebSocket has no fragment (\"#\" and what "
				     "follows; %23 is the sign itself)");
	n = count_until(text, "/?");
	e = read_authority((struct span){text.p, n}, &u, error);
	if (e != OK)
		return e;
	snprintf(u.target, sizeof(u.target), "%s%.*s", n < text.n && text.p[n] == '/' ? "" : "/",
		(int)(text.n - n), text.p + n);
	*out = u;
	return OK;
}

/** True if the reference says which scheme it is of. */
static bool
has_scheme(struct span reference)
{
	size_t n = count_until(reference, ":/?");

	return n > 0 && n < reference.n && reference.p[n] == ':';
}

static void
add_server(struct buf *out, const struct url *u)
{
	char authority[URL_AUTHORITY_SIZE];

	url_authority(u, authority);
	buf_addf(out, "%s://%s", u->is_tls ? "wss" : "ws", authority);
}

/** The whole URL that a reference means. */
static void
add_resolved(struct buf *out, const struct url *base, struct span reference)
{
	size_t path_n = strcspn(base->target, "?");

	if (cut_prefix(&reference, "http://")) {
		buf_addf(out, "ws://");
	} else if (cut_prefix(&reference, "https://")) {
		buf_addf(out, "wss://");
	} else if (!has_scheme(reference)) {
		if (span_has_prefix(reference, SPAN("//"))) {
			buf_addf(out, "%s:", base->is_tls ? "wss" : "ws");
		} else {
			add_server(out, base);
			if (reference.n == 0)
				path_n = strlen(base->target);
			else if (reference.p[0] == '/')
				path_n = 0;
			else if (reference.p[0] != '?')
				while (path_n > 0 && base->target[path_n - 1] != '/')
					path_n--;
			buf_add(out, base->target, path_n);
		}
	}
	buf_add_span(out, reference);
}

/** Copies a target without the "." and ".." of its path (RFC 3986 5.2.4). */
static void
copy_without_dots(const char *target, char *out)
{
	size_t path_n = strcspn(target, "?"), to = 0, n;

	for (size_t at = 0; at < path_n; at += n) {
		const char *segment = target + at;

		n = 1 + strcspn(segment + 1, "/?");
		if (n == 3 && memcmp(segment, "/..", 3) == 0) {
			while (to > 0 && out[--to] != '/')
				;
		} else if (n != 2 || segment[1] != '.') {
			memcpy(out + to, segment, n);
			to += n;
			continue;
		}
		if (at + n == path_n)
			out[to++] = '/';
	}
	memcpy(out + to, target + path_n, strlen(target + path_n) + 1);
}

enum err
url_resolve(const struct url *base, struct span reference, struct url *out, struct error *error)
{
	struct url u = {.is_tls = false};
	struct buf text;
	enum err e;

	if (!is_printable(reference))
		return refuse(error, "it has bytes that no URL has");
	reference.n = count_until(reference, "#");
	buf_init(&text, URL_AUTHORITY_SIZE + 2 * URL_MAX);
	add_resolved(&text, base, reference);
	e = text.failed ? refuse(error, "the URL is too long")
			: url_parse(buf_span(&text), &u, error);
	buf_fini(&text);
	if (e != OK)
		return e;
	*out = u;
	copy_without_dots(u.target, out->target);
	return OK;
}

void
url_authority(const struct url *u, char out[URL_AUTHORITY_SIZE])
{
	bool is_v6 = strchr(u->host, ':') != NULL;
	char port[8] = "";

	if (u->port != (u->is_tls ? PORT_TLS : PORT_PLAIN))
		snprintf(port, sizeof(port), ":%u", u->port);
	snprintf(out, URL_AUTHORITY_SIZE, "%s%s%s%s", is_v6 ? "[" : "", u->host, is_v6 ? "]" : "",
		port);
}

void
url_add(struct buf *out, const struct url *u)
{
	add_server(out, u);
	buf_addf(out, "%s", u->target);
}

bool
url_is_same_server(const struct url *a, const struct url *b)
{
	return a->port == b->port && strcmp(a->host, b->host) == 0;
}

const char *
url_lookup_name(const char *host)
{
	static const char name[] = "localhost", domain[] = ".localhost";
	size_t n = strlen(host), domain_n = sizeof(domain) - 1;
	bool is_below = n > domain_n && strcmp(host + n - domain_n, domain) == 0;

	return is_below || strcmp(host, name) == 0 ? NULL : host;
}
