#pragma once
/*
 * The command line of sysrtctl. One table of commands with their words and
 * options drives reading, help, completion and the check of the manual page.
 */

#include "ctl/ctl.h"

/** Fills c from the command line: -1, or the exit status when there is nothing more to do (help was
 * printed, or what was wrong). */
int grammar_read(struct ctl *c, int argc, char **argv);
/** The command that these words begin with, and how many of them name it; NULL: none. */
const struct command *grammar_find(const char *const *words, unsigned n, unsigned *used);
/** True if the word is the first of the names of commands of two words. */
bool grammar_is_group(const char *word);
