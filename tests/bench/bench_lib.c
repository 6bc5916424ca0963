/*
 * See bench_lib.h.
 */

#include "tests/bench/bench_lib.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define HIST_KEEP 1000000

void
die(const char *what)
{
	fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
	exit(1);
}

int64_t
now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void
hist_add(struct hist *h, int64_t ns)
{
	uint32_t us = (uint32_t)(ns / 1000);

	if (us > h->max_us)
		h->max_us = us;
	if (h->us == NULL) {
		h->us = calloc(HIST_KEEP, sizeof(*h->us));
		h->stride = 1;
		if (h->us == NULL)
			die("memory");
	}
	if (++h->skipped < h->stride)
		return;
	h->skipped = 0;
	if (h->n == HIST_KEEP) {
		for (size_t i = 0; i < HIST_KEEP / 2; i++)
			h->us[i] = h->us[2 * i];
		h->n /= 2;
		h->stride *= 2;
	}
	h->us[h->n++] = us;
}

static int
by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

uint32_t
hist_at(struct hist *h, double share)
{
	if (h->n == 0)
		return 0;
	qsort(h->us, h->n, sizeof(*h->us), by_value);
	return h->us[(size_t)((double)(h->n - 1) * share)];
}

uint64_t
rng_next(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

void
record_id(uint64_t i, char out[27])
{
	static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
	uint64_t state = i, a = rng_next(&state), b = rng_next(&state);

	for (int k = 0; k < 13; k++, a >>= 5, b >>= 5) {
		out[k] = digits[a & 31];
		out[13 + k] = digits[b & 31];
	}
	out[26] = '\0';
}

int
record_data(uint64_t salt, char *out, size_t size)
{
	uint64_t s = salt, a = rng_next(&s), b = rng_next(&s);

	return snprintf(out, size,
		"{\"price\":\"%u.%02u\",\"size\":%u,\"side\":\"%s\",\"time\":\"2026-11-24T10:%02u:%02u.%06uZ\","
		"\"venue\":\"exchange-%u\",\"flags\":[\"live\",\"checked\"],\"note\":\"%016llx %016llx "
		"a few more words to fill the record up\",\"sequence\":%llu}",
		(unsigned)(a % 90000 + 10000), (unsigned)(b % 100), (unsigned)(a % 997),
		a & 1 ? "buy" : "sell", (unsigned)(b % 60), (unsigned)(a % 60),
		(unsigned)(b % 1000000), (unsigned)(a % 17), (unsigned long long)a,
		(unsigned long long)b, (unsigned long long)(salt % 100000000));
}

static int
connect_unix(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) != 0)
		die(path);
	return fd;
}

static int
connect_websocket(int port)
{
	static const char request[] =
		"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
		"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	char head[1024];
	size_t n = 0;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) != 0)
		die("connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (write(fd, request, sizeof(request) - 1) < 0)
		die("handshake");
	/* One byte at a time: what follows the head must stay in the socket. */
	while (n < 4 || memcmp(head + n - 4, "\r\n\r\n", 4) != 0) {
		if (n == sizeof(head) || read(fd, head + n, 1) != 1)
			die("handshake answer");
		n++;
	}
	if (strncmp(head, "HTTP/1.1 101", 12) != 0)
		die("handshake refused");
	return fd;
}

bool
door_is_websocket(const char *door)
{
	return strncmp(door, "ws:", 3) == 0;
}

int
door_connect(const char *door)
{
	int fd;

	if (door_is_websocket(door))
		fd = connect_websocket(atoi(door + 3));
	else if (strncmp(door, "unix:", 5) == 0)
		fd = connect_unix(door + 5);
	else
		die("a door is ws:PORT or unix:PATH");
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	return fd;
}

size_t
door_wrap(bool websocket, const char *text, size_t n, char *out, size_t size)
{
	size_t head = 0;

	if (n + 16 > size || n > UINT16_MAX)
		die("message too long");
	if (websocket) {
		out[head++] = (char)0x81;
		if (n < 126) {
			out[head++] = (char)(0x80 | n);
		} else {
			out[head++] = (char)(0x80 | 126);
			out[head++] = (char)(n >> 8);
			out[head++] = (char)n;
		}
		memset(out + head, 0, 4);
		head += 4;
	}
	memcpy(out + head, text, n);
	if (!websocket)
		out[head + n++] = '\n';
	return head + n;
}

static bool
next_frame(const char *p, size_t n, const char **text, size_t *text_n, size_t *used)
{
	const unsigned char *u = (const unsigned char *)p;
	uint64_t len;
	size_t head = 2;

	if (n < 2)
		return false;
	len = u[1] & 127;
	if (len == 126) {
		head = 4;
		if (n < head)
			return false;
		len = (uint64_t)u[2] << 8 | u[3];
	} else if (len == 127) {
		head = 10;
		if (n < head)
			return false;
		len = 0;
		for (int i = 2; i < 10; i++)
			len = len << 8 | u[i];
	}
	if (n - head < len)
		return false;
	*text = p + head;
	*text_n = len;
	*used = head + len;
	return true;
}

bool
door_next(bool websocket, const char *p, size_t n, const char **text, size_t *text_n, size_t *used)
{
	const char *end;

	if (websocket)
		return next_frame(p, n, text, text_n, used);
	end = memchr(p, '\n', n);
	if (end == NULL)
		return false;
	*text = p;
	*text_n = (size_t)(end - p);
	*used = *text_n + 1;
	return true;
}
