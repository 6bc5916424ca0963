/* A WebSocket's beginning, as a client: see handshake.h. The syntax is response.h's. */

#include "common/wire/handshake.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "common/utf8.h"
#include "common/wire/response.h"
#include "common/wire/ws.h"
#include "common/xalloc.h"

#define WHY_SIZE        512
#define TEXT_MAX        300 /* bytes of the server's text that are shown */
#define REASON_MAX      64  /* longer ones, and names, are not: half of one may be half a secret */
#define RETRY_MAX_S     86400
#define HEADER_NAME_MAX 256

struct handshake {
	enum handshake_state state;
	bool is_permanent;
	bool has_head;
	struct response *response; /* owned */
	const char *const *protocols;
	size_t protocols_n;
	struct span protocol;
	handshake_redact_fn *redact; /* NULL: none */
	void *arg;
	char accept[WS_ACCEPT_SIZE];
	char why[WHY_SIZE];
};

void
handshake_key(const unsigned char random[16], char out[HANDSHAKE_KEY_SIZE])
{
	must(EVP_EncodeBlock((unsigned char *)out, random, 16) == HANDSHAKE_KEY_SIZE - 1);
}

/** True if the handshake writes it itself, or nobody may. */
static bool
is_own(struct span name)
{
	static const char *const own[] = {"Host", "Connection", "Upgrade", "Content-Length",
		"Transfer-Encoding", "TE", "Trailer", "Expect", "Keep-Alive"};
	static const struct span prefix = {"Sec-WebSocket-", 14};

	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (http_text_is(name, own[i]))
			return true;
	return name.n >= prefix.n && strncasecmp(name.p, prefix.p, prefix.n) == 0;
}

enum err
handshake_check_header(struct span name, struct span value, struct error *error)
{
	if (name.n > HEADER_NAME_MAX || !http_is_token(name))
		return error_set(error, ERR_INVALID_ARGUMENT,
			"a header is written \"Name: value\", with a name of letters, digits and "
			"\"-\"");
	if (is_own(name))
		return error_set(error, ERR_INVALID_ARGUMENT,
			"the header %.*s is made by the handshake itself%s", SPAN_FMT(name),
			http_text_is(name, "Sec-WebSocket-Protocol") ? ": see subprotocols" : "");
	for (size_t i = 0; i < value.n; i++)
		if (((unsigned char)value.p[i] < ' ' && value.p[i] != '\t') || value.p[i] == 0x7f)
			return error_set(error, ERR_INVALID_ARGUMENT,
				"the header %.*s has a control character", SPAN_FMT(name));
	return OK;
}

enum err
handshake_check_protocol(struct span name, struct error *error)
{
	if (http_is_token(name))
		return OK;
	return error_set(error, ERR_INVALID_ARGUMENT,
		"\"%.*s\" is no name of one: that has letters, digits and signs, and neither "
		"spaces nor commas",
		SPAN_FMT(name));
}

/** True if one of the lines has a field of this name. */
static bool
has_header(struct span lines, const char *name)
{
	while (lines.n > 0) {
		const char *end = memchr(lines.p, '\n', lines.n);
		const char *colon = memchr(lines.p, ':', lines.n);
		size_t n = end != NULL ? (size_t)(end + 1 - lines.p) : lines.n;

		if (colon != NULL &&
			http_text_is((struct span){lines.p, (size_t)(colon - lines.p)}, name))
			return true;
		lines = (struct span){lines.p + n, lines.n - n};
	}
	return false;
}

