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
#include "daemon/store/sweep.h"

/** Whose job it is: enough to find the peer again, by id, and to answer. */
enum origin_kind { ORIGIN_NONE, ORIGIN_WEBSOCKET, ORIGIN_CONTROL, ORIGIN_FEED };

struct origin {
	enum origin_kind kind;
	uint64_t peer;  /* the peer's id, never reused */
	uint64_t batch; /* of JSON-RPC; 0: none */
	struct span id; /* request id token; n == 0: a notification, no answer wanted. In a job: the
			   job's own copy */
	const char *audited; /* what the audit log calls it; NULL: its result is not noted */
};

enum job_kind {
	JOB_WRITE, /* ops: all or nothing */
	JOB_GET,   /* read.category, read.id, read.version */
	JOB_HISTORY,
	JOB_LIST,
	JOB_COUNT,
	JOB_CATEGORIES,
	JOB_SEARCH,
	JOB_CHANGES, /* a page for a poller: answers JSON */
	JOB_REPLAY,  /* a page for the hub: answers changes */
	JOB_BACKUP,  /* backup: the store's own, never in the lobby */
	JOB_CHECK,   /* likewise */
	JOB_COMPACT, /* vacuum: likewise */
	JOB_NOTICE,  /* made by the writer: somebody else wrote to the file; subscriptions must
			replay */
};

enum op_kind {
	OP_PUT,
	OP_PATCH, /* data is a merge patch for that of the record, whose name and expiry stay */
	OP_DELETE,
	OP_DELETE_WHERE, /* `sweep` says which of the category; at most `limit`. One job each */
	OP_PRUNE, /* drops the oldest tombstones: those deleted before `expires_at`, and those
		     beyond `keep`; at most `limit` */
	OP_TRIM_HISTORY, /* drops earlier versions: with an id those of the record beyond `keep`,
			    else those of the category that ended before `expires_at`; at most
			    `limit` */
	/* One job each: the check, records and deletions out of an export, the mark. */
	OP_REFILL_CHECK,   /* the store has nothing else */
	OP_REFILL,         /* a record with what is given */
	OP_REFILL_DELETED, /* a deletion with what is given, at now_ms */
	OP_REFILL_MARK,    /* notes how far it has come; given.seq: all is there */
	/* Tokens, by their names: these change no record. */
	OP_GRANT, /* id: the hash; data: see grant_text.h; category: the text, for the answer alone
		   */
	OP_WITHDRAW,         /* revokes it */
	OP_WITHDRAW_EXPIRED, /* no name: those whose time was up at `expires_at` */
	OP_NOTE_USE,         /* was used at now_ms */
	/* Secrets, sealed, by their names: likewise. */
	OP_STOW, /* id: its key; data: its value; given.rev: its version; now_ms: when it was
		    sealed; if_seq: the version before it */
	OP_DROP,
	/* Feeds, by their names: likewise. */
	OP_FEED_SET, /* data: the definition; if_seq 0: only if there is none. Tells rev and
			created */
	OP_FEED_DROP,
};

/** What restored records bring with them. */
struct given {
	int64_t seq; /* 0: none */
	int64_t rev;
	int64_t created_at;
	int64_t updated_at; /* OP_STOW */
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
	int64_t keep; /* puts and deletes: how many earlier versions the category keeps (0: none);
			 OP_PRUNE, OP_TRIM_HISTORY: how many may stay; INT64_MAX: any number */
	int64_t upto; /* OP_PRUNE: none above this seq; 0: any */
	int64_t max_data;    /* a patch: how many bytes the data may have after it */
	int64_t max_records; /* a put: how many records the category may have; 0: any number */
	unsigned limit;
	struct sweep *sweep; /* OP_DELETE_WHERE: owned, with results */
	struct given given;  /* OP_REFILL... */
	/* results */
	int64_t seq; /* 0: nothing happened */
	int64_t rev;
	bool created;
	bool skipped;           /* OP_PRUNE: some would have gone, but are above `upto` */
	struct change *change;  /* owned; NULL if nothing happened */
	struct change *evicted; /* owned; of the record that left for it (max_records), or NULL */
};

enum order { ORDER_NEWEST, ORDER_OLDEST, ORDER_ID, ORDER_RANK };
enum name_match { NAME_ANY, NAME_SUBSTRING, NAME_LIKE };

