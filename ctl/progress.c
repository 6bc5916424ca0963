/* A progress bar: see progress.h. */

#include "ctl/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/clock.h"

#define SHOW_EVERY_US 200000
#define BAR_MIN       10
#define BAR_MAX       40
#define TEXT_SIZE     128
#define ANY_TERMINAL  80 /* columns, where one does not tell how many it has */

void
progress_start(struct progress *p, int64_t size, bool is_quiet)
{
	*p = (struct progress){.shows = !is_quiet && isatty(STDERR_FILENO) == 1,
		.size = size,
		.start_us = clock_mono_us()};
}

double
progress_seconds(const struct progress *p)
{
	return (double)(clock_mono_us() - p->start_us) / 1e6;
}

static int
terminal_width(void)
{
	struct winsize size;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
		return ANY_TERMINAL;
	return size.ws_col;
}

/** "4 s", "12:04", "1:00:07" */
static void
format_seconds(double seconds, char *out, size_t size)
{
	int64_t s = (int64_t)(seconds + 0.5);

	if (s < 60)
		snprintf(out, size, "%" PRId64 " s", s);
	else if (s < 3600)
		snprintf(out, size, "%" PRId64 ":%02" PRId64, s / 60, s % 60);
	else
		snprintf(out, size, "%" PRId64 ":%02" PRId64 ":%02" PRId64, s / 3600, s / 60 % 60,
			s % 60);
}

/** One line, never wider than the terminal. */
static void
draw(const struct progress *p, double share, const char *text)
{
	static const char full[] = "########################################";
	static const char empty[] = "----------------------------------------";
	int width = terminal_width() - 1, room = width - (int)strlen(text) - 3;
	int bar = room > BAR_MAX ? BAR_MAX : room, done = (int)(share * bar + 0.5);

	if (p->size > 0 && bar >= BAR_MIN)
		fprintf(stderr, "\r[%.*s%.*s] %s\033[K", done, full, bar - done, empty, text);
	else
		fprintf(stderr, "\r%.*s\033[K", width, text);
}

void
progress_show(struct progress *p, uint64_t records, int64_t nbytes)
{
	double seconds = progress_seconds(p), share = 0;
	char text[TEXT_SIZE], left[32];
	int n;

	if (!p->shows || clock_mono_us() - p->shown_us < SHOW_EVERY_US)
		return;
	p->shown_us = clock_mono_us();
	n = snprintf(text, sizeof(text), "%" PRIu64 " records, %.0f a second", records,
		(double)records / seconds);
	if (p->size > 0 && nbytes > 0) {
		share = nbytes < p->size ? (double)nbytes / (double)p->size : 1;
		format_seconds(seconds / share - seconds, left, sizeof(left));
		snprintf(text + n, sizeof(text) - (size_t)n, ", %.0f %%, %s left", 100 * share,
			left);
	}
	draw(p, share, text);
}

void
progress_show_bytes(struct progress *p, int64_t nbytes, int64_t size)
{
	double seconds = progress_seconds(p), share;
	char text[TEXT_SIZE], left[32];

	p->size = size;
	if (!p->shows || size <= 0 || nbytes <= 0 || clock_mono_us() - p->shown_us < SHOW_EVERY_US)
		return;
	p->shown_us = clock_mono_us();
	share = nbytes < size ? (double)nbytes / (double)size : 1;
	format_seconds(seconds / share - seconds, left, sizeof(left));
	snprintf(text, sizeof(text), "%.0f MiB a second, %.0f %%, %s left",
		(double)nbytes / seconds / (1 << 20), 100 * share, left);
	draw(p, share, text);
}

void
progress_clear(struct progress *p)
{
	if (p->shows && p->shown_us > 0)
		fputs("\r\033[K", stderr);
	p->shown_us = 0;
}

void
progress_end(struct progress *p, uint64_t records, bool is_whole)
{
	double seconds = progress_seconds(p);
	char text[TEXT_SIZE], taken[32];

	if (!p->shows)
		return;
	progress_clear(p);
	format_seconds(seconds, taken, sizeof(taken));
	snprintf(text, sizeof(text), "%" PRIu64 " records, %.0f a second, %s in all", records,
		seconds > 0 ? (double)records / seconds : 0, taken);
	if (is_whole)
		draw(p, 1, text);
	else
		fputs(text, stderr);
	fputc('\n', stderr);
}
