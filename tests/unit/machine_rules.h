#pragma once
/*
 * What must hold of each step of a feed's machine, whatever the event: for its random
 * test and its fuzzer.
 */

#include "daemon/feed/machine.h"

/** Steps it, and ends the process if a rule is broken. Returns what is to be done. */
unsigned rules_step(
	struct machine *m, const struct machine_event *e, int64_t now_ms, uint64_t random);
