#pragma once
/*
 * JSON-RPC 2.0 envelopes, both directions, and the framing of the Unix socket:
 * one message a line. Requests are read without copying: every span points into
 * the message. Pure; any thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/json.h"
#include "common/span.h"

#define RPC_ID_MAX     64  /* bytes of a decoded string id */
#define RPC_ID_RAW_MAX 400 /* bytes of its token, escapes and quotes included */
#define RPC_BATCH_MAX  100
#define RPC_DEPTH_MAX  136 /* of a request: JSON_STORED_DEPTH_MAX, and what is around it */

/** One request or notification. */
struct rpc_request {
	struct span id;           /* the token as it was sent; n == 0: a notification */
	struct span method;       /* raw string with its quotes */
	struct json_value params; /* an object; raw.n == 0 when absent */
};

enum rpc_kind { RPC_SINGLE, RPC_BATCH };

/** Checks a whole message (JSON, depth) and says whether it is one request or a batch.
 * ERR_PARSE_ERROR with the place in the text of the error; ERR_INVALID_REQUEST for an empty batch,
 * one of more than RPC_BATCH_MAX, or a value that is neither object nor array. */
enum err rpc_check(
	struct span message, enum rpc_kind *kind, struct json_value *value, struct error *error);

/** Reads one request out of a value that rpc_check() accepted. ERR_INVALID_REQUEST says what is
 * wrong (wrong "jsonrpc", a key twice, an unknown member, an id of the wrong kind or too long,
 * params not an object); request->id is then set if a usable id was there, so that the error can be
 * answered to it. */
enum err rpc_read_request(
	struct json_value value, struct rpc_request *request, struct error *error);

/** One answer or notification, as a client reads it. */
struct rpc_message {
	struct span id;     /* token ("null" is possible in an error); n == 0: a notification */
	struct span method; /* of a notification: raw string */
	struct json_value params; /* of a notification: an object; raw.n == 0 when absent */
	struct json_value result; /* of an answer; raw.n == 0 if it is an error */
	bool is_error;
	struct error error; /* ERROR_NONE, or filled from the error object when is_error */
};

/** Reads one message from the server; unknown members are ignored. The spans point into text. */
enum err rpc_read_message(struct span text, struct rpc_message *message, struct error *error);

/** Appends {"jsonrpc":"2.0","id":ID,"result":RESULT}; an empty id is written as null. */
void rpc_add_result(struct buf *out, struct span id, struct span result);
/** Writes a member "error": {"code":N,"message":TEXT,"data":{"code":NAME[,"seq":N]...}}. */
void rpc_put_error(struct json_out *o, const struct error *error);
/** Appends an error answer: {"code":N,"message":TEXT,"data":{"code":NAME[,"seq":N]...}}. */
void rpc_add_error(struct buf *out, struct span id, const struct error *error);

/*
 * Lines: bytes go in as they arrive, whole lines come out. A line longer than
 * `max` is skipped to its end and reported once, in its place.
 */
struct rpc_lines {
	struct buf buf;
	size_t max;   /* of a line */
	size_t start; /* of the current line in buf */
	size_t seen;  /* bytes from start that are known to hold no newline */
	bool skipping;
	uint64_t ended; /* lines that were seen to their end, empty ones too */
};

/* The most that is read ahead of the lines that were taken. */
#define RPC_LINES_AHEAD ((size_t)256 << 10)

enum rpc_line { RPC_LINE, RPC_LINE_TOO_LONG, RPC_LINE_NONE };

void rpc_lines_init(struct rpc_lines *l, size_t max);
void rpc_lines_fini(struct rpc_lines *l);
/** Where to read the next bytes into, at least `n` of them (n is at most RPC_LINES_AHEAD); commit
 * with rpc_lines_filled(). NULL when there is no memory, or when more than that would be held
 * besides one line: take lines first. */
char *rpc_lines_room(struct rpc_lines *l, size_t n);
void rpc_lines_filled(struct rpc_lines *l, size_t n);
/** The next line without its "\n" (nor a "\r" before it); it lives until the next rpc_lines_room().
 * Empty lines are passed over. At the end of input `at_end` makes an unfinished line count as one.
 */
enum rpc_line rpc_lines_next(struct rpc_lines *l, bool at_end, struct span *line);
/** The number, from 1, of the line that rpc_lines_next() gave last: empty ones count. */
uint64_t rpc_lines_number(const struct rpc_lines *l);
/** Overwrites the lines that were taken, and what lies behind those that were not. */
void rpc_lines_wipe(struct rpc_lines *l);
/** The bytes that are buffered. */
size_t rpc_lines_held(const struct rpc_lines *l);
