#pragma once
/*
 * Where the daemon is: its socket on this machine, or a URL (--url, --token-file, --ca
 * or their variables of the environment).
 */

#include <stdbool.h>
#include <stdint.h>

#include "ctl/ctl.h"

/** Connects: 0, and c->sysrt is set; or -1 and why not. */
int door_open(struct ctl *c, struct sysrt_error *error);
/** True if it is a URL. */
bool door_is_remote(const struct ctl *c);
/** Waits until there is something to be read (-1: nothing in particular), a signal came (one that
 * came before too), or timeout_ms are over (-1: for ever), and keeps the connection alive
 * meanwhile. When that ends there is nothing to wait for any more: what is done next is told so. */
void door_await(struct ctl *c, int fd, int64_t timeout_ms);
