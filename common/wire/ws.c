/*
 * WebSocket frames: see ws.h. wslay assembles messages, unmasks, checks UTF-8 and
 * answers pings. In front of it a small scanner follows the frames' borders: it
 * knows when a context is idle, it refuses what wslay would let through or answer
 * with the wrong code, and it takes close frames itself (wslay 1.1.1 misjudges a
 * reason that comes in pieces, and knows no codes above 1011). Messages are put
 * together here: wslay would allocate once per fragment.
 */

#include "common/wire/ws.h"

#include <limits.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <wslay/wslay.h>

#include "common/utf8.h"
#include "common/xalloc.h"

#define HEADER_MAX     14 /* with a mask */
#define CONTROL_MAX    125
#define REASON_MAX     123
#define CODEC_BUFFER   4096        /* of wslay's */
#define MESSAGE_KEPT   (16 * 1024) /* bytes that an idle context may keep */
#define CODE_NO_STATUS 1005

#define BIT_FIN       0x80
#define BITS_RESERVED 0x70
#define BITS_OPCODE   0x0f
#define BIT_CONTROL   0x08
#define BIT_MASK      0x80
#define BITS_LENGTH   0x7f

struct ws_pool {
	enum ws_role role;
	size_t max_message;
	unsigned max_fragments;
	unsigned keep_max;
	unsigned idle_n;
	struct ws *idle;
};

enum scan_state { SCAN_HEADER, SCAN_CONTROL, SCAN_PAYLOAD };

struct ws {
	struct ws_pool *pool;
	struct ws *next; /* in the pool */
	wslay_event_context_ptr wslay;
	bool is_dead;       /* reads no more */
	bool is_wiping;     /* ws_wipe() is under way: what comes out is not told */
	bool has_delivered; /* a message, in this step */

	enum scan_state state;
	bool in_message;    /* between the first and the last fragment */
	uint64_t left;      /* bytes of this frame's payload that are still to come */
	uint64_t total;     /* payload of this message's frames so far, by their headers */
	unsigned frames;    /* begun since ws_take_frames() */
	unsigned fragments; /* of this message so far */
	enum ws_excess excess;
	const char *why; /* a literal; NULL: it is wslay who found something */
	unsigned held_n;
	uint8_t held[HEADER_MAX + CONTROL_MAX]; /* a header, or a control frame, under way */

	struct buf message;

	/* During ws_step(): */
	struct span input[2]; /* what wslay may read now */
	ws_message_fn fn;
	void *arg;
	struct buf *out;
};

size_t
ws_header(char out[WS_HEADER_MAX], enum ws_opcode opcode, uint64_t payload_n)
{
	unsigned extra = payload_n <= CONTROL_MAX ? 0 : payload_n <= UINT16_MAX ? 2 : 8;

	out[0] = (char)(BIT_FIN | opcode);
	out[1] = (char)(extra == 0 ? payload_n : extra == 2 ? 126 : 127);
	for (unsigned i = 0; i < extra; i++)
		out[2 + i] = (char)(payload_n >> 8 * (extra - 1 - i));
	return 2 + extra;
}

/** The payload of a close frame. */
static struct span
close_payload(char out[CONTROL_MAX], uint16_t code, struct span reason)
{
	size_t n = reason.n > REASON_MAX ? utf8_cut(reason.p, REASON_MAX) : reason.n;

	out[0] = (char)(code >> 8);
	out[1] = (char)code;
	if (n > 0)
		memcpy(out + 2, reason.p, n);
	return (struct span){out, 2 + n};
}

void
ws_add_close(struct buf *out, uint16_t code, struct span reason)
{
	char head[WS_HEADER_MAX], room[CONTROL_MAX];
	struct span payload = close_payload(room, code, reason);

	buf_add(out, head, ws_header(head, WS_CLOSE, payload.n));
	buf_add_span(out, payload);
}

void
ws_add_masked(struct buf *out, enum ws_opcode opcode, struct span payload,
	const unsigned char mask[WS_MASK_SIZE])
{
	char head[WS_HEADER_MAX], *to;
	size_t head_n = ws_header(head, opcode, payload.n);

	head[1] = (char)(head[1] | BIT_MASK);
	buf_add(out, head, head_n);
	buf_add(out, mask, WS_MASK_SIZE);
	to = buf_reserve(out, payload.n);
	if (to == NULL)
		return;
	for (size_t i = 0; i < payload.n; i++)
		to[i] = (char)(payload.p[i] ^ mask[i % WS_MASK_SIZE]);
	out->n += payload.n;
}

