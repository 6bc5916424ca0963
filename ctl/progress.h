#pragma once
/* A bar on a terminal's standard error: how much is done, how fast, how long it still takes. */

#include <stdbool.h>
#include <stdint.h>

struct progress {
	bool shows;
	int64_t size; /* of the input in bytes; 0: unknown */
	int64_t start_us;
	int64_t shown_us;
};

/** Begins to count the time; shows nothing when is_quiet, or where standard error is no terminal.
 */
void progress_start(struct progress *p, int64_t size, bool is_quiet);
double progress_seconds(const struct progress *p);
/** Shows the bar, a few times a second. */
void progress_show(struct progress *p, uint64_t records, int64_t nbytes);
/** The same where nothing but bytes is counted; the size may change. */
void progress_show_bytes(struct progress *p, int64_t nbytes, int64_t size);
/** Makes room for a line of text; the bar comes again with the next progress_show(). */
void progress_clear(struct progress *p);
/** Shows it for the last time; is_whole: all of the input was read. */
void progress_end(struct progress *p, uint64_t records, bool is_whole);
