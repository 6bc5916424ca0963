/*
 * HTTP heads: whatever comes, the result is the same whether it comes whole or in
 * pieces (but for which of two faults is seen first), every span lies within what
 * was used, and the handshake's checks and answers take any head. The first byte
 * is the size of the pieces.
 * links: common/wire/http.c common/wire/ws.c common/buf.c common/err.c common/xalloc.c
 */

#include <stddef.h>
#include <stdint.h>

#include "common/wire/http.h"
#include "common/xalloc.h"

#define MAX_HEAD 2048

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static enum http_result
feed(struct http_reader *r, struct span bytes, size_t piece, size_t *used)
{
	enum http_result result = HTTP_NEED_MORE;

	*used = 0;
	while (bytes.n > 0 && result == HTTP_NEED_MORE) {
		size_t part = bytes.n < piece ? bytes.n : piece, taken;

		result = http_reader_feed(r, (struct span){bytes.p, part}, &taken);
		must(taken <= part);
		*used += taken;
		bytes.p += part;
		bytes.n -= part;
	}
	return result;
}

static void
compare(const struct http_request *a, const struct http_request *b)
{
	must(span_eq(a->method, b->method) && span_eq(a->path, b->path));
	must(span_eq(a->query, b->query) && a->headers_n == b->headers_n);
	must(a->has_body == b->has_body && span_eq(a->authority, b->authority));
	must(a->keep_alive == b->keep_alive && a->minor == b->minor);
	for (unsigned i = 0; i < a->headers_n; i++) {
		must(span_eq(a->headers[i].name, b->headers[i].name));
		must(span_eq(a->headers[i].value, b->headers[i].value));
		must(a->headers[i].name.n > 0);
	}
}

static void
use(const struct http_request *q)
{
	struct http_upgrade up;
	struct span host;
	bool is_address;
	struct buf out;
	int status, port;

	buf_init(&out, MAX_HEAD);
	if (http_upgrade_check(q, &up, &status, NULL) == OK)
		http_add_upgrade(&out, &up);
	if (http_authority_split(http_header_find(q, "Host", NULL), &host, &port, &is_address))
		must(host.n > 0 && port >= -1 && port <= UINT16_MAX);
	must(!out.failed);
	buf_fini(&out);
}

static bool
is_same(enum http_result a, enum http_result b)
{
	return a == b || (a >= HTTP_BAD && b >= HTTP_BAD);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct http_reader *whole, *pieces;
	enum http_result result;
	size_t used[2];
	struct span bytes;

	if (n < 1)
		return 0;
	bytes = (struct span){(const char *)data + 1, n - 1};
	whole = http_reader_new(MAX_HEAD);
	pieces = http_reader_new(MAX_HEAD);
	result = feed(whole, bytes, SIZE_MAX, &used[0]);
	must(is_same(feed(pieces, bytes, 1 + data[0] % 64, &used[1]), result));
	if (result == HTTP_DONE) {
		must(used[0] == used[1] && used[0] <= MAX_HEAD);
		compare(http_reader_request(whole), http_reader_request(pieces));
		use(http_reader_request(whole));
	}
	http_reader_free(whole);
	http_reader_free(pieces);
	return 0;
}
