/* Giving back what is free while the store is in use: see vacuum.h. */

#include "daemon/store/vacuum.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "daemon/store/sql.h"

/* A step ends at any of these. Each page that moves changes one or two more, and whoever
 * writes waits for all of them to be on the disk. */
#define STEP_US    1000
#define STEP_PAGES 64

#define HOLD_US   30000000 /* the log may have no room for so long */
#define SETTLE_US 10000000 /* the file is waited for so long */

#define AUTO_VACUUM_INCREMENTAL 2

struct vacuum *
vacuum_new(void)
{
	struct vacuum *v = xnew(struct vacuum);

	v->started_us = clock_mono_us();
	return v;
}

void
vacuum_end(struct vacuum *v, struct wal *wal)
{
	sqlite3_finalize(v->give);
	v->give = NULL;
	wal_want_all(wal, false);
}

void
vacuum_free(struct vacuum *v)
{
	free(v);
}

static enum err
begin(struct vacuum *v, sqlite3 *db, struct error *error)
{
	int64_t kind = 0;
	enum err e = sql_query_int(db, "PRAGMA auto_vacuum", 0, &kind, error);

	if (e == OK && kind != AUTO_VACUUM_INCREMENTAL)
		e = error_set(error, ERR_INVALID_ARGUMENT,
			"this store is older than compacting while it is in use: stop the daemon "
			"and run `sysrtctl compact` once, later it works in any case");
	if (e == OK)
		e = sql_prepare(db, "PRAGMA incremental_vacuum", &v->give, error);
	return e;
}

/** Each row is a page that went. *n: how many did; OK: nothing is free any more. */
static enum err
give_pages(struct vacuum *v, sqlite3 *db, int64_t *n, struct error *error)
{
	int64_t until_us = clock_mono_us() + STEP_US;
	int rc = SQLITE_ROW;

	for (*n = 0; *n < STEP_PAGES && clock_mono_us() < until_us; ++*n) {
		rc = sqlite3_step(v->give);
		if (rc != SQLITE_ROW)
			break;
	}
	sqlite3_reset(v->give);
	if (rc == SQLITE_ROW)
		return PENDING;
	return rc == SQLITE_DONE ? OK : sql_error(db, error, "moving pages");
}

/** One transaction. OK: nothing is free any more; PENDING: there is more. */
static enum err
give_some(struct vacuum *v, sqlite3 *db, int64_t page_bytes, struct error *error)
{
	int64_t n = 0, free_n = 0;
	enum err e, left = PENDING;

	sql_begin_work();
	e = sql_exec(db, "BEGIN IMMEDIATE", error);
	if (e == OK)
		e = left = give_pages(v, db, &n, error);
	if (e == OK || e == PENDING)
		e = sql_query_int(db, "PRAGMA freelist_count", 0, &free_n, error);
	if (e == OK)
		e = sql_exec(db, "COMMIT", error);
	if (e != OK) {
		if (!sqlite3_get_autocommit(db))
			sql_exec(db, "ROLLBACK", NULL);
		return e;
	}
	v->pages_n += n;
	v->total = (v->pages_n + free_n) * page_bytes;
	v->done = v->pages_n * page_bytes;
	return left;
}

/** The log is never filled to where writes are refused: it has to be started anew first. */
static enum err
check_log(struct vacuum *v, const struct wal *wal, struct error *error)
{
	if (wal_has_room(wal)) {
		v->held_us = 0;
		return OK;
	}
	if (v->held_us == 0)
		v->held_us = clock_mono_us();
	if (clock_mono_us() - v->held_us < HOLD_US)
		return PENDING;
	return error_set(error, ERR_UNAVAILABLE,
		"the log has been at its limit (store.wal_limit) for half a minute: a program that "
		"reads the store for long keeps it from being started anew");
}

/** OK when the file is no longer than the store, or has been waited for long enough. */
static enum err
settle(struct vacuum *v, sqlite3 *db, struct wal *wal, struct error *error)
{
	int64_t pages = 0, needed, is;
	enum err e = sql_query_int(db, "PRAGMA page_count", 0, &pages, error);

	needed = pages * wal->page_bytes;
	is = wal_file_bytes(wal);
	v->size = is > needed ? is : needed;
	if (e != OK || is <= needed || clock_mono_us() - v->ended_us > SETTLE_US)
		return e;
	wal_want_all(wal, true);
	return PENDING;
}

static void
write_result(struct job *j)
{
	const struct vacuum *v = j->vacuum;
	struct json_out o = json_out_start(&j->reply);

	json_begin_object(&o, NULL);
	json_put_int(&o, "pages_freed", v->pages_n);
	json_put_int(&o, "bytes_freed", v->done);
	json_put_int(&o, "size", v->size);
	json_put_int(&o, "took_ms", (clock_mono_us() - v->started_us) / 1000);
	json_end_object(&o);
	log_info("store", "free pages were given back", F_SPAN("result", buf_span(&j->reply)));
}

/** PENDING: there is more to do, and *next says when. */
static enum err
work(struct vacuum *v, sqlite3 *db, struct wal *wal, enum vacuum_next *next, struct error *error)
{
	enum err e = OK;

	if (v->is_stopped)
		return error_set(error, ERR_UNAVAILABLE, "the compaction was stopped");
	if (v->give == NULL)
		e = begin(v, db, error);
	*next = VACUUM_WAITS;
	if (e == OK && v->ended_us != 0)
		return settle(v, db, wal, error);
	if (e == OK)
		e = check_log(v, wal, error);
	if (e != OK)
		return e;
	*next = VACUUM_AGAIN;
	e = give_some(v, db, wal->page_bytes, error);
	if (e != OK)
		return e;
	v->ended_us = clock_mono_us();
	return PENDING;
}

enum vacuum_next
vacuum_run(struct job *j, sqlite3 *db, struct wal *wal)
{
	enum vacuum_next next = VACUUM_OVER;

	j->result = work(j->vacuum, db, wal, &next, &j->error);
	if (j->result == OK)
		write_result(j);
	return j->result == PENDING ? next : VACUUM_OVER;
}
