/*
 * HTTP responses: see response.h. What the parser reports is copied into one buffer,
 * names and values one behind the other; only once the head is whole are there spans
 * into it.
 */

#include "common/wire/response.h"

#include <http_parser.h>
#include <stdint.h>
#include <stdlib.h>

#include "common/xalloc.h"

#define INTERIM_MAX 16

/** A run of the text. */
struct run {
	size_t at;
	size_t n;
};

struct response {
	http_parser parser;
	enum response_state state;
	bool in_body;      /* the parser has been told to go on */
	bool has_too_many; /* header fields: the rest are not kept */
	const char *why;
	unsigned interim_n;
	size_t taken; /* bytes of heads, this one's and interim ones' */
	struct buf text;
	struct buf body;
	struct run reason;
	struct run names[HTTP_HEADERS_MAX];
	struct run values[HTTP_HEADERS_MAX];
	unsigned names_n;
	unsigned values_n;
	struct http_header headers[HTTP_HEADERS_MAX];
};

static int
refuse(struct response *r, const char *why)
{
	r->state = RESPONSE_BAD;
	r->why = why;
	return -1;
}

/** Lengthens the newest run by a piece that was reported. That of a folded value begins with the
 * white space of its line. */
static void
extend(struct response *r, struct run *run, const char *at, size_t n)
{
	if (run->n == 0)
		run->at = r->text.n;
	buf_add(&r->text, at, n);
	run->n += n;
}

static int
on_status(http_parser *parser, const char *at, size_t n)
{
	struct response *r = parser->data;

	extend(r, &r->reason, at, n);
	return 0;
}

static int
on_header_field(http_parser *parser, const char *at, size_t n)
{
	struct response *r = parser->data;

	if (r->in_body || r->has_too_many) /* a trailer, or to be refused */
		return 0;
	if (r->names_n == r->values_n) {
		if (r->names_n == HTTP_HEADERS_MAX) {
			r->has_too_many = true;
			return 0;
		}
		r->names[r->names_n++] = (struct run){0};
	}
	extend(r, &r->names[r->names_n - 1], at, n);
	return 0;
}

static int
on_header_value(http_parser *parser, const char *at, size_t n)
{
	struct response *r = parser->data;

	if (r->in_body || r->has_too_many)
		return 0;
	if (r->values_n < r->names_n)
		r->values[r->values_n++] = (struct run){0};
	extend(r, &r->values[r->values_n - 1], at, n);
	return 0;
}

/** Stops the parser right behind the head. Only here are too many fields told: the parser reports
 * half a name where the bytes end, so that any earlier it would depend on that which of two faults
 * is seen first. */
static int
on_headers_complete(http_parser *parser)
{
	struct response *r = parser->data;

	if (r->has_too_many)
		return refuse(r, "its head has too many header fields");
	r->state = RESPONSE_HEAD;
	http_parser_pause(parser, 1);
	return 0;
}

static int
on_body(http_parser *parser, const char *at, size_t n)
{
	struct response *r = parser->data;
	size_t room = RESPONSE_BODY_MAX - r->body.n;

	buf_add(&r->body, at, n < room ? n : room);
	if (n < room)
		return 0;
	r->state = RESPONSE_DONE;
	http_parser_pause(parser, 1);
	return 0;
}

static int
on_message_complete(http_parser *parser)
{
	struct response *r = parser->data;

	r->state = RESPONSE_DONE;
	http_parser_pause(parser, 1);
	return 0;
}

static const http_parser_settings settings = {
	.on_status = on_status,
	.on_header_field = on_header_field,
	.on_header_value = on_header_value,
	.on_headers_complete = on_headers_complete,
	.on_body = on_body,
	.on_message_complete = on_message_complete,
};

static void
start(struct response *r)
{
	http_parser_init(&r->parser, HTTP_RESPONSE);
	r->parser.data = r;
	r->state = RESPONSE_READING;
	r->reason = (struct run){0};
	r->names_n = r->values_n = 0;
	r->has_too_many = false;
	buf_reset(&r->text);
}

struct response *
response_new(void)
{
	struct response *r = xnew(struct response);

	buf_init(&r->text, RESPONSE_HEAD_MAX);
	buf_init(&r->body, RESPONSE_BODY_MAX);
	r->why = "";
	start(r);
	return r;
}

