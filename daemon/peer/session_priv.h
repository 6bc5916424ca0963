#pragma once
/*
 * What the sources of session.h share: a connection as a state machine. Plain HTTP is
 * in session_http.c, up to the handshake; the WebSocket in session.c. Loop thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/wire/http.h"
#include "common/wire/ws.h"
#include "daemon/base/loop.h"
#include "daemon/guard/proxy.h"
#include "daemon/peer/session.h"

#define CLOSE_UNSUPPORTED 1003
#define CLOSE_INTERNAL    1011
#define CLOSE_HEARTBEAT   4000
#define CLOSE_FINAL       4100 /* from here on it is of no use to come again in the same way */
#define CLOSE_TOKEN       4101

enum session_state {
	SS_HEAD,     /* waiting for the head of a request */
	SS_STRANGER, /* a WebSocket of the API that has to show a token first */
	SS_OPEN,     /* a WebSocket of the API */
	SS_ECHO,     /* a WebSocket that gets back what it sends */
	SS_CLOSING,  /* all is said; the rest is flushed, then the other end closes */
	SS_COUNT
};

struct sessions {
	struct peers *peers;
	struct ws_pool *pool;
	struct scopes *anonymous; /* of those who have shown no token */
	struct networks trusted;  /* proxies */
	struct tls_context *tls;  /* owned reference; NULL: connections are plain */
	bool is_draining;
	unsigned n[SS_COUNT]; /* by state */
	struct list plain;    /* strangers, and those that have no WebSocket (any more), oldest
				 first */
};

struct session {
	struct peer peer;
	enum session_state state;
	unsigned char unanswered; /* pings in a row */
	struct sessions *shared;
	struct list plain;        /* linked in `plain` of sessions */
	struct http_reader *head; /* owned; in SS_HEAD only */
	struct ws *ws;            /* owned; while a message is under way */
	struct buf rest;          /* input that waits until there is room */
	struct buf preface;       /* of the PROXY protocol, as far as it has come */
	int port;                 /* of the listener */
	bool is_local;            /* the listener is on loopback, and so is the client */
	bool is_proxied;          /* it came from a proxy that is trusted */
	bool is_from_proxy;       /* so it did, and what its head says of that is believed */
	bool awaits_preface;
	bool wipes_codec;      /* a secret went through it */
	struct address client; /* behind a trusted proxy: as that says */
	const char *scheme;    /* that a trusted proxy was asked by; NULL: it does not say */
	int64_t due_ms; /* head, stranger: when it is too late; open: the next ping; closing: the
			   end */
};

static inline struct session *
session_of(struct peer *p)
{
	return list_item(p, struct session, peer);
}

static inline const struct conf *
conf_of(const struct session *s)
{
	return peers_api(s->shared->peers)->conf;
}

static inline int64_t
now_of(const struct session *s)
{
	return loop_now_ms(peers_loop(s->shared->peers));
}

/* session.c */

void session_change_state(struct session *s, enum session_state next, const char *why);
void session_send(struct session *s, struct span bytes);
/** Nothing more will be said: what is queued goes out, then the sending side closes. What comes in
 * is passed over, up to its end. */
void session_start_closing(struct session *s, const char *why);
/** Says why, if it is a WebSocket. */
void session_close_with(struct session *s, unsigned code, const char *reason);
void session_start_heartbeat(struct session *s);

/* session_http.c */

/** Reads a head, or a part of it, out of the input, and does what it wants; returns how much was
 * used. */
size_t session_read_head(struct session *s, struct span input);
/** The same for what a proxy sends before it. */
size_t session_read_preface(struct session *s, struct span input);
/** It is not TLS, which it should be. */
void session_refuse_plain(struct session *s);
/** The head did not come in time, or the handshake before it. */
void session_refuse_late(struct session *s);
/** True if whoever comes by this listener has to show a token: what is not on loopback asks for
 * one, unless it was written out that it does not. */
bool session_must_auth(const struct session *s);
/** ERR_LIMIT_EXCEEDED: there are as many sessions as there may be. */
enum err session_check_room(const struct session *s, struct error *error);
