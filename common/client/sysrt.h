#pragma once
/*
 * libsysrt: a client of sysrtd over its Unix socket or a WebSocket. Connect, call, stream
 * notifications. Blocking, with a timeout; sysrt_fd() for whoever has a loop of
 * their own. One connection belongs to one thread at a time. No signal is
 * raised or blocked, nothing is printed, nothing is global.
 *
 *	struct sysrt *s;
 *	char *result;
 *	if (sysrt_connect(NULL, &s, &error) == 0 &&
 *	    sysrt_call(s, "record.get", "{\"id\":\"a\"}", 10000, &result, &error) == 0)
 *		puts(result);
 *
 * Functions return 0, or fill *error and return -1.
 */

#include <stddef.h>
#include <stdint.h>

struct sysrt;

#define SYSRT_TEXT_MAX 512

/** Why something failed. */
struct sysrt_error {
	char name[32];             /* "NOT_FOUND", "TIMEOUT", ...: what programs switch on; ours
				      are "NOT_RUNNING" (nobody listens), "CLOSED" (the
				      connection ended), "INTERRUPTED" (a signal came) */
	char text[SYSRT_TEXT_MAX]; /* one sentence for people */
	int64_t seq;               /* of a CONFLICT or RESYNC_REQUIRED, else -1 */
	int exit_status;           /* what sysrtctl exits with for it */
};

/** Connects to the socket at `path`; NULL: $SYSRT_SOCKET, else the usual place. TIMEOUT when the
 * daemon takes no connections for ten seconds. */
int sysrt_connect(const char *path, struct sysrt **s, struct sysrt_error *error);
/** What a connection over the network takes along. */
struct sysrt_options {
	const char *token; /* shown to the daemon; NULL: none */
	const char *ca;    /* a file of the certificates (PEM) to trust, for wss:// only; NULL: the
			      system's */
	int timeout_ms;    /* for all of connecting but looking up the host's name; -1: none but
			      the system's */
};

/** Connects to a daemon's WebSocket: "ws://host:port", "wss://host/ws"; without a path it is "/ws".
 * From here on all is the same, but for sysrt_pass(): descriptors go over a Unix socket only. While
 * something is waited for, a ping is sent every 30 s; after three without an answer the connection
 * is CLOSED. The daemon's greeting is the first notification, "hello". */
int sysrt_connect_url(const char *url, const struct sysrt_options *options, struct sysrt **s,
	struct sysrt_error *error);
/** Closes and frees; NULL is fine. */
void sysrt_close(struct sysrt *s);
/** The descriptor, readable when something may have come. */
int sysrt_fd(const struct sysrt *s);
/** How long a loop of one's own may wait for it, before it calls sysrt_next() all the same: for the
 * heartbeat of a WebSocket. -1: for ever. */
int sysrt_wait_ms(const struct sysrt *s);

/** Calls a method with params (a JSON object, or NULL) and waits for its answer, at most
 * timeout_ms (-1: for ever). *result is the JSON of the result; the caller frees it. What comes
 * in between, notifications and other answers, is kept for sysrt_next() and sysrt_receive(). After
 * TIMEOUT or INTERRUPTED the request may have been carried out or not. */
int sysrt_call(struct sysrt *s, const char *method, const char *params, int timeout_ms,
	char **result, struct sysrt_error *error);

/** Sends a request without waiting for its answer; *id names it. Any number may be under way: when
 * the daemon wants its answers read first, they are. TIMEOUT when it has not taken the whole
 * request within timeout_ms (-1: for ever); half of one makes the connection useless. That the
 * connection has ended is told by sysrt_receive(). */
int sysrt_send(struct sysrt *s, const char *method, const char *params, int timeout_ms, int64_t *id,
	struct sysrt_error *error);
/** The next request takes a copy of this descriptor along, for a method that wants one. It stays
 * the caller's and open. */
void sysrt_pass(struct sysrt *s, int fd);

/** Waits for the answer to a request that was sent; as sysrt_call(). Every answer is to be
 * received, in any order: it is kept until then. */
int sysrt_receive(
	struct sysrt *s, int64_t id, int timeout_ms, char **result, struct sysrt_error *error);

/** One notification: both texts live until the next call on s. */
struct sysrt_notice {
	const char *method; /* "change", "synced", ... */
	const char *params; /* JSON object */
	size_t params_n;
};

/** The next notification: 1, 0 when none came within timeout_ms (-1: for ever) or a signal came,
 * -1 on a failure. With a loop of one's own: when sysrt_fd() is readable, call it with timeout 0
 * until it returns 0. */
int sysrt_next(
	struct sysrt *s, int timeout_ms, struct sysrt_notice *notice, struct sysrt_error *error);
