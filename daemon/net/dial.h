#pragma once
/*
 * A TCP connection out: looks the name up and tries its addresses in turn, none of them
 * for longer than DIAL_NEXT_MS while there is another. Loop thread.
 */

#include <stdint.h>

struct loop;
struct resolver;
struct dial;

#define DIAL_NEXT_MS 3000

enum dial_event {
	DIAL_RESOLVED,  /* there are addresses */
	DIAL_CONNECTED, /* fd is the owner's from here on */
	DIAL_FAILED,    /* why: a plain sentence, during the call */
};

/** The last two are told once, as the last; dial_free() it then, or in any event. */
typedef void (*dial_fn)(void *arg, enum dial_event event, int fd, const char *why);

/** Never told from inside. */
struct dial *dial_new(struct loop *loop, struct resolver *resolver, const char *host, uint16_t port,
	dial_fn fn, void *arg);
/** Gives it up; NULL is fine. */
void dial_free(struct dial *d);
