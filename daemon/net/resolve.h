#pragma once
/*
 * Names to addresses, without blocking the loop: each look-up has a thread of its own
 * for as long as it takes. RESOLVE_THREADS run at once; those that take longer than a
 * second do not count, and the next look-ups of their names have RESOLVE_DOUBTFUL threads
 * for themselves: names that nobody answers for delay each other and nobody else.
 * Addresses in figures and localhost need none. Loop thread.
 */

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define RESOLVE_THREADS  16
#define RESOLVE_DOUBTFUL 4
#define RESOLVE_ALL      64 /* threads, slow ones too */
#define RESOLVE_MAX      16 /* addresses of one name */

struct loop;
struct stats;
struct resolver;
struct resolve;

union resolve_address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/** In the order in which to try them: families alternate (RFC 8305). */
struct resolved {
	union resolve_address v[RESOLVE_MAX];
	unsigned n;      /* 0: there are none, and `why` says so */
	const char *why; /* a plain sentence, without the name */
};

static inline socklen_t
resolve_address_size(const union resolve_address *a)
{
	return a->any.sa_family == AF_INET ? sizeof(a->v4) : sizeof(a->v6);
}

struct resolver *resolver_new(struct loop *loop);
/** All that was asked must be told or cancelled. */
void resolver_free(struct resolver *r);
void resolver_add_stats(const struct resolver *r, struct stats *stats);

typedef void (*resolve_fn)(void *arg, const struct resolved *found);

/** Looks up; fn is called once, in a later turn or at the end of this one. */
struct resolve *resolve_start(
	struct resolver *r, const char *host, uint16_t port, resolve_fn fn, void *arg);
/** Before fn was called, and instead of that; NULL is fine. */
void resolve_cancel(struct resolve *q);
