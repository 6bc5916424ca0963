/*
 * HTTP heads: see http.h. http_parser judges the syntax as the bytes come, so that
 * nonsense is refused at once; the bytes are kept, and what the parser reports is
 * noted as offsets until the head is whole, since the buffer moves while it grows.
 */

#include "common/wire/http.h"

#include <arpa/inet.h>
#include <http_parser.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/wire/ws.h"
#include "common/xalloc.h"

#define FOLDED "header field folded over several lines"

/** A run of the buffer's bytes. */
struct run {
	size_t at;
	size_t n;
};

struct http_reader {
	http_parser parser;
	struct buf bytes;
	struct run url;
	struct run names[HTTP_HEADERS_MAX];
	struct run values[HTTP_HEADERS_MAX];
	unsigned names_n;
	unsigned values_n;
	bool is_done;
	enum http_result failure; /* HTTP_NEED_MORE while there is none */
	const char *why;
	struct http_request request;
};

static int
refuse(struct http_reader *r, enum http_result result, const char *why)
{
	r->failure = result;
	r->why = why;
	return -1;
}

/** Lengthens a run by bytes that were reported; false if they do not follow it. */
static bool
run_extend(struct run *run, const struct http_reader *r, const char *at, size_t n)
{
	size_t offset = (size_t)(at - r->bytes.p);

	if (run->n == 0)
		run->at = offset;
	else if (run->at + run->n != offset)
		return false;
	run->n += n;
	return true;
}

static int
on_url(http_parser *parser, const char *at, size_t n)
{
	struct http_reader *r = parser->data;

	return run_extend(&r->url, r, at, n) ? 0 : refuse(r, HTTP_BAD, "broken request target");
}

bool
http_is_token(struct span text)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789!#$%&'*+-.^_`|~";

	for (size_t i = 0; i < text.n; i++)
		if (memchr(allowed, text.p[i], sizeof(allowed) - 1) == NULL)
			return false;
	return text.n > 0;
}

static int
on_header_field(http_parser *parser, const char *at, size_t n)
{
	struct http_reader *r = parser->data;

	/* Debian's http_parser is built to be lenient: it takes spaces in names. */
	if (n > 0 && !http_is_token((struct span){at, n}))
		return refuse(r, HTTP_BAD, "broken header name");
	if (r->names_n == r->values_n) {
		if (r->names_n == HTTP_HEADERS_MAX)
			return refuse(r, HTTP_TOO_LARGE, "too many header fields");
		r->names[r->names_n++] = (struct run){0};
	}
	return run_extend(&r->names[r->names_n - 1], r, at, n)
		       ? 0
		       : refuse(r, HTTP_BAD, "broken header name");
}

static int
on_header_value(http_parser *parser, const char *at, size_t n)
{
	struct http_reader *r = parser->data;

	if (r->values_n < r->names_n)
		r->values[r->values_n++] = (struct run){0};
	return run_extend(&r->values[r->values_n - 1], r, at, n) ? 0 : refuse(r, HTTP_BAD, FOLDED);
}

/** Stops the parser right behind the head. */
static int
on_headers_complete(http_parser *parser)
{
	struct http_reader *r = parser->data;

	r->is_done = true;
	http_parser_pause(parser, 1);
	return 0;
}

static void
start(struct http_reader *r)
{
	http_parser_init(&r->parser, HTTP_REQUEST);
	r->parser.data = r;
	r->url = (struct run){0};
	r->names_n = r->values_n = 0;
	r->is_done = false;
	r->failure = HTTP_NEED_MORE;
	r->why = "";
}

struct http_reader *
http_reader_new(size_t max_head)
{
	struct http_reader *r = xnew(struct http_reader);

	http_parser_set_max_header_size(UINT32_MAX); /* ours is max_head */
	buf_init(&r->bytes, max_head);
	r->bytes.wipes = true; /* there may be a token in it */
	start(r);
	return r;
}

void
http_reader_free(struct http_reader *r)
{
	if (r == NULL)
		return;
	buf_fini(&r->bytes);
	free(r);
}

