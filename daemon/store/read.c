/* Answering reads: see read.h. Listings and pages of changes have files of their own. */

#include "daemon/store/read.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/xalloc.h"
#include "daemon/store/read_priv.h"

#define READ_COLUMNS                                                                               \
	"seq, category, id, name, data, rev, created_at, updated_at, expires_at FROM records "
#define VERSION_COLUMNS                                                                            \
	"seq, category, id, name, data, rev, created_at, updated_at, expires_at FROM history "
#define PROGRESS_STEPS 2000

static const char *const texts[RD_STATEMENTS] = {
	[RD_BEGIN] = "BEGIN",
	[RD_END] = "COMMIT",
	[RD_LAST_SEQ] = SQL_LAST_SEQ,
	[RD_PRUNED_TO] = SQL_PRUNED_TO,
	[RD_GET] = "SELECT " READ_COLUMNS "WHERE category = ?1 AND id = ?2",
	[RD_NEWEST] = "SELECT " READ_COLUMNS "WHERE seq < ?1 ORDER BY seq DESC",
	[RD_NEWEST_IN] = "SELECT " READ_COLUMNS "INDEXED BY records_by_category "
			 "WHERE category = ?2 AND seq < ?1 ORDER BY seq DESC",
	[RD_OLDEST] = "SELECT " READ_COLUMNS "WHERE seq > ?1 ORDER BY seq",
	[RD_OLDEST_IN] = "SELECT " READ_COLUMNS "INDEXED BY records_by_category "
			 "WHERE category = ?2 AND seq > ?1 ORDER BY seq",
	[RD_BY_ID] = "SELECT " READ_COLUMNS "WHERE (category, id) > (?1, ?2) ORDER BY category, id",
	[RD_BY_ID_IN] = "SELECT " READ_COLUMNS "WHERE category = ?1 AND id > ?2 ORDER BY id",
	[RD_BURIED] = "SELECT seq, category, id, rev, deleted_at FROM tombstones "
		      "WHERE seq > ?1 ORDER BY seq",
	[RD_BURIED_IN] = "SELECT seq, category, id, rev, deleted_at FROM tombstones "
			 "INDEXED BY tombstones_by_category "
			 "WHERE category = ?2 AND seq > ?1 ORDER BY seq",
	[RD_COUNT] = "SELECT count(*) FROM records",
	[RD_COUNT_IN] = "SELECT count(*) FROM records WHERE category = ?1",
	[RD_COUNT_EACH] = "SELECT category, count(*) FROM records INDEXED BY records_by_category "
			  "GROUP BY category ORDER BY category",
	[RD_KEYS] = "SELECT category, id FROM records ORDER BY category, id",
	[RD_NEWEST_VERSION] =
		"SELECT seq, name, data, rev, created_at, updated_at, expires_at FROM records "
		"WHERE category = ?1 AND id = ?2 UNION ALL "
		"SELECT seq, NULL, NULL, rev, NULL, deleted_at, NULL FROM tombstones "
		"WHERE category = ?1 AND id = ?2",
	[RD_KEPT] = "SELECT " VERSION_COLUMNS "WHERE seq > ?1 ORDER BY seq",
	[RD_KEPT_IN] = "SELECT " VERSION_COLUMNS "INDEXED BY history_by_category "
		       "WHERE category = ?2 AND seq > ?1 ORDER BY seq",
	[RD_FORGOTTEN_TO] = "SELECT value FROM meta WHERE key = 'forgotten_to'",
	[RD_VERSIONS] = "SELECT seq, name, data, rev, created_at, updated_at, expires_at, n, "
			"ended_at, ended_seq FROM history "
			"WHERE category = ?1 AND id = ?2 AND n < ?3 ORDER BY n DESC",
};

static int
on_progress(void *arg)
{
	const struct read *r = arg;

	return r->deadline_us != 0 && clock_mono_us() > r->deadline_us;
}

enum err
read_new(sqlite3 *db, const char *epoch, struct read **out, struct error *error)
{
	struct read *r = xnew(struct read);
	enum err e = OK;

	r->db = db;
	r->epoch = epoch;
	for (int i = 0; i < RD_STATEMENTS && e == OK; i++)
		e = sql_prepare(db, texts[i], &r->st[i], error);
	if (e != OK) {
		read_free(r);
		return e;
	}
	sqlite3_progress_handler(db, PROGRESS_STEPS, on_progress, r);
	*out = r;
	return OK;
}

