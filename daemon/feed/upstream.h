#pragma once
/*
 * One connection out: a WebSocket client on the loop. It finds the address, connects,
 * secures (wss), shakes hands, follows redirects, and then tells every message as it
 * comes. It tries once and never again: when it has ended, that is said with a reason,
 * and whoever wants another one opens another. Loop thread.
 *
 * Redirects are followed three times, to the same scheme or from ws to wss; the extra
 * header lines, which may hold secrets, go along to the same host and port only. What
 * was told already (UPSTREAM_RESOLVED, ...) is not told again then.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/json.h"
#include "common/span.h"
#include "common/wire/handshake.h"
#include "common/wire/ws.h"

struct loop;
struct net;
struct stats;
struct conf_list;
struct upstream;
struct upstreams;

enum upstream_event {
	UPSTREAM_RESOLVED,  /* the host's addresses are known */
	UPSTREAM_CONNECTED, /* to one of them */
	UPSTREAM_SECURED,   /* of wss only */
	UPSTREAM_OPEN,      /* hands are shaken: messages can be sent */
	UPSTREAM_MESSAGE,   /* opcode (WS_TEXT, which is UTF-8, or WS_BINARY), payload */
	UPSTREAM_PONG,      /* payload */
	UPSTREAM_BATCH,     /* behind the messages and pongs that came in one read */
	UPSTREAM_DRAINED,   /* what could not be sent at once now is */
	UPSTREAM_ENDED,     /* the last: code, is_permanent, retry_after_ms, why */
};

struct upstream_news {
	enum upstream_event event;
	enum ws_opcode opcode;
	struct span payload;    /* during the call only */
	uint16_t code;          /* of the server's close (1005: it had none); 0: there was no
				   close */
	bool is_permanent;      /* trying again soon is of no use: 401, 403, 404, 410, a bad
				   certificate, a URL or `ca` that is none, ... */
	int64_t retry_after_ms; /* what the server asked for; -1: nothing */
	const char *why;        /* a plain sentence; during the call only */
};

/** It may send, pause, resume, close, and upstream_free() the one that it is about. */
typedef void (*upstream_fn)(void *arg, const struct upstream_news *news);

/** What it is opened with; nothing is needed after the call. */
struct upstream_wish {
	struct span url;
	const char *ca;                       /* a file of certificates; NULL or "": the system's
					       */
	struct span headers;                  /* "Name: value\r\n" lines: copied into a struct
						 secret, overwritten after the handshake */
	const struct conf_list *subprotocols; /* NULL: none */
	size_t max_message;
	bool is_loyal; /* a redirect to another host or port is the end: what is to be said is for
			  this one */
	/** Of the handshake's text: see there; NULL: all is shown. arg: as of upstream_fn. */
	handshake_redact_fn *redact;
};

/** What all have in common: the resolver, the authorities that were read. */
struct upstreams *upstreams_new(struct loop *loop, struct net *net);
/** All of them must be freed. */
void upstreams_free(struct upstreams *us);
void upstreams_add_stats(const struct upstreams *us, struct stats *stats);

/** Begins; never NULL. What is wrong with the wish is told by UPSTREAM_ENDED too. fn is not called
 * from inside. */
struct upstream *upstream_open(
	struct upstreams *us, const struct upstream_wish *wish, upstream_fn fn, void *arg);
/** At once and silently; NULL is fine. Its socket is closed. */
void upstream_free(struct upstream *u);

/** Queues a message, WS_TEXT or WS_BINARY; only when open. It is overwritten when it is sent. */
void upstream_send(struct upstream *u, enum ws_opcode opcode, struct span payload);
/** An UPSTREAM_PONG should follow. Only when open; not after upstream_close(). */
void upstream_ping(struct upstream *u);
/** Nothing is read, so that TCP pushes back, and nothing is told that was read but UPSTREAM_BATCH,
 * in the same call of the loop. What was read and held is told before the end is. */
void upstream_pause(struct upstream *u);
/** Goes on, not from inside. */
void upstream_resume(struct upstream *u);
/** Tells what was read and held back while it was paused, at once, so that nothing of it is lost
 * when it is given up; it may end by that. Not while a message is being told. */
void upstream_tell_held(struct upstream *u);
/** Politely: UPSTREAM_ENDED follows when the server has answered, at the latest after
 * UPSTREAM_CLOSE_MS. What comes until then is told. Before it is open, it ends at once. */
void upstream_close(struct upstream *u, uint16_t code, struct span reason);
#define UPSTREAM_CLOSE_MS 2000

/** Until a close was said or the end is told. */
bool upstream_is_open(const struct upstream *u);
/** Bytes queued that the kernel has not taken. Above UPSTREAM_UNSENT_MAX nothing is read, for that
 * may have to be answered; whoever sends again and again has to look at it too. */
size_t upstream_unsent(const struct upstream *u);
#define UPSTREAM_UNSENT_MAX ((size_t)256 << 10)
/** Bytes read from its socket, all in all. */
uint64_t upstream_read_bytes(const struct upstream *u);
/** Writes members about what is known: url (after redirects), address, tls {version, cipher},
 * status, subprotocol, headers {}. Any time, in UPSTREAM_ENDED too. */
void upstream_add_handshake(const struct upstream *u, struct json_out *o);