static struct span
run_span(const struct http_reader *r, struct run run)
{
	struct span s = {r->bytes.p + run.at, run.n};

	while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

static struct span
url_part(const char *target, const struct http_parser_url *url, enum http_parser_url_fields part)
{
	if ((url->field_set & (1 << part)) == 0)
		return SPAN("");
	return (struct span){target + url->field_data[part].off, url->field_data[part].len};
}

/** What stands between "//" and the path, as it was sent. */
static struct span
authority_of(struct span target)
{
	const char *mark = memmem(target.p, target.n, "//", 2);
	size_t skip = mark != NULL ? (size_t)(mark - target.p) + 2 : target.n;
	struct span rest = {target.p + skip, target.n - skip};
	size_t n = 0;

	while (n < rest.n && rest.p[n] != '/' && rest.p[n] != '?')
		n++;
	return (struct span){rest.p, n};
}

/** Cuts the target into authority (of an absolute one), path and query. */
static bool
split_target(const struct http_reader *r, struct http_request *q)
{
	struct span target = {r->bytes.p + r->url.at, r->url.n};
	struct http_parser_url url;

	http_parser_url_init(&url);
	if (target.n > UINT16_MAX || http_parser_parse_url(target.p, target.n, 0, &url) != 0 ||
		(url.field_set & (1 << UF_FRAGMENT)) != 0)
		return false;
	q->path = url_part(target.p, &url, UF_PATH);
	if (q->path.n == 0)
		q->path = SPAN("/");
	q->query = url_part(target.p, &url, UF_QUERY);
	if ((url.field_set & (1 << UF_HOST)) != 0)
		q->authority = authority_of(target);
	return true;
}

/** True if a header's value goes on in a line that starts with a space: what was used for smuggling
 * long enough. The parser joins such lines; between a name and the next there is then more than one
 * line feed. */
static bool
has_folded_line(const struct http_reader *r)
{
	for (unsigned i = 0; i < r->names_n; i++) {
		size_t at = r->names[i].at;
		size_t end = i + 1 < r->names_n ? r->names[i + 1].at : r->bytes.n - 1;
		const char *feed = memchr(r->bytes.p + at, '\n', end - at);

		if (feed != NULL && memchr(feed + 1, '\n', end - (size_t)(feed + 1 - r->bytes.p)))
			return true;
	}
	return false;
}

/** The head is whole: makes the request of it. */
static enum http_result
finish(struct http_reader *r)
{
	struct http_request *q = &r->request;
	const http_parser *p = &r->parser;
	unsigned codings;

	*q = (struct http_request){
		.method = span_of(http_method_str((enum http_method)p->method)),
		.minor = p->http_minor,
		.keep_alive = http_should_keep_alive(p) != 0,
		.has_body = (p->flags & F_CONTENTLENGTH) != 0 && p->content_length > 0,
		.headers_n = r->values_n,
	};
	for (unsigned i = 0; i < q->headers_n; i++)
		q->headers[i] =
			(struct http_header){run_span(r, r->names[i]), run_span(r, r->values[i])};
	/* Whatever the coding is, there is a body whose end we do not know. */
	http_header_find(q, "Transfer-Encoding", &codings);
	if (codings > 0)
		q->has_body = true;
	if (p->http_major != 1)
		refuse(r, HTTP_BAD, "only HTTP/1.0 and HTTP/1.1 are spoken here");
	else if (has_folded_line(r))
		refuse(r, HTTP_BAD, FOLDED);
	else if (p->method == HTTP_CONNECT || !split_target(r, q))
		refuse(r, HTTP_BAD, "bad request target");
	return r->failure == HTTP_NEED_MORE ? HTTP_DONE : r->failure;
}

/** What the parser's stop means, when it did not stop behind the head. */
static enum http_result
judge_error(struct http_reader *r)
{
	enum http_errno e = HTTP_PARSER_ERRNO(&r->parser);

	if (r->failure != HTTP_NEED_MORE)
		return r->failure;
	if (e != HPE_OK)
		refuse(r, HTTP_BAD, http_errno_description(e));
	return r->failure;
}

enum http_result
http_reader_feed(struct http_reader *r, struct span bytes, size_t *used)
{
	static const http_parser_settings settings = {
		.on_url = on_url,
		.on_header_field = on_header_field,
		.on_header_value = on_header_value,
		.on_headers_complete = on_headers_complete,
	};
	size_t before = r->bytes.n, room = r->bytes.max - before, parsed;
	size_t n = bytes.n < room ? bytes.n : room;

	*used = 0;
	if (r->failure != HTTP_NEED_MORE || bytes.n == 0)
		return r->failure;
	must(!r->is_done);
	buf_add(&r->bytes, bytes.p, n);
	if (n == 0 || r->bytes.failed) {
		refuse(r, HTTP_TOO_LARGE, "request head too large");
		return r->failure;
	}
	parsed = http_parser_execute(&r->parser, &settings, r->bytes.p + before, n);
	if (r->is_done) {
		*used = parsed + 1; /* the parser stops on the last line feed, not behind it */
		r->bytes.n = before + *used;
		return finish(r);
	}
	*used = n;
	if (judge_error(r) == HTTP_NEED_MORE && n < bytes.n)
		refuse(r, HTTP_TOO_LARGE, "request head too large");
	return r->failure;
}

const struct http_request *
http_reader_request(const struct http_reader *r)
{
	return &r->request;
}

const char *
http_reader_why(const struct http_reader *r)
{
	return r->why;
}

void
http_reader_reset(struct http_reader *r)
{
	buf_reset(&r->bytes);
	start(r);
}

bool
http_text_is(struct span a, const char *b)
{
	return a.n == strlen(b) && strncasecmp(a.p, b, a.n) == 0;
}

struct span
http_header_find(const struct http_request *q, const char *name, unsigned *count)
{
	struct span value = SPAN("");
	unsigned n = 0;

	for (unsigned i = 0; i < q->headers_n; i++)
		if (http_text_is(q->headers[i].name, name) && n++ == 0)
			value = q->headers[i].value;
	if (count != NULL)
		*count = n;
	return n == 1 ? value : SPAN("");
}

bool
http_list_next(struct span *list, struct span *item)
{
	while (list->n > 0) {
		const char *comma = memchr(list->p, ',', list->n);
		size_t n = comma != NULL ? (size_t)(comma - list->p) : list->n;

		*item = (struct span){list->p, n};
		list->p += comma != NULL ? n + 1 : n;
		list->n -= comma != NULL ? n + 1 : n;
		while (item->n > 0 && (item->p[0] == ' ' || item->p[0] == '\t'))
			*item = (struct span){item->p + 1, item->n - 1};
		while (item->n > 0 && (item->p[item->n - 1] == ' ' || item->p[item->n - 1] == '\t'))
			item->n--;
		if (item->n > 0)
			return true;
	}
	return false;
}

bool
http_header_has_token(const struct http_request *q, const char *name, const char *token)
{
	struct span item;

	for (unsigned i = 0; i < q->headers_n; i++) {
		struct span list = q->headers[i].value;

		if (!http_text_is(q->headers[i].name, name))
			continue;
		while (http_list_next(&list, &item))
			if (http_text_is(item, token))
				return true;
	}
	return false;
}

/** Subprotocol names are compared letter by letter, unlike most tokens. */
static void
read_subprotocols(const struct http_request *q, struct http_upgrade *up)
{
	const struct span bearer = SPAN("base64url.bearer.authorization.");
	struct span item;

	for (unsigned i = 0; i < q->headers_n; i++) {
		struct span list = q->headers[i].value;

		if (!http_text_is(q->headers[i].name, "Sec-WebSocket-Protocol"))
			continue;
		while (http_list_next(&list, &item)) {
			up->offers_any = true;
			if (span_is(item, "sysrt.v1"))
				up->offers_sysrt_v1 = true;
			if (!span_has_prefix(item, bearer))
				continue;
			up->bearer = (struct span){item.p + bearer.n, item.n - bearer.n};
			up->bearers_n++;
		}
	}
}

static enum err
refuse_upgrade(struct error *error, int *status, int value, const char *why)
{
	*status = value;
	return error_set(error, ERR_INVALID_REQUEST, "WebSocket handshake refused: %s", why);
}

enum err
http_upgrade_check(
	const struct http_request *q, struct http_upgrade *up, int *status, struct error *error)
{
	unsigned keys, versions;
	struct span version = http_header_find(q, "Sec-WebSocket-Version", &versions);
	struct http_upgrade found = {.key = http_header_find(q, "Sec-WebSocket-Key", &keys)};

	if (!span_is(q->method, "GET"))
		return refuse_upgrade(error, status, 405, "the method must be GET");
	if (q->minor < 1)
		return refuse_upgrade(error, status, 400, "HTTP/1.1 is needed");
	if (!http_header_has_token(q, "Upgrade", "websocket"))
		return refuse_upgrade(
			error, status, 426, "there is no \"Upgrade: websocket\" in the request");
	if (!http_header_has_token(q, "Connection", "upgrade"))
		return refuse_upgrade(
			error, status, 400, "there is no \"Connection: Upgrade\" in the request");
	if (versions != 1 || !span_is(version, "13"))
		return refuse_upgrade(
			error, status, 426, "Sec-WebSocket-Version must be there once, as 13");
	if (keys != 1 || !ws_key_is_valid(found.key))
		return refuse_upgrade(error, status, 400,
			"Sec-WebSocket-Key must be there once, as base64 of 16 bytes");
	if (q->has_body)
		return refuse_upgrade(error, status, 400, "the request has a body");
	read_subprotocols(q, &found);
	*up = found;
	return OK;
}

void
http_add_upgrade(struct buf *out, const struct http_upgrade *up)
{
	char accept[WS_ACCEPT_SIZE];

	ws_accept_key(up->key, accept);
	buf_addf(out,
		"HTTP/1.1 101 Switching Protocols\r\n"
		"Upgrade: websocket\r\n"
		"Connection: Upgrade\r\n"
		"Sec-WebSocket-Accept: %s\r\n"
		"%s\r\n",
		accept, up->offers_sysrt_v1 ? "Sec-WebSocket-Protocol: sysrt.v1\r\n" : "");
}

const char *
http_reason(int status)
{
	static const struct {
		int status;
		const char *reason;
	} reasons[] = {
#define ROW(number, name, text) {number, #text},
		HTTP_STATUS_MAP(ROW)
#undef ROW
	};

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "Unknown";
}

void
http_add_answer(struct buf *out, int status, const char *content_type, bool keep_alive,
	const char *extra, struct span body)
{
	buf_addf(out,
		"HTTP/1.1 %d %s\r\n"
		"Content-Type: %s\r\n"
		"Content-Length: %zu\r\n"
		"%s%s\r\n",
		status, http_reason(status), content_type, body.n,
		keep_alive ? "" : "Connection: close\r\n", extra != NULL ? extra : "");
	buf_add_span(out, body);
}

static bool
port_parse(struct span text, int *port)
{
	int value = 0;

	if (text.n > 5)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] < '0' || text.p[i] > '9')
			return false;
		value = value * 10 + (text.p[i] - '0');
	}
	*port = text.n > 0 ? value : -1;
	return value <= UINT16_MAX;
}

