/*
 * The load generator: a client of either door, of sysrtd or of a bare server
 * that understands as much of the protocol as the figure needs. Prints one line
 * of JSON.
 *
 *	bench_load MODE DOOR [key=value]...
 *
 * puts: conns= flight= seconds= existing= (0: only new ids; N: half of the puts
 *       go to one of the first N) first= (number of the first new id)
 * get:  conns= flight= seconds= existing=
 * ping: flight= seconds=
 * echo: flight= seconds=                        the same against a bare echo
 * fan:  subscribers= flight= seconds=          deliveries per second
 * paced: subscribers= rate= seconds=           put to subscriber's read
 * lines: count= first=                          prints records to import; DOOR is not looked at
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/bench/bench_lib.h"

#define FLIGHT_MAX  4096
#define SCRATCH_MAX (1 << 20)
#define OUT_MAX     (FLIGHT_MAX * 768)

enum mode { PUTS, GET, PING, ECHO, FAN, PACED, LINES, MODES };

static const char *const mode_names[MODES] = {
	[PUTS] = "puts",
	[GET] = "get",
	[PING] = "ping",
	[ECHO] = "echo",
	[FAN] = "fan",
	[PACED] = "paced",
	[LINES] = "lines",
};

/* One connection: an asker has requests in flight, a listener only reads. */
struct conn {
	int fd;
	bool is_listener;
	char *rest; /* the beginning of a message whose end has not come yet */
	size_t rest_n;
	char *out;
	size_t out_n;
	int64_t sent_ns[FLIGHT_MAX / 16];
};

static struct {
	enum mode mode;
	const char *door;
	bool websocket;
	unsigned conns, flight, seconds, subscribers, rate;
	uint64_t existing, first, count;
} opt = {.conns = 1, .flight = 1, .seconds = 3, .rate = 100};

static uint64_t rng = 42;
static uint64_t made;      /* new ids so far */
static uint64_t answered;  /* answers that were results */
static uint64_t refused;   /* answers that were errors */
static uint64_t delivered; /* changes that listeners read */
static uint64_t synced;
static bool stopping;
static struct hist latency;
static char scratch[SCRATCH_MAX];

static void
queue_text(struct conn *c, const char *text, size_t n)
{
	c->out_n += door_wrap(opt.websocket, text, n, c->out + c->out_n, OUT_MAX - c->out_n);
}

static uint64_t
pick_record(void)
{
	if (opt.existing != 0 && (opt.mode != PUTS || (rng_next(&rng) & 1)))
		return rng_next(&rng) % opt.existing;
	return opt.first + made++;
}

static void
ask(struct conn *c, unsigned slot)
{
	char text[768], id[27], data[RECORD_MAX];
	int64_t now = now_ns();
	int n;

	c->sent_ns[slot] = now;
	if (opt.mode == PING || opt.mode == ECHO) {
		n = snprintf(text, sizeof(text),
			"{\"jsonrpc\":\"2.0\",\"id\":%u,\"method\":\"ping\"}", slot);
	} else if (opt.mode == GET) {
		record_id(pick_record(), id);
		n = snprintf(text, sizeof(text),
			"{\"jsonrpc\":\"2.0\",\"id\":%u,\"method\":\"record.get\",\"params\":{\"category\":\"bench\",\"id\":\"%s\"}}",
			slot, id);
	} else if (opt.mode == PACED) {
		n = snprintf(text, sizeof(text),
			"{\"jsonrpc\":\"2.0\",\"id\":%u,\"method\":\"record.put\",\"params\":{\"category\":\"bench\",\"id\":\"p%llu\","
			"\"data\":{\"sent_ns\":%lld}}}",
			slot, (unsigned long long)(made++ % 1000), (long long)now);
	} else {
		record_id(pick_record(), id);
		record_data(rng_next(&rng), data, sizeof(data));
		n = snprintf(text, sizeof(text),
			"{\"jsonrpc\":\"2.0\",\"id\":%u,\"method\":\"record.put\",\"params\":{\"category\":\"bench\",\"id\":\"%s\",\"data\":%s}}",
			slot, id, data);
	}
	queue_text(c, text, (size_t)n);
}

