#pragma once
/*
 * The sum of a row: 64 bits (SipHash) over the table's name and all columns with
 * their types and lengths, kept in the row's own column `sum`. SQLite's
 * integrity_check does not see a bit that flips inside of a text: this does, and it
 * tells rows that another program has written. It proves origin to nobody who means
 * harm: the key is no secret.
 *
 * Who adds a table adds a column `sum` to it, and fills it in the statement that
 * writes the row: with row_sum('table', column, ...) in SQL or, where that is not
 * fast enough, with what is here. Pure, but for the function's registration.
 */

#include <sqlite3.h>
#include <stdint.h>

#include "common/err.h"
#include "common/span.h"
#include "daemon/store/change.h"

#define SUM_FIELDS_MAX 24

/* What the sums of the tables' rows are made of, in SQL. */
#define SUM_RECORDS                                                                                \
	"row_sum('records', seq, category, id, name, data, rev, created_at, updated_at, "          \
	"expires_at)"
#define SUM_TOMBSTONES "row_sum('tombstones', seq, category, id, rev, deleted_at)"
#define SUM_HISTORY                                                                                \
	"row_sum('history', seq, n, op, category, id, name, data, rev, created_at, updated_at, "   \
	"expires_at, ended_at, ended_seq)"
#define SUM_TOKENS "row_sum('tokens', id, name, hash, scopes, created_at, expires_at, used_at)"
#define SUM_SECRETS                                                                                \
	"row_sum('secrets', id, name, key, value, version, created_at, updated_at, sealed_at)"
#define SUM_FEEDS  "row_sum('feeds', id, name, definition, version, created_at, updated_at)"
#define SUM_EPOCHS "row_sum('epochs', epoch, first_seq)"
#define SUM_META   "row_sum('meta', key, value)"

/** The fields so far, a text as its hash. */
struct sum {
	unsigned n;
	uint64_t words[2 * SUM_FIELDS_MAX];
};

struct sum sum_start(const char *table);
void sum_add_int(struct sum *s, int64_t value);
void sum_add_text(struct sum *s, struct span text);
void sum_add_null(struct sum *s);
/** What the row's column `sum` has to be. */
int64_t sum_end(const struct sum *s);

/** Of a record, and then the same with another rev and created_at. */
struct sum sum_of_record(const struct record *r);
void sum_set_life(struct sum *s, int64_t rev, int64_t created_at);
int64_t sum_of_tombstone(
	int64_t seq, struct span category, struct span id, int64_t rev, int64_t deleted_at);

/** Adds row_sum(table, column, ...) to the connection. */
enum err sum_add_function(sqlite3 *db, struct error *error);
