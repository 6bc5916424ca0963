#pragma once
/* The command line of sysrtctl: the table of commands drives reading, help and completion. */

#include "ctl/ctl.h"

/** Fills c from the command line: -1, or the exit status when there is nothing more to do (help was
 * printed, or what was wrong). */
int grammar_read(struct ctl *c, int argc, char **argv);
/** Prints a completion script for bash, zsh or fish. */
int grammar_completion(struct ctl *c);
