#pragma once
/* What --help prints. */

#include "ctl/ctl.h"

void help_print_all(void);
/** The commands of a group ("session"). */
void help_print_group(const char *group);
void help_print_command(const struct command *command);