/** Which version of a record a get wants; but for the newest, `number` says more. */
enum version_by { VERSION_NEWEST, VERSION_REV, VERSION_SEQ, VERSION_TIME };

/** What a read wants. Spans and the pattern are the job's own. */
struct read_params {
	struct pattern *pattern; /* list, count, changes, replay; NULL: everything */
	struct span category;    /* get, history */
	struct span id;
	enum version_by version; /* get */
	int64_t number;
	enum order order;
	enum name_match name_match;
	struct span name;
	struct span cursor;
	struct span query;      /* search */
	unsigned snippet;       /* search: characters; 0: none */
	bool wants_data;        /* search */
	bool is_apart;          /* search: scores tell nothing of what is not found */
	unsigned rank_limit;    /* search: matches that are counted and ranked */
	int64_t updated_after;  /* INT64_MIN: unset; strictly after */
	int64_t updated_before; /* INT64_MAX: unset; strictly before */
	int64_t since;          /* changes, replay */
	bool history;           /* replay: with earlier versions, as far as they are kept */
	int64_t floor;          /* its: deletions up to here were forgotten when it began at 0 */
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
	int64_t end;   /* the last seq considered: the next page starts here */
	bool at_head;  /* nothing was left behind `end` in this snapshot */
	int64_t floor; /* with history: for the pages to come */
	int64_t seq;   /* where the store stood in this snapshot */
};

struct store_client;
struct backup;
struct vacuum;

struct job {
	struct qitem item; /* first: a qitem is a job */
	enum job_kind kind;
	struct origin origin;
	struct store_client *client; /* counted; NULL for the daemon's own work */
	bool is_inside;              /* the lobby let it in and waits for it to come back */
	unsigned reader;             /* 1 and the number of the reader that has it; 0: none */
	bool is_put_off; /* a read that comes back undone: its client takes no answers now */
	uint64_t ticket; /* of a write; for a read: the write that must be committed before it */
	uint64_t turn;   /* of a read inside: see turn.h */
	int64_t deadline_us; /* monotonic; 0: none (reads) */
	struct op *ops;
	size_t ops_n;
	struct read_params read;
	bool is_chained;    /* a write that is done only if the one before it of its client was */
	bool wants_results; /* put_many: answer one item a record */
	bool is_secret;     /* its texts and its answer are overwritten when it is freed */
	bool is_many;       /* put_many or delete with ids: how to word the answer */
	/* results */
	enum err result; /* OK, or why not: then error is filled */
	struct error error;
	struct buf reply;      /* JSON of the result, when OK and an answer is wanted */
	struct page page;      /* JOB_REPLAY */
	void *waiter;          /* JOB_REPLAY: the hub's, not looked at */
	bool wants_index;      /* JOB_CHECK: the search index is damaged */
	struct backup *backup; /* JOB_BACKUP: the store's; NULL when it is handed out */
	struct vacuum *vacuum; /* JOB_COMPACT: likewise */
};

/** A job with ops_n zeroed ops (if_seq -1) and room for nbytes of their texts; NULL when out of
 * memory. The origin is copied. */
struct job *job_new(enum job_kind kind, const struct origin *origin, size_t ops_n, size_t nbytes);
/** Copies text into the job's memory and returns the copy. The room was asked for in job_new(). */
struct span job_keep(struct job *j, struct span text);
/** The rest of the room, to write into directly (commit with job_keep_written()). */
char *job_room(struct job *j, size_t *n);
struct span job_keep_written(struct job *j, size_t n);
/** A write: how many records it may change at most, or looks at. */
size_t job_weight(const struct job *j);
/** A write whose loss would be worse than that of some records: it is synced, whatever
 * store.durability says. Who was told of another key of the vault throws the old one away, and who
 * was told that a token is void relies on it. */
bool job_must_last(const struct job *j);
/** A write: how many operations it was. */
size_t job_done(const struct job *j);
/** Forgets what came of it, so that it can be run again. */
void job_drop_results(struct job *j);
/** Forgets that too, and where it has been: it may be submitted again. Loop thread. */
void job_renew(struct job *j);
/** It has failed; nothing came of it. The error may be its own. */
void job_fail(struct job *j, enum err code, const struct error *error);
/** Frees the job, its results, its reference on the client. Loop thread, when it has a client. */
void job_free(struct job *j);
