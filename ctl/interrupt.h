#pragma once
/* Ctrl-C and SIGTERM, for commands that have something to bring to an end first. */

#include <poll.h>

/** From now on both are only noted; one that was ignored stays so, as shells have it for what they
 * run in the background. */
void interrupt_catch(void);
/** The exit status of an interrupted process, or 0 when nothing came. */
int interrupt_status(void);
/** How often they came. */
unsigned interrupt_count(void);

/** Holds both back, or lets them in again. */
void interrupt_hold(void);
void interrupt_release(void);
/** As poll(2), with both let in meanwhile; timeout_ms -1: for ever. To be called while they are
 * held: what came before is not slept over. */
int interrupt_poll(struct pollfd *fds, nfds_t n, int timeout_ms);
