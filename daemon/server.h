#pragma once
/*
 * The running daemon: its parts, in a table of stages {name, init, fini} that
 * come up in order and go down in reverse; reload, and the way to a clean stop.
 * Loop thread.
 */

#include "common/err.h"
#include "daemon/base/conf.h"

/** Runs until it is told to stop. conf is taken over; `sources` are read again at a reload. OK
 * after a clean stop; else what kept it from starting. */
enum err server_run(struct conf *conf, const struct conf_sources *sources, struct error *error);
