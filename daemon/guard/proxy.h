#pragma once
/*
 * Who is behind a proxy that is trusted: by the PROXY protocol (versions 1 and 2),
 * with which a connection begins, or by X-Forwarded-For. Pure.
 */

#include "common/err.h"
#include "common/wire/http.h"
#include "daemon/base/network.h"

#define PROXY_HEAD_MAX 1024 /* a longer one is refused */

enum proxy_result { PROXY_NEED_MORE, PROXY_DONE, PROXY_BAD };

/** What the head of the PROXY protocol says. */
struct proxy_head {
	struct address client;
	bool has_client; /* false: the proxy speaks for itself, or does not say */
};

/** Reads the head at the beginning of the bytes; *used of them belong to it when it is done. */
enum proxy_result proxy_read(struct span bytes, struct proxy_head *out, size_t *used);

/** Networks whose proxies are believed. */
struct networks {
	struct network *v; /* owned by whoever made it */
	size_t n;
};

bool networks_have(const struct networks *ns, const struct address *a);
/** In X-Forwarded-For, the rightmost address that is none of the proxies', or the leftmost when all
 * are; *client stays as it is without such a header. ERR_INVALID_REQUEST: it is malformed. */
enum err proxy_find_client(const struct http_request *q, const struct networks *trusted,
	struct address *client, struct error *error);
/** The scheme that the client used, as X-Forwarded-Proto says: "http", "https", or NULL. */
const char *proxy_find_scheme(const struct http_request *q);
