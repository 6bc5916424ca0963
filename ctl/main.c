/*
 * sysrtctl: reads the command line by the table of commands, runs one of them.
 * Built on libsysrt and nothing else of the daemon's.
 */

#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "ctl/grammar.h"
#include "ctl/out.h"

/** A descriptor that was closed must not become that of a socket, which would then be printed to.
 * In its place comes one whose use fails. */
static void
keep_standard_descriptors(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			(void)!open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

int
main(int argc, char **argv)
{
	struct ctl c = {.sysrt = NULL};
	int status, finished;

	keep_standard_descriptors();
	out_start();
	setlocale(LC_CTYPE, "C.UTF-8"); /* for the widths of characters */
	signal(SIGPIPE, SIG_DFL);       /* a closed pipe ends it quietly */
	status = grammar_read(&c, argc, argv);
	if (status < 0)
		status = c.command->run(&c);
	ctl_disconnect(&c);
	finished = out_finish();
	free(c.words);
	free(c.given);
	return status != EXIT_DONE ? status : finished;
}
