/*
 * WebSockets to a daemon: see remote.h. What is to be sent waits in one buffer, answers
 * of the codec among it, so that no frame is ever torn.
 */

#include "common/client/remote.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/client/fail.h"
#include "common/client/stream.h"
#include "common/clock.h"
#include "common/url.h"
#include "common/wire/handshake.h"
#include "common/wire/ws.h"
#include "common/xalloc.h"

#define MESSAGE_MAX ((size_t)256 << 20)
#define READ_SIZE   16384
#define PART_SIZE   65536             /* of a message, at once into the lines */
#define OUT_KEPT    ((size_t)1 << 20) /* memory of what was sent that is not given back */
#define BEAT_US     INT64_C(30000000)
#define BEATS_MAX   3 /* without an answer */

/* Codes of the daemon's closes that are told by an error of their own. */
#define CLOSE_UNAUTHENTICATED 4101
#define CLOSE_DENIED          4103

struct remote {
	struct stream *stream;
	struct ws_pool *pool;
	struct ws *ws;
	struct buf out; /* framed, from `sent` on not written yet */
	size_t sent;
	struct rpc_lines *lines; /* of the read under way */
	bool is_open;
	bool is_full;        /* there was no memory for a line */
	int64_t beat_us;     /* when the next ping is due */
	unsigned unanswered; /* pings since something came */
	uint16_t code;       /* of the daemon's close; 0: none came */
	char reason[128];    /* ... and why */
	size_t early_n;      /* bytes in `input` that came behind the handshake */
	char input[READ_SIZE];
};

/** True of an answer that is another one after a while: the daemon, or what is before it, has just
 * begun, or is about to end. */
static bool
is_passing(const struct handshake *h)
{
	int status = handshake_status(h);

	return (status >= 500 && !handshake_is_permanent(h)) || status == 408 || status == 425;
}

/** What an answer to the handshake that is no 101 means. */
static int
fail_refused(const struct handshake *h, struct sysrt_error *error)
{
	char text[SYSRT_TEXT_MAX];

	switch (handshake_status(h)) {
	case 401:
		return fail_code(error, ERR_UNAUTHENTICATED, handshake_why(h));
	case 403:
		return fail_code(error, ERR_PERMISSION_DENIED, handshake_why(h));
	case 429:
		return fail_code(error, ERR_RATE_LIMITED, handshake_why(h));
	case 301:
	case 302:
	case 303:
	case 307:
	case 308:
		if (handshake_location(h).n == 0)
			break;
		snprintf(text, sizeof(text), "the server redirects to %.*s: that is not followed",
			SPAN_FMT(handshake_location(h)));
		return fail_code(error, ERR_INVALID_ARGUMENT, text);
	case 0:
		return fail_closed(error, handshake_why(h));
	default:
		break;
	}
	return fail_code(
		error, is_passing(h) ? ERR_UNAVAILABLE : ERR_INVALID_ARGUMENT, handshake_why(h));
}

/** Asks for the WebSocket; what comes is to be read by what is returned. */
static struct handshake *
ask(struct remote *r, const struct url *url, const char *token)
{
	static const char *const protocols[] = {"sysrt.v1"};
	char authority[URL_AUTHORITY_SIZE], key[HANDSHAKE_KEY_SIZE];
	struct handshake_wish wish = {
		.target = span_of(url->target), .protocols = protocols, .protocols_n = 1};
	unsigned char random[16];
	struct buf lines;

	must(getrandom(random, sizeof(random), 0) == sizeof(random));
	handshake_key(random, key);
	url_authority(url, authority);
	wish.authority = span_of(authority);
	buf_init(&lines, SIZE_MAX);
	lines.wipes = true;
	if (token != NULL)
		buf_addf(&lines, "Authorization: Bearer %s\r\n", token);
	wish.headers = buf_span(&lines);
	handshake_add_request(&r->out, &wish, key);
	buf_fini(&lines);
	return handshake_new(&wish, key);
}

static int
wait_for(struct remote *r, short events, int64_t until_us, struct sysrt_error *error)
{
	int ready = stream_poll(stream_fd(r->stream), events, until_us, error);

	if (ready == 0)
		return fail_code(error, ERR_TIMEOUT,
			"the server does not answer the handshake in time (--timeout)");
	return ready < 0 ? -1 : 0;
}

