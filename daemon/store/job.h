#pragma once
/*
 * A job: one piece of work for the store, with everything that it needs and,
 * afterwards, everything that came of it. One block of memory owns it all. It
 * is owned by whoever holds it: handler, queue, store thread, sink.
 *
 * Operations carry their time and ids with them, so that applying the same
 * operations in the same order gives the same store on any machine.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/span.h"
#include "daemon/base/queue.h"
#include "daemon/store/change.h"
#include "daemon/store/pattern.h"

/** Whose job it is: enough to find the peer again, by id, and to answer. */
enum origin_kind { ORIGIN_NONE, ORIGIN_WEBSOCKET, ORIGIN_CONTROL, ORIGIN_FEED };

struct origin {
	enum origin_kind kind;
	uint64_t peer;  /* the peer's id, never reused */
	uint64_t batch; /* of JSON-RPC; 0: none */
	struct span id; /* request id token; n == 0: a notification, no answer wanted. In a job: the
			   job's own copy */
};

enum job_kind {
	JOB_WRITE, /* ops: all or nothing */
	JOB_GET,   /* read.category, read.id */
	JOB_LIST,
	JOB_COUNT,
	JOB_CATEGORIES,
	JOB_CHANGES, /* a page for a poller: answers JSON */
	JOB_REPLAY,  /* a page for the hub: answers changes */
	JOB_NOTICE,  /* made by the writer: somebody else wrote to the file; subscriptions must
			replay */
};

enum op_kind {
	OP_PUT,
	OP_DELETE,
	OP_EXPIRE, /* deletes at most `limit` records with expires_at <= now_ms */
	OP_PRUNE,  /* drops the oldest tombstones: those deleted before `expires_at`, and those
		      beyond `keep`; at most `limit` */
};

/** What a put does about a record that is there. */
enum put_mode {
	PUT_REPLACE,
	PUT_SKIP_EXISTING, /* never overwrites */
	PUT_SKIP_EQUAL,    /* writes only what differs in name, data or expires_at */
};

struct op {
	enum op_kind kind;
	enum put_mode mode;
	struct span category;
	struct span id;
	struct span name;
	struct span data;
	int64_t if_seq; /* -1: no condition; 0: must not exist */
	int64_t now_ms;
	int64_t expires_at; /* 0: never */
	int64_t keep;       /* OP_PRUNE: how many tombstones may stay */
	unsigned limit;
	/* results */
	int64_t seq; /* 0: nothing happened */
	int64_t rev;
	bool created;
	bool skipped;
	struct change
		*change; /* owned; NULL if nothing happened. OP_EXPIRE uses job->changes instead */
};

enum order { ORDER_NEWEST, ORDER_OLDEST, ORDER_ID };
enum name_match { NAME_ANY, NAME_SUBSTRING, NAME_LIKE };

/** What a read wants. Spans and the pattern are the job's own. */
struct read_params {
	struct pattern *pattern; /* list, count, changes, replay; NULL: everything */
	struct span category;    /* get */
	struct span id;
	enum order order;
	enum name_match name_match;
	struct span name;
	struct span cursor;
	int64_t updated_after;  /* INT64_MIN: unset; strictly after */
	int64_t updated_before; /* INT64_MAX: unset; strictly before */
	int64_t since;          /* changes, replay */
	int64_t base; /* 0: none. tombstones up to it are skipped; only with a replay that began at
			 0 */
	int64_t now_ms;
	unsigned limit;
	unsigned offset;
};

/** A page of changes for the hub. */
struct page {
	struct change **changes; /* owned, in order of seq */
	size_t n;
	int64_t end;  /* the last seq considered: the next page starts here */
	bool at_head; /* nothing was left behind `end` in this snapshot */
};

struct store_client;

struct job {
	struct qitem item; /* first: a qitem is a job */
	enum job_kind kind;
	struct origin origin;
	struct store_client *client; /* counted; NULL for the daemon's own work */
	bool is_inside;              /* the lobby let it in and waits for it to come back */
	unsigned reader;             /* 1 and the number of the reader that has it; 0: none */
	bool is_put_off; /* a read that comes back undone: its client takes no answers now */
	uint64_t ticket; /* of a write; for a read: the write that must be committed before it */
	int64_t deadline_us; /* monotonic; 0: none (reads) */
	struct op *ops;
	size_t ops_n;
	struct read_params read;
	bool wants_results; /* put_many: answer one item a record */
	bool is_many;       /* put_many or delete with ids: how to word the answer */
	/* results */
	enum err result; /* OK, or why not: then error is filled */
	struct error error;
	struct buf reply;        /* JSON of the result, when OK and an answer is wanted */
	struct change **changes; /* OP_EXPIRE */
	size_t changes_n;
	struct page page; /* JOB_REPLAY */
	void *waiter;     /* JOB_REPLAY: the hub's, not looked at */
};

/** A job with ops_n zeroed ops (if_seq -1) and room for nbytes of their texts; NULL when out of
 * memory. The origin is copied. */
struct job *job_new(enum job_kind kind, const struct origin *origin, size_t ops_n, size_t nbytes);
/** Copies text into the job's memory and returns the copy. The room was asked for in job_new(). */
struct span job_keep(struct job *j, struct span text);
/** The rest of the room, to write into directly (commit with job_keep_written()). */
char *job_room(struct job *j, size_t *n);
struct span job_keep_written(struct job *j, size_t n);
/** Forgets what came of it, so that it can be run again. */
void job_drop_results(struct job *j);
/** Frees the job, its results, its reference on the client. Loop thread, when it has a client. */
void job_free(struct job *j);
