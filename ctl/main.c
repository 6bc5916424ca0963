/*
 * sysrtctl: reads the command line by the table of commands, runs one of them.
 * Built on libsysrt and nothing else of the daemon's.
 */

#include <signal.h>

#include "ctl/grammar.h"
#include "ctl/out.h"

int
main(int argc, char **argv)
{
	struct ctl c = {.sysrt = NULL};
	int status, finished;

	signal(SIGPIPE, SIG_DFL); /* a closed pipe ends it quietly */
	status = grammar_read(&c, argc, argv);
	if (status < 0)
		status = c.command->run(&c);
	ctl_disconnect(&c);
	finished = out_finish();
	return status != EXIT_DONE ? status : finished;
}
