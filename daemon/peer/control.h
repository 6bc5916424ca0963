#pragma once
/*
 * The control socket: JSON-RPC, one message a line, for sysrtctl and scripts.
 * Who may come in, and do what, is decided by the peer's uid and groups. The end of the input
 * is not a hang-up: everything sent is answered, and subscriptions go on until a
 * write fails. Loop thread.
 */

#include "daemon/peer/peer.h"

/** A new connection; takes fd. Refusals are written to it. */
void control_accept(struct peers *ps, int fd);
/** Takes over what changes at run time: who is there is judged anew. */
void control_reload(struct peers *ps);
