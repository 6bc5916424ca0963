#pragma once
/*
 * What the bench programs share: a histogram of durations, test records, and
 * connecting and framing as a client of either door. A failure of the set-up
 * ends the program with a message.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

_Noreturn void die(const char *what);

/** Monotonic nanoseconds. */
int64_t now_ns(void);

/** Durations in microseconds, kept as they are up to a million of them, every k-th beyond. */
struct hist {
	uint32_t *us;
	size_t n;
	size_t stride;
	size_t skipped;
	uint32_t max_us;
};

void hist_add(struct hist *h, int64_t ns);
/** The value below which `share` (0 to 1) of them lie; sorts. */
uint32_t hist_at(struct hist *h, double share);

/** A small fast generator, the same in every program: runs can be repeated. */
uint64_t rng_next(uint64_t *state);

#define RECORD_MAX 512
/** The id of record number i: 26 characters in no order, the same for the same i. */
void record_id(uint64_t i, char out[27]);
/** About 235 bytes of JSON, different for every salt; returns the length. */
int record_data(uint64_t salt, char *out, size_t size);

/** A connected non-blocking socket. `door`: "unix:PATH" or "ws:PORT" (the handshake for /ws is
 * done). */
int door_connect(const char *door);
bool door_is_websocket(const char *door);
/** Wraps a message for sending: a line, or a client frame (masked with a zero key). Returns the
 * length. */
size_t door_wrap(bool websocket, const char *text, size_t n, char *out, size_t size);
/** The next whole message in p[0..n): its bytes, and in *used what it took up. False if there is
 * none yet. */
bool door_next(
	bool websocket, const char *p, size_t n, const char **text, size_t *text_n, size_t *used);
