/* A daemon of our own: see scratch.h. */

#include "ctl/scratch.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/xalloc.h"
#include "ctl/program.h"

#define LOOK_MS 10

struct scratch {
	pid_t pid;
	char folder[32];
	char *config;
	char *socket;
};

static void
scratch_free(struct scratch *s)
{
	unlink(s->config);
	unlink(s->socket);
	rmdir(s->folder);
	free(s->config);
	free(s->socket);
	free(s);
}

/** It must not listen where another one does. */
static bool
write_config(const struct scratch *s)
{
	FILE *f = fopen(s->config, "we");

	if (f == NULL)
		return false;
	fputs("[websocket]\nlisten = []\nmax_message = \"256MiB\"\n[log]\nfilter = \"error\"\n", f);
	return fclose(f) == 0;
}

/** Ours, without what is set for the daemon that is in use. */
static char **
environment(void)
{
	size_t n = 0, kept = 0;
	char **list;

	while (environ[n] != NULL)
		n++;
	list = xnew_n(n + 1, char *);
	for (size_t i = 0; i < n; i++)
		if (strncmp(environ[i], "SYSRT_", 6) != 0)
			list[kept++] = environ[i];
	return list;
}

/** A Ctrl-C is not for it: it is stopped when all is done. */
static int
run(struct scratch *s, const char *store)
{
	char *program = program_find_daemon(), **env = environment();
	char *argv[] = {program, xstrdup("--config"), s->config, xstrdup("--store"), xstrdup(store),
		xstrdup("--socket"), s->socket, NULL};
	posix_spawnattr_t apart;
	int failed;

	signal(SIGCHLD, SIG_DFL);
	posix_spawnattr_init(&apart);
	posix_spawnattr_setflags(&apart, POSIX_SPAWN_SETPGROUP);
	failed = posix_spawnp(&s->pid, program, NULL, &apart, argv, env);
	posix_spawnattr_destroy(&apart);
	free(argv[1]);
	free(argv[3]);
	free(argv[4]);
	free(argv[5]);
	free(program);
	free(env);
	return failed;
}

/** Until it answers, or has ended, which it has told why. */
static int
connect_to(struct ctl *c, struct scratch *s)
{
	int64_t until = clock_mono_ms() + c->timeout_ms;
	struct sysrt_error error;
	int status;

	while (sysrt_connect(s->socket, &c->sysrt, &error) != 0) {
		if (waitpid(s->pid, &status, WNOHANG) == s->pid) {
			s->pid = 0;
			return ctl_refuse("a daemon could not be started on that store");
		}
		if (clock_mono_ms() > until)
			return ctl_fail(&error);
		usleep(LOOK_MS * 1000);
	}
	return 0;
}

int
scratch_start(struct ctl *c, const char *store, struct scratch **out)
{
	struct scratch *s = xnew(struct scratch);
	int failed, status;

	snprintf(s->folder, sizeof(s->folder), "/tmp/sysrtctl.XXXXXX");
	if (mkdtemp(s->folder) == NULL) {
		free(s);
		return ctl_refuse("making a folder in /tmp: %s", strerror(errno));
	}
	s->config = xasprintf("%s/config.toml", s->folder);
	s->socket = xasprintf("%s/control.sock", s->folder);
	failed = write_config(s) ? run(s, store) : errno;
	if (failed != 0) {
		scratch_free(s);
		return ctl_refuse("running sysrtd: %s", strerror(failed));
	}
	ctl_disconnect(c);
	status = connect_to(c, s);
	if (status == 0)
		*out = s;
	else
		scratch_stop(c, s);
	return status;
}

int
scratch_stop(struct ctl *c, struct scratch *s)
{
	int status = 0;

	if (s == NULL)
		return 0;
	ctl_disconnect(c);
	if (s->pid > 0) {
		kill(s->pid, SIGTERM);
		while (waitpid(s->pid, &status, 0) < 0 && errno == EINTR)
			continue;
	}
	scratch_free(s);
	return status == 0 ? 0 : ctl_refuse("the daemon on that store did not end well");
}
