/* Ctrl-C and SIGTERM: see interrupt.h. */

#include "ctl/interrupt.h"

#include <signal.h>
#include <stddef.h>

#include "ctl/ctl.h"

static const int signals[] = {SIGINT, SIGTERM};
#define SIGNALS_N (sizeof(signals) / sizeof(signals[0]))

static volatile sig_atomic_t noted; /* the first one */
static volatile sig_atomic_t noted_n;

static void
on_signal(int signo)
{
	if (noted == 0)
		noted = signo;
	noted_n++;
}

void
interrupt_catch(void)
{
	struct sigaction action = {.sa_handler = on_signal}, before;

	for (size_t i = 0; i < SIGNALS_N; i++)
		if (sigaction(signals[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
			sigaction(signals[i], &action, NULL);
}

int
interrupt_status(void)
{
	return noted != 0 ? EXIT_SIGNALLED + noted : 0;
}

unsigned
interrupt_count(void)
{
	return (unsigned)noted_n;
}

static sigset_t
both(void)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < SIGNALS_N; i++)
		sigaddset(&set, signals[i]);
	return set;
}

void
interrupt_hold(void)
{
	sigset_t set = both();

	sigprocmask(SIG_BLOCK, &set, NULL);
}

void
interrupt_release(void)
{
	sigset_t set = both();

	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

int
interrupt_poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
	struct timespec timeout = {timeout_ms / 1000, timeout_ms % 1000 * 1000000L};
	sigset_t open;

	sigprocmask(SIG_SETMASK, NULL, &open);
	for (size_t i = 0; i < SIGNALS_N; i++)
		sigdelset(&open, signals[i]);
	return ppoll(fds, n, timeout_ms < 0 ? NULL : &timeout, &open);
}