static void
write_out(struct conn *c)
{
	size_t done = 0;

	while (done < c->out_n) {
		ssize_t n = write(c->fd, c->out + done, c->out_n - done);

		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0)
			die("write");
		done += (size_t)n;
	}
	memmove(c->out, c->out + done, c->out_n - done);
	c->out_n -= done;
}

/* {"jsonrpc":"2.0","id":N,"result"... or {"jsonrpc":"2.0","method":"change"... */
static void
on_answer(struct conn *c, const char *text, size_t n)
{
	unsigned slot = (unsigned)strtoul(text + 22, NULL, 10);
	const char *colon = memchr(text + 22, ',', n - 22);

	if (c->is_listener || slot >= opt.flight)
		return;
	if (colon == NULL || colon[2] != (opt.mode == ECHO ? 'm' : 'r')) {
		if (refused++ == 0)
			fprintf(stderr, "bench: refused: %.*s\n", (int)n, text);
	} else {
		answered++;
	}
	if (opt.mode == PACED)
		return;
	hist_add(&latency, now_ns() - c->sent_ns[slot]);
	if (!stopping)
		ask(c, slot);
}

static void
on_notification(struct conn *c, const char *text, size_t n)
{
	const char *sent;

	if (!c->is_listener || n < 40)
		return;
	if (text[27] == 's') {
		synced++;
		return;
	}
	if (text[27] != 'c')
		return;
	delivered++;
	if (opt.mode != PACED)
		return;
	sent = memmem(text, n, "\"sent_ns\":", 10);
	if (sent != NULL)
		hist_add(&latency, now_ns() - strtoll(sent + 10, NULL, 10));
}

static void
read_in(struct conn *c)
{
	size_t n = c->rest_n, at = 0, text_n, used;
	const char *text;
	ssize_t got;

	memcpy(scratch, c->rest, n);
	got = read(c->fd, scratch + n, SCRATCH_MAX - n - 1);
	if (got == 0 || (got < 0 && errno != EAGAIN))
		die("the server closed a connection");
	if (got < 0)
		return;
	n += (size_t)got;
	scratch[n] = '\0';
	while (door_next(opt.websocket, scratch + at, n - at, &text, &text_n, &used)) {
		if (text_n > 24 && text[18] == 'i')
			on_answer(c, text, text_n);
		else if (text_n > 24)
			on_notification(c, text, text_n);
		at += used;
	}
	c->rest_n = n - at;
	c->rest = realloc(c->rest, c->rest_n > 0 ? c->rest_n : 1);
	memcpy(c->rest, scratch + at, c->rest_n);
	if (!c->is_listener)
		write_out(c);
}

static struct conn *
open_conn(int ep, bool is_listener)
{
	struct conn *c = calloc(1, sizeof(*c));
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};

	if (c == NULL)
		die("memory");
	c->is_listener = is_listener;
	c->rest = malloc(1);
	c->out = malloc(is_listener ? 1024 : OUT_MAX);
	c->fd = door_connect(opt.door);
	if (epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e) != 0)
		die("epoll_ctl");
	return c;
}

static void
turn(int ep, int64_t until_ns)
{
	struct epoll_event ev[256];
	int64_t wait_ms = (until_ns - now_ns()) / 1000000 + 1;
	int n = epoll_wait(ep, ev, 256, wait_ms > 0 ? (int)wait_ms : 0);

	for (int i = 0; i < n; i++)
		read_in(ev[i].data.ptr);
}

static void
subscribe_all(int ep)
{
	static const char text[] =
		"{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"subscribe\",\"params\":{\"categories\":[\"bench\"]}}";

	for (unsigned i = 0; i < opt.subscribers; i++) {
		struct conn *c = open_conn(ep, true);

		c->out_n = door_wrap(opt.websocket, text, sizeof(text) - 1, c->out, 1024);
		write_out(c);
	}
	while (synced < opt.subscribers)
		turn(ep, now_ns() + 1000000000);
}

