/*
 * The ceilings: bare programs that do only the essential work of a figure, to
 * be run beside sysrtd on the same machine in the same minute. Prints one line
 * of JSON (servers: the port or path when ready).
 *
 * store FILE batch= seconds= existing= first= count= given= messages=
 *	upserts in transactions of `batch`, synced, a checkpoint thread beside; with count= that
 *	many instead of so many seconds; with given=1 of what comes on standard input: category,
 *	id, name and data of each record, each with a NUL behind it; with messages=1 of what a
 *	feed would be sent, a message a line, which is parsed and mapped first
 * get FILE seconds= existing=
 *	point reads by one prepared statement
 * echo PATH
 *	lines back over a Unix socket
 * fanout
 *	WebSocket: what is put goes to all who subscribed
 *
 * FILE is a copy of a store that sysrtd made.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/json.h"
#include "common/json_pointer.h"
#include "tests/bench/bench_lib.h"

#define CHECKPOINT_PAGES 4000

static struct {
	unsigned batch, seconds, given, messages;
	uint64_t existing, first, count;
} opt = {.batch = 1, .seconds = 3};

static uint64_t rng = 42;
static uint64_t made;

static void
read_options(int argc, char **argv, int from)
{
	char key[32];
	unsigned long long value;

	for (int i = from; i < argc; i++) {
		if (sscanf(argv[i], "%31[a-z]=%llu", key, &value) != 2)
			die(argv[i]);
		if (strcmp(key, "batch") == 0)
			opt.batch = (unsigned)value;
		else if (strcmp(key, "seconds") == 0)
			opt.seconds = (unsigned)value;
		else if (strcmp(key, "given") == 0)
			opt.given = (unsigned)value;
		else if (strcmp(key, "messages") == 0)
			opt.messages = (unsigned)value;
		else if (strcmp(key, "existing") == 0)
			opt.existing = value;
		else if (strcmp(key, "first") == 0)
			opt.first = value;
		else if (strcmp(key, "count") == 0)
			opt.count = value;
		else
			die(argv[i]);
	}
}

/* SQLite. */

static void
sql_die(sqlite3 *db, const char *what)
{
	fprintf(stderr, "bench: %s: %s\n", what, sqlite3_errmsg(db));
	exit(1);
}

static sqlite3 *
db_open(const char *path, int64_t mmap_size)
{
	char pragma[64];
	sqlite3 *db;

	if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) !=
		SQLITE_OK)
		sql_die(db, path);
	snprintf(pragma, sizeof(pragma), "PRAGMA mmap_size=%lld", (long long)mmap_size);
	if (sqlite3_exec(db,
		    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-65536;"
		    "PRAGMA wal_autocheckpoint=0",
		    NULL, NULL, NULL) != SQLITE_OK ||
		sqlite3_exec(db, pragma, NULL, NULL, NULL) != SQLITE_OK)
		sql_die(db, "pragmas");
	return db;
}

static sqlite3_stmt *
db_prepare(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *st;

	if (sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &st, NULL) != SQLITE_OK)
		sql_die(db, sql);
	return st;
}

static int64_t
db_int(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *st = db_prepare(db, sql);
	int64_t v = sqlite3_step(st) == SQLITE_ROW ? sqlite3_column_int64(st, 0) : 0;

	sqlite3_finalize(st);
	return v;
}

static atomic_int log_pages;
static atomic_bool done;
static const char *db_path;

static int
on_commit(void *arg, sqlite3 *db, const char *name, int pages)
{
	(void)arg;
	(void)db;
	(void)name;
	atomic_store(&log_pages, pages);
	return SQLITE_OK;
}

/* Copies the log back whenever it has grown by CHECKPOINT_PAGES, like sysrtd's checkpointer. */
static void *
checkpoint_thread(void *arg)
{
	sqlite3 *db = db_open(db_path, 0);
	int copied = 0;

	(void)arg;
	while (!atomic_load(&done)) {
		int pages = atomic_load(&log_pages), in_log;

		if (pages < copied)
			copied = 0;
		if (pages - copied < CHECKPOINT_PAGES) {
			usleep(500);
			continue;
		}
		sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, &in_log, &copied);
	}
	sqlite3_close(db);
	return NULL;
}

static void
run_upsert(sqlite3 *db, sqlite3_stmt *st, int64_t seq)
{
	sqlite3_bind_int64(st, 1, seq);
	sqlite3_bind_int64(st, 6, 1764000000000 + seq);
	if (sqlite3_step(st) != SQLITE_DONE)
		sql_die(db, "upsert");
	sqlite3_reset(st);
}