void
ws_add_masked_close(
	struct buf *out, uint16_t code, struct span reason, const unsigned char mask[WS_MASK_SIZE])
{
	char room[CONTROL_MAX];

	ws_add_masked(out, WS_CLOSE, close_payload(room, code, reason), mask);
}

void
ws_accept_key(struct span key, char out[WS_ACCEPT_SIZE])
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
	unsigned char digest[EVP_MAX_MD_SIZE];
	EVP_MD_CTX *md = EVP_MD_CTX_new();

	must(md != NULL && EVP_DigestInit_ex(md, EVP_sha1(), NULL) == 1);
	must(EVP_DigestUpdate(md, key.p, key.n) == 1);
	must(EVP_DigestUpdate(md, guid, sizeof(guid) - 1) == 1);
	must(EVP_DigestFinal_ex(md, digest, NULL) == 1);
	EVP_MD_CTX_free(md);
	must(EVP_EncodeBlock((unsigned char *)out, digest, 20) == WS_ACCEPT_SIZE - 1);
}

bool
ws_key_is_valid(struct span key)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				       "0123456789+/";

	if (key.n != 24 || key.p[22] != '=' || key.p[23] != '=')
		return false;
	for (size_t i = 0; i < 22; i++)
		if (memchr(alphabet, key.p[i], sizeof(alphabet) - 1) == NULL)
			return false;
	return true;
}

struct ws_pool *
ws_pool_new(enum ws_role role, size_t max_message, unsigned keep_max)
{
	struct ws_pool *pool = xnew(struct ws_pool);

	pool->role = role;
	pool->max_message = max_message;
	pool->max_fragments = UINT_MAX;
	pool->keep_max = keep_max;
	return pool;
}

void
ws_pool_set_max_message(struct ws_pool *pool, size_t max_message)
{
	pool->max_message = max_message;
}

void
ws_pool_set_max_fragments(struct ws_pool *pool, unsigned max_fragments)
{
	pool->max_fragments = max_fragments;
}

static void
ws_free(struct ws *ws)
{
	wslay_event_context_free(ws->wslay);
	buf_fini(&ws->message);
	free(ws);
}

void
ws_pool_free(struct ws_pool *pool)
{
	if (pool == NULL)
		return;
	while (pool->idle != NULL) {
		struct ws *ws = pool->idle;

		pool->idle = ws->next;
		ws_free(ws);
	}
	free(pool);
}

static size_t
take_input(struct span *from, uint8_t *to, size_t room)
{
	size_t n = from->n < room ? from->n : room;

	if (n > 0)
		memcpy(to, from->p, n);
	from->p += n;
	from->n -= n;
	return n;
}

static ssize_t
on_recv(wslay_event_context_ptr wslay, uint8_t *to, size_t room, int flags, void *arg)
{
	struct ws *ws = arg;
	size_t n = take_input(&ws->input[0], to, room);

	(void)flags;
	n += take_input(&ws->input[1], to + n, room - n);
	if (n > 0)
		return (ssize_t)n;
	wslay_event_set_error(wslay, WSLAY_ERR_WOULDBLOCK);
	return -1;
}

static ssize_t
on_send(wslay_event_context_ptr wslay, const uint8_t *data, size_t n, int flags, void *arg)
{
	struct ws *ws = arg;

	(void)wslay;
	(void)flags;
	buf_add(ws->out, data, n);
	return (ssize_t)n;
}

static int
on_mask(wslay_event_context_ptr wslay, uint8_t *to, size_t n, void *arg)
{
	(void)wslay;
	(void)arg;
	return getrandom(to, n, 0) == (ssize_t)n ? 0 : -1;
}

static void
on_chunk(wslay_event_context_ptr wslay, const struct wslay_event_on_frame_recv_chunk_arg *chunk,
	void *arg)
{
	struct ws *ws = arg;

	(void)wslay;
	if (ws->state == SCAN_PAYLOAD)
		buf_add(&ws->message, chunk->data, chunk->data_length);
}