void
handshake_add_request(struct buf *out, const struct handshake_wish *wish, const char *key)
{
	buf_addf(out,
		"GET %.*s HTTP/1.1\r\n"
		"Host: %.*s\r\n"
		"Upgrade: websocket\r\n"
		"Connection: Upgrade\r\n"
		"Sec-WebSocket-Version: 13\r\n"
		"Sec-WebSocket-Key: %s\r\n",
		SPAN_FMT(wish->target), SPAN_FMT(wish->authority), key);
	for (size_t i = 0; i < wish->protocols_n; i++)
		buf_addf(out, "%s%s", i == 0 ? "Sec-WebSocket-Protocol: " : ", ",
			wish->protocols[i]);
	if (wish->protocols_n > 0)
		buf_add_span(out, SPAN("\r\n"));
	if (!has_header(wish->headers, "User-Agent"))
		buf_add_span(out, SPAN("User-Agent: sysrt/" SYSRT_VERSION "\r\n"));
	buf_add_span(out, wish->headers);
	buf_add_span(out, SPAN("\r\n"));
}

struct handshake *
handshake_new(const struct handshake_wish *wish, const char *key)
{
	struct handshake *h = xnew(struct handshake);

	h->response = response_new();
	h->protocols = wish->protocols;
	h->protocols_n = wish->protocols_n;
	h->protocol = SPAN("");
	h->redact = wish->redact;
	h->arg = wish->arg;
	ws_accept_key(span_of(key), h->accept);
	return h;
}

void
handshake_free(struct handshake *h)
{
	if (h == NULL)
		return;
	response_free(h->response);
	free(h);
}

static enum handshake_state
end(struct handshake *h, enum handshake_state state, bool is_permanent, const char *why)
{
	h->state = state;
	h->is_permanent = is_permanent;
	snprintf(h->why, sizeof(h->why), "%s", why);
	return state;
}

/** What was chosen of the subprotocols must have been offered. */
static enum handshake_state
judge_protocol(struct handshake *h)
{
	unsigned count;
	struct span chosen = response_header(h->response, "Sec-WebSocket-Protocol", &count);

	if (count > 1)
		return end(h, HANDSHAKE_BROKEN, false, "the server chose two subprotocols");
	if (chosen.n == 0)
		return end(h, HANDSHAKE_OPEN, false, "");
	for (size_t i = 0; i < h->protocols_n; i++) {
		if (!span_is(chosen, h->protocols[i]))
			continue;
		h->protocol = chosen;
		return end(h, HANDSHAKE_OPEN, false, "");
	}
	end(h, HANDSHAKE_BROKEN, true, "");
	if (chosen.n > REASON_MAX)
		chosen = SPAN("...");
	snprintf(h->why, sizeof(h->why),
		"the server chose a subprotocol that was not offered (%.*s): name it in "
		"`subprotocols`, if that is meant",
		SPAN_FMT(chosen));
	return h->state;
}

/** Of a response that says 101. */
static enum handshake_state
judge_switch(struct handshake *h)
{
	const struct response *r = h->response;
	unsigned count;
	struct span accept = response_header(r, "Sec-WebSocket-Accept", &count);

	if (!response_has_token(r, "Upgrade", "websocket"))
		return end(h, HANDSHAKE_BROKEN, false,
			"the server switches, but not to WebSocket (Upgrade)");
	if (!response_has_token(r, "Connection", "upgrade"))
		return end(h, HANDSHAKE_BROKEN, false,
			"the server's answer has no \"Connection: Upgrade\"");
	if (count != 1 || !span_is(accept, h->accept))
		return end(h, HANDSHAKE_BROKEN, false,
			"the server's answer is to another handshake than this "
			"(Sec-WebSocket-Accept)");
	response_header(r, "Sec-WebSocket-Extensions", &count);
	if (count > 1 || response_header(r, "Sec-WebSocket-Extensions", NULL).n > 0)
		return end(h, HANDSHAKE_BROKEN, true,
			"the server wants an extension that was not offered "
			"(Sec-WebSocket-Extensions): turn its compression off");
	return judge_protocol(h);
}

