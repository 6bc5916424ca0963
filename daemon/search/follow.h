#pragma once
/*
 * Following the store for a search: a read-only connection, and the tail of what
 * it has written since the index's mark, kept up by reading on. Searcher thread.
 */

#include <sqlite3.h>
#include <stdint.h>

#include "common/err.h"
#include "daemon/base/conf.h"
#include "daemon/search/kinds.h"
#include "daemon/search/query.h"
#include "daemon/search/recent.h"
#include "daemon/store/change.h"

struct follow_statements;

struct follow {
	sqlite3 *db;
	struct follow_statements *st;
	struct tokenizer *tokenizers[INDEX_KINDS];
	struct recent tails[INDEX_KINDS];
	int64_t end;         /* the tails hold everything from the mark up to here */
	int64_t seq;         /* of the snapshot */
	int64_t deadline_us; /* of the work that is done; 0: none */
	/* of the record that was taken apart last */
	struct buf name;
	struct buf text;
	struct query_doc doc;
};

enum err follow_open(
	struct follow *f, const char *store_path, const struct conf *conf, struct error *error);
void follow_close(struct follow *f);

/** Opens a snapshot, and closes it. */
enum err follow_begin(struct follow *f, struct error *error);
void follow_end(struct follow *f);

/** Forgets what the index holds, adds what it does not. ERR_TIMEOUT: not all of it, go on later.
 * ERR_UNAVAILABLE: more than max_bytes. */
enum err follow_catch_up(struct follow *f, int64_t mark, const struct kinds *kinds,
	uint64_t max_bytes, struct error *error);
void follow_forget(struct follow *f);
uint64_t follow_records(const struct follow *f);
uint64_t follow_bytes(const struct follow *f);

/** What a candidate is looked at for: whether it is still there, its category, and with has_time
 * when it was written. SQLITE_ROW, SQLITE_DONE or a failure; the category lasts until the next. */
int follow_look(struct follow *f, int64_t seq, bool has_time, struct span *category, int64_t *time);
/** Reads a record; SQLITE_ROW, SQLITE_DONE or a failure. It lasts until the next. */
int follow_read(struct follow *f, int64_t seq, struct record *out);
/** Takes a record apart: name, text and doc. */
enum err follow_take_apart(struct follow *f, enum conf_search kind, struct span name,
	struct span data, struct error *error);
/** SQLite's error, or TIMEOUT. */
enum err follow_error(struct follow *f, struct error *error);
