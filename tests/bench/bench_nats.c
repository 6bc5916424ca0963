/*
 * The same fan-out as bench_load's, on nats-server's WebSocket: a publisher
 * keeps `flight` messages of the size of a change under way (it subscribes
 * itself; a message is done when it comes back) to `subscribers` others. Prints
 * one line of JSON.
 *
 *	bench_nats PORT subscribers= flight= seconds= size=
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/bench/bench_lib.h"

#define INPUT_MAX (1 << 20)

struct conn {
	int fd;
	bool is_publisher;
	bool is_ready; /* the PONG behind its SUB came */
	char *rest;    /* of a frame whose end has not come yet */
	size_t rest_n;
	size_t payload_left; /* of a message that is cut between frames */
	char line[128];      /* of a protocol line that is cut between frames */
	size_t line_n;
	char *out;
	size_t out_n;
};

static struct {
	unsigned long long subscribers, flight, seconds, size;
} opt = {.subscribers = 100, .flight = 64, .seconds = 3, .size = 400};

static uint64_t delivered, returned;
static unsigned ready;
static char input[INPUT_MAX];
static char publish[2048];
static size_t publish_n;

static void
queue_text(struct conn *c, const char *text, size_t n)
{
	c->out_n += door_wrap(true, text, n, c->out + c->out_n, INPUT_MAX - c->out_n);
}

static void
write_out(struct conn *c)
{
	ssize_t n = write(c->fd, c->out, c->out_n);

	if (n < 0 && errno != EAGAIN)
		die("write");
	if (n <= 0)
		return;
	memmove(c->out, c->out + n, c->out_n - (size_t)n);
	c->out_n -= (size_t)n;
}

static void
on_message(struct conn *c)
{
	if (!c->is_publisher) {
		delivered++;
		return;
	}
	returned++;
	queue_text(c, publish, publish_n);
}

/* "MSG subject sid bytes", "PONG", "PING", "INFO {...}" */
static void
on_line(struct conn *c)
{
	c->line[c->line_n] = '\0';
	if (strncmp(c->line, "MSG ", 4) == 0) {
		c->payload_left = strtoul(strrchr(c->line, ' '), NULL, 10) + 2;
	} else if (strncmp(c->line, "PONG", 4) == 0) {
		c->is_ready = true;
		ready++;
	} else if (strncmp(c->line, "PING", 4) == 0) {
		queue_text(c, "PONG\r\n", 6);
	} else if (strncmp(c->line, "-ERR", 4) == 0) {
		die(c->line);
	}
	c->line_n = 0;
}

static void
on_bytes(struct conn *c, const char *p, size_t n)
{
	while (n > 0) {
		if (c->payload_left > 0) {
			size_t part = n < c->payload_left ? n : c->payload_left;

			p += part;
			n -= part;
			c->payload_left -= part;
			if (c->payload_left == 0)
				on_message(c);
			continue;
		}
		if (*p == '\n')
			on_line(c);
		else if (*p != '\r' && c->line_n < sizeof(c->line) - 1)
			c->line[c->line_n++] = *p;
		p++;
		n--;
	}
}

static void
read_in(struct conn *c)
{
	size_t n = c->rest_n, at = 0, text_n, used;
	const char *text;
	ssize_t got;

	memcpy(input, c->rest, n);
	got = read(c->fd, input + n, INPUT_MAX - n);
	if (got == 0 || (got < 0 && errno != EAGAIN))
		die("the server closed a connection");
	if (got < 0)
		return;
	n += (size_t)got;
	while (door_next(true, input + at, n - at, &text, &text_n, &used)) {
		on_bytes(c, text, text_n);
		at += used;
	}
	c->rest_n = n - at;
	c->rest = realloc(c->rest, c->rest_n > 0 ? c->rest_n : 1);
	memcpy(c->rest, input + at, c->rest_n);
	if (c->out_n > 0)
		write_out(c);
}

static struct conn *
open_conn(int ep, const char *door, bool is_publisher)
{
	static const char hello[] =
		"CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"c\",\"version\":\"1\","
		"\"protocol\":1}\r\nSUB bench 1\r\nPING\r\n";
	struct conn *c = calloc(1, sizeof(*c));
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};

	if (c == NULL)
		die("memory");
	c->is_publisher = is_publisher;
	c->rest = malloc(1);
	c->out = malloc(is_publisher ? INPUT_MAX : 1024);
	c->fd = door_connect(door);
	c->out_n = door_wrap(true, hello, sizeof(hello) - 1, c->out, 1024);
	write_out(c);
	if (epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e) != 0)
		die("epoll_ctl");
	return c;
}

static void
turn(int ep, int wait_ms)
{
	struct epoll_event ev[256];
	int n = epoll_wait(ep, ev, 256, wait_ms);

	for (int i = 0; i < n; i++)
		read_in(ev[i].data.ptr);
}

static void
make_publish(void)
{
	int n = snprintf(publish, sizeof(publish), "PUB bench %llu\r\n", opt.size);

	if (n + opt.size + 2 > sizeof(publish))
		die("size");
	memset(publish + n, 'x', opt.size);
	memcpy(publish + n + opt.size, "\r\n", 2);
	publish_n = (size_t)n + opt.size + 2;
}

static void
read_options(int argc, char **argv)
{
	static const struct {
		const char *name;
		unsigned long long *value;
	} options[] = {
		{"subscribers", &opt.subscribers},
		{"flight",      &opt.flight     },
		{"seconds",     &opt.seconds    },
		{"size",        &opt.size       },
	};
	char key[32];
	unsigned long long value;

	for (int i = 2; i < argc; i++) {
		if (sscanf(argv[i], "%31[a-z]=%llu", key, &value) != 2)
			die(argv[i]);
		for (unsigned k = 0; k < sizeof(options) / sizeof(options[0]); k++)
			if (strcmp(key, options[k].name) == 0)
				*options[k].value = value;
	}
}

int
main(int argc, char **argv)
{
	struct rlimit files;
	struct conn *publisher;
	int64_t start, end;
	double seconds;
	char door[32];
	int ep = epoll_create1(EPOLL_CLOEXEC);

	if (argc < 2) {
		fprintf(stderr, "usage: bench_nats PORT [key=value]...\n");
		return 64;
	}
	read_options(argc, argv);
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	snprintf(door, sizeof(door), "ws:%s", argv[1]);
	make_publish();
	for (unsigned long long i = 0; i < opt.subscribers; i++)
		open_conn(ep, door, false);
	publisher = open_conn(ep, door, true);
	while (ready <= opt.subscribers)
		turn(ep, 1000);
	start = now_ns();
	end = start + (int64_t)opt.seconds * 1000000000;
	for (unsigned long long i = 0; i < opt.flight; i++)
		queue_text(publisher, publish, publish_n);
	write_out(publisher);
	while (now_ns() < end)
		turn(ep, 100);
	seconds = (double)(now_ns() - start) / 1e9;
	printf("{\"seconds\":%.3f,\"published_per_s\":%.0f,\"deliveries_per_s\":%.0f}\n", seconds,
		(double)returned / seconds, (double)delivered / seconds);
	return 0;
}
