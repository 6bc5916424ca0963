/* The control socket: see control.h. */

#include "daemon/peer/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/rpc.h"
#include "common/xalloc.h"
#include "daemon/base/loop.h"
#include "daemon/guard/peercred.h"

struct control {
	struct peer peer;
	struct rpc_lines lines;
	uid_t uid;
	pid_t pid;
	int64_t next_beat_ms;
};

static struct control *
control_of(struct peer *p)
{
	return list_item(p, struct control, peer);
}

static void
control_free(void *arg)
{
	free(arg);
}

static void
control_end(struct control *c)
{
	struct loop *loop = peers_loop(c->peer.peers);

	if (c->peer.is_gone)
		return;
	log_debug("control", "connection closed", F_INT("session", c->peer.caller.id));
	peer_fini(&c->peer);
	rpc_lines_fini(&c->lines);
	loop_defer(loop, control_free, c);
}

static void
refuse_line(struct control *c)
{
	struct error error = ERROR_NONE;

	error_set_limit(&error, "websocket.max_message",
		"the line is longer than %zu bytes (websocket.max_message)", c->lines.max);
	peer_reach(&c->peer, error.limit.name);
	peer_refuse(&c->peer, &error);
}

static void
run_line(struct control *c, struct span line)
{
	peer_message(&c->peer, line);
	if (c->peer.had_secret)
		rpc_lines_wipe(&c->lines);
	c->peer.had_secret = false;
}

/** Runs the lines that are there, until there are none or the peer is full. */
static void
run_lines(struct control *c)
{
	struct span line;

	while (!peer_hold_if_full(&c->peer)) {
		enum rpc_line what = rpc_lines_next(&c->lines, c->peer.at_end, &line);

		if (what == RPC_LINE_NONE)
			break;
		if (what == RPC_LINE)
			run_line(c, line);
		else
			refuse_line(c);
	}
	if (peer_is_done(&c->peer))
		control_end(c);
	else
		peer_keep_input(&c->peer, rpc_lines_held(&c->lines));
}

static void
on_input(struct control *c, struct span input)
{
	char *room = rpc_lines_room(&c->lines, input.n);

	if (room == NULL) {
		control_end(c);
		return;
	}
	memcpy(room, input.p, input.n);
	rpc_lines_filled(&c->lines, input.n);
	run_lines(c);
}

static void
on_conn(struct conn *conn, enum conn_event event, struct span input)
{
	struct control *c = control_of(list_item(conn, struct peer, conn));

	switch (event) {
	case CONN_INPUT:
		c->peer.caller.passed_fd = conn->passed_fd;
		on_input(c, input);
		break;
	case CONN_EOF:
		c->peer.at_end = true;
		run_lines(c);
		break;
	case CONN_DRAINED:
		subscriber_drained(&c->peer.subscriber);
		peer_check_room(&c->peer);
		break;
	case CONN_FAILED:
	case CONN_NOT_TLS: /* it never has TLS */
	case CONN_SECURED:
		control_end(c);
		break;
	}
}

static void
on_resume(struct peer *p)
{
	struct control *c = control_of(p);

	run_lines(c);
	if (!p->is_gone && !p->is_held && !p->at_end)
		conn_resume(&p->conn);
}

/** What came in and was not run is given up. */
static void
drop_input(struct control *c)
{
	size_t max = c->lines.max;

	rpc_lines_fini(&c->lines);
	rpc_lines_init(&c->lines, max);
	peer_keep_input(&c->peer, 0);
}

static void
on_close(struct peer *p, unsigned close_code, const char *reason)
{
	struct control *c = control_of(p);
	struct buf params;
	struct json_out o;

	(void)close_code;
	buf_init(&params, 1024);
	o = json_out_start(&params);
	json_begin_object(&o, NULL);
	json_put_str(&o, "reason", reason);
	json_end_object(&o);
	/* Only who listens expects messages that answer nothing. */
	if (p->subscriber.subscriptions_n > 0)
		peer_notify(p, "closing", buf_span(&params));
	buf_fini(&params);
	subscriber_fini(&p->subscriber);
	drop_input(c);
	conn_pause(&p->conn);
	p->at_end = true;
	if (peer_is_done(p))
		control_end(c); /* else it goes when all is answered and written */
}

static void
on_abandon(struct peer *p)
{
	control_end(control_of(p));
}

static void
on_look(struct peer *p, int64_t now_ms)
{
	const struct conf *conf = peers_api(p->peers)->conf;
	struct control *c = control_of(p);

	if (conn_unsent(&p->conn) > 0 &&
		now_ms - p->conn.progress_ms > conf->websocket.stall_timeout_ms) {
		log_debug("control", "connection stalled", F_INT("session", p->caller.id));
		peer_reach(p, "websocket.stall_timeout");
		control_end(c);
		return;
	}
	if (peer_is_done(p)) {
		control_end(c);
		return;
	}
	if (now_ms >= c->next_beat_ms) {
		c->next_beat_ms = now_ms + conf->websocket.heartbeat_ms;
		subscriber_beat(&p->subscriber);
	}
}

