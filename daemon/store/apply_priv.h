#pragma once
/*
 * What the sources of apply.h share: the statements, where the store stands, and
 * the record that is being written.
 */

#include "common/buf.h"
#include "daemon/store/apply.h"
#include "daemon/store/counts.h"
#include "daemon/store/feedrow.h"
#include "daemon/store/grant.h"
#include "daemon/store/history.h"
#include "daemon/store/pick.h"
#include "daemon/store/refill.h"
#include "daemon/store/safe.h"
#include "daemon/store/sum.h"

enum statement {
	ST_FIND,
	ST_UPSERT,
	ST_UPSERT_KEEPING,
	ST_SET_REV,
	ST_DELETE,
	ST_DELETE_KEEPING,
	ST_BURY,
	ST_UNBURY,
	ST_COUNT_RECORDS,
	ST_OLDEST_TOMBSTONES,
	ST_PRUNE,
	ST_SET_META,
	ST_LAST_SEQ,
	ST_PRUNED_TO,
	ST_COUNT_TOMBSTONES,
	ST_NEXT_EXPIRY,
	ST_COUNT
};

struct apply {
	sqlite3 *db;
	sqlite3_stmt *st[ST_COUNT];
	struct history *history;
	struct counts *counts; /* of records, in categories with a maximum */
	struct refill *refill;
	struct grants *grants;
	struct safe *safe;
	struct feedrows *feedrows;
	struct pick *pick;
	struct apply_mark now;
	struct apply_mark committed;
	bool has_uncounted; /* records may have come that no put has counted */
	struct sum sum;     /* of the record that is written */
	int64_t rev;
	int64_t created_at;
	bool keeps_before;
	struct buf before; /* the data of the record that is written, as it was */
};

/* apply_record.c */

enum err apply_put(struct apply *a, struct op *op, struct error *error);
enum err apply_patch(struct apply *a, struct op *op, struct error *error);
enum err apply_delete(struct apply *a, struct op *op, struct error *error);
/** All that meet the condition, of those that it looks at. */
enum err apply_delete_where(struct apply *a, struct op *op, struct error *error);

/* apply_prune.c */

/** Removes tombstones that are old or too many. */
enum err apply_prune(struct apply *a, struct op *op, struct error *error);
/** Removes versions that need not be kept any longer. */
enum err apply_trim_history(struct apply *a, struct op *op, struct error *error);
