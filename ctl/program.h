#pragma once
/* Running another program, without a shell. */

#include <stdbool.h>

#include "common/span.h"

/** Runs argv and waits for its end. With a line, that (and a line feed) is its standard input; with
 * NULL it has ours. *status is its exit status, or 128 and the signal's number when a signal ended
 * it. False after telling why it could not be run. SIGPIPE must be ignored where there is a line;
 * the program has it as usual. */
bool program_run(char **argv, const struct span *line, int *status);
/** The sysrtd beside this program, else the one on the PATH: free() it. */
char *program_find_daemon(void);