static void
on_describe(struct peer *p, char out[AUDIT_WHO_SIZE])
{
	const struct control *c = control_of(p);

	snprintf(out, AUDIT_WHO_SIZE, "uid %u pid %d", (unsigned)c->uid, (int)c->pid);
}

static void
on_add_status(struct peer *p, struct json_out *o)
{
	json_put_str(o, "door", "control");
	json_put_int(o, "uid", control_of(p)->uid);
	json_put_int(o, "pid", control_of(p)->pid);
}

static const struct peer_ops ops = {
	on_resume, on_close, on_abandon, NULL, on_look, on_describe, on_add_status};

/** One line, and the connection is over: there is no peer yet. What was sent already is read, else
 * the other end could be told of a reset instead of the reason. */
static void
refuse(int fd, const struct error *error)
{
	char unread[4096];
	struct buf line;

	buf_init(&line, 4096);
	rpc_add_error(&line, SPAN("null"), error);
	buf_add_char(&line, '\n');
	if (send(fd, line.p, line.n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		log_debug("control", "a refusal could not be written", F_INT("errno", errno));
	log_info("control", "connection refused", F_ERROR(error));
	buf_fini(&line);
	if (recv(fd, unread, sizeof(unread), MSG_DONTWAIT) < 0 && errno != EAGAIN)
		log_debug("control", "the other end is gone", F_INT("errno", errno));
	close(fd);
}

struct uid_count {
	uid_t uid;
	unsigned n;
};

static void
count_uid(struct peer *p, void *arg)
{
	struct uid_count *count = arg;

	if (p->caller.kind == ORIGIN_CONTROL && control_of(p)->uid == count->uid)
		count->n++;
}

/** What he may do, if he may come in; else he is told why not. */
static enum err
check_entry(
	struct peers *ps, const struct peercred *who, struct scopes **scopes, struct error *error)
{
	const struct conf *conf = peers_api(ps)->conf;
	struct uid_count count = {.uid = who->uid};

	peers_each(ps, count_uid, &count);
	if ((int64_t)count.n >= conf->control.max_per_uid)
		return error_set_limit(error, "control.max_per_uid",
			"uid %u has %u connections, the most it may have (control.max_per_uid)",
			(unsigned)who->uid, count.n);
	return peercred_judge(who, conf, scopes, error);
}

static void
open_control(struct peers *ps, int fd, const struct peercred *who, struct scopes *scopes)
{
	struct api *api = peers_api(ps);
	struct control *c = xnew(struct control);

	c->uid = who->uid;
	c->pid = who->pid;
	rpc_lines_init(&c->lines, (size_t)api->conf->websocket.max_message);
	c->next_beat_ms = loop_now_ms(api->loop) + api->conf->websocket.heartbeat_ms;
	peer_init(&c->peer, ps, ORIGIN_CONTROL, fd, on_conn, &ops);
	peer_grant(&c->peer, scopes);
	conn_accept_fds(&c->peer.conn);
	conn_prefer(&c->peer.conn); /* who administrates is heard above the crowd */
	log_debug("control", "connection opened", F_INT("session", c->peer.caller.id),
		F_INT("uid", who->uid), F_INT("pid", who->pid));
}

static void
note_refusal(struct peers *ps, const struct peercred *who, const struct error *error)
{
	char text[AUDIT_WHO_SIZE];

	snprintf(text, sizeof(text), "uid %u pid %d", (unsigned)who->uid, (int)who->pid);
	bounds_reach_name(peers_api(ps)->bounds, error->limit.name, clock_mono_ms(), 0);
	audit_note(peers_api(ps)->audit,
		&(struct audit_entry){
			.what = "connect", .who = text, .result = error->code, .error = error},
		clock_wall_ms());
}

void
control_accept(struct peers *ps, int fd)
{
	struct error error = ERROR_NONE;
	struct scopes *scopes = NULL;
	struct peercred who = {.groups = NULL};
	enum err e = peercred_read(fd, &who, &error);

	if (e == OK)
		e = check_entry(ps, &who, &scopes, &error);
	if (e == OK)
		open_control(ps, fd, &who, scopes);
	else
		note_refusal(ps, &who, &error);
	if (e != OK)
		refuse(fd, &error);
	scopes_unref(scopes);
	peercred_fini(&who);
}

/** What he may do may be something else now, or nothing. */
static void
judge_anew(struct peer *p, void *arg)
{
	struct error error = ERROR_NONE;
	struct scopes *scopes = NULL;
	struct peercred who = {.groups = NULL};
	enum err e;

	(void)arg;
	if (p->caller.kind != ORIGIN_CONTROL)
		return;
	e = peercred_read(p->conn.fd, &who, &error);
	if (e == OK)
		e = peercred_judge(&who, peers_api(p->peers)->conf, &scopes, &error);
	peer_grant(p, scopes);
	if (e != OK) /* not at once: it may be his own request that is under way */
		peer_dismiss(p, "the configuration has changed, and he may not come in any more");
	scopes_unref(scopes);
	peercred_fini(&who);
}

void
control_reload(struct peers *ps)
{
	peers_each(ps, judge_anew, NULL);
}