static void
upsert_made(sqlite3 *db, sqlite3_stmt *st, int64_t seq)
{
	char id[27], data[RECORD_MAX];
	uint64_t i = opt.existing != 0 && (rng_next(&rng) & 1) ? rng_next(&rng) % opt.existing
							       : opt.first + made++;
	int n = record_data(rng_next(&rng), data, sizeof(data));

	record_id(i, id);
	sqlite3_bind_text(st, 2, "bench", 5, SQLITE_STATIC);
	sqlite3_bind_text(st, 3, id, 26, SQLITE_STATIC);
	sqlite3_bind_text(st, 4, id, 26, SQLITE_STATIC);
	sqlite3_bind_text(st, 5, data, n, SQLITE_STATIC);
	run_upsert(db, st, seq);
}

/* False at the end of the input. */
static bool
upsert_given(sqlite3 *db, sqlite3_stmt *st, int64_t seq)
{
	static char *texts[4];
	static size_t sizes[4];

	for (int i = 0; i < 4; i++) {
		ssize_t n = getdelim(&texts[i], &sizes[i], '\0', stdin);

		if (n < 0)
			return false;
		sqlite3_bind_text(st, 2 + i, texts[i], (int)n - 1, SQLITE_STATIC);
	}
	run_upsert(db, st, seq);
	return true;
}

static struct span
place_of(const char *pointer, struct json_value message)
{
	static struct json_pointer *known[8];
	static const char *names[8];
	struct json_value value;
	struct error error;
	int i = 0;

	while (names[i] != NULL && names[i] != pointer)
		i++;
	if (names[i] == NULL && json_pointer_new(span_of(pointer), &known[i], &error) != OK)
		die(pointer);
	names[i] = pointer;
	if (!json_pointer_find(known[i], message, &value))
		die(pointer);
	if (value.type == JSON_STRING)
		return (struct span){value.raw.p + 1, value.raw.n - 2};
	return value.raw;
}

/* A trade, as tests/run/market.py makes and maps it: each a record of its own. */
static bool
upsert_message(sqlite3 *db, sqlite3_stmt *st, int64_t seq)
{
	static char *line;
	static size_t size;
	ssize_t n = getline(&line, &size, stdin);
	struct json_value message;
	struct json_fault fault;
	struct span id, product;
	char name[128];
	int name_n;

	if (n < 0)
		return false;
	if (json_check((struct span){line, (size_t)n - 1}, JSON_DEPTH_MAX, &message, &fault) != OK)
		die(fault.what);
	if (span_is(place_of("/type", message), "match")) {
		id = place_of("/sequence", message);
		product = place_of("/product_id", message);
		name_n = snprintf(name, sizeof(name), "%.*s %.*s", SPAN_FMT(product), SPAN_FMT(id));
		sqlite3_bind_text(st, 2, "trades", 6, SQLITE_STATIC);
		sqlite3_bind_text(st, 3, id.p, (int)id.n, SQLITE_STATIC);
		sqlite3_bind_text(st, 4, name, name_n, SQLITE_STATIC);
		sqlite3_bind_text(st, 5, message.raw.p, (int)message.raw.n, SQLITE_STATIC);
		run_upsert(db, st, seq);
	}
	return true;
}

/* False at the end of what is given. */
static bool
upsert_next(sqlite3 *db, sqlite3_stmt *st, int64_t seq)
{
	if (opt.messages != 0)
		return upsert_message(db, st, seq);
	if (opt.given != 0)
		return upsert_given(db, st, seq);
	upsert_made(db, st, seq);
	return true;
}

