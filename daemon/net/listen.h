#pragma once
/*
 * Listening sockets: TCP on one address, or a Unix socket with a probe before
 * unlink, a mode and an owner group. Out of descriptors, accepting pauses (a
 * reserve descriptor is kept, so that waiting peers can be refused) and comes
 * back. Loop thread.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "common/err.h"
#include "common/span.h"

struct loop;
struct listener;

/** A new connection; fd is non-blocking, close-on-exec, and owned by the callee. */
typedef void (*accept_fn)(void *arg, struct listener *l, int fd);

/** Listens on "HOST:PORT" ("127.0.0.1:7117", "[::1]:0"; port 0: the kernel chooses). */
enum err listener_open_tcp(struct loop *loop, const char *address, accept_fn fn, void *arg,
	struct listener **out, struct error *error);
/** Whose a Unix socket is. */
struct listener_file {
	const char *path;
	gid_t gid; /* (gid_t)-1: as it comes */
	mode_t mode;
};

/** Listens on a path: a live daemon behind it is an error, a stale socket is removed, anything else
 * is an error. It has its mode from the first moment on. The file goes with listener_close(). */
enum err listener_open_unix(struct loop *loop, const struct listener_file *file, accept_fn fn,
	void *arg, struct listener **out, struct error *error);
/** Gives a Unix socket another mode. */
void listener_set_mode(struct listener *l, mode_t mode);
/** Stops accepting (idempotent); the address stays known. */
void listener_stop(struct listener *l);
void listener_close(struct listener *l);
/** The bound address as text, "127.0.0.1:40123". */
const char *listener_address(const struct listener *l);
/** True if only this machine reaches it, as getsockname() says. */
bool listener_is_loopback(const struct listener *l);
/** The bound TCP port, 0 for a Unix socket. */
int listener_port(const struct listener *l);
/** How often accepting was paused for want of descriptors. */
unsigned long listener_pauses(const struct listener *l);
