/*
 * An upstream at full speed, for the figure of feeds: a WebSocket server that says
 * each line of a file as a message, as fast as it is taken, to whoever comes; one
 * after the other. Prints its port when ready.
 *
 * usage: bench_feed FILE
 */

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/span.h"
#include "common/wire/ws.h"
#include "tests/bench/bench_lib.h"

#define HEAD_MAX 4096

/* All messages, as they go over the wire. */
static struct {
	char *p;
	size_t n;
	size_t cap;
} frames;

static void
add_bytes(const char *p, size_t n)
{
	if (frames.cap - frames.n < n) {
		frames.cap = 2 * frames.cap + n;
		frames.p = realloc(frames.p, frames.cap);
		if (frames.p == NULL)
			die("memory");
	}
	memcpy(frames.p + frames.n, p, n);
	frames.n += n;
}

static void
read_messages(const char *path)
{
	FILE *file = fopen(path, "r");
	char *line = NULL, head[WS_HEADER_MAX];
	size_t size = 0;
	ssize_t n;

	if (file == NULL)
		die(path);
	while ((n = getline(&line, &size, file)) > 0) {
		size_t text_n = (size_t)n - 1;

		add_bytes(head, ws_header(head, WS_TEXT, text_n));
		add_bytes(line, text_n);
	}
	free(line);
	fclose(file);
}

static void
send_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);

		if (sent < 0)
			return; /* it has gone: the next one comes */
		p += sent;
		n -= (size_t)sent;
	}
}

/* Reads the request; false: it is none. */
static bool
shake_hands(int fd)
{
	static const char mark[] = "Sec-WebSocket-Key: ";
	char head[HEAD_MAX + 1], accept[WS_ACCEPT_SIZE], answer[256];
	size_t n = 0;
	const char *key;
	int len;

	do {
		ssize_t got = read(fd, head + n, HEAD_MAX - n);

		if (got <= 0)
			return false;
		n += (size_t)got;
		head[n] = '\0';
	} while (strstr(head, "\r\n\r\n") == NULL);
	key = strcasestr(head, mark);
	if (key == NULL)
		return false;
	key += sizeof(mark) - 1;
	ws_accept_key((struct span){key, strcspn(key, "\r")}, accept);
	len = snprintf(answer, sizeof(answer),
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		"Sec-WebSocket-Accept: %s\r\n\r\n",
		accept);
	send_all(fd, answer, (size_t)len);
	return true;
}

static void
serve(int fd)
{
	char rest[HEAD_MAX];

	if (shake_hands(fd)) {
		send_all(fd, frames.p, frames.n);
		while (read(fd, rest, sizeof(rest)) > 0)
			;
	}
	close(fd);
}

int
main(int argc, char **argv)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t n = sizeof(a);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	if (argc != 2) {
		fprintf(stderr, "usage: bench_feed FILE\n");
		return 64;
	}
	read_messages(argv[1]);
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (listener < 0 || bind(listener, (struct sockaddr *)&a, n) != 0 ||
		listen(listener, 16) != 0 || getsockname(listener, (struct sockaddr *)&a, &n) != 0)
		die("listen");
	printf("%u\n", ntohs(a.sin_port));
	fflush(stdout);
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd >= 0)
			serve(fd);
		else if (errno != EINTR)
			die("accept");
	}
}
