/*
 * WebSocket frames from both roles: whatever comes, it must be heard and answered
 * the same whether it comes whole or in pieces, and as a model says that reads
 * RFC 6455 in the plainest way; an idle context must start afresh. What we write
 * is heard by the other role. The first byte chooses the role, the second the
 * size of the pieces.
 */

#include <stddef.h>
#include <stdint.h>

#include "common/utf8.h"
#include "common/wire/ws.h"
#include "common/xalloc.h"

#define MAX_MESSAGE 4096
#define HELD_MAX    139 /* of a header and a control frame */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/** What became of a stream: messages that were heard, frames that were sent. */
struct result {
	struct buf heard;
	struct buf said;
	bool is_open;
};

static void
result_init(struct result *r)
{
	buf_init(&r->heard, SIZE_MAX);
	buf_init(&r->said, SIZE_MAX);
	r->is_open = true;
}

static void
result_fini(struct result *r)
{
	buf_fini(&r->heard);
	buf_fini(&r->said);
}

static void
compare(const struct result *a, const struct result *b)
{
	must(a->is_open == b->is_open);
	must(span_eq(buf_span(&a->heard), buf_span(&b->heard)));
	must(span_eq(buf_span(&a->said), buf_span(&b->said)));
}

static void
note(struct buf *to, unsigned opcode, unsigned code, struct span payload)
{
	buf_addf(to, "%u %u %zu ", opcode, code, payload.n);
	buf_add_span(to, payload);
}

static void
hear(void *arg, enum ws_opcode opcode, struct span payload, uint16_t code)
{
	must(payload.n <= MAX_MESSAGE);
	note(arg, opcode, code, payload);
}

/* The real thing. */

/** Notes the frames that were sent: pongs with their payload, closes with their code. */
static void
note_sent(enum ws_role role, struct span out, struct buf *said)
{
	while (out.n > 0) {
		unsigned opcode = (unsigned char)out.p[0] & 0x0f,
			 n = (unsigned char)out.p[1] & 0x7f;
		size_t head = role == WS_CLIENT ? 6 : 2;
		char payload[125];

		must((unsigned char)out.p[0] >> 4 == 8 && n <= sizeof(payload));
		must(((unsigned char)out.p[1] & 0x80) == (role == WS_CLIENT ? 0x80 : 0));
		must(out.n >= head + n);
		for (unsigned i = 0; i < n; i++)
			payload[i] = role == WS_CLIENT ? (char)(out.p[6 + i] ^ out.p[2 + i % 4])
						       : out.p[2 + i];
		if (opcode == WS_CLOSE)
			note(said, opcode, 0, (struct span){payload, n < 2 ? n : 2});
		else
			note(said, opcode, 0, (struct span){payload, n});
		out.p += head + n;
		out.n -= head + n;
	}
}

static void
feed(struct result *r, enum ws_role role, struct span bytes, size_t piece)
{
	struct ws_pool *pool = ws_pool_new(role, MAX_MESSAGE, 1);
	struct ws *ws = ws_open(pool);
	struct buf out;

	result_init(r);
	buf_init(&out, SIZE_MAX);
	while (bytes.n > 0) {
		size_t part = bytes.n < piece ? bytes.n : piece;

		r->is_open = ws_feed(ws, (struct span){bytes.p, part}, hear, &r->heard, &out);
		must(ws_held(ws) <= MAX_MESSAGE + HELD_MAX);
		bytes.p += part;
		bytes.n -= part;
		if (ws_is_idle(ws)) {
			ws_close(pool, &ws);
			ws = ws_open(pool);
		}
	}
	must(r->is_open || !ws_is_idle(ws));
	note_sent(role, buf_span(&out), &r->said);
	buf_fini(&out);
	ws_close(pool, &ws);
	ws_pool_free(pool);
}

/* The model. */

struct model {
	struct result *r;
	enum ws_role role;
	bool in_message;
	unsigned opcode; /* of the message */
	uint64_t total;
	struct buf message;
};

struct model_frame {
	bool fin;
	unsigned opcode;
	uint64_t n;
	const unsigned char *mask; /* NULL: none */
	struct span payload;       /* as much of it as is there */
};

static void
end(struct model *m, unsigned code)
{
	char bytes[2] = {(char)(code >> 8), (char)(code & 0xff)};

	note(&m->r->said, WS_CLOSE, 0, (struct span){bytes, code != 0 ? 2 : 0});
	m->r->is_open = false;
}

/** True if more bytes can make it valid; `whole`: if none are needed. */
static bool
is_text(struct span text, bool whole)
{
	const char *start = text.n > 0 ? text.p : "", *end = start + text.n;
	size_t n;

	for (const char *p = start; p < end; p += n) {
		char rest[4] = {'\x80', '\x80', '\x80', '\x80'};

		n = utf8_next(p, end);
		if (n > 0)
			continue;
		if (whole || end - p >= 4)
			return false;
		memcpy(rest, p, (size_t)(end - p));
		return end - p == 1 ? utf8_sequence_length((unsigned char)*p) > 1
				    : utf8_sequence_length((unsigned char)*p) > (size_t)(end - p) &&
					      utf8_next(rest, rest + 4) > 0;
	}
	return true;
}