static bool
is_ip_address(struct span host, int family)
{
	struct in6_addr address;
	char text[INET6_ADDRSTRLEN];

	if (host.n == 0 || host.n >= sizeof(text) || memchr(host.p, '\0', host.n) != NULL)
		return false;
	memcpy(text, host.p, host.n);
	text[host.n] = '\0';
	return inet_pton(family, text, &address) == 1;
}

static bool
is_host_name(struct span host)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789.-_";

	for (size_t i = 0; i < host.n; i++)
		if (memchr(allowed, host.p[i], sizeof(allowed) - 1) == NULL)
			return false;
	return host.n > 0;
}

bool
http_authority_split(struct span authority, struct span *host, int *port, bool *is_address)
{
	bool is_v6 = authority.n > 0 && authority.p[0] == '[';
	const char *end =
		authority.n > 0 ? memchr(authority.p, is_v6 ? ']' : ':', authority.n) : NULL;
	struct span name = authority, rest = SPAN("");
	int number = -1;

	if (end != NULL) {
		size_t skip = is_v6 ? 1 : 0;

		name = (struct span){authority.p + skip, (size_t)(end - authority.p) - skip};
		rest = (struct span){end + skip, authority.n - (size_t)(end - authority.p) - skip};
	}
	if (is_v6 ? end == NULL || !is_ip_address(name, AF_INET6) : !is_host_name(name))
		return false;
	if (rest.n > 0 &&
		(rest.p[0] != ':' || !port_parse((struct span){rest.p + 1, rest.n - 1}, &number)))
		return false;
	*host = name;
	*port = number;
	*is_address = is_v6 || is_ip_address(name, AF_INET);
	return true;
}