void
read_free(struct read *r)
{
	if (r == NULL)
		return;
	for (int i = 0; i < RD_STATEMENTS; i++)
		sqlite3_finalize(r->st[i]);
	free(r);
}

int64_t
read_seq(const struct read *r)
{
	return r->seq;
}

enum err
read_begin(struct read *r, struct error *error)
{
	int rc;

	sql_begin_work();
	if (sql_run(r->st[RD_BEGIN]) != SQLITE_DONE)
		return sql_error(r->db, error, "beginning to read");
	r->seq = sql_int(r->st[RD_LAST_SEQ], 0, &rc);
	if (rc == SQLITE_ROW)
		r->pruned_to = sql_int(r->st[RD_PRUNED_TO], 0, &rc);
	if (rc == SQLITE_ROW || rc == SQLITE_DONE)
		return OK;
	sql_error(r->db, error, "beginning to read");
	read_end(r);
	return error != NULL ? error->code : ERR_DATABASE_ERROR;
}

void
read_end(struct read *r)
{
	if (!sqlite3_get_autocommit(r->db))
		sql_run(r->st[RD_END]);
}

struct record
read_record(sqlite3_stmt *st)
{
	return (struct record){
		.seq = sqlite3_column_int64(st, 0),
		.category = sql_span(st, 1),
		.id = sql_span(st, 2),
		.name = sql_span(st, 3),
		.data = sql_span(st, 4),
		.rev = sqlite3_column_int64(st, 5),
		.created_at = sqlite3_column_int64(st, 6),
		.updated_at = sqlite3_column_int64(st, 7),
		.expires_at = sqlite3_column_int64(st, 8),
	};
}

enum err
read_error(struct read *r, struct error *error, const char *doing)
{
	if (sqlite3_errcode(r->db) == SQLITE_INTERRUPT)
		return error_set(error, ERR_TIMEOUT,
			"%s took longer than store.read_timeout: narrow the request", doing);
	return sql_error(r->db, error, doing);
}

void
read_put_snapshot(const struct read *r, struct json_out *o)
{
	json_put_str(o, "epoch", r->epoch);
	json_put_int(o, "seq", r->seq);
	json_end_object(o);
}

void
read_put_record(const struct read *r, struct job *j, const struct record *record)
{
	struct json_out o = json_out_start(&j->reply);

	buf_add(&j->reply, "{\"record\":", 10);
	record_add_json(&j->reply, record);
	o.needs_comma = true;
	read_put_snapshot(r, &o);
}

static enum err
run_get(struct read *r, struct job *j)
{
	sqlite3_stmt *st = r->st[RD_GET];
	enum err e = OK;
	int rc;

	if (j->read.version != VERSION_NEWEST)
		return read_version(r, j);
	sql_bind_span(st, 1, j->read.category);
	sql_bind_span(st, 2, j->read.id);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		struct record record = read_record(st);

		read_put_record(r, j, &record);
	} else if (rc == SQLITE_DONE) {
		e = error_set(&j->error, ERR_NOT_FOUND, "there is no record %.*s/%.*s",
			SPAN_FMT(j->read.category), SPAN_FMT(j->read.id));
	} else {
		e = read_error(r, &j->error, "reading a record");
	}
	sqlite3_reset(st);
	return e;
}

/** Counts by keys: what needs the ids looked at. */
static enum err
count_keys(struct read *r, const struct pattern *pattern, int64_t *n, struct error *error)
{
	sqlite3_stmt *st = r->st[RD_KEYS];
	int rc;

	while ((rc = sqlite3_step(st)) == SQLITE_ROW)
		*n += pattern_matches(pattern, sql_span(st, 0), sql_span(st, 1));
	sqlite3_reset(st);
	return rc == SQLITE_DONE ? OK : read_error(r, error, "counting");
}

static enum err
count_categories(struct read *r, const struct pattern *pattern, int64_t *n, struct error *error)
{
	sqlite3_stmt *st = r->st[RD_COUNT_EACH];
	int rc;

	while ((rc = sqlite3_step(st)) == SQLITE_ROW)
		if (pattern_matches(pattern, sql_span(st, 0), SPAN("")))
			*n += sqlite3_column_int64(st, 1);
	sqlite3_reset(st);
	return rc == SQLITE_DONE ? OK : read_error(r, error, "counting");
}

