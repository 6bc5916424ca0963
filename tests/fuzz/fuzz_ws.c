/*
 * WebSocket frames from both roles: whatever comes, it must be heard the same
 * whether it comes whole or in pieces, and an idle context must start afresh.
 * The first byte chooses the role, the second the size of the pieces.
 * links: common/wire/ws.c common/buf.c common/xalloc.c
 */

#include <stddef.h>
#include <stdint.h>

#include "common/wire/ws.h"
#include "common/xalloc.h"

#define MAX_MESSAGE 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct result {
	struct buf heard;
	struct buf out;
	bool is_open;
};

static void
hear(void *arg, enum ws_opcode opcode, struct span payload, uint16_t code)
{
	struct buf *heard = arg;

	buf_addf(heard, "%d %u %zu ", (int)opcode, code, payload.n);
	buf_add_span(heard, payload);
	must(payload.n <= MAX_MESSAGE);
}

static void
feed(struct result *r, enum ws_role role, struct span bytes, size_t piece)
{
	struct ws_pool *pool = ws_pool_new(role, MAX_MESSAGE, 1);
	struct ws *ws = ws_open(pool);

	buf_init(&r->heard, SIZE_MAX);
	buf_init(&r->out, SIZE_MAX);
	r->is_open = true;
	while (bytes.n > 0) {
		size_t part = bytes.n < piece ? bytes.n : piece;

		r->is_open = ws_feed(ws, (struct span){bytes.p, part}, hear, &r->heard, &r->out);
		must(ws_held(ws) <= MAX_MESSAGE + 139);
		bytes.p += part;
		bytes.n -= part;
		if (ws_is_idle(ws)) {
			ws_close(pool, &ws);
			ws = ws_open(pool);
		}
	}
	must(r->is_open || !ws_is_idle(ws));
	ws_close(pool, &ws);
	ws_pool_free(pool);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct result whole, pieces;
	enum ws_role role;
	struct span bytes;

	if (n < 2)
		return 0;
	role = data[0] % 2 == 0 ? WS_SERVER : WS_CLIENT;
	bytes = (struct span){(const char *)data + 2, n - 2};
	feed(&whole, role, bytes, SIZE_MAX);
	feed(&pieces, role, bytes, 1 + data[1] % 64);
	must(whole.is_open == pieces.is_open);
	must(span_eq(buf_span(&whole.heard), buf_span(&pieces.heard)));
	/* A client masks with fresh random bytes each time. */
	must(role == WS_CLIENT ? whole.out.n == pieces.out.n
			       : span_eq(buf_span(&whole.out), buf_span(&pieces.out)));
	buf_fini(&whole.heard);
	buf_fini(&whole.out);
	buf_fini(&pieces.heard);
	buf_fini(&pieces.out);
	return 0;
}
