#pragma once
/*
 * The client's side of a WebSocket's beginning (RFC 6455 4.1): writes the request,
 * reads the response and judges it. Pure: bytes in, a verdict out; the key is passed
 * in. It takes what servers really send (interim responses, header fields twice or
 * folded, bodies of any coding) and refuses what must be refused: an answer to another
 * key, a subprotocol or an extension that was not offered. One thread at a time.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/json.h"
#include "common/span.h"

/** Appends a text of the server's without what must not be shown, and returns true; false: there is
 * nothing of that in it. The text may be cut at its end. */
typedef bool handshake_redact_fn(void *arg, struct span text, struct buf *out);

/** All of it is borrowed, as long as the handshake is there; `headers` only while it is written. */
struct handshake_wish {
	struct span authority;        /* "host[:port]" */
	struct span target;           /* "/path?query" */
	struct span headers;          /* more lines, each "Name: value\r\n" */
	const char *const *protocols; /* that are offered, the one liked best first */
	size_t protocols_n;
	handshake_redact_fn *redact; /* NULL: all may be shown */
	void *arg;                   /* of redact */
};

#define HANDSHAKE_KEY_SIZE 25
/** Makes the key of 16 random bytes (terminated). */
void handshake_key(const unsigned char random[16], char out[HANDSHAKE_KEY_SIZE]);

/** True if a header field may be among the lines: a name that is one and not the handshake's own
 * (Host, Connection, Upgrade, Sec-WebSocket-..., what frames a body), a value without control
 * characters. ERR_INVALID_ARGUMENT says what is wrong; it does not show the value. */
enum err handshake_check_header(struct span name, struct span value, struct error *error);
/** The same of a subprotocol's name. */
enum err handshake_check_protocol(struct span name, struct error *error);

/** Appends the request. With a User-Agent, unless one is among the lines. */
void handshake_add_request(struct buf *out, const struct handshake_wish *wish, const char *key);

enum handshake_state {
	HANDSHAKE_READING,
	HANDSHAKE_OPEN,     /* it is a WebSocket from here on */
	HANDSHAKE_REDIRECT, /* to handshake_location() */
	HANDSHAKE_REFUSED,  /* with a status and, perhaps, a text */
	HANDSHAKE_BROKEN,   /* what came is no answer to the request */
};

struct handshake;

struct handshake *handshake_new(const struct handshake_wish *wish, const char *key);
void handshake_free(struct handshake *h);
/** Takes bytes of the response; *used of them belong to it. What is behind them is the first
 * frames' when it is open. */
enum handshake_state handshake_take(struct handshake *h, struct span bytes, size_t *used);
/** The server says no more, or is not listened to any longer. It is not HANDSHAKE_READING after. */
enum handshake_state handshake_end(struct handshake *h);

/** 0: no response's head has come yet. */
int handshake_status(const struct handshake *h);

/* Once it is not HANDSHAKE_READING: */

/** Why it is refused or broken: a plain sentence, with the beginning of the server's text, redacted
 * before it is cut. */
const char *handshake_why(const struct handshake *h);
/** True if trying again soon is of no use: a status that says so, or what no server can mean to be
 * for a moment. */
bool handshake_is_permanent(const struct handshake *h);
/** How long the server asks to be left alone (Retry-After); -1: it does not. `now_ms` is the wall
 * clock's. */
int64_t handshake_retry_after_ms(const struct handshake *h, int64_t now_ms);
struct span handshake_location(const struct handshake *h);
/** The subprotocol that was chosen; empty: none. */
struct span handshake_protocol(const struct handshake *h);
/** Writes members: status, subprotocol, headers (an object; cookies are left out). */
void handshake_add_response(const struct handshake *h, struct json_out *o);