static bool
is_redirect(int status)
{
	return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static bool
is_status_permanent(int status)
{
	static const int permanent[] = {401, 403, 404, 405, 407, 410, 426, 451, 501, 505};

	for (size_t i = 0; i < sizeof(permanent) / sizeof(permanent[0]); i++)
		if (status == permanent[i])
			return true;
	return false;
}

/** Appends text from outside for people: printable, white space as one space, cut at `max`. */
static void
add_text(struct buf *out, struct span text, size_t max)
{
	const char *p = text.n > 0 ? text.p : "", *stop = p + text.n;
	size_t start = out->n, n;
	bool is_gap = false;

	for (; p < stop && out->n - start < max; p += n) {
		n = utf8_next(p, stop);
		if (n == 1 && (*p <= ' ' || *p == 0x7f)) {
			is_gap = out->n > start;
			continue;
		}
		if (is_gap)
			buf_add_char(out, ' ');
		is_gap = false;
		buf_add(out, n > 0 ? p : "?", n > 0 ? n : 1);
		n = n > 0 ? n : 1;
	}
}

/** The same of what the server says: of a text that is changed first no secret could be found. */
static void
add_said(const struct handshake *h, struct buf *out, struct span text, size_t max)
{
	struct buf safe;

	buf_init(&safe, SIZE_MAX / 2);
	if (h->redact != NULL && h->redact(h->arg, text, &safe))
		text = buf_span(&safe);
	add_text(out, text, max);
	buf_fini(&safe);
}

/** True if the body can be shown: neither a page nor coded. */
static bool
is_plain(const struct response *r)
{
	struct span type = response_header(r, "Content-Type", NULL);

	return response_header(r, "Content-Encoding", NULL).n == 0 &&
	       (type.n == 0 || span_has_prefix(type, SPAN("text/plain")) ||
		       memmem(type.p, type.n, "json", 4) != NULL);
}

/** Of any other response that is whole, or enough of it. */
static enum handshake_state
judge_refusal(struct handshake *h)
{
	const struct response *r = h->response;
	int status = response_status(r);
	struct span given = response_reason(r);
	struct span reason =
		given.n > 0 && given.n <= REASON_MAX ? given : span_of(http_reason(status));
	struct buf text;
	size_t head;

	buf_init(&text, WHY_SIZE - 1);
	buf_addf(&text,
		status / 100 == 2 ? "the server has no WebSocket there (it answers %d "
				  : "the server refuses it (it answers %d ",
		status);
	add_said(h, &text, reason, REASON_MAX);
	buf_add_char(&text, ')');
	head = text.n;
	if (is_plain(r)) {
		buf_add_span(&text, SPAN(": "));
		add_said(h, &text, response_body(r), TEXT_MAX);
	}
	if (text.n == head + 2)
		text.n = head;
	buf_add_char(&text, '\0');
	end(h, HANDSHAKE_REFUSED, is_status_permanent(status), text.p);
	buf_fini(&text);
	return h->state;
}

/** The head is there. */
static enum handshake_state
judge_head(struct handshake *h)
{
	int status = response_status(h->response);

	if (status == 101)
		return judge_switch(h);
	if (is_redirect(status) && response_header(h->response, "Location", NULL).n > 0)
		return end(h, HANDSHAKE_REDIRECT, false, "");
	return HANDSHAKE_READING;
}

static enum handshake_state
judge(struct handshake *h, enum response_state state)
{
	switch (state) {
	case RESPONSE_READING:
	case RESPONSE_HEAD:
		break;
	case RESPONSE_DONE:
		return judge_refusal(h);
	case RESPONSE_BAD:
		end(h, HANDSHAKE_BROKEN, false, "");
		snprintf(h->why, sizeof(h->why), "the server's answer is no HTTP: %s",
			response_why(h->response));
		break;
	}
	return h->state;
}

enum handshake_state
handshake_take(struct handshake *h, struct span bytes, size_t *used)
{
	enum response_state state;
	bool had_head;
	size_t n;

	*used = 0;
	do {
		had_head = h->has_head;
		state = response_take(
			h->response, (struct span){bytes.p + *used, bytes.n - *used}, &n);
		*used += n;
		h->has_head |= state == RESPONSE_HEAD;
		if (h->has_head && !had_head)
			judge_head(h);
		else
			judge(h, state);
	} while (h->state == HANDSHAKE_READING && (*used < bytes.n || h->has_head != had_head));
	return h->state;
}

enum handshake_state
handshake_end(struct handshake *h)
{
	if (h->state == HANDSHAKE_READING)
		judge(h, response_end(h->response));
	return h->state;
}

int
handshake_status(const struct handshake *h)
{
	return h->has_head ? response_status(h->response) : 0;
}

const char *
handshake_why(const struct handshake *h)
{
	return h->why;
}

bool
handshake_is_permanent(const struct handshake *h)
{
	return h->is_permanent;
}

/** Reads "Sun, 06 Nov 1994 08:49:37 GMT"; seconds since 1970. */
static bool
read_date(struct span text, int64_t *out)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	char copy[32], month[4];
	const char *at;
	struct tm tm = {0};

	if (text.n >= sizeof(copy))
		return false;
	snprintf(copy, sizeof(copy), "%.*s", SPAN_FMT(text));
	if (sscanf(copy, "%*3s, %2d %3s %4d %2d:%2d:%2d GMT", &tm.tm_mday, month, &tm.tm_year,
		    &tm.tm_hour, &tm.tm_min, &tm.tm_sec) != 6)
		return false;
	at = strstr(months, month);
	if (at == NULL || strlen(month) != 3)
		return false;
	tm.tm_mon = (int)(at - months) / 3;
	tm.tm_year -= 1900;
	*out = timegm(&tm);
	return true;
}

