#pragma once
/*
 * A daemon of our own on a store that no other one has: for what is to be tried out
 * without touching the store that is in use. It listens on nothing but a socket in a
 * folder of its own.
 */

#include "ctl/ctl.h"

struct scratch;

/** Starts sysrtd on the file, which is made if it is not there, and connects c to it: 0, or an exit
 * status after telling why not. */
int scratch_start(struct ctl *c, const char *store, struct scratch **out);
/** Stops it and waits for its end; NULL is fine. 0, or EXIT_REFUSED after telling what it ended
 * with. */
int scratch_stop(struct ctl *c, struct scratch *s);
