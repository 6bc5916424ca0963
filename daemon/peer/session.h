#pragma once
/*
 * A connection to the HTTP port: an answer to a plain request, or a WebSocket
 * session of the API (/ws) or of the echo (/echo). Heartbeat, limits, the rules
 * for Host and Origin. An idle session owns no buffer and no codec. Loop thread.
 */

#include "daemon/net/listen.h"
#include "daemon/peer/peer.h"

struct sessions;
struct tls_context;

/** What all sessions share. */
struct sessions *sessions_new(struct peers *ps);
void sessions_free(struct sessions *ss);
/** Takes over what changes at run time. */
void sessions_reload(struct sessions *ss);
/** With what new connections begin from now on (takes the reference over); NULL: they are plain. */
void sessions_set_tls(struct sessions *ss, struct tls_context *x);
/** That, borrowed. */
const struct tls_context *sessions_tls(const struct sessions *ss);
/** How many have a WebSocket. */
unsigned sessions_count(const struct sessions *ss);
/** From now on /readyz answers 503. */
void sessions_drain(struct sessions *ss);

/** A new connection; takes fd. There may be websocket.max_sessions WebSockets, and about as many
 * connections without one (no head yet, no token yet, or closing): beyond that the oldest of these
 * is cut. */
void session_accept(struct sessions *ss, struct listener *l, int fd);