/** Reads the response; what is behind it is the first frames'. */
static int
read_response(struct remote *r, struct handshake *h, int64_t until_us, struct sysrt_error *error)
{
	enum handshake_state state = HANDSHAKE_READING;
	size_t used = 0;
	ssize_t n = 0;

	while (state == HANDSHAKE_READING) {
		n = stream_read(r->stream, r->input, sizeof(r->input), error);
		if (n > 0) {
			state = handshake_take(h, (struct span){r->input, (size_t)n}, &used);
		} else if (n < 0) {
			state = handshake_end(h);
		} else if (wait_for(r, POLLIN, until_us, error) != 0) {
			if (handshake_status(h) == 0)
				return -1;
			state = handshake_end(h); /* a refusal whose text does not come */
		}
	}
	if (state != HANDSHAKE_OPEN)
		return fail_refused(h, error);
	if (handshake_protocol(h).n == 0)
		return fail_code(error, ERR_INVALID_ARGUMENT,
			"there is a WebSocket, but not sysrt's (it does not speak sysrt.v1)");
	r->early_n = (size_t)n - used;
	memmove(r->input, r->input + used, r->early_n);
	return 0;
}

static int
shake(struct remote *r, const struct url *url, const char *token, int64_t until_us,
	struct sysrt_error *error)
{
	struct handshake *h = ask(r, url, token);
	int done;

	while ((done = remote_flush(r, error)) == 0 && wait_for(r, POLLOUT, until_us, error) == 0)
		;
	if (done == 1)
		done = read_response(r, h, until_us, error);
	else
		done = -1;
	handshake_free(h);
	return done;
}

/** What a URL means: without a path it is the daemon's. */
static int
read_url(const char *text, const struct sysrt_options *options, struct url *url,
	struct sysrt_error *error)
{
	struct error why = ERROR_NONE;

	if (url_parse(span_of(text), url, &why) != OK ||
		(options->token != NULL && handshake_check_header(SPAN("Authorization"),
						   span_of(options->token), &why) != OK))
		return fail_with(error, &why);
	if (strcmp(url->target, "/") == 0)
		strcpy(url->target, "/ws");
	return 0;
}

int
remote_open(const char *url, const struct sysrt_options *options, int64_t until_us,
	struct remote **out, struct sysrt_error *error)
{
	struct stream *stream = NULL;
	struct remote *r;
	struct url u;

	if (read_url(url, options, &u, error) != 0 ||
		stream_open(&u, options->ca, until_us, &stream, error) != 0)
		return -1;
	r = xnew(struct remote);
	r->stream = stream;
	r->pool = ws_pool_new(WS_CLIENT, MESSAGE_MAX, 0);
	r->ws = ws_open(r->pool);
	buf_init(&r->out, 2 * MESSAGE_MAX);
	r->out.wipes = true;
	if (shake(r, &u, options->token, until_us, error) != 0) {
		remote_close(r);
		return -1;
	}
	r->beat_us = clock_mono_us() + BEAT_US;
	r->is_open = true;
	*out = r;
	return 0;
}

void
remote_close(struct remote *r)
{
	unsigned char mask[WS_MASK_SIZE];
	struct sysrt_error ignored;

	if (r == NULL)
		return;
	if (r->is_open && !ws_is_over(r->ws)) {
		must(getrandom(mask, sizeof(mask), 0) == sizeof(mask));
		ws_add_masked_close(&r->out, 1000, SPAN(""), mask);
		remote_flush(r, &ignored);
	}
	stream_close(r->stream);
	ws_close(r->pool, &r->ws);
	ws_pool_free(r->pool);
	buf_fini(&r->out);
	free(r);
}

int
remote_fd(const struct remote *r)
{
	return stream_fd(r->stream);
}

/** A message becomes a line; line feeds in it are white space. */
static void
add_line(struct remote *r, struct span message)
{
	char *room;

	for (size_t n; message.n > 0; message = (struct span){message.p + n, message.n - n}) {
		n = message.n < PART_SIZE ? message.n : PART_SIZE;
		room = rpc_lines_room(r->lines, n);
		if (room == NULL)
			break;
		for (size_t i = 0; i < n; i++)
			room[i] = message.p[i] == '\n' ? ' ' : message.p[i];
		rpc_lines_filled(r->lines, n);
	}
	room = rpc_lines_room(r->lines, 1);
	r->is_full |= message.n > 0 || room == NULL;
	if (room == NULL)
		return;
	room[0] = '\n';
	rpc_lines_filled(r->lines, 1);
}

