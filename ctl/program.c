/* Running another program: see program.h. */

#include "ctl/program.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/xalloc.h"
#include "ctl/ctl.h"

#define PATH_BYTES 4096

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

/** Starts it with `in` as its standard input: 0 or an errno. */
static int
start(char **argv, int in, pid_t *child)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t how;
	sigset_t usual;
	int failed;

	sigemptyset(&usual);
	sigaddset(&usual, SIGPIPE);
	posix_spawnattr_init(&how);
	posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigdefault(&how, &usual);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
	failed = posix_spawnp(child, argv[0], &actions, &how, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&how);
	return failed;
}

static int
wait_for_end(pid_t child)
{
	int status = 0;

	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		continue;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_SIGNALLED + WTERMSIG(status);
}

bool
program_run(char **argv, const struct span *line, int *status)
{
	int ends[2] = {-1, -1}, failed;
	pid_t child;

	if (line != NULL && pipe2(ends, O_CLOEXEC) != 0) {
		ctl_refuse("making a pipe: %s", strerror(errno));
		return false;
	}
	failed = start(argv, line != NULL ? ends[0] : STDIN_FILENO, &child);
	if (line != NULL) {
		close(ends[0]);
		if (failed == 0) {
			feed(ends[1], *line);
			feed(ends[1], SPAN("\n"));
		}
		close(ends[1]);
	}
	if (failed == 0)
		*status = wait_for_end(child);
	else
		ctl_refuse("running %s: %s", argv[0], strerror(failed));
	return failed == 0;
}

char *
program_find_daemon(void)
{
	char self[PATH_BYTES], *beside, *slash;
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n <= 0)
		return xstrdup("sysrtd");
	self[n] = '\0';
	slash = strrchr(self, '/');
	beside = xasprintf("%.*s/sysrtd", slash != NULL ? (int)(slash - self) : 0, self);
	if (access(beside, X_OK) == 0)
		return beside;
	free(beside);
	return xstrdup("sysrtd");
}