static void
run_store(const char *path)
{
	sqlite3 *db = db_open(path, 0);
	sqlite3_stmt *begin = db_prepare(db, "BEGIN IMMEDIATE"), *commit = db_prepare(db, "COMMIT");
	sqlite3_stmt *put = db_prepare(db,
		"INSERT INTO records(seq, category, id, name, data, rev, created_at, updated_at) "
		"VALUES(?1, ?2, ?3, ?4, ?5, 1, ?6, ?6) ON CONFLICT(category, id) DO UPDATE SET "
		"seq = excluded.seq, name = excluded.name, data = excluded.data, rev = rev + 1, "
		"updated_at = excluded.updated_at");
	int64_t seq = db_int(db, "SELECT max(seq) FROM records"), start, end;
	struct hist commits = {0};
	uint64_t rows = 0;
	bool is_over = false, is_given = opt.given != 0 || opt.messages != 0;
	pthread_t checkpointer;

	db_path = path;
	sqlite3_wal_hook(db, on_commit, NULL);
	pthread_create(&checkpointer, NULL, checkpoint_thread, NULL);
	start = now_ns();
	end = start + (int64_t)opt.seconds * 1000000000;
	while (!is_over && (is_given || (opt.count > 0 ? rows < opt.count : now_ns() < end))) {
		int64_t from = now_ns();

		sqlite3_step(begin);
		sqlite3_reset(begin);
		for (unsigned i = 0; i < opt.batch && !is_over; i++, rows++)
			is_over = !upsert_next(db, put, ++seq);
		if (sqlite3_step(commit) != SQLITE_DONE)
			sql_die(db, "commit");
		sqlite3_reset(commit);
		if (atomic_load(&log_pages) > 65536)
			sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_RESTART, NULL, NULL);
		hist_add(&commits, now_ns() - from);
	}
	end = now_ns();
	atomic_store(&done, true);
	pthread_join(checkpointer, NULL);
	printf("{\"rows_per_s\":%.0f,\"batch\":%u,\"p50_us\":%u,\"p99_us\":%u,\"max_us\":%u,\"new\":%llu}\n",
		(double)rows / ((double)(end - start) / 1e9), opt.batch, hist_at(&commits, 0.5),
		hist_at(&commits, 0.99), commits.max_us, (unsigned long long)made);
}

static void
run_get(const char *path)
{
	sqlite3 *db = db_open(path, (int64_t)2 << 30);
	sqlite3_stmt *get = db_prepare(db,
		"SELECT seq, name, data, rev, created_at, updated_at, expires_at FROM records WHERE category = ?1 AND id = ?2");
	int64_t start = now_ns(), end = start + (int64_t)opt.seconds * 1000000000;
	uint64_t reads = 0, bytes = 0;
	char id[27];

	while (now_ns() < end) {
		record_id(rng_next(&rng) % opt.existing, id);
		sqlite3_bind_text(get, 1, "bench", 5, SQLITE_STATIC);
		sqlite3_bind_text(get, 2, id, 26, SQLITE_STATIC);
		if (sqlite3_step(get) != SQLITE_ROW)
			sql_die(db, "get");
		bytes += (uint64_t)sqlite3_column_bytes(get, 2);
		sqlite3_reset(get);
		reads++;
	}
	printf("{\"reads_per_s\":%.0f,\"bytes\":%llu}\n",
		(double)reads / ((double)(now_ns() - start) / 1e9), (unsigned long long)bytes);
}

/* Servers. */

struct client {
	int fd;
	bool subscribed;
	size_t n;
	char in[1 << 16];
};

static struct client *subscribers[20000];
static unsigned subscribers_n;
static char frames[1 << 20];
static size_t frames_n;
static uint64_t seq_no;

static size_t
server_frame(const char *text, size_t n, char *out)
{
	size_t head = 2;

	out[0] = (char)0x81;
	if (n < 126) {
		out[1] = (char)n;
	} else {
		out[1] = 126;
		out[2] = (char)(n >> 8);
		out[3] = (char)n;
		head = 4;
	}
	memcpy(out + head, text, n);
	return head + n;
}

/* What sysrtd would tell of this put, made of the put's own parameters. */
static void
add_change(const char *text, size_t n)
{
	static const char mark[] = "\"params\":{";
	const char *p = memmem(text, n, mark, sizeof(mark) - 1);
	char change[2048];
	int len;

	if (p == NULL)
		return;
	p += sizeof(mark) - 1;
	seq_no++;
	len = snprintf(change, sizeof(change),
		"{\"jsonrpc\":\"2.0\",\"method\":\"change\",\"params\":{\"subscription\":1,\"seq\":%llu,\"prev\":%llu,"
		"\"op\":\"put\",%.*s,\"name\":\"%.26s\",\"rev\":1,\"created_at\":1764000000000,\"updated_at\":1764000000000}}\n",
		(unsigned long long)seq_no, (unsigned long long)seq_no - 1, (int)(text + n - 2 - p),
		p, "abcdefghijklmnopqrstuvwxyz");
	frames_n += server_frame(change, (size_t)len, frames + frames_n);
}

static void
send_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);

		if (sent < 0 && errno == EAGAIN)
			continue; /* a closed loop: the reader is about to read */
		if (sent < 0)
			die("send");
		p += sent;
		n -= (size_t)sent;
	}
}