/** Reads a frame's header; false if it is not all there, or the connection is at its end. */
static bool
model_header(struct model *m, struct span *bytes, struct model_frame *f)
{
	const unsigned char *p = (const unsigned char *)bytes->p;
	bool is_masked = m->role == WS_SERVER;
	size_t extra, head;

	if (bytes->n < 2)
		return false;
	*f = (struct model_frame){.fin = p[0] >> 7, .opcode = p[0] & 15, .n = p[1] & 127};
	if ((p[0] & 0x70) != 0 || p[1] >> 7 != is_masked || f->opcode > WS_PONG ||
		(f->opcode > WS_BINARY && f->opcode < WS_CLOSE) ||
		(f->opcode >= WS_CLOSE && (!f->fin || f->n > 125)) ||
		(f->opcode < WS_CLOSE && (f->opcode == 0) != m->in_message)) {
		end(m, 1002);
		return false;
	}
	extra = f->n == 126 ? 2 : f->n == 127 ? 8 : 0;
	head = 2 + extra + (is_masked ? 4 : 0);
	if (bytes->n < head)
		return false;
	f->n = extra > 0 ? 0 : f->n;
	for (size_t i = 0; i < extra; i++)
		f->n = f->n << 8 | p[2 + i];
	if ((extra == 2 && f->n < 126) || (extra == 8 && (f->n < 65536 || f->n >> 63 != 0)) ||
		(f->opcode == WS_CLOSE && f->n == 1)) {
		end(m, 1002);
		return false;
	}
	f->mask = is_masked ? p + 2 + extra : NULL;
	bytes->p += head;
	bytes->n -= head;
	f->payload = (struct span){bytes->p, bytes->n < f->n ? bytes->n : (size_t)f->n};
	bytes->p += f->payload.n;
	bytes->n -= f->payload.n;
	return true;
}

static void
add_unmasked(struct buf *to, const struct model_frame *f)
{
	for (size_t i = 0; i < f->payload.n; i++)
		buf_add_char(to, f->mask != NULL ? (char)(f->payload.p[i] ^ f->mask[i % 4])
						 : f->payload.p[i]);
}

static void
model_control(struct model *m, const struct model_frame *f)
{
	struct span payload, reason;
	struct buf bytes;
	unsigned code = 1005;

	buf_init(&bytes, 128);
	add_unmasked(&bytes, f);
	payload = reason = buf_span(&bytes);
	if (f->opcode != WS_CLOSE) {
		note(&m->r->heard, f->opcode, 0, payload);
		if (f->opcode == WS_PING)
			note(&m->r->said, WS_PONG, 0, payload);
		buf_fini(&bytes);
		return;
	}
	if (payload.n >= 2) {
		code = (unsigned)((unsigned char)payload.p[0] << 8 | (unsigned char)payload.p[1]);
		reason = (struct span){payload.p + 2, payload.n - 2};
	}
	if (payload.n >= 2 && (code < 1000 || code == 1004 || code == 1005 || code == 1006 ||
				      (code > 1014 && code < 3000) || code > 4999)) {
		end(m, 1002);
	} else if (!is_text(reason, true)) {
		end(m, 1007);
	} else {
		note(&m->r->heard, WS_CLOSE, code, reason);
		end(m, payload.n >= 2 ? code : 0);
	}
	buf_fini(&bytes);
}

static void
model_data(struct model *m, const struct model_frame *f)
{
	bool is_last = f->fin && f->payload.n == f->n;

	if (f->opcode != 0) {
		m->opcode = f->opcode;
		m->total = 0;
	}
	if (f->n > MAX_MESSAGE - m->total) {
		end(m, 1009);
		return;
	}
	m->total += f->n;
	m->in_message = !f->fin;
	add_unmasked(&m->message, f);
	if (m->opcode == WS_TEXT && !is_text(buf_span(&m->message), is_last)) {
		end(m, 1007);
	} else if (is_last) {
		note(&m->r->heard, m->opcode, 0, buf_span(&m->message));
		buf_reset(&m->message);
	}
}

static void
model(struct result *r, enum ws_role role, struct span bytes)
{
	struct model m = {.r = r, .role = role};
	struct model_frame f;

	result_init(r);
	buf_init(&m.message, SIZE_MAX);
	while (r->is_open && model_header(&m, &bytes, &f)) {
		if (f.opcode < WS_CLOSE)
			model_data(&m, &f);
		else if (f.payload.n == f.n)
			model_control(&m, &f);
		if (f.payload.n < f.n)
			break;
	}
	buf_fini(&m.message);
}

/** What a server writes, a client hears. */
static void
check_writing(struct span payload)
{
	bool is_valid = is_text(payload, true);
	struct result r, wanted;
	char head[WS_HEADER_MAX];
	struct buf out;

	buf_init(&out, SIZE_MAX);
	result_init(&wanted);
	buf_add(&out, head, ws_header(head, is_valid ? WS_TEXT : WS_BINARY, payload.n));
	buf_add_span(&out, payload);
	if (is_valid)
		ws_add_close(&out, 4101, payload);
	feed(&r, WS_CLIENT, buf_span(&out), SIZE_MAX);
	note(&wanted.heard, is_valid ? WS_TEXT : WS_BINARY, 0, payload);
	if (is_valid)
		note(&wanted.heard, WS_CLOSE, 4101,
			(struct span){
				payload.p, payload.n > 123 ? utf8_cut(payload.p, 123) : payload.n});
	must(span_eq(buf_span(&r.heard), buf_span(&wanted.heard)) && r.is_open != is_valid);
	result_fini(&wanted);
	result_fini(&r);
	buf_fini(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct result whole, pieces, wanted;
	enum ws_role role;
	struct span bytes;

	if (n < 2)
		return 0;
	role = data[0] % 2 == 0 ? WS_SERVER : WS_CLIENT;
	bytes = (struct span){(const char *)data + 2, n - 2};
	feed(&whole, role, bytes, SIZE_MAX);
	feed(&pieces, role, bytes, 1 + data[1] % 64);
	model(&wanted, role, bytes);
	compare(&whole, &pieces);
	compare(&whole, &wanted);
	if (bytes.n <= MAX_MESSAGE)
		check_writing(bytes);
	result_fini(&whole);
	result_fini(&pieces);
	result_fini(&wanted);
	return 0;
}
