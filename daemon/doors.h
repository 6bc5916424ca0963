#pragma once
/*
 * The doors: where the daemon listens, the WebSocket's addresses and the control
 * socket, and who is asked for what there. Loop thread.
 */

#include "daemon/peer/session.h"

struct doors;

/** Opens all of them; whoever comes in becomes one of the peers. Both are borrowed. On a failure
 * those that were opened are closed. */
enum err doors_open(struct peers *ps, struct sessions *ss, struct doors **out, struct error *error);
/** Certificate and key, as the configuration names them, for a reload; NULL: there is none.
 * ERR_CONFIG_ERROR: they are no good, or there was one before. */
enum err doors_read_tls(
	const struct doors *d, const struct conf *c, struct tls_context **out, struct error *error);
/** Takes over what changes at run time, and a certificate. */
void doors_reload(struct doors *d, struct tls_context *tls);
/** Nobody comes in any more. */
void doors_stop(struct doors *d);
void doors_close(struct doors *d);

/** Logs where they are; loudly, what is open to the network. */
void doors_log(const struct doors *d);
/** Writes the members "websocket" and "control" of status. */
void doors_add_status(const struct doors *d, struct json_out *o);
