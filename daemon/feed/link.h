#pragma once
/*
 * The link of a feed to its upstream: the state machine at work. It connects with the
 * headers and messages that the feed is to say, with its secrets in them, greets,
 * keeps alive, and tries again. Whoever has it hears every message and every move.
 * Nothing that it tells about itself has a secret in it. Loop thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/json.h"
#include "common/span.h"
#include "common/wire/ws.h"
#include "daemon/feed/machine.h"

struct conf_feed;
struct loop;
struct upstreams;
struct vault;
struct link;
struct links;

/** What all of them share. */
struct links *links_new(struct loop *loop, struct upstreams *upstreams, struct vault *vault);
/** All of them must be gone; those who still say good-bye are cut off. */
void links_free(struct links *ls);
/** True when nobody says good-bye any more. */
bool links_are_idle(const struct links *ls);

struct link_ops {
	void (*message)(void *arg, enum ws_opcode opcode, struct span payload);
	/** All that came in one read was told. */
	void (*batch)(void *arg);
	void (*moved)(void *arg, enum machine_state from);
	/** It has said this, which has no secret in it; NULL: nobody wants to know. */
	void (*said)(void *arg, struct span text);
	void *arg;
};

/** The feed is borrowed. Not started. */
struct link *link_new(struct links *ls, const struct conf_feed *f, const struct link_ops *ops);
/** What is open says good-bye by itself. Not from inside. */
void link_free(struct link *l);

void link_start(struct link *l);
void link_stop(struct link *l);
/** While it is held nothing is read: from inside, too. */
void link_hold(struct link *l, bool holds);
/** The vault was opened, or has other secrets. */
void link_secrets_changed(struct link *l);

enum machine_state link_state(const struct link *l);
/** Why it is not live; "" if it is, or was never started. */
const char *link_why(const struct link *l);
/** Tries in a row that failed. */
int64_t link_retries(const struct link *l);
/** When it tries again, as loop_now_ms(); MACHINE_NEVER: it waits for nothing. */
int64_t link_next_try_ms(const struct link *l);
uint64_t link_read_bytes(const struct link *l);

/** Appends the text with what is secret in it replaced, and returns true; false: there was nothing
 * secret, and nothing is appended. */
bool link_redact(const struct link *l, struct span text, struct buf *out);
/** Writes an object about the connection that is there, or was there last. */
void link_put_handshake(const struct link *l, struct json_out *o, const char *key);
