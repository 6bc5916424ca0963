/*
 * Fuzzes what a peer can send on the control socket: a stream, cut into lines
 * in pieces of a size that its first byte gives, every line read as a request
 * and as a message of a server. Lines never grow past their maximum, and an
 * answer to whatever id was read is JSON.
 * links: common/rpc.c common/json.c common/json_write.c common/buf.c common/err.c
 * links: common/xalloc.c
 */

#include <stdint.h>

#include "common/rpc.h"
#include "common/xalloc.h"

#define LINE_MAX_BYTES 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_answer(struct span id, const struct error *error)
{
	struct json_fault fault;
	struct json_value value;
	struct buf out;

	buf_init(&out, 1 << 16);
	rpc_add_error(&out, id, error);
	must(!out.failed && json_check(buf_span(&out), JSON_DEPTH_MAX, &value, &fault) == OK);
	buf_reset(&out);
	rpc_add_result(&out, id, SPAN("{}"));
	must(!out.failed && json_check(buf_span(&out), JSON_DEPTH_MAX, &value, &fault) == OK);
	buf_fini(&out);
}

static void
check_request(struct json_value value)
{
	struct error error = ERROR_NONE;
	struct rpc_request request;

	if (rpc_read_request(value, &request, &error) == OK)
		must(request.method.n >= 2);
	else
		check_answer(request.id, &error);
}

static void
check_message(struct span text)
{
	struct error error = ERROR_NONE;
	struct rpc_message message;
	enum rpc_kind kind;
	struct json_value value, item;

	if (rpc_read_message(text, &message, &error) == OK)
		must((message.method.n > 0) + (message.result.raw.n > 0) + message.is_error == 1);
	if (rpc_check(text, &kind, &value, &error) != OK) {
		must(error.code == ERR_PARSE_ERROR || error.code == ERR_INVALID_REQUEST);
		return;
	}
	if (kind == RPC_BATCH) {
		struct json_walk w = json_walk_start(value);

		while (json_array_next(&w, &item))
			check_request(item);
	} else {
		check_request(value);
	}
}

static void
take_lines(struct rpc_lines *l, bool at_end)
{
	enum rpc_line kind;
	struct span line;

	while ((kind = rpc_lines_next(l, at_end, &line)) != RPC_LINE_NONE) {
		if (kind == RPC_LINE_TOO_LONG)
			continue;
		must(line.n > 0 && line.n <= LINE_MAX_BYTES);
		must(memchr(line.p, '\n', line.n) == NULL);
		check_message(line);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rpc_lines l;
	size_t piece = size > 0 ? data[0] % 37 + 1 : 1;

	check_message((struct span){(const char *)data, size});
	rpc_lines_init(&l, LINE_MAX_BYTES);
	for (size_t i = 0; i < size; i += piece) {
		size_t n = piece < size - i ? piece : size - i;
		char *room = rpc_lines_room(&l, n);

		must(room != NULL);
		memcpy(room, data + i, n);
		rpc_lines_filled(&l, n);
		take_lines(&l, false);
	}
	take_lines(&l, true);
	must(rpc_lines_held(&l) == 0);
	rpc_lines_fini(&l);
	return 0;
}
