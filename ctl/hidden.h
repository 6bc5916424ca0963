#pragma once
/*
 * What must not be seen: read from the terminal without echo, or from standard input;
 * kept in locked memory. And a process that leaves no core.
 */

#include "common/secret.h"
#include "ctl/ctl.h"

#define HIDDEN_MAX 65536 /* bytes */

/** From here on the process is not written into a core dump, nor can others of the user look into
 * it. */
void hidden_begin(void);
/** A line from the terminal, where standard input is one, asked for by `prompt`, and when `again`
 * is not NULL once more by that; else all of standard input, without a newline at its end. 0, or an
 * exit status after telling why not. */
int hidden_read(const char *prompt, const char *again, struct secret **out);
/** All of a file, as it is. */
int hidden_read_file(const char *path, struct secret **out);
