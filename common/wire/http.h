#pragma once
/*
 * The head of an HTTP/1.1 request, on http_parser, and small answers. Pure;
 * bytes in, a request out. It reads a head and no body: whoever sends a body
 * gets an answer and a close. One thread at a time.
 */

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/span.h"

#define HTTP_HEADERS_MAX 64

struct http_header {
	struct span name; /* as sent; compare with http_text_is() */
	struct span value;
};

/** A parsed head; spans point into the reader's buffer. */
struct http_request {
	struct span method;    /* "GET" */
	struct span authority; /* "host[:port]" of an absolute target; else empty */
	struct span path;      /* without the query, percent-decoded never */
	struct span query;     /* without "?" */
	unsigned minor;        /* HTTP/1.minor */
	bool keep_alive;
	bool upgrade;  /* asks for an upgrade (Connection and Upgrade agree) */
	bool has_body; /* or something whose end only a reader of bodies would find */
	struct http_header headers[HTTP_HEADERS_MAX];
	unsigned headers_n;
};

struct http_reader;

enum http_result { HTTP_NEED_MORE, HTTP_DONE, HTTP_BAD, HTTP_TOO_LARGE };

/** A reader of one head of at most max_head bytes. */
struct http_reader *http_reader_new(size_t max_head);
void http_reader_free(struct http_reader *r);
/** Feeds bytes; *used of them belong to the head (the rest, behind it, to whatever comes next). At
 * HTTP_DONE the request is valid until http_reader_reset() or free; at HTTP_BAD `why` says what was
 * wrong. */
enum http_result http_reader_feed(struct http_reader *r, struct span bytes, size_t *used);
const struct http_request *http_reader_request(const struct http_reader *r);
const char *http_reader_why(const struct http_reader *r);
/** Ready for the next head on the same connection. */
void http_reader_reset(struct http_reader *r);

/** The only header of this name; an empty span if there is none. *count (may be NULL) says how many
 * there are. */
struct span http_header_find(const struct http_request *q, const char *name, unsigned *count);
/** True if a comma-separated header holds this token, letter case ignored, in any of its lines. */
bool http_header_has_token(const struct http_request *q, const char *name, const char *token);
bool http_text_is(struct span a, const char *b); /* equal, letter case ignored */
/** True if it is what names of header fields and subprotocols are (RFC 9110 5.6.2). */
bool http_is_token(struct span text);
/** Cuts the next item off a comma-separated list; false at its end. Empty items are passed over. */
bool http_list_next(struct span *list, struct span *item);
/** "Not Found"; "Unknown" for a status that is not known. */
const char *http_reason(int status);

/** What a WebSocket handshake wants. */
struct http_upgrade {
	struct span key;
	bool offers_sysrt_v1; /* subprotocol sysrt.v1 is offered */
	bool offers_any;      /* some subprotocol is offered */
	struct span bearer;   /* what follows base64url.bearer.authorization. in one of them */
	unsigned bearers_n;   /* how many of these there are */
};

/** Checks a WebSocket handshake (RFC 6455 4.2.1). OK; or ERR_INVALID_REQUEST with the reason,
 * *status set to the HTTP status to answer (400, 405, 426). */
enum err http_upgrade_check(
	const struct http_request *q, struct http_upgrade *up, int *status, struct error *error);
/** Appends the 101 answer. */
void http_add_upgrade(struct buf *out, const struct http_upgrade *up);
/** Appends a whole answer: status line, Content-Type, Content-Length, `Connection: close` unless
 * keep_alive, extra header lines (each ending in \r\n, may be empty), body. */
void http_add_answer(struct buf *out, int status, const char *content_type, bool keep_alive,
	const char *extra, struct span body);

/** An authority "host[:port]" cut in two: host without brackets, port or -1. False if malformed. */
bool http_authority_split(struct span authority, struct span *host, int *port, bool *is_address);
