/* Running a program on a change: see program.h. */

#include "ctl/program.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl/ctl.h"

#define EXIT_NOT_RUN 127

/** Writes all of it, or as much as the program wants: it may well not read it. */
static void
feed(int fd, struct span bytes)
{
	while (bytes.n > 0) {
		ssize_t n = write(fd, bytes.p, bytes.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return;
		bytes.p += n;
		bytes.n -= (size_t)n;
	}
}

static _Noreturn void
become(char **argv, int in)
{
	signal(SIGPIPE, SIG_DFL);
	dup2(in, STDIN_FILENO);
	execvp(argv[0], argv);
	ctl_refuse("running %s: %s", argv[0], strerror(errno));
	_exit(EXIT_NOT_RUN);
}

int
program_run(char **argv, struct span line)
{
	int ends[2], status = 0;
	pid_t child;

	if (pipe2(ends, O_CLOEXEC) != 0 || (child = fork()) < 0) {
		ctl_refuse("running %s: %s", argv[0], strerror(errno));
		return EXIT_NOT_RUN;
	}
	if (child == 0)
		become(argv, ends[0]);
	close(ends[0]);
	feed(ends[1], line);
	feed(ends[1], SPAN("\n"));
	close(ends[1]);
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return EXIT_NOT_RUN;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_SIGNALLED + WTERMSIG(status);
}
