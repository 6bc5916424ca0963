#pragma once
/*
 * What the sources of conn.h share: the net with its buffers, and the steps of a
 * connection. conn.c knows sockets and the queue, conn_tls.c what TLS adds.
 */

#include <event2/event.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "common/buf.h"
#include "daemon/base/bounds.h"
#include "daemon/base/stats.h"
#include "daemon/net/conn.h"

#define READ_SIZE (64 * 1024)
#define PACK_SIZE (64 * 1024)

struct net {
	struct loop *loop;
	struct list dirty;
	bool is_flush_due;          /* flush_dirty() is deferred */
	bool is_wipe_due;           /* wipe_buffers() is */
	const struct conn *current; /* being told an event; NULL once it is gone */
	unsigned conns;
	struct counter read_bytes;
	struct counter written_bytes;
	struct counter writes;
	struct counter failures;
	char buffer[READ_SIZE];
	char packed[PACK_SIZE]; /* where small parts become one */

	/* Of TLS. */
	struct list shaking; /* of struct conn_tls: handshakes under way, oldest first */
	int64_t shaking_n;
	int64_t shaking_max;
	struct bounds *bounds; /* borrowed */
	struct list waiting; /* of struct conn_tls: for time to work at theirs, first come first */
	bool is_shake_due;   /* work_at_waiting() is deferred */
	uint64_t shake_turn; /* of the loop, in which one was last worked at ... */
	int64_t shake_ends_us; /* ... and when the time for that is used up */
	struct buf plain;      /* what the connection being read has said */
	struct buf sealed;     /* what is to be written */
	unsigned tls_conns;
	struct counter shaken;
	struct counter not_shaken;
};

/* conn.c */

/** Tells the owner; false if the conn is gone after. */
bool conn_tell(struct conn *c, enum conn_event event, struct span input);
/** The same, that nothing more will come. */
bool conn_tell_eof(struct conn *c);
/** Makes the registered interest follow the state. */
void conn_update(struct conn *c);
/** It has something to do at the end of the turn. */
void conn_mark_dirty(struct conn *c);
/** From here on it is silent, but for CONN_FAILED at the end of the turn. */
void conn_fail(struct conn *c);
/** The same, by what errno says. */
void conn_fail_errno(struct conn *c);
/** Takes written bytes off the queue. */
void conn_advance(struct conn *c, size_t nbytes);
/** One call of the kernel: how many of the bytes it took, and in wants_write whether it takes no
 * more. It may fail the conn: -1. */
ssize_t conn_write(struct conn *c, struct iovec *iov, int parts, size_t total);

/* conn_tls.c */

void conn_tls_init_net(struct net *n);
void conn_tls_fini_net(struct net *n);
/** Overwrites what was read. */
void conn_tls_wipe(struct net *n);
void conn_tls_add_stats(const struct net *n, struct stats *stats);
void conn_tls_free(struct conn *c);
/** Why it is broken, as conn_why(); NULL: it is not. */
const char *conn_tls_why(const struct conn *c, bool *is_distrusted);
/** Forgets what is sealed and not written. */
void conn_tls_drop(struct conn *c);
/** True while it need not be read: its turn will come. */
bool conn_tls_waits(const struct conn *c);
/** Reads what is there and works on it; false if the conn is gone. */
bool conn_tls_read(struct conn *c);
/** Reading goes on. */
void conn_tls_resume(struct conn *c);
/** One write; false when the socket takes no more, or failed, or there is nothing to write yet. */
bool conn_tls_write(struct conn *c);
/** Says that nothing more will be said; true once that is written, or need not be. */
bool conn_tls_end(struct conn *c);
