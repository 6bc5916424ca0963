/*
 * A client that sends as fast as it can, and one beside it that is modest.
 *
 *	bench_flood flood DOOR METHOD           until it is killed; reads the answers
 *	bench_flood modest DOOR METHOD rate seconds
 *
 * METHOD is ping or put. The modest one asks at its rate, one at a time, and prints how
 * long the answers took, each since it was to be asked.
 */

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/bench_lib.h"

#define REQUEST_MAX 1024
#define BLOB_SIZE   (64 * 1024)

static bool websocket;
static bool does_put;
static uint64_t made;
static char input[1 << 20];

/** A request, framed; returns its length. */
static size_t
make_request(char *out, size_t size)
{
	char text[REQUEST_MAX], id[27], data[RECORD_MAX];
	int n;

	record_id(made, id);
	record_data(made++, data, sizeof(data));
	n = does_put ? snprintf(text, sizeof(text),
			       "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"record.put\",\"params\":"
			       "{\"category\":\"bench\",\"id\":\"%s\",\"data\":%s}}",
			       id, data)
		     : snprintf(text, sizeof(text),
			       "{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"ping\"}");
	return door_wrap(websocket, text, (size_t)n, out, size);
}

static void
wait_for(int fd, short events)
{
	struct pollfd p = {.fd = fd, .events = events};

	if (poll(&p, 1, -1) < 0 && errno != EINTR)
		die("poll");
}

/** Takes what has come, whatever it is. */
static void
read_away(int fd)
{
	ssize_t n;

	while ((n = read(fd, input, sizeof(input))) > 0)
		;
	if (n == 0 || errno != EAGAIN)
		die("the server closed the connection");
}

static void
flood(int fd)
{
	static char blob[BLOB_SIZE];
	size_t n = 0, at = 0;

	for (;;) {
		ssize_t sent;

		if (at == n) {
			at = n = 0;
			while (n + REQUEST_MAX < sizeof(blob))
				n += make_request(blob + n, sizeof(blob) - n);
		}
		sent = write(fd, blob + at, n - at);
		if (sent < 0 && errno != EAGAIN)
			die("write");
		at += sent > 0 ? (size_t)sent : 0;
		read_away(fd);
		if (sent < 0)
			wait_for(fd, POLLIN | POLLOUT);
	}
}

static void
send_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t sent = write(fd, p, n);

		if (sent < 0 && errno != EAGAIN)
			die("write");
		if (sent < 0) {
			wait_for(fd, POLLOUT);
			continue;
		}
		p += sent;
		n -= (size_t)sent;
	}
}

/** Reads up to the next answer; it has to be a result. */
static void
await_answer(int fd)
{
	static size_t have;

	for (;;) {
		const char *text;
		size_t text_n, used;
		bool is_answer;
		ssize_t n;

		while (door_next(websocket, input, have, &text, &text_n, &used)) {
			is_answer =
				text_n > 24 && memcmp(text, "{\"jsonrpc\":\"2.0\",\"id\"", 21) == 0;
			if (is_answer && memmem(text, text_n, "\"result\"", 8) == NULL)
				die("refused");
			have -= used;
			memmove(input, input + used, have);
			if (is_answer)
				return;
		}
		wait_for(fd, POLLIN);
		n = read(fd, input + have, sizeof(input) - have);
		if (n == 0 || (n < 0 && errno != EAGAIN))
			die("the server closed the connection");
		have += n > 0 ? (size_t)n : 0;
	}
}

static void
sleep_until(int64_t ns)
{
	struct timespec t = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

static void
be_modest(int fd, int rate, int seconds)
{
	int64_t step = 1000000000 / rate, next = now_ns() + step;
	struct hist latency = {.us = NULL};
	char request[REQUEST_MAX + 16];

	for (int i = 0; i < rate * seconds; i++, next += step) {
		int64_t since = next;
		size_t n = make_request(request, sizeof(request));

		if (now_ns() < next) {
			sleep_until(next);
			since = now_ns();
		}
		send_all(fd, request, n);
		await_answer(fd);
		hist_add(&latency, now_ns() - since);
	}
	printf("{\"p50_us\":%u,\"p99_us\":%u,\"max_us\":%u}\n", hist_at(&latency, 0.5),
		hist_at(&latency, 0.99), latency.max_us);
}

int
main(int argc, char **argv)
{
	bool is_flood = argc == 4 && strcmp(argv[1], "flood") == 0;
	int fd;

	if (!is_flood && !(argc == 6 && strcmp(argv[1], "modest") == 0)) {
		fprintf(stderr, "usage: bench_flood flood DOOR ping|put\n"
				"       bench_flood modest DOOR ping|put RATE SECONDS\n");
		return 64;
	}
	websocket = door_is_websocket(argv[2]);
	does_put = strcmp(argv[3], "put") == 0;
	made = is_flood ? UINT64_C(1) << 32 : 0;
	fd = door_connect(argv[2]);
	if (is_flood)
		flood(fd);
	else
		be_modest(fd, atoi(argv[4]), atoi(argv[5]));
	return 0;
}