static void
on_message(void *arg, enum ws_opcode opcode, struct span payload, uint16_t code)
{
	struct remote *r = arg;

	if (opcode == WS_TEXT)
		add_line(r, payload);
	if (opcode != WS_CLOSE)
		return;
	r->code = code;
	snprintf(r->reason, sizeof(r->reason), "%.*s", SPAN_FMT(payload));
}

/** The daemon said a close, or broke the rules. */
static int
fail_over(const struct remote *r, struct sysrt_error *error)
{
	const char *reason = r->reason[0] != '\0' ? r->reason : "the daemon closed the connection";
	char text[SYSRT_TEXT_MAX];

	switch (r->code) {
	case 0:
		snprintf(text, sizeof(text), "the daemon breaks the rules of WebSocket: %s",
			ws_why(r->ws));
		return fail_closed(error, text);
	case 1009:
		return fail_code(error, ERR_LIMIT_EXCEEDED, reason);
	case CLOSE_UNAUTHENTICATED:
		return fail_code(error, ERR_UNAUTHENTICATED, reason);
	case CLOSE_DENIED:
		return fail_code(error, ERR_PERMISSION_DENIED, reason);
	default:
		return fail_closed(error, reason);
	}
}

int
remote_read(struct remote *r, struct rpc_lines *lines, struct sysrt_error *error)
{
	ssize_t n = (ssize_t)r->early_n;

	if (ws_is_over(r->ws))
		return fail_over(r, error);
	if (n == 0)
		n = stream_read(r->stream, r->input, sizeof(r->input), error);
	if (n <= 0)
		return (int)n;
	r->early_n = 0;
	r->unanswered = 0;
	r->lines = lines;
	ws_feed(r->ws, (struct span){r->input, (size_t)n}, on_message, r, &r->out);
	r->lines = NULL;
	if (r->is_full)
		return fail_code(error, ERR_LIMIT_EXCEEDED, "the daemon's message is too large");
	return remote_flush(r, error) < 0 ? -1 : 0;
}

bool
remote_has_pending(const struct remote *r)
{
	return r->early_n > 0 || ws_is_over(r->ws) || stream_has_pending(r->stream);
}

static void
queue(struct remote *r, enum ws_opcode opcode, struct span payload)
{
	unsigned char mask[WS_MASK_SIZE];

	must(getrandom(mask, sizeof(mask), 0) == sizeof(mask));
	ws_add_masked(&r->out, opcode, payload, mask);
}

void
remote_queue(struct remote *r, struct span message)
{
	queue(r, WS_TEXT, message);
}

static void
empty_out(struct remote *r)
{
	r->sent = 0;
	if (r->out.cap <= OUT_KEPT) {
		buf_reset(&r->out);
		return;
	}
	buf_fini(&r->out);
	buf_init(&r->out, 2 * MESSAGE_MAX);
	r->out.wipes = true;
}

int
remote_flush(struct remote *r, struct sysrt_error *error)
{
	if (r->out.failed)
		return fail_code(error, ERR_LIMIT_EXCEEDED, "the request is too large");
	while (r->sent < r->out.n) {
		ssize_t n = stream_write(r->stream, r->out.p + r->sent, r->out.n - r->sent, error);

		if (n == 0)
			return 0;
		if (n < 0)
			break; /* why is still to be read */
		r->sent += (size_t)n;
	}
	empty_out(r);
	return 1;
}

bool
remote_has_unsent(const struct remote *r)
{
	return r->sent < r->out.n;
}

int
remote_beat(struct remote *r, int64_t now_us, struct sysrt_error *error)
{
	if (now_us < r->beat_us)
		return 0;
	if (r->unanswered == BEATS_MAX)
		return fail_closed(error, "the daemon does not answer any more");
	r->unanswered++;
	r->beat_us = now_us + BEAT_US;
	queue(r, WS_PING, SPAN(""));
	return remote_flush(r, error) < 0 ? -1 : 0;
}

int64_t
remote_beat_us(const struct remote *r)
{
	return r->beat_us;
}
