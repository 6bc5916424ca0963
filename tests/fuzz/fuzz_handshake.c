/*
 * Responses to a WebSocket's handshake, and URLs: whatever comes, whole or in pieces, the
 * verdict is the same, and it opens only on what RFC 6455, 4.1 lets open. References of
 * redirects resolve to URLs that print and parse the same. The first byte is the size of
 * the pieces.
 */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/url.h"
#include "common/wire/handshake.h"
#include "common/xalloc.h"

#define KEY "dGhlIHNhbXBsZSBub25jZQ=="

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char *const protocols[] = {"mqtt", "v2"};
static const struct handshake_wish wish = {
	.authority = {"example.com", 11},
	.target = {"/",           1 },
	.headers = {"",            0 },
	.protocols = protocols,
	.protocols_n = 2,
};

static void
check_reference(struct span reference)
{
	struct url base, u, again;
	struct buf text;

	must(url_parse(SPAN("ws://example.com:81/a/b?c"), &base, NULL) == OK);
	if (url_resolve(&base, reference, &u, NULL) != OK)
		return;
	must(u.target[0] == '/' && strpbrk(u.target, "# \r\n") == NULL);
	must(u.host[0] != '\0' && u.port != 0 && strpbrk(u.host, "/?#@ \r\n") == NULL);
	buf_init(&text, 3 * URL_MAX);
	url_add(&text, &u);
	if (text.n <= URL_MAX) {
		must(url_parse(buf_span(&text), &again, NULL) == OK);
		must(again.is_tls == u.is_tls && url_is_same_server(&again, &u));
		must(strcmp(again.target, u.target) == 0);
	}
	buf_fini(&text);
}

/** Notes all that a verdict says. */
static void
note(struct handshake *h, enum handshake_state state, size_t used, struct buf *notes)
{
	struct span protocol = handshake_protocol(h);
	struct json_value value;
	struct json_fault fault;
	struct json_out o;
	struct buf shown;

	buf_init(&shown, SIZE_MAX);
	o = json_out_start(&shown);
	json_begin_object(&o, NULL);
	handshake_add_response(h, &o);
	json_end_object(&o);
	must(json_check(buf_span(&shown), 4, &value, &fault) == OK);
	must(state != HANDSHAKE_READING);
	must(state != HANDSHAKE_OPEN || handshake_status(h) == 101);
	must(protocol.n == 0 || span_is(protocol, "mqtt") || span_is(protocol, "v2"));
	must(handshake_retry_after_ms(h, 0) >= -1);
	if (state == HANDSHAKE_REDIRECT)
		check_reference(handshake_location(h));
	if (state == HANDSHAKE_REFUSED || state == HANDSHAKE_BROKEN)
		must(handshake_why(h)[0] != '\0' && strpbrk(handshake_why(h), "\r\n") == NULL);
	buf_addf(notes, "%d %d %d %zu %s ", (int)state, handshake_status(h),
		handshake_is_permanent(h), state == HANDSHAKE_OPEN ? used : 0, handshake_why(h));
	buf_add_span(notes, buf_span(&shown));
	buf_fini(&shown);
}

static void
run(struct span bytes, size_t piece, struct buf *notes)
{
	struct handshake *h = handshake_new(&wish, KEY);
	enum handshake_state state = HANDSHAKE_READING;
	size_t used, total = 0;

	while (total < bytes.n && state == HANDSHAKE_READING) {
		size_t left = bytes.n - total, n = left < piece ? left : piece;

		state = handshake_take(h, (struct span){bytes.p + total, n}, &used);
		must(used <= n && (state != HANDSHAKE_READING || used == n));
		total += used;
	}
	note(h, handshake_end(h), total, notes);
	handshake_free(h);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct buf whole, pieces;
	struct span bytes;

	if (n < 1)
		return 0;
	bytes = (struct span){(const char *)data + 1, n - 1};
	check_reference(bytes);
	buf_init(&whole, SIZE_MAX);
	buf_init(&pieces, SIZE_MAX);
	run(bytes, SIZE_MAX, &whole);
	run(bytes, 1 + data[0] % 64, &pieces);
	must(span_eq(buf_span(&whole), buf_span(&pieces)));
	buf_fini(&whole);
	buf_fini(&pieces);
	return 0;
}