static void
on_text(struct client *c, const char *text, size_t n, char *replies, size_t *replies_n)
{
	char reply[256];
	unsigned id = (unsigned)strtoul(text + 22, NULL, 10);
	int len;

	if (memmem(text, n, "\"subscribe\"", 11) != NULL) {
		c->subscribed = true;
		subscribers[subscribers_n++] = c;
		len = snprintf(reply, sizeof(reply),
			"{\"jsonrpc\":\"2.0\",\"method\":\"synced\",\"params\":{\"subscription\":1,\"seq\":1}}");
	} else {
		add_change(text, n);
		len = snprintf(reply, sizeof(reply),
			"{\"jsonrpc\":\"2.0\",\"id\":%u,\"result\":{\"category\":\"bench\",\"seq\":%llu,\"rev\":1,\"created\":true}}",
			id, (unsigned long long)seq_no);
	}
	*replies_n += server_frame(reply, (size_t)len, replies + *replies_n);
}

static void
on_client(struct client *c)
{
	static char replies[1 << 20];
	size_t replies_n = 0, at = 0;
	ssize_t got = read(c->fd, c->in + c->n, sizeof(c->in) - c->n);

	if (got <= 0) {
		if (got == 0)
			exit(0);
		return;
	}
	c->n += (size_t)got;
	if (c->in[0] == 'G') {
		static const char answer[] =
			"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
			"Connection: Upgrade\r\n\r\n";

		if (memmem(c->in, c->n, "\r\n\r\n", 4) != NULL) {
			send_all(c->fd, answer, sizeof(answer) - 1);
			c->n = 0;
		}
		return;
	}
	frames_n = 0;
	for (;;) {
		unsigned char *u = (unsigned char *)c->in + at;
		size_t n = c->n - at, head = 6, len;

		if (n < 8)
			break;
		len = u[1] & 127;
		if (len == 126) {
			len = (size_t)u[2] << 8 | u[3];
			head = 8;
		}
		if (n < head + len)
			break;
		on_text(c, c->in + at + head, len, replies, &replies_n);
		at += head + len;
	}
	memmove(c->in, c->in + at, c->n - at);
	c->n -= at;
	send_all(c->fd, replies, replies_n);
	for (unsigned i = 0; frames_n > 0 && i < subscribers_n; i++)
		send_all(subscribers[i]->fd, frames, frames_n);
}

static void
on_echo(struct client *c)
{
	ssize_t got = read(c->fd, c->in, sizeof(c->in));

	if (got == 0)
		exit(0);
	if (got > 0)
		send_all(c->fd, c->in, (size_t)got);
}

static _Noreturn void
serve(int listener, void (*fn)(struct client *c))
{
	struct epoll_event e = {.events = EPOLLIN}, ev[256];
	int ep = epoll_create1(0), one = 1;

	epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e);
	for (;;) {
		int n = epoll_wait(ep, ev, 256, -1);

		for (int i = 0; i < n; i++) {
			struct client *c = ev[i].data.ptr;

			if (c != NULL) {
				fn(c);
				continue;
			}
			c = calloc(1, sizeof(*c));
			if (c == NULL)
				die("memory");
			c->fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
			if (c->fd < 0)
				die("accept");
			setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
			e.data.ptr = c;
			epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e);
		}
	}
}

static _Noreturn void
run_fanout(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, n) != 0 || listen(fd, 4096) != 0 ||
		getsockname(fd, (struct sockaddr *)&a, &n) != 0)
		die("listen");
	printf("%u\n", ntohs(a.sin_port));
	fflush(stdout);
	serve(fd, on_client);
}

static _Noreturn void
run_echo(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	unlink(path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0 || listen(fd, 16) != 0)
		die(path);
	printf("%s\n", path);
	fflush(stdout);
	serve(fd, on_echo);
}

int
main(int argc, char **argv)
{
	struct rlimit files;

	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	if (argc >= 2 && strcmp(argv[1], "fanout") == 0)
		run_fanout();
	if (argc < 3) {
		fprintf(stderr,
			"usage: bench_bare store|get|echo|fanout [FILE|PATH] [key=value]...\n");
		return 64;
	}
	read_options(argc, argv, 3);
	if (strcmp(argv[1], "store") == 0)
		run_store(argv[2]);
	else if (strcmp(argv[1], "get") == 0)
		run_get(argv[2]);
	else if (strcmp(argv[1], "echo") == 0)
		run_echo(argv[2]);
	return 0;
}