/** Counts by data: what a condition accepts. */
static enum err
count_accepted(struct read *r, const struct pattern *pattern, int64_t *n, struct error *error)
{
	sqlite3_stmt *st = r->st[RD_OLDEST];
	struct span category;
	int rc;

	if (pattern_is_one_category(pattern, &category)) {
		st = r->st[RD_OLDEST_IN];
		sql_bind_span(st, 2, category);
	}
	sqlite3_bind_int64(st, 1, 0);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct record record = read_record(st);

		*n += pattern_matches(pattern, record.category, record.id) &&
		      pattern_accepts(pattern, record.data);
	}
	sqlite3_reset(st);
	return rc == SQLITE_DONE ? OK : read_error(r, error, "counting");
}

static enum err
count_matching(struct read *r, const struct pattern *pattern, int64_t *n, struct error *error)
{
	enum read_statement which = RD_COUNT;
	struct span category;
	int rc;

	if (pattern != NULL && pattern->where != NULL)
		return count_accepted(r, pattern, n, error);
	if (pattern != NULL && pattern->ids_n > 0)
		return count_keys(r, pattern, n, error);
	if (pattern != NULL && !pattern_is_one_category(pattern, &category))
		return count_categories(r, pattern, n, error);
	if (pattern != NULL) {
		which = RD_COUNT_IN;
		sql_bind_span(r->st[which], 1, category);
	}
	*n = sql_int(r->st[which], 0, &rc);
	return rc == SQLITE_ROW ? OK : read_error(r, error, "counting");
}

static enum err
run_count(struct read *r, struct job *j)
{
	struct json_out o = json_out_start(&j->reply);
	int64_t n = 0;
	enum err e = count_matching(r, j->read.pattern, &n, &j->error);

	if (e != OK)
		return e;
	json_begin_object(&o, NULL);
	json_put_int(&o, "count", n);
	read_put_snapshot(r, &o);
	return OK;
}

static enum err
run_categories(struct read *r, struct job *j)
{
	const struct pattern *pattern = j->read.pattern;
	sqlite3_stmt *st = r->st[RD_COUNT_EACH];
	struct json_out o = json_out_start(&j->reply);
	int rc;

	json_begin_object(&o, NULL);
	json_begin_array(&o, "items");
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct span category = sql_span(st, 0);

		if (pattern != NULL && !pattern_matches(pattern, category, SPAN("")))
			continue;
		json_begin_object(&o, NULL);
		json_put_string(&o, "category", category);
		json_put_int(&o, "count", sqlite3_column_int64(st, 1));
		json_end_object(&o);
	}
	sqlite3_reset(st);
	json_end_array(&o);
	read_put_snapshot(r, &o);
	return rc == SQLITE_DONE ? OK : read_error(r, &j->error, "counting");
}

static enum err
run_kind(struct read *r, struct job *j)
{
	switch (j->kind) {
	case JOB_GET:
		return run_get(r, j);
	case JOB_HISTORY:
		return read_history(r, j);
	case JOB_LIST:
		return read_list(r, j);
	case JOB_COUNT:
		return run_count(r, j);
	case JOB_CATEGORIES:
		return run_categories(r, j);
	case JOB_CHANGES:
	case JOB_REPLAY:
		return read_changes(r, j);
	case JOB_SEARCH: /* is the searcher's */
	case JOB_WRITE:
	case JOB_BACKUP:
	case JOB_CHECK:
	case JOB_COMPACT:
	case JOB_NOTICE:
		break;
	}
	return error_set(&j->error, ERR_INTERNAL_ERROR, "not a read");
}

void
read_run(struct read *r, struct job *j)
{
	enum err e = OK;

	if (sqlite3_get_autocommit(r->db)) /* an I/O error has ended the snapshot */
		e = read_begin(r, &j->error);
	r->deadline_us = j->deadline_us;
	sql_begin_work();
	j->result = e == OK ? run_kind(r, j) : e;
	r->deadline_us = 0;
	if (j->result == OK && j->reply.failed)
		j->result = error_set(&j->error, ERR_LIMIT_EXCEEDED, "the answer is too large");
}