/** A data message is whole. */
static void
deliver_message(struct ws *ws, enum ws_opcode opcode)
{
	ws->has_delivered = true;
	if (!ws->message.failed)
		ws->fn(ws->arg, opcode, buf_span(&ws->message), 0);
	if (ws->message.cap > MESSAGE_KEPT && !ws->message.failed) {
		buf_fini(&ws->message);
		buf_init(&ws->message, SIZE_MAX);
		ws->message.wipes = true;
	}
	ws->message.n = 0;
}

static void
on_message(wslay_event_context_ptr wslay, const struct wslay_event_on_msg_recv_arg *msg, void *arg)
{
	struct ws *ws = arg;
	struct span payload = {(const char *)msg->msg, msg->msg_length};

	(void)wslay;
	if (ws->is_wiping)
		return;
	if (wslay_is_ctrl_frame(msg->opcode))
		ws->fn(ws->arg, (enum ws_opcode)msg->opcode, payload, 0);
	else
		deliver_message(ws, (enum ws_opcode)msg->opcode);
}

static struct ws *
ws_new(struct ws_pool *pool)
{
	static const struct wslay_event_callbacks callbacks = {
		.recv_callback = on_recv,
		.send_callback = on_send,
		.genmask_callback = on_mask,
		.on_frame_recv_chunk_callback = on_chunk,
		.on_msg_recv_callback = on_message,
	};
	struct ws *ws = xnew(struct ws);

	ws->pool = pool;
	buf_init(&ws->message, SIZE_MAX);
	ws->message.wipes = true;
	must((pool->role == WS_SERVER
			     ? wslay_event_context_server_init(&ws->wslay, &callbacks, ws)
			     : wslay_event_context_client_init(&ws->wslay, &callbacks, ws)) == 0);
	wslay_event_config_set_no_buffering(ws->wslay, 1);
	wslay_event_config_set_max_recv_msg_length(ws->wslay, INT64_MAX);
	return ws;
}

struct ws *
ws_open(struct ws_pool *pool)
{
	struct ws *ws = pool->idle;

	if (ws == NULL)
		return ws_new(pool);
	pool->idle = ws->next;
	pool->idle_n--;
	ws->next = NULL;
	return ws;
}

void
ws_close(struct ws_pool *pool, struct ws **ws)
{
	struct ws *closing = *ws;

	*ws = NULL;
	if (closing == NULL)
		return;
	if (!ws_is_idle(closing) || pool->idle_n >= pool->keep_max) {
		ws_free(closing);
		return;
	}
	closing->next = pool->idle;
	pool->idle = closing;
	pool->idle_n++;
}

/** Ends the connection: the close frame goes behind the answers that are queued. */
static void
fail(struct ws *ws, enum wslay_status_code code, const char *why)
{
	wslay_event_queue_close(ws->wslay, (uint16_t)code, (const uint8_t *)why, strlen(why));
	ws->why = why;
	ws->is_dead = true;
}

/** Lets wslay read a part of a frame. */
static void
give(struct ws *ws, struct span a, struct span b)
{
	ws->input[0] = a;
	ws->input[1] = b;
	if (wslay_event_recv(ws->wslay) != 0 || !wslay_event_get_read_enabled(ws->wslay))
		ws->is_dead = true;
	else if (ws->message.failed)
		fail(ws, WSLAY_CODE_MESSAGE_TOO_BIG, "out of memory");
}

/** What is wrong with the first two bytes of a frame, or NULL. */
static const char *
judge_start(const struct ws *ws)
{
	uint8_t opcode = ws->held[0] & BITS_OPCODE;
	bool is_masked = (ws->held[1] & BIT_MASK) != 0;

	if ((ws->held[0] & BITS_RESERVED) != 0)
		return "reserved bit set";
	if (is_masked != (ws->pool->role == WS_SERVER))
		return is_masked ? "masked frame from a server" : "unmasked frame from a client";
	if ((opcode & BIT_CONTROL) != 0) {
		if (opcode > WS_PONG)
			return "unknown opcode";
		if ((ws->held[0] & BIT_FIN) == 0)
			return "fragmented control frame";
		return (ws->held[1] & BITS_LENGTH) > CONTROL_MAX ? "control frame too long" : NULL;
	}
	if (opcode > WS_BINARY)
		return "unknown opcode";
	if (ws->in_message && opcode != 0)
		return "new message inside another";
	return !ws->in_message && opcode == 0 ? "continuation of nothing" : NULL;
}

