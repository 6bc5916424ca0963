#pragma once
/*
 * A change: what subscribers are told of one record. Immutable and counted; its
 * body is the JSON of the notification from behind "prev" to the end, encoded
 * once, where the change is made (writer or reader thread), and shared by every
 * frame. Whoever makes it owns it until it is handed to the loop; from there on
 * it belongs to the loop thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/span.h"
#include "daemon/base/frame.h"

enum change_op { CHANGE_PUT, CHANGE_DELETE, CHANGE_LEAVE };

struct change {
	unsigned refs;
	enum change_op op;
	int64_t seq;
	struct span category; /* decoded; lives as long as the change */
	struct span id;
	struct body *body;  /* `"op":"put","category":...,"updated_at":N}}` and "\n" */
	struct span data;   /* of a put: JSON, in its body */
	struct body *leave; /* see change_leave_body() */
	/* What the record's data was before, where the store was asked to keep it. */
	bool knows_before;
	struct span before; /* JSON, owned; n == 0: there was no record */
};

/** A record as it is stored: spans are borrowed. */
struct record {
	struct span category;
	struct span id;
	struct span name;
	struct span data; /* JSON, compact */
	int64_t seq;
	int64_t rev;
	int64_t created_at;
	int64_t updated_at;
	int64_t expires_at; /* 0: never */
};

/** One reference. NULL when out of memory (the data's size is a client's). */
struct change *change_new_put(const struct record *r);
struct change *change_new_delete(
	struct span category, struct span id, int64_t rev, int64_t seq, int64_t deleted_at);
/** The record is there, and is not what a condition asks for. */
struct change *change_new_leave(struct span category, struct span id, int64_t seq);
/** The body of "leave" for whoever hears of a put with a condition that it does not meet: encoded
 * at the first call; borrowed. Loop thread. */
struct body *change_leave_body(struct change *c);
/** Gives the change a copy of the data that was there before (n == 0: there was none); knows
 * nothing when out of memory. */
void change_set_before(struct change *c, struct span data);
/** Forgets it. */
void change_drop_before(struct change *c);
struct change *change_ref(struct change *c);
void change_unref(struct change *c);

/** Appends the record as a JSON object, in the order category, id, name, data, rev, seq, times. */
void record_add_json(struct buf *out, const struct record *r);

/** The same of a version, behind "op": a deletion has {category, id, rev, seq, deleted_at}. */
void version_add_json(struct buf *out, const struct record *r, bool is_deletion);

/** The newest changes of the store. */
struct tail {
	size_t max_n; /* bounds, the caller's */
	size_t max_bytes;
	struct change **changes; /* oldest first; owned */
	size_t n;
	int64_t floor; /* every change above it and up to seq is among them */
	int64_t seq;   /* where the store stood; what is committed after it is handed to the sink */
};

void tail_fini(struct tail *t);
