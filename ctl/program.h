#pragma once
/* Running somebody's program on a change, without a shell. */

#include "common/span.h"

/** Runs argv with the line (and a line feed) on its standard input, and waits for its end: its exit
 * status, 128 and the signal's number when a signal ended it, 127 when it could not be run. SIGPIPE
 * must be ignored. */
int program_run(char **argv, struct span line);
