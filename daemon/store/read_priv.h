#pragma once
/* What the parts of reading share. Private to read*.c. */

#include <stdbool.h>

#include "common/json.h"
#include "daemon/store/read.h"
#include "daemon/store/sql.h"

enum read_statement {
	RD_BEGIN,
	RD_END,
	RD_LAST_SEQ,
	RD_PRUNED_TO,
	RD_GET,
	RD_NEWEST,
	RD_NEWEST_IN,
	RD_OLDEST,
	RD_OLDEST_IN,
	RD_BY_ID,
	RD_BY_ID_IN,
	RD_BURIED,
	RD_BURIED_IN,
	RD_COUNT,
	RD_COUNT_IN,
	RD_COUNT_EACH,
	RD_KEYS,
	RD_NEWEST_VERSION,
	RD_VERSIONS,
	RD_KEPT,
	RD_KEPT_IN,
	RD_FORGOTTEN_TO,
	RD_STATEMENTS
};

struct read {
	sqlite3 *db;
	const char *epoch;
	sqlite3_stmt *st[RD_STATEMENTS];
	int64_t seq; /* of the snapshot */
	int64_t pruned_to;
	int64_t deadline_us; /* of the job that runs; 0: none */
};

/** The record in the current row of a statement with the columns of READ_COLUMNS. */
struct record read_record(sqlite3_stmt *st);
/** An error of SQLite's while a job runs: a passed deadline is TIMEOUT. */
enum err read_error(struct read *r, struct error *error, const char *doing);

/** The answer of a get, whole; and the end of any answer: where the store stood. */
void read_put_record(const struct read *r, struct job *j, const struct record *record);
void read_put_snapshot(const struct read *r, struct json_out *o);

/** A get of a version that need not be the newest; all versions of a record. */
enum err read_version(struct read *r, struct job *j);
enum err read_history(struct read *r, struct job *j);
/** A page of changes, for the hub (j->page) or for a poller (j->reply). */
enum err read_changes(struct read *r, struct job *j);
enum err read_list(struct read *r, struct job *j);
