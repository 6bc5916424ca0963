/*
 * HTTP heads, several on one connection: whatever comes, the same requests come
 * out whether the bytes come whole or in pieces (but for which of two faults is
 * seen first), every span lies within the head, and the handshake's checks, the
 * answers and the rules for Host and Origin take any head. The first byte is the
 * size of the pieces.
 */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <strings.h>

#include "common/wire/http.h"
#include "common/xalloc.h"
#include "daemon/net/http.h"

#define MAX_HEAD 2048
#define PORT     7117

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static char host_a[] = "sysrt.example", host_b[] = "other.example:8443";
static char origin_a[] = "https://app.example", origin_b[] = "http://dev.example:3000";
static char *hosts[] = {host_a, host_b}, *origins[] = {origin_a, origin_b};
static const struct conf conf = {
	.websocket = {.hosts = {hosts, 2}, .origins = {origins, 2}},
};

static bool
is_one_of(struct span text, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (http_text_is(text, list[i]))
			return true;
	return false;
}

/** What the rules let pass is on the list of what may pass. */
static void
judge(const struct http_request *q, struct buf *notes)
{
	static const char *const names[] = {"localhost", "sysrt.example", "other.example:8443"};
	static const char *const pages[] = {"https://app.example",
		"https://app.example:", "https://app.example:443", "https://app.example:0443",
		"https://app.example:00443", "http://dev.example:3000", "http://dev.example:03000"};
	struct span asked = q->authority.n > 0 ? q->authority : http_header_find(q, "Host", NULL);
	struct span page = http_header_find(q, "Origin", NULL), host = SPAN("");
	struct http_here here = {.port = PORT};
	enum err by_host = http_host_check(q, &conf, NULL);
	enum err by_origin = http_origin_check(q, &here, &conf, NULL);
	bool is_address = false;
	int port = -1;

	if (by_host == OK && asked.n > 0) {
		must(http_authority_split(asked, &host, &port, &is_address));
		must(is_address || is_one_of(host, names, 2) ||
			(http_text_is(host, "other.example") && port == 8443));
	}
	if (by_origin == OK && page.n > 0)
		must(is_one_of(page, pages, sizeof(pages) / sizeof(pages[0])) ||
			strncasecmp(page.p, "http://", 7) == 0);
	must(!span_is(page, "null") || by_origin != OK);
	buf_addf(notes, "host %d origin %d ", (int)by_host, (int)by_origin);
}

static void
check_authority(struct span text)
{
	struct span host;
	bool is_address;
	int port;

	if (!http_authority_split(text, &host, &port, &is_address))
		return;
	must(host.n > 0 && host.p >= text.p && host.p + host.n <= text.p + text.n);
	must(port >= -1 && port <= UINT16_MAX && memchr(host.p, '@', host.n) == NULL);
}

static void
note(struct buf *notes, struct span part)
{
	buf_addf(notes, "%zu ", part.n);
	buf_add_span(notes, part);
}

/** Notes all that is in a request. */
static void
use(const struct http_request *q, struct buf *notes)
{
	struct http_upgrade up;
	int status = 0;
	struct buf out;

	note(notes, q->method);
	note(notes, q->authority);
	note(notes, q->path);
	note(notes, q->query);
	must(q->method.n > 0 && q->path.n > 0);
	buf_addf(notes, "%u %d %d ", q->minor, q->keep_alive, q->has_body);
	for (unsigned i = 0; i < q->headers_n; i++) {
		note(notes, q->headers[i].name);
		note(notes, q->headers[i].value);
		must(q->headers[i].name.n > 0);
		must(memchr(q->headers[i].value.p, '\n', q->headers[i].value.n) == NULL);
		check_authority(q->headers[i].value);
	}
	buf_init(&out, MAX_HEAD);
	if (http_upgrade_check(q, &up, &status, NULL) == OK)
		http_add_upgrade(&out, &up);
	http_add_answer(&out, status != 0 ? status : 200, "text/plain", q->keep_alive, "", q->path);
	must(!out.failed || q->path.n > MAX_HEAD / 2);
	note(notes, buf_span(&out));
	buf_fini(&out);
	judge(q, notes);
}

/** Reads head after head; what came out is noted. */
static void
run(struct span bytes, size_t piece, struct buf *notes)
{
	struct http_reader *r = http_reader_new(MAX_HEAD);
	enum http_result result = HTTP_NEED_MORE;
	size_t in_head = 0;

	while (bytes.n > 0 && (result == HTTP_NEED_MORE || result == HTTP_DONE)) {
		struct span part = {bytes.p, bytes.n < piece ? bytes.n : piece};
		size_t used;

		result = http_reader_feed(r, part, &used);
		must(used <= part.n && (result != HTTP_NEED_MORE || used == part.n));
		in_head += used;
		bytes = (struct span){bytes.p + used, bytes.n - used};
		must(in_head <= MAX_HEAD || result >= HTTP_BAD);
		if (result != HTTP_DONE)
			continue;
		buf_addf(notes, "head of %zu ", in_head);
		use(http_reader_request(r), notes);
		http_reader_reset(r);
		in_head = 0;
	}
	must(result < HTTP_BAD || http_reader_why(r)[0] != '\0');
	buf_addf(notes, "%s", result >= HTTP_BAD ? "refused" : "more");
	http_reader_free(r);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct buf whole, pieces;
	struct span bytes;

	if (n < 1)
		return 0;
	bytes = (struct span){(const char *)data + 1, n - 1};
	check_authority(bytes);
	buf_init(&whole, SIZE_MAX);
	buf_init(&pieces, SIZE_MAX);
	run(bytes, SIZE_MAX, &whole);
	run(bytes, 1 + data[0] % 64, &pieces);
	must(span_eq(buf_span(&whole), buf_span(&pieces)));
	buf_fini(&whole);
	buf_fini(&pieces);
	return 0;
}
