#pragma once
/*
 * URLs of WebSockets (RFC 3986 as far as these need it, RFC 6455 3): "ws://host/path",
 * "wss://[::1]:7117/ws?query". A value type. In what redirects, http stands for ws and
 * https for wss. Pure; any thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/span.h"

#define URL_MAX            2048 /* bytes of one as a text */
#define URL_HOST_MAX       255
#define URL_AUTHORITY_SIZE (URL_HOST_MAX + 10)

struct url {
	bool is_tls;
	bool is_address; /* the host is one, not a name */
	uint16_t port;
	char host[URL_HOST_MAX + 1]; /* without brackets, in small letters */
	char target[URL_MAX + 2];    /* "/path?query", at least "/" */
};

/** Reads one. ERR_INVALID_ARGUMENT says what is wrong with it: a scheme that is neither, user and
 * password, a fragment, no host, bytes that must be percent-encoded. */
enum err url_parse(struct span text, struct url *out, struct error *error);
/** Reads a reference, such as a Location's value, as one from `base`: absolute, "//host/path",
 * "/path", "path", "?query". Its fragment is left off. `out` may be `base`. */
enum err url_resolve(
	const struct url *base, struct span reference, struct url *out, struct error *error);
/** "host", with brackets and the port where they are needed: what the header Host says. */
void url_authority(const struct url *u, char out[URL_AUTHORITY_SIZE]);
void url_add(struct buf *out, const struct url *u);
/** What getaddrinfo() is to be asked for a host: NULL, which is this machine by its loopback, for
 * the names that always are (RFC 6761 6.3), whatever the files and servers of names say. */
const char *url_lookup_name(const char *host);
/** True if host and port are the same. */
bool url_is_same_server(const struct url *a, const struct url *b);
