/* What must not be seen: see hidden.h. */

#include "ctl/hidden.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <termios.h>
#include <unistd.h>

#define LINE_BYTES 1024

static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP};
#define SIGNALS_N (sizeof(signals) / sizeof(signals[0]))

static volatile sig_atomic_t came; /* a signal */

void
hidden_begin(void)
{
	prctl(PR_SET_DUMPABLE, 0);
}

static void
on_signal(int signo)
{
	came = signo;
}

/** Reads to the end, or as much as there is room for; -1: errno says why not. */
static ssize_t
read_to_end(int fd, struct secret *s)
{
	size_t n = 0;
	ssize_t got;

	do {
		got = read(fd, s->bytes + n, s->n - n);
		n += got > 0 ? (size_t)got : 0;
	} while ((got > 0 && n < s->n) || (got < 0 && errno == EINTR));
	return got < 0 ? -1 : (ssize_t)n;
}

static int
check_size(const char *what, struct secret **s, size_t n)
{
	(*s)->n = n;
	if (n > 0 && n <= HIDDEN_MAX)
		return 0;
	secret_free(*s);
	*s = NULL;
	return n == 0 ? ctl_usage("%s is empty", what)
		      : ctl_usage("%s has more than %d bytes", what, HIDDEN_MAX);
}

static int
read_all(int fd, const char *what, bool drops_newline, struct secret **out)
{
	struct secret *s = secret_new(HIDDEN_MAX + 3); /* a newline, and one too many */
	ssize_t n = read_to_end(fd, s);
	int status;

	if (n < 0) {
		secret_free(s);
		return ctl_refuse("reading %s: %s", what, strerror(errno));
	}
	if (drops_newline && n > 0 && s->bytes[n - 1] == '\n') {
		n--;
		if (n > 0 && s->bytes[n - 1] == '\r')
			n--;
	}
	status = check_size(what, &s, (size_t)n);
	if (status == 0)
		*out = s;
	return status;
}

/** The terminal while nothing is shown, and what is waited with: signals come only then, so that
 * none comes just before. */
struct terminal {
	int fd;
	sigset_t before; /* the mask of signals */
};

/** A line of the terminal; the newline that nobody saw is printed. -1: the end, or a signal. */
static ssize_t
read_line(const struct terminal *t, const char *prompt, struct secret *s)
{
	struct pollfd wanted = {.fd = t->fd, .events = POLLIN};
	ssize_t n = -1;

	(void)!write(t->fd, prompt, strlen(prompt));
	while (came == 0 && ppoll(&wanted, 1, NULL, &t->before) < 0 && errno == EINTR)
		;
	if (came == 0)
		n = read(t->fd, s->bytes, s->n);
	(void)!write(t->fd, "\n", 1);
	if (n > 0 && s->bytes[n - 1] == '\n')
		return n - 1;
	return n > 0 && (size_t)n < s->n ? n : -1;
}

/** Both lines, with the echo turned off. */
static int
ask(const struct terminal *t, const char *prompt, const char *again, struct secret **out)
{
	struct secret *s = secret_new(LINE_BYTES), *second = secret_new(LINE_BYTES);
	ssize_t n = read_line(t, prompt, s), m = n;
	int status = 0;

	if (n >= 0 && again != NULL)
		m = read_line(t, again, second);
	if (came != 0)
		status = EXIT_SIGNALLED + came;
	else if (n < 0 || m < 0)
		status = ctl_usage("nothing was typed, or more than a line may hold");
	else if (n == 0)
		status = ctl_usage("nothing was typed");
	else if (again != NULL &&
		 (n != m || sodium_memcmp(s->bytes, second->bytes, (size_t)n) != 0))
		status = ctl_usage("the two are not the same");
	secret_free(second);
	s->n = n > 0 ? (size_t)n : 0;
	if (status != 0)
		secret_free(s);
	else
		*out = s;
	return status;
}

/** The echo comes back whatever happens. */
static int
read_terminal(int fd, const char *prompt, const char *again, struct secret **out)
{
	struct sigaction catch = {.sa_handler = on_signal}, before[SIGNALS_N];
	struct terminal t = {.fd = fd};
	struct termios shown, hidden;
	sigset_t blocked;
	int status;

	if (tcgetattr(fd, &shown) != 0)
		return ctl_refuse("the terminal: %s", strerror(errno));
	sigemptyset(&blocked);
	for (size_t i = 0; i < SIGNALS_N; i++)
		sigaddset(&blocked, signals[i]);
	sigprocmask(SIG_BLOCK, &blocked, &t.before);
	for (size_t i = 0; i < SIGNALS_N; i++)
		sigaction(signals[i], &catch, &before[i]);
	hidden = shown;
	hidden.c_lflag &= ~(tcflag_t)ECHO;
	tcsetattr(fd, TCSAFLUSH, &hidden);
	status = ask(&t, prompt, again, out);
	tcsetattr(fd, TCSAFLUSH, &shown);
	for (size_t i = 0; i < SIGNALS_N; i++)
		sigaction(signals[i], &before[i], NULL);
	sigprocmask(SIG_SETMASK, &t.before, NULL);
	return status;
}

int
hidden_read(const char *prompt, const char *again, struct secret **out)
{
	int fd, status;

	if (!isatty(STDIN_FILENO))
		return read_all(STDIN_FILENO, "standard input", true, out);
	fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return ctl_refuse("the terminal: %s", strerror(errno));
	status = read_terminal(fd, prompt, again, out);
	close(fd);
	return status;
}

int
hidden_read_file(const char *path, struct secret **out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), status;

	if (fd < 0)
		return ctl_refuse("%s: %s", path, strerror(errno));
	status = read_all(fd, path, false, out);
	close(fd);
	return status;
}