void
response_free(struct response *r)
{
	if (r == NULL)
		return;
	buf_fini(&r->text);
	buf_fini(&r->body);
	free(r);
}

static struct span
run_span(const struct response *r, struct run run)
{
	return run.n > 0 ? span_trim((struct span){r->text.p + run.at, run.n}) : SPAN("");
}

/** The head is whole. */
static void
finish_head(struct response *r)
{
	if (r->text.failed || r->parser.http_major != 1) {
		refuse(r, r->text.failed ? "out of memory" : "its version of HTTP is not 1.1");
		return;
	}
	for (unsigned i = 0; i < r->values_n; i++)
		r->headers[i] =
			(struct http_header){run_span(r, r->names[i]), run_span(r, r->values[i])};
	if (response_status(r) / 100 != 1 || response_status(r) == 101)
		return;
	if (++r->interim_n > INTERIM_MAX)
		refuse(r, "it sends interim responses without end");
	else
		start(r);
}

static size_t
parse(struct response *r, struct span bytes)
{
	return http_parser_execute(&r->parser, &settings, bytes.p, bytes.n);
}

/** What the parser's stop means, when nobody has said. */
static void
judge_error(struct response *r)
{
	if (HTTP_PARSER_ERRNO(&r->parser) == HPE_OK || r->state == RESPONSE_BAD ||
		r->state == RESPONSE_DONE)
		return;
	if (r->in_body)
		r->state = RESPONSE_DONE; /* the head is what counts */
	else
		refuse(r, http_errno_description(HTTP_PARSER_ERRNO(&r->parser)));
}

/** Reads the head, or those of interim responses before it. */
static size_t
take_head(struct response *r, struct span bytes)
{
	size_t used = 0, n;

	while (used < bytes.n && r->state == RESPONSE_READING) {
		size_t room = RESPONSE_HEAD_MAX - r->taken;
		size_t left = bytes.n - used;

		if (room == 0) {
			refuse(r, "its head is too large");
			break;
		}
		n = parse(r, (struct span){bytes.p + used, left < room ? left : room});
		if (r->state == RESPONSE_HEAD) {
			n++; /* the parser stops on the last line feed, not behind it */
			finish_head(r);
		} else {
			judge_error(r);
		}
		used += n;
		r->taken += n;
	}
	return used;
}

enum response_state
response_take(struct response *r, struct span bytes, size_t *used)
{
	*used = 0;
	if (r->state == RESPONSE_READING) {
		*used = take_head(r, bytes);
		return r->state;
	}
	if (r->state == RESPONSE_HEAD && !r->in_body) {
		r->in_body = true;
		http_parser_pause(&r->parser, 0);
		parse(r, SPAN("\n")); /* which it stopped on */
		judge_error(r);
	}
	if (r->state == RESPONSE_HEAD && bytes.n > 0) {
		*used = parse(r, bytes);
		judge_error(r);
	}
	return r->state;
}

enum response_state
response_end(struct response *r)
{
	if (r->state == RESPONSE_READING)
		refuse(r, r->taken > 0 ? "its head is not whole" : "nothing came");
	else if (r->state == RESPONSE_HEAD)
		r->state = RESPONSE_DONE;
	return r->state;
}

const char *
response_why(const struct response *r)
{
	return r->why;
}

int
response_status(const struct response *r)
{
	return (int)r->parser.status_code;
}

struct span
response_reason(const struct response *r)
{
	return run_span(r, r->reason);
}

unsigned
response_headers(const struct response *r, const struct http_header **out)
{
	*out = r->headers;
	return r->values_n;
}

struct span
response_header(const struct response *r, const char *name, unsigned *count)
{
	struct span value = SPAN("");
	unsigned n = 0;

	for (unsigned i = 0; i < r->values_n; i++)
		if (http_text_is(r->headers[i].name, name) && n++ == 0)
			value = r->headers[i].value;
	if (count != NULL)
		*count = n;
	return n == 1 ? value : SPAN("");
}

bool
response_has_token(const struct response *r, const char *name, const char *token)
{
	struct span item;

	for (unsigned i = 0; i < r->values_n; i++) {
		struct span list = r->headers[i].value;

		if (!http_text_is(r->headers[i].name, name))
			continue;
		while (http_list_next(&list, &item))
			if (http_text_is(item, token))
				return true;
	}
	return false;
}

struct span
response_body(const struct response *r)
{
	return buf_span(&r->body);
}
