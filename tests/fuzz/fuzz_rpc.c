/*
 * Fuzzes what a peer can send on the control socket: a stream, cut into lines
 * whole and in pieces of a size that its first byte gives, which must be the same
 * lines; every line is read as a request and as a message of a server. Lines
 * never grow past their maximum, and the answer to whatever was read is read back
 * as what it says.
 */

#include <stdint.h>
#include <stdlib.h>

#include "common/rpc.h"
#include "common/xalloc.h"

#define LINE_MAX_BYTES 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/** Writes an answer as the server does and reads it as the client does. */
static void
check_answer(struct span id, const struct error *failure)
{
	struct span result = SPAN("{\"a\":[1]}");
	struct error error = ERROR_NONE;
	struct rpc_message m;
	struct buf out;

	buf_init(&out, 1 << 16);
	rpc_add_error(&out, id, failure);
	must(!out.failed && rpc_read_message(buf_span(&out), &m, &error) == OK);
	must(m.is_error && span_eq(m.id, id.n > 0 ? id : SPAN("null")));
	must(m.error.code == failure->code && m.error.seq == failure->seq);
	must(strcmp(m.error.text, failure->text) == 0);
	buf_reset(&out);
	if (id.n == 0 || span_is(id, "null"))
		id = SPAN("1");
	rpc_add_result(&out, id, result);
	must(!out.failed && rpc_read_message(buf_span(&out), &m, &error) == OK);
	must(!m.is_error && span_eq(m.result.raw, result) && span_eq(m.id, id));
	buf_fini(&out);
}

static bool
is_within(struct span part, struct span all)
{
	return part.n == 0 || (part.p >= all.p && part.p + part.n <= all.p + all.n);
}

static void
check_request(struct span text, struct json_value value)
{
	struct error error = ERROR_NONE, refusal = ERROR_NONE;
	struct rpc_request request;

	if (rpc_read_request(value, &request, &error) == OK) {
		must(request.method.n >= 2 && is_within(request.method, text));
		must(is_within(request.id, text) && is_within(request.params.raw, text));
		must(request.params.raw.n == 0 || request.params.type == JSON_OBJECT);
		error_set(&refusal, ERR_CONFLICT, "the record is at another seq");
		refusal.seq = 5;
		check_answer(request.id, &refusal);
	} else {
		must(error.code == ERR_INVALID_REQUEST && request.method.n == 0);
		check_answer(request.id, &error);
	}
}

static void
check_message(struct span text)
{
	struct error error = ERROR_NONE;
	struct rpc_message message;
	enum rpc_kind kind;
	struct json_value value, item;
	unsigned n = 0;

	if (rpc_read_message(text, &message, &error) == OK)
		must((message.method.n > 0) + (message.result.raw.n > 0) + message.is_error == 1);
	error = ERROR_NONE;
	if (rpc_check(text, &kind, &value, &error) != OK) {
		must(error.code == ERR_PARSE_ERROR || error.code == ERR_INVALID_REQUEST);
		check_answer(SPAN("null"), &error);
		return;
	}
	if (kind == RPC_BATCH) {
		struct json_walk w = json_walk_start(value);

		for (; json_array_next(&w, &item); n++)
			check_request(text, item);
		must(n > 0 && n <= RPC_BATCH_MAX);
	} else {
		check_request(text, value);
	}
}

/** Takes the lines that are there and notes them. */
static void
take_lines(struct rpc_lines *l, bool at_end, struct buf *lines)
{
	enum rpc_line kind;
	struct span line;

	while ((kind = rpc_lines_next(l, at_end, &line)) != RPC_LINE_NONE) {
		if (kind == RPC_LINE_TOO_LONG) {
			buf_add_span(lines, SPAN("too long\n"));
			continue;
		}
		must(line.n > 0 && line.n <= LINE_MAX_BYTES);
		must(memchr(line.p, '\n', line.n) == NULL);
		buf_addf(lines, "%zu ", line.n);
		buf_add_span(lines, line);
		buf_add_char(lines, '\n');
		check_message(line);
	}
}

/** Feeds a stream in pieces; the lines that came out. */
static void
feed(struct span bytes, size_t piece, struct buf *lines)
{
	struct rpc_lines l;

	rpc_lines_init(&l, LINE_MAX_BYTES);
	while (bytes.n > 0) {
		size_t n = piece < bytes.n ? piece : bytes.n;
		char *room = rpc_lines_room(&l, n);

		must(room != NULL);
		memcpy(room, bytes.p, n);
		rpc_lines_filled(&l, n);
		take_lines(&l, false, lines);
		must(l.buf.n - l.start <= LINE_MAX_BYTES + 2); /* not more than a line is kept */
		bytes.p += n;
		bytes.n -= n;
	}
	take_lines(&l, true, lines);
	must(rpc_lines_held(&l) == 0);
	rpc_lines_fini(&l);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span bytes = {(const char *)data, size};
	struct buf whole, pieces;

	check_message(bytes);
	buf_init(&whole, SIZE_MAX);
	buf_init(&pieces, SIZE_MAX);
	feed(bytes, RPC_LINES_AHEAD, &whole);
	feed(bytes, size > 0 ? data[0] % 37 + 1 : 1, &pieces);
	must(span_eq(buf_span(&whole), buf_span(&pieces)));
	buf_fini(&whole);
	buf_fini(&pieces);
	return 0;
}
