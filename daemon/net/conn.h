#pragma once
/*
 * One stream socket on the loop: direct reads and writes on an embedded event,
 * an outgoing queue of counted frames, watermarks. No bufferevent (measured:
 * 1.3 to 2.5 times fewer deliveries, four times the memory). The owner embeds
 * the conn and hears its events. Loop thread.
 *
 * Writing: conn_send() only queues; what was queued in a turn is written at its
 * end with as few calls as possible (up to 64 frames a call), or at once by
 * conn_flush(). conn_queue() leaves the writing to the caller. The queue is
 * allocated with its first frame and freed when drained.
 *
 * With TLS what is queued goes into records of up to 16 KiB, several of them a
 * call; all that came in one read is told in one piece, so nothing waits inside.
 */

#include <event2/event_struct.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/list.h"
#include "common/span.h"
#include "daemon/base/frame.h"

struct loop;
struct bounds;
struct stats;
struct net;
struct conn;
struct conn_tls;
struct tls;
struct tls_context;

enum conn_event {
	CONN_INPUT, /* `input` holds what was read; it is gone after the call: keep what is not used
		     */
	CONN_EOF,   /* the peer will send no more (half-closed); writing may still work */
	CONN_DRAINED, /* the queue was not empty after a write, and now is */
	CONN_FAILED,  /* broken; the owner must conn_fini() it (not necessarily inside the call) */
	CONN_SECURED, /* as a client: hands are shaken */
	CONN_NOT_TLS, /* it should begin with TLS, and does with plain HTTP: from now on it is
			 plain, and what came is gone */
};

typedef void (*conn_fn)(struct conn *c, enum conn_event event, struct span input);

struct conn {
	struct net *net;
	conn_fn on_event;
	struct event event;
	struct list dirty;   /* linked while something waits for the end of the turn */
	struct frame **ring; /* NULL while empty */
	uint32_t ring_cap;   /* a power of two */
	uint32_t ring_first;
	uint32_t ring_n;
	uint32_t sent;        /* bytes of the first frame that are written already */
	size_t unsent;        /* bytes in the queue, and sealed ones that are not written */
	struct conn_tls *tls; /* owned; NULL: it is plain */
	int fd;               /* -1 after conn_fini() */
	int passed_fd;        /* came along with the input; -1: none. See conn_accept_fds() */
	bool is_preferred;    /* conn_prefer() was called */
	bool paused;          /* reading is off */
	bool wants_write;
	bool failed;
	bool at_eof;
	bool accepts_fds;
	bool is_finishing;   /* conn_finish() was called: nothing more is queued */
	bool hears_out;      /* conn_hear_out() was called */
	bool is_mute;        /* ... and a write has failed */
	int why;             /* the errno of what failed; 0: no call of the kernel has */
	int64_t progress_ms; /* monotonic: last time that the peer took bytes, or the queue became
				non-empty */
};

/** What all connections share: the buffers, the list of dirty ones, counters. */
struct net *net_new(struct loop *loop);
/** All connections must be gone. */
void net_free(struct net *n);
/** What was read or written in this turn was secret: at its end the buffers are overwritten. */
void net_wipe(struct net *n);
/** Registers the network's counters. */
void net_add_stats(const struct net *n, struct stats *stats);

/** Where it counts that a handshake was cut: to be set before the first of them. */
void net_note_bounds(struct net *n, struct bounds *bounds);
/** How many TLS handshakes may be under way; beyond that the oldest is cut. */
void net_set_max_handshakes(struct net *n, int64_t max);

/** Takes over fd (non-blocking from here on) and starts to read. */
void conn_init(struct conn *c, struct net *n, int fd, conn_fn fn);
/** Closes the socket and drops the queue. May be called twice. No event comes after it. */
void conn_fini(struct conn *c);

/** Queues a frame (takes a reference of its own). Nothing is written before the turn ends or
 * conn_flush(). */
void conn_send(struct conn *c, struct frame *f);
/** The same, but it is the caller's to conn_flush(), in this turn or a later one. */
void conn_queue(struct conn *c, struct frame *f);
/** Writes as much as the socket takes now. A failure is told by CONN_FAILED at the end of the turn,
 * never from inside this call. Returns the bytes that are still unsent. */
size_t conn_flush(struct conn *c);
static inline size_t
conn_unsent(const struct conn *c)
{
	return c->unsent;
}

/** From here on it is TLS, as a server; `early` is what was read of that. Until hands are shaken,
 * nothing of the queue is written. No descriptors can be passed then. */
void conn_start_tls(struct conn *c, struct tls_context *x, struct span early);
/** The same as a client, with a server that has to be `host`. */
void conn_start_tls_client(struct conn *c, struct tls_context *x, const char *host);
/** True while its TLS is not there yet. */
bool conn_is_shaking(const struct conn *c);
/** Its TLS; NULL: it is plain, or hands are not shaken. */
const struct tls *conn_tls(const struct conn *c);

/** Why it failed: a plain sentence, until conn_fini(). *is_distrusted (may be NULL): it is the
 * server's certificate. */
const char *conn_why(const struct conn *c, bool *is_distrusted);

/** From now on, when nothing more can be written, what the peer said before is still told, up to
 * its end or a CONN_FAILED. */
void conn_hear_out(struct conn *c);

/** From now on a descriptor that comes along with input is kept, until the next one comes:
 * c->passed_fd. */
void conn_accept_fds(struct conn *c);

/** From now on it is served before those of which this was not said. */
void conn_prefer(struct conn *c);

/** Stops and restarts reading. While paused neither input nor EOF is told. */
void conn_pause(struct conn *c);
void conn_resume(struct conn *c);
/** No more writes after what is queued: shuts the sending side down when drained. */
void conn_finish(struct conn *c);

/** A terminated text for logs: "127.0.0.1:51234", "[::1]:5", "unix". */
#define CONN_NAME_SIZE 64
void conn_name(int fd, char out[CONN_NAME_SIZE]);
