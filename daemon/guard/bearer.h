#pragma once
/*
 * The token that comes with a request's head: in Authorization, or in the subprotocol
 * that browsers can set; never in the URL. Pure decisions over a parsed head.
 */

#include "common/err.h"
#include "common/wire/http.h"

#define BEARER_MAX 256 /* a longer one is no token */

/** A token as it was shown; it need not be one. */
struct bearer {
	char text[BEARER_MAX];
	size_t n; /* 0: none was shown */
};

/** ERR_INVALID_REQUEST: it is where it must not be, or there are two. */
enum err bearer_read(const struct http_request *q, const struct http_upgrade *up,
	struct bearer *out, struct error *error);