static unsigned
length_size(const struct ws *ws)
{
	unsigned length = ws->held[1] & BITS_LENGTH;

	return length == 126 ? 2 : length == 127 ? 8 : 0;
}

static uint64_t
payload_length(const struct ws *ws)
{
	unsigned extra = length_size(ws);
	uint64_t length = 0;

	if (extra == 0)
		return ws->held[1] & BITS_LENGTH;
	for (unsigned i = 0; i < extra; i++)
		length = length << 8 | ws->held[2 + i];
	return length;
}

/** The header is whole: judges the length and goes on to the payload. */
static void
begin_payload(struct ws *ws)
{
	unsigned extra = length_size(ws);

	ws->frames++;
	ws->left = payload_length(ws);
	if ((extra == 2 && ws->left <= CONTROL_MAX) || (extra == 8 && ws->left <= UINT16_MAX) ||
		ws->left > INT64_MAX) {
		fail(ws, WSLAY_CODE_PROTOCOL_ERROR, "length not in its shortest form");
		return;
	}
	if ((ws->held[0] & BITS_OPCODE) == WS_CLOSE && ws->left == 1) {
		fail(ws, WSLAY_CODE_PROTOCOL_ERROR, "half a close code");
		return;
	}
	if ((ws->held[0] & BIT_CONTROL) != 0) {
		ws->state = SCAN_CONTROL;
		return;
	}
	if (!ws->in_message)
		ws->total = ws->fragments = 0;
	if (ws->total > ws->pool->max_message || ws->left > ws->pool->max_message - ws->total) {
		ws->excess = WS_EXCESS_BYTES;
		fail(ws, WSLAY_CODE_MESSAGE_TOO_BIG, "message too big");
		return;
	}
	if (ws->fragments++ >= ws->pool->max_fragments) {
		ws->excess = WS_EXCESS_FRAGMENTS;
		fail(ws, WSLAY_CODE_POLICY_VIOLATION, "message in too many fragments");
		return;
	}
	ws->total += ws->left;
	ws->in_message = (ws->held[0] & BIT_FIN) == 0;
	ws->state = SCAN_PAYLOAD;
}

static void
scan_header(struct ws *ws, struct span *bytes)
{
	unsigned needed = 2;
	const char *why;

	if (ws->held_n >= 2)
		needed = 2 + length_size(ws) + (ws->pool->role == WS_SERVER ? 4 : 0);
	ws->held_n += (unsigned)take_input(bytes, ws->held + ws->held_n, needed - ws->held_n);
	if (ws->held_n < needed)
		return;
	if (needed == 2) {
		why = judge_start(ws);
		if (why != NULL) {
			fail(ws, WSLAY_CODE_PROTOCOL_ERROR, why);
			return;
		}
	}
	if (ws->held_n == 2 + length_size(ws) + (ws->pool->role == WS_SERVER ? 4 : 0))
		begin_payload(ws);
}

/** Sends what wslay has to answer: at once, since it drops its pongs when a close follows. */
static void
answer(struct ws *ws)
{
	if (wslay_event_want_write(ws->wslay) && wslay_event_send(ws->wslay) != 0)
		ws->is_dead = true;
}

/** True for a code that may be sent: RFC 6455, 7.4, and what was registered since. */
static bool
is_close_code(unsigned code)
{
	return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
	       (code >= 3000 && code <= 4999);
}