int64_t
handshake_retry_after_ms(const struct handshake *h, int64_t now_ms)
{
	struct span text =
		h->has_head ? response_header(h->response, "Retry-After", NULL) : SPAN("");
	int64_t seconds;

	if (!span_number(text, &seconds)) {
		if (!read_date(text, &seconds))
			return -1;
		seconds -= now_ms / 1000;
	}
	return 1000 * (seconds < 0 ? 0 : seconds < RETRY_MAX_S ? seconds : RETRY_MAX_S);
}

struct span
handshake_location(const struct handshake *h)
{
	return response_header(h->response, "Location", NULL);
}

struct span
handshake_protocol(const struct handshake *h)
{
	return h->protocol;
}

/** One member, with the values of all fields of this name, if this is the first. */
static void
add_header(const struct http_header *all, unsigned n, unsigned at, struct json_out *o)
{
	struct buf value;
	char name[HEADER_NAME_MAX];

	snprintf(name, sizeof(name), "%.*s", SPAN_FMT(all[at].name));
	for (unsigned i = 0; i < at; i++)
		if (http_text_is(all[i].name, name))
			return;
	buf_init(&value, RESPONSE_HEAD_MAX);
	for (unsigned i = at; i < n; i++) {
		if (!http_text_is(all[i].name, name))
			continue;
		if (value.n > 0)
			buf_add_span(&value, SPAN(", "));
		buf_add_span(&value, all[i].value);
	}
	json_put_string(o, name, buf_span(&value));
	buf_fini(&value);
}

void
handshake_add_response(const struct handshake *h, struct json_out *o)
{
	const struct http_header *headers;
	unsigned n;

	if (!h->has_head)
		return;
	json_put_int(o, "status", response_status(h->response));
	if (h->protocol.n > 0)
		json_put_string(o, "subprotocol", h->protocol);
	n = response_headers(h->response, &headers);
	json_begin_object(o, "headers");
	for (unsigned i = 0; i < n; i++)
		if (!http_text_is(headers[i].name, "Set-Cookie"))
			add_header(headers, n, i, o);
	json_end_object(o);
}
