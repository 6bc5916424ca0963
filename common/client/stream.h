#pragma once
/*
 * A TCP connection of a client, plain or with TLS. Opening blocks, with a time limit;
 * reading and writing never do. No signal is raised. One thread at a time.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/client/sysrt.h"
#include "common/url.h"

struct stream;

/** Tries all addresses of the host in turn. ca: see sysrt_options. until_us: monotonic. */
int stream_open(const struct url *url, const char *ca, int64_t until_us, struct stream **out,
	struct sysrt_error *error);
/** Says that nothing more will be said, as far as that goes at once. NULL is fine. */
void stream_close(struct stream *s);
int stream_fd(const struct stream *s);

/** How many bytes: at least 1; 0 when none are there now; -1 when it ended (CLOSED) or failed. */
ssize_t stream_read(struct stream *s, char *to, size_t n, struct sysrt_error *error);
/** The same; 0 when none are taken now. */
ssize_t stream_write(struct stream *s, const char *from, size_t n, struct sysrt_error *error);
/** True if there is something to be read that poll() does not know of. */
bool stream_has_pending(const struct stream *s);

/** Waits for one of poll()'s events: them; 0: the time is up; -1: it failed, or a signal came. */
int stream_poll(int fd, short events, int64_t until_us, struct sysrt_error *error);