static void
run_closed_loop(int ep, struct conn **askers, int64_t end_ns)
{
	for (unsigned i = 0; i < opt.conns; i++) {
		for (unsigned k = 0; k < opt.flight; k++)
			ask(askers[i], k);
		write_out(askers[i]);
	}
	while (now_ns() < end_ns)
		turn(ep, end_ns);
}

static void
run_paced(int ep, struct conn *asker, int64_t end_ns)
{
	int64_t step = 1000000000 / opt.rate, next = now_ns();

	for (unsigned slot = 0; now_ns() < end_ns;) {
		if (now_ns() >= next) {
			ask(asker, slot);
			slot = (slot + 1) % (FLIGHT_MAX / 16);
			write_out(asker);
			next += step;
		}
		turn(ep, next);
	}
}

static void
print_lines(void)
{
	char id[27], data[RECORD_MAX];

	for (uint64_t i = opt.first; i < opt.first + opt.count; i++) {
		record_id(i, id);
		record_data(rng_next(&rng), data, sizeof(data));
		printf("{\"category\":\"bench\",\"id\":\"%s\",\"data\":%s}\n", id, data);
	}
}

static void
read_options(int argc, char **argv)
{
	char key[32];
	unsigned long long value;

	opt.mode = MODES;
	for (unsigned i = 0; argc > 2 && i < MODES; i++)
		if (strcmp(argv[1], mode_names[i]) == 0)
			opt.mode = (enum mode)i;
	if (opt.mode == MODES) {
		fprintf(stderr,
			"usage: bench_load puts|get|ping|echo|fan|paced|lines DOOR [key=value]...\n");
		exit(64);
	}
	opt.door = argv[2];
	opt.websocket = door_is_websocket(opt.door);
	for (int i = 3; i < argc; i++) {
		if (sscanf(argv[i], "%31[a-z]=%llu", key, &value) != 2)
			die(argv[i]);
		if (strcmp(key, "conns") == 0)
			opt.conns = (unsigned)value;
		else if (strcmp(key, "flight") == 0)
			opt.flight = (unsigned)value;
		else if (strcmp(key, "seconds") == 0)
			opt.seconds = (unsigned)value;
		else if (strcmp(key, "subscribers") == 0)
			opt.subscribers = (unsigned)value;
		else if (strcmp(key, "rate") == 0)
			opt.rate = (unsigned)value;
		else if (strcmp(key, "existing") == 0)
			opt.existing = value;
		else if (strcmp(key, "first") == 0)
			opt.first = value;
		else if (strcmp(key, "count") == 0)
			opt.count = value;
		else
			die(argv[i]);
	}
	if (opt.flight > FLIGHT_MAX / 16)
		die("flight is at most 256");
	if (opt.mode == PACED)
		opt.flight = FLIGHT_MAX / 16;
}

static void
report(double seconds)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	printf("{\"seconds\":%.3f,\"answers_per_s\":%.0f,\"refused\":%llu,\"deliveries_per_s\":%.0f,"
	       "\"p50_us\":%u,\"p99_us\":%u,\"max_us\":%u,\"new\":%llu,\"own_cpu_s\":%.2f}\n",
		seconds, (double)answered / seconds, (unsigned long long)refused,
		(double)delivered / seconds, hist_at(&latency, 0.5), hist_at(&latency, 0.99),
		latency.max_us, (unsigned long long)made,
		(double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
			(double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6);
}

int
main(int argc, char **argv)
{
	struct rlimit files;
	struct conn *askers[256];
	int64_t start, end;
	int ep = epoll_create1(EPOLL_CLOEXEC);

	read_options(argc, argv);
	if (opt.mode == LINES) {
		print_lines();
		return 0;
	}
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	subscribe_all(ep);
	if (opt.conns > 256)
		die("conns is at most 256");
	for (unsigned i = 0; i < opt.conns; i++)
		askers[i] = open_conn(ep, false);
	start = now_ns();
	end = start + (int64_t)opt.seconds * 1000000000;
	if (opt.mode == PACED)
		run_paced(ep, askers[0], end);
	else
		run_closed_loop(ep, askers, end);
	stopping = true;
	report((double)(now_ns() - start) / 1e9);
	return refused > 0;
}
