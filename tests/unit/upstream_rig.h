#pragma once
/*
 * What tests of upstreams stand on: a loop, a server at the other end that does what the
 * test says, byte by byte, and a diary of what was told. Ports are the kernel's choice.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "daemon/base/conf.h"
#include "daemon/feed/upstream.h"
#include "daemon/net/conn.h"

/** The other end: the newest connection of those that were accepted. */
struct rig_server {
	int fd; /* that listens; -1: none does */
	unsigned port;
	struct loop_watch *watch;
	struct tls_context *tls; /* borrowed; NULL: it is plain */
	struct conn conn;
	bool has_conn;
	bool has_eof;
	struct buf input; /* of the newest connection */
	unsigned accepted;
};

/** The upstream and what it told. */
struct rig_end {
	struct upstream *upstream; /* NULL: it was freed */
	struct buf diary;          /* "resolved connected open text:Hello batch ended:1000 " ... */
	char why[512];             /* of the end */
	bool is_permanent;
	int64_t retry_after_ms;
	bool has_ended;
	enum upstream_event acts_at; /* then `act` is called, once */
	void (*act)(struct rig_end *c);
};

extern struct loop *rig_loop;
extern struct net *rig_net;
extern struct upstreams *rig_upstreams;
extern struct rig_server rig_server;
extern struct rig_end rig_end;

void rig_set_up(void);
void rig_tear_down(void);

/** One turn of the loop, which does not block. */
void rig_turn(void);
/** Turns until it is so; the test fails after a long time. */
void rig_until(bool (*is_so)(void));
void rig_until_diary(const char *text);
void rig_until_ended(void);
void rig_until_input(const char *text);

/** Opens with the path behind the server's address, such as "/ws"; a whole URL is taken as it is.
 */
void rig_open(const char *path, const struct upstream_wish *wish);
/** The server says this as it is. */
void rig_say(struct span bytes);
/** Waits for the request, and answers 101 with these lines more. */
void rig_accept(const char *lines);
/** Waits for the request, and answers so. */
void rig_answer(const char *response);
/** The server ends the connection: with a FIN, or with a RST. */
void rig_hang_up(bool with_reset);
/** Both, for whom only an open one is of interest. */
void rig_open_one(void);
