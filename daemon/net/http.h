#pragma once
/*
 * Who may talk to the port: the rules for Host and Origin that keep a web page
 * from somewhere else from using the visitor's daemon, by cross-site WebSocket
 * or by DNS rebinding. Pure decisions over a parsed head.
 */

#include "common/err.h"
#include "common/wire/http.h"
#include "daemon/base/conf.h"

/** Whether a proxy sent this, as its headers say (Forwarded, X-Forwarded-..., X-Real-IP, Via): then
 * the address that it comes from says nothing of who asks. ERR_PERMISSION_DENIED. */
enum err http_forwarded_check(const struct http_request *q, struct error *error);

/** Host must be there exactly once (HTTP/1.1), and be an address, "localhost" or one of conf's
 * websocket.hosts. ERR_PERMISSION_DENIED with a text that names the setting. */
enum err http_host_check(
	const struct http_request *q, const struct conf *conf, struct error *error);

/** Where a request came in. */
struct http_here {
	int port; /* of the listener */
	bool is_tls;
	const char *proxy_scheme; /* by which a trusted proxy was asked; NULL: it does not say */
};

/** An Origin, where there is one, must be the listener's own (scheme http, with TLS https, the
 * request's Host and port; behind a proxy its scheme and the Host alone) or one of
 * websocket.origins ("*" allows any; "null" never matches). ERR_PERMISSION_DENIED as above. */
enum err http_origin_check(const struct http_request *q, const struct http_here *here,
	const struct conf *conf, struct error *error);
