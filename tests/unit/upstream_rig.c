/* A scripted server and an upstream's diary: see upstream_rig.h. */

#include "tests/unit/upstream_rig.h"

#include <check.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/wire/ws.h"
#include "daemon/base/loop.h"

#define PATIENCE_US 60000000

struct loop *rig_loop;
struct net *rig_net;
struct upstreams *rig_upstreams;
struct rig_server rig_server;
struct rig_end rig_end;

static void
on_server(struct conn *c, enum conn_event event, struct span input)
{
	struct rig_server *s = list_item(c, struct rig_server, conn);

	switch (event) {
	case CONN_INPUT:
		buf_add_span(&s->input, input);
		break;
	case CONN_EOF:
	case CONN_FAILED:
		s->has_eof = true;
		break;
	case CONN_DRAINED:
	case CONN_SECURED:
	case CONN_NOT_TLS:
		break;
	}
}

static void
on_accept(void *arg)
{
	struct rig_server *s = arg;
	int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	if (s->has_conn)
		conn_fini(&s->conn);
	buf_reset(&s->input);
	conn_init(&s->conn, rig_net, fd, on_server);
	if (s->tls != NULL)
		conn_start_tls(&s->conn, s->tls, SPAN(""));
	s->has_conn = true;
	s->has_eof = false;
	s->accepted++;
}

static void
start_server(struct rig_server *s)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t n = sizeof(a);

	*s = (struct rig_server){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	ck_assert_int_eq(bind(s->fd, (struct sockaddr *)&a, sizeof(a)), 0);
	ck_assert_int_eq(listen(s->fd, 16), 0);
	ck_assert_int_eq(getsockname(s->fd, (struct sockaddr *)&a, &n), 0);
	s->port = ntohs(a.sin_port);
	s->watch = loop_watch_new(rig_loop, s->fd, on_accept, s);
	buf_init(&s->input, SIZE_MAX);
}

void
rig_set_up(void)
{
	rig_loop = loop_new();
	rig_net = net_new(rig_loop);
	rig_upstreams = upstreams_new(rig_loop, rig_net);
	start_server(&rig_server);
	rig_end = (struct rig_end){.retry_after_ms = -1};
	buf_init(&rig_end.diary, SIZE_MAX);
}

void
rig_tear_down(void)
{
	struct rig_server *s = &rig_server;

	upstream_free(rig_end.upstream);
	loop_watch_free(s->watch);
	close(s->fd);
	if (s->has_conn)
		conn_fini(&s->conn);
	buf_fini(&s->input);
	buf_fini(&rig_end.diary);
	upstreams_free(rig_upstreams);
	net_free(rig_net);
	loop_free(rig_loop);
}

static void
stop(void *arg)
{
	(void)arg;
	loop_stop(rig_loop);
}

void
rig_turn(void)
{
	loop_defer(rig_loop, stop, NULL);
	loop_run(rig_loop);
}

/** Turns until a text is in one of the buffers. */
static void
until_text(const struct buf *in, const char *text)
{
	int64_t until_us = clock_mono_us() + PATIENCE_US;

	while (in->n == 0 || memmem(in->p, in->n, text, strlen(text)) == NULL) {
		ck_assert_msg(clock_mono_us() < until_us, "\"%s\" does not come, but \"%.*s\"",
			text, (int)in->n, in->p);
		rig_turn();
	}
}

void
rig_until(bool (*is_so)(void))
{
	int64_t until_us = clock_mono_us() + PATIENCE_US;

	while (!is_so()) {
		ck_assert_int_lt(clock_mono_us(), until_us);
		rig_turn();
	}
}

void
rig_until_diary(const char *text)
{
	until_text(&rig_end.diary, text);
}

static bool
has_ended(void)
{
	return rig_end.has_ended;
}

void
rig_until_ended(void)
{
	rig_until(has_ended);
}

void
rig_until_input(const char *text)
{
	until_text(&rig_server.input, text);
}

static void
note_end(struct rig_end *c, const struct upstream_news *news)
{
	ck_assert(!c->has_ended);
	buf_addf(&c->diary, "ended:%u ", news->code);
	snprintf(c->why, sizeof(c->why), "%s", news->why);
	c->is_permanent = news->is_permanent;
	c->retry_after_ms = news->retry_after_ms;
	c->has_ended = true;
}

static void
on_news(void *arg, const struct upstream_news *news)
{
	static const char *const names[] = {
		[UPSTREAM_RESOLVED] = "resolved",
		[UPSTREAM_CONNECTED] = "connected",
		[UPSTREAM_SECURED] = "secured",
		[UPSTREAM_OPEN] = "open",
		[UPSTREAM_BATCH] = "batch",
		[UPSTREAM_DRAINED] = "drained",
		[UPSTREAM_PONG] = "pong",
	};
	struct rig_end *c = arg;
	void (*act)(struct rig_end *) = c->act;

	ck_assert_ptr_nonnull(c->upstream);
	if (news->event == UPSTREAM_ENDED)
		note_end(c, news);
	else if (news->event == UPSTREAM_MESSAGE)
		buf_addf(&c->diary, "%s:%.*s ", news->opcode == WS_TEXT ? "text" : "binary",
			SPAN_FMT(news->payload));
	else
		buf_addf(&c->diary, "%s ", names[news->event]);
	if (act == NULL || c->acts_at != news->event)
		return;
	c->act = NULL;
	act(c);
}

void
rig_open(const char *path, const struct upstream_wish *wish)
{
	struct upstream_wish w = wish != NULL ? *wish : (struct upstream_wish){.ca = NULL};
	char url[256];

	if (path[0] == '/')
		snprintf(url, sizeof(url), "%s://127.0.0.1:%u%s",
			rig_server.tls != NULL ? "wss" : "ws", rig_server.port, path);
	else
		snprintf(url, sizeof(url), "%s", path);
	w.url = span_of(url);
	if (w.max_message == 0)
		w.max_message = 1 << 20;
	rig_end.upstream = upstream_open(rig_upstreams, &w, on_news, &rig_end);
	memset(url, 'x', sizeof(url) - 1);
}

void
rig_say(struct span bytes)
{
	struct frame *f = frame_new(bytes, NULL);

	conn_send(&rig_server.conn, f);
	frame_unref(f);
}

void
rig_accept(const char *lines)
{
	char accept[WS_ACCEPT_SIZE], answer[2048];
	const char *key;

	rig_until_input("\r\n\r\n");
	buf_add_char(&rig_server.input, '\0');
	key = strstr(rig_server.input.p, "Sec-WebSocket-Key: ");
	ck_assert_ptr_nonnull(key);
	key += strlen("Sec-WebSocket-Key: ");
	ws_accept_key((struct span){key, strcspn(key, "\r")}, accept);
	snprintf(answer, sizeof(answer),
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
		"Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n%s\r\n",
		accept, lines);
	buf_reset(&rig_server.input);
	rig_say(span_of(answer));
}

void
rig_answer(const char *response)
{
	rig_until_input("\r\n\r\n");
	rig_say(span_of(response));
}

void
rig_hang_up(bool with_reset)
{
	struct linger now = {.l_onoff = 1};

	conn_flush(&rig_server.conn);
	if (with_reset)
		ck_assert_int_eq(
			setsockopt(rig_server.conn.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)),
			0);
	conn_fini(&rig_server.conn);
	rig_server.has_conn = false;
}

void
rig_open_one(void)
{
	rig_open("/", NULL);
	rig_accept("");
	rig_until_diary("open ");
}
