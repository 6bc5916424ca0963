#pragma once
/* What the sources of upstream.h share: upstream.c is an open one, upstream_open.c its way there.
 */

#include "common/buf.h"
#include "common/secret.h"
#include "common/url.h"
#include "daemon/base/conf.h"
#include "daemon/base/stats.h"
#include "daemon/feed/upstream.h"
#include "daemon/net/conn.h"

#define REDIRECTS_MAX 3
#define WHY_SIZE      512

struct authorities;
struct dial;
struct resolver;

struct upstreams {
	struct loop *loop;
	struct net *net;
	struct resolver *resolver;
	struct authorities *authorities;
	struct list freed; /* of struct upstream: at the end of the turn */
	unsigned n;
	struct counter opened;
	struct counter read_bytes;
};

enum upstream_state {
	US_STARTING,
	US_DIALING,
	US_SECURING,
	US_SHAKING,
	US_OPEN,
	US_CLOSING, /* a close was said by one of both */
	US_ENDING,  /* the connection is gone, what was read of it is not told yet */
	US_ENDED,
	US_FREED,
};

struct upstream {
	enum upstream_state state;
	struct upstreams *all;
	upstream_fn fn;
	void *arg;

	/* The wish. */
	struct url url;   /* after redirects */
	struct url first; /* before */
	bool has_url;     /* false: `why` says what is wrong with it */
	char *ca;
	bool is_loyal;
	handshake_redact_fn *redact;
	struct secret *headers; /* NULL: none, or no longer needed */
	char **protocols;
	size_t protocols_n;

	/* The way. */
	struct dial *dial;
	struct handshake *handshake; /* kept: upstream_add_handshake() */
	struct url *visited[REDIRECTS_MAX];
	unsigned redirects;
	bool awaits_text; /* of a refusal */
	unsigned told;    /* bits of enum upstream_event: of those before it is open */
	char address[CONN_NAME_SIZE];
	const char *tls_version; /* NULL: it was never secured */
	const char *tls_cipher;

	/* The connection. */
	struct conn conn;
	bool has_conn;
	bool is_paused;   /* by the owner */
	bool is_choked;   /* too much of what was to be sent is not: pongs */
	bool is_resuming; /* at the end of the turn */
	bool is_taking;   /* what was read is being told */
	bool is_hasty;    /* ... paused or not */
	bool has_news;    /* since the last UPSTREAM_BATCH */
	bool has_closed;  /* our close is sent */
	struct ws_pool *pool;
	struct ws *ws;
	struct buf answers; /* of the codec, in the middle of what was read */
	struct buf held;    /* read and not told: it was paused meanwhile */
	uint64_t read_bytes;
	struct loop_timer *timer; /* a limit of our own: of a refusal's text, of a close */
	uint16_t code;            /* of the server's close; 0: none has come */
	bool ends_for_good;       /* this and the next two: what is to be told of the end */
	int64_t retry_after_ms;
	char why[WHY_SIZE];
	struct list link; /* in the upstreams' `freed` */
};

/* upstream_open.c */

/** The first step, or the next after a redirect. */
void upstream_dial(struct upstream *u);
void upstream_on_conn(struct conn *c, enum conn_event event, struct span input);
void upstream_on_timer(void *arg);
/** It is gone, whatever the reason. */
void upstream_drop_conn(struct upstream *u);

/* upstream.c */

/** False if the owner has freed it. */
bool upstream_tell(struct upstream *u, const struct upstream_news *news);
/** The end: tells it. */
void upstream_end(struct upstream *u, bool is_permanent, int64_t retry_after_ms, const char *fmt,
	...) __attribute__((format(printf, 4, 5)));
/** Hands are shaken; `early` came behind. */
void upstream_begin(struct upstream *u, struct span early);
/** Of one that is open, or closing. */
void upstream_take(struct upstream *u, struct span input);
void upstream_drained(struct upstream *u);
/** Queues bytes. is_secret: they are overwritten when they are sent. */
void upstream_queue(struct upstream *u, struct span bytes, bool is_secret);