/** A close frame is whole: it is answered with the same. */
static void
take_close(struct ws *ws)
{
	unsigned n = ws->held[1] & BITS_LENGTH;
	uint8_t *payload = ws->held + ws->held_n - n;
	uint16_t code = CODE_NO_STATUS;
	struct span reason = SPAN("");

	if (ws->pool->role == WS_SERVER)
		for (unsigned i = 0; i < n; i++)
			payload[i] ^= payload[(int)(i % 4) - 4]; /* the mask is in front of it */
	if (n >= 2) {
		code = (uint16_t)(payload[0] << 8 | payload[1]);
		reason = (struct span){(const char *)payload + 2, n - 2};
	}
	if (n >= 2 && !is_close_code(code)) {
		fail(ws, WSLAY_CODE_PROTOCOL_ERROR, "close code that must not be sent");
	} else if (!utf8_is_valid(reason)) {
		fail(ws, WSLAY_CODE_INVALID_FRAME_PAYLOAD_DATA, "close reason that is not UTF-8");
	} else {
		ws->fn(ws->arg, WS_CLOSE, reason, code);
		wslay_event_queue_close(
			ws->wslay, n >= 2 ? code : 0, (const uint8_t *)reason.p, reason.n);
		ws->is_dead = true;
	}
}

/** Control frames are collected, and taken whole. */
static void
scan_control(struct ws *ws, struct span *bytes)
{
	size_t n = take_input(bytes, ws->held + ws->held_n, (size_t)ws->left);

	ws->held_n += (unsigned)n;
	ws->left -= n;
	if (ws->left > 0)
		return;
	if ((ws->held[0] & BITS_OPCODE) == WS_CLOSE)
		take_close(ws);
	else
		give(ws, (struct span){(const char *)ws->held, ws->held_n}, SPAN(""));
	answer(ws);
	ws->held_n = 0;
	ws->state = SCAN_HEADER;
}

/** Data is given as it comes, the header in front of its first bytes. */
static void
scan_payload(struct ws *ws, struct span *bytes)
{
	struct span header = {(const char *)ws->held, ws->held_n};
	struct span part = {bytes->p, bytes->n < ws->left ? bytes->n : (size_t)ws->left};

	if (part.n == 0 && ws->left > 0)
		return;
	give(ws, header, part);
	bytes->p += part.n;
	bytes->n -= part.n;
	ws->left -= part.n;
	ws->held_n = 0;
	if (ws->left == 0)
		ws->state = SCAN_HEADER;
}

size_t
ws_step(struct ws *ws, struct span bytes, ws_message_fn fn, void *arg, struct buf *out)
{
	size_t all = bytes.n;

	ws->fn = fn;
	ws->arg = arg;
	ws->out = out;
	ws->has_delivered = false;
	while (!ws->is_dead && !ws->has_delivered &&
		(bytes.n > 0 || (ws->state != SCAN_HEADER && ws->left == 0))) {
		if (ws->state == SCAN_HEADER)
			scan_header(ws, &bytes);
		else if (ws->state == SCAN_CONTROL)
			scan_control(ws, &bytes);
		else
			scan_payload(ws, &bytes);
	}
	answer(ws);
	ws->out = NULL;
	return ws->is_dead ? all : all - bytes.n;
}

bool
ws_is_over(const struct ws *ws)
{
	return ws->is_dead;
}

bool
ws_feed(struct ws *ws, struct span bytes, ws_message_fn fn, void *arg, struct buf *out)
{
	do {
		size_t used = ws_step(ws, bytes, fn, arg, out);

		bytes = (struct span){bytes.p + used, bytes.n - used};
	} while (bytes.n > 0);
	return !ws->is_dead;
}

/** A message of nothing, as long as wslay's buffer, goes through it. */
void
ws_wipe(struct ws *ws)
{
	static const char frame[8 + CODEC_BUFFER] =
		"\x82\xfe\x10\x00"; /* binary, its length, masked by 0 */

	must(ws_is_idle(ws) && ws->pool->role == WS_SERVER);
	ws->is_wiping = true;
	give(ws, (struct span){frame, sizeof(frame)}, SPAN(""));
	ws->is_wiping = false;
}

enum ws_excess
ws_excess(const struct ws *ws)
{
	return ws->excess;
}

const char *
ws_why(const struct ws *ws)
{
	return ws->why != NULL ? ws->why : "text that is not UTF-8";
}

bool
ws_is_idle(const struct ws *ws)
{
	return !ws->is_dead && ws->state == SCAN_HEADER && ws->held_n == 0 && !ws->in_message;
}

size_t
ws_held(const struct ws *ws)
{
	return ws->message.n + ws->held_n;
}

unsigned
ws_take_frames(struct ws *ws)
{
	unsigned n = ws->frames;

	ws->frames = 0;
	return n;
}
