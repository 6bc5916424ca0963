#pragma once
/*
 * WebSocket frames (RFC 6455) on wslay, and the handshake's key. Pure: bytes in,
 * messages and control frames out; no sockets. Both roles. wslay's context holds
 * a 4 KiB buffer, so contexts live in a pool and one is attached to a connection
 * only while a frame or a message is under way. One thread at a time.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/span.h"

enum ws_role { WS_SERVER, WS_CLIENT };
enum ws_opcode { WS_TEXT = 1, WS_BINARY = 2, WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10 };

#define WS_HEADER_MAX 10
/** Writes the header of an unmasked final frame; returns its length. */
size_t ws_header(char out[WS_HEADER_MAX], enum ws_opcode opcode, uint64_t payload_n);
/** Appends an unmasked close frame; the reason is cut to 123 bytes at a UTF-8 boundary. */
void ws_add_close(struct buf *out, uint16_t code, struct span reason);

#define WS_MASK_SIZE 4
/** As a client sends it: a masked final frame. The mask is random and used once. */
void ws_add_masked(struct buf *out, enum ws_opcode opcode, struct span payload,
	const unsigned char mask[WS_MASK_SIZE]);
void ws_add_masked_close(
	struct buf *out, uint16_t code, struct span reason, const unsigned char mask[WS_MASK_SIZE]);

#define WS_ACCEPT_SIZE 29
/** The value of Sec-WebSocket-Accept for a key (terminated). */
void ws_accept_key(struct span key, char out[WS_ACCEPT_SIZE]);
/** True if the value of Sec-WebSocket-Key is base64 of 16 bytes. */
bool ws_key_is_valid(struct span key);

struct ws_pool;
struct ws;

/** max_message bounds a whole message, in bytes; at most keep_max idle contexts are kept. */
struct ws_pool *ws_pool_new(enum ws_role role, size_t max_message, unsigned keep_max);
void ws_pool_set_max_message(struct ws_pool *pool, size_t max_message);
/** Of one message; at first any number. */
void ws_pool_set_max_fragments(struct ws_pool *pool, unsigned max_fragments);
void ws_pool_free(struct ws_pool *pool);

/** A context from the pool. */
struct ws *ws_open(struct ws_pool *pool);
/** Back to the pool when idle, else freed; NULLs *ws. */
void ws_close(struct ws_pool *pool, struct ws **ws);

/** Called for each whole message and control frame. The payload lives during the call only. For
 * WS_CLOSE `code` is the peer's close code (1005 when none was sent) and payload its reason. */
typedef void (*ws_message_fn)(void *arg, enum ws_opcode opcode, struct span payload, uint16_t code);

/** Feeds bytes up to the end of the first message that is whole then; returns how many that were.
 * Control frames that must be sent in answer (pongs, the answer to a close, the close after a
 * violation with 1002, 1007, 1008 or 1009) are appended to `out`, in their place between the calls
 * of fn. */
size_t ws_step(struct ws *ws, struct span bytes, ws_message_fn fn, void *arg, struct buf *out);
/** True: nothing more will be read, send `out` and close. */
bool ws_is_over(const struct ws *ws);
/** Takes all of the steps. False: it is over. */
bool ws_feed(struct ws *ws, struct span bytes, ws_message_fn fn, void *arg, struct buf *out);
/** Which of the limits was broken, when it is over. */
enum ws_excess { WS_EXCESS_NONE, WS_EXCESS_BYTES, WS_EXCESS_FRAGMENTS };
enum ws_excess ws_excess(const struct ws *ws);
/** What the peer did wrong, when it is over and he did not close: a literal. */
const char *ws_why(const struct ws *ws);
/** True between messages: nothing of the input is held, the context can go back to the pool. */
bool ws_is_idle(const struct ws *ws);
/** Overwrites what an idle one still has of the messages that went through it. For servers. */
void ws_wipe(struct ws *ws);
/** Bytes held for a message that is under way. */
size_t ws_held(const struct ws *ws);
/** How many frames have begun since this was last asked. */
unsigned ws_take_frames(struct ws *ws);
