/* Whether a file is a whole store: see verify.h. */

#include "daemon/store/verify.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/store/migrate.h"
#include "daemon/store/sql.h"
#include "daemon/store/sum.h"

#define LOOK_EVERY 10000 /* instructions of SQLite's machine: a millisecond or so */

/** What no row may be. */
static const struct rule {
	const char *sql; /* counts the rows that break it */
	const char *broken;
} rules[] = {
	{"SELECT count(*) FROM records WHERE seq < 1 OR seq >> 53 != 0 OR rev < 1",
         "records with a seq or a rev that cannot be"									     },
	{"SELECT count(*) FROM tombstones WHERE seq < 1 OR seq >> 53 != 0",
         "tombstones with a seq that cannot be"										   },
	{"SELECT count(*) FROM tombstones JOIN records USING (seq)",
         "seqs given to a record and a tombstone"										 },
	{"SELECT count(*) FROM tombstones AS t JOIN records AS r"
	 " ON r.category = t.category AND r.id = t.id",		    "records that have a tombstone too"           },
	{"SELECT count(*) FROM (SELECT first_seq, lag(first_seq) OVER (ORDER BY rowid) AS before"
	 " FROM epochs) WHERE first_seq < before",			 "epochs that begin before the one before them"},
	{"SELECT (" SQL_PRUNED_TO ") > (" SQL_LAST_SEQ ")",                         "deletions forgotten that never were"         },
};

static int
look(void *stop)
{
	return *(const _Atomic bool *)stop;
}

enum err
verify_integrity(
	sqlite3 *db, const char *table, const char *where, struct findings *f, struct error *error)
{
	sqlite3_stmt *st;
	enum err e = sql_prepare(db,
		table == NULL ? "PRAGMA integrity_check"
			      : "SELECT integrity_check FROM pragma_integrity_check(?1)",
		&st, error);
	int rc;

	if (e != OK)
		return e;
	if (table != NULL)
		sql_bind_span(st, 1, span_of(table));
	while ((rc = sqlite3_step(st)) == SQLITE_ROW)
		if (!span_is(sql_span(st, 0), "ok"))
			findings_add(f, where, "%.*s", SPAN_FMT(sql_span(st, 0)));
	if ((rc & 0xff) == SQLITE_CORRUPT || (rc & 0xff) == SQLITE_NOTADB)
		findings_add(f, where, "%s", sqlite3_errmsg(db));
	else if (rc != SQLITE_DONE)
		e = sql_error(db, error, "checking the file");
	sqlite3_finalize(st);
	return e;
}

/** Where schemas are compared, and what to say. */
struct comparison {
	const char *where;
	const char *what;
	struct findings *findings;
};

/** What `in` has and `other` has not, or has otherwise. */
static enum err
compare_schemas(sqlite3 *in, sqlite3 *other, const struct comparison *c, struct error *error)
{
	sqlite3_stmt *each = NULL, *same = NULL;
	enum err e = sql_prepare(in,
		"SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_stat%'",
		&each, error);
	int rc = SQLITE_DONE;

	if (e == OK)
		e = sql_prepare(other,
			"SELECT sql IS ?3 FROM sqlite_schema WHERE type = ?1 AND name = ?2", &same,
			error);
	while (e == OK && (rc = sqlite3_step(each)) == SQLITE_ROW) {
		for (int i = 0; i < 3; i++)
			sqlite3_bind_value(same, i + 1, sqlite3_column_value(each, i));
		if (sql_int(same, 0, NULL) == 0)
			findings_add(c->findings, c->where, "%.*s %.*s %s",
				SPAN_FMT(sql_span(each, 0)), SPAN_FMT(sql_span(each, 1)), c->what);
	}
	if (e == OK && rc != SQLITE_DONE)
		e = sql_error(in, error, "reading the schema");
	sqlite3_finalize(each);
	sqlite3_finalize(same);
	return e;
}

enum err
verify_schema(
	sqlite3 *db, sqlite3 *model, const char *where, struct findings *f, struct error *error)
{
	struct comparison missing = {where, "is missing, or is not as it was made", f};
	struct comparison theirs = {where, "is not what sysrt has made", f};
	enum err e = compare_schemas(model, db, &missing, error);

	return e == OK ? compare_schemas(db, model, &theirs, error) : e;
}

enum err
verify_rules(sqlite3 *db, struct findings *f, struct error *error)
{
	enum err e = OK;

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]) && e == OK; i++) {
		int64_t n = 0;

		e = sql_query_int(db, rules[i].sql, 0, &n, error);
		if (e == OK && n > 0)
			findings_add(f, "counters", "%" PRId64 " %s", n, rules[i].broken);
	}
	return e;
}

/** The first finding as an error. */
static enum err
check_all(sqlite3 *db, struct error *error)
{
	struct findings f = {.n = 0};
	enum err e = verify_integrity(db, NULL, "file", &f, error);

	if (e == OK && f.total == 0)
		e = verify_rules(db, &f, error);
	if (e == OK && f.total > 0)
		e = error_set(error, ERR_DATABASE_ERROR, "the %s damaged: %s",
			strcmp(f.v[0].where, "file") == 0 ? "file is" : "store is", f.v[0].text);
	findings_fini(&f);
	return e;
}

/** What SQLite does not see. A row that another program has written is none to refuse a store for:
 * check says which ones these are. */
static enum err
count_doubtful(sqlite3 *db, struct verify *v, struct error *error)
{
	static const struct {
		int since; /* version of the schema */
		const char *sql;
	} counts[] = {
		{3, "SELECT count(*) FROM records WHERE sum IS NOT " SUM_RECORDS      },
		{3, "SELECT count(*) FROM tombstones WHERE sum IS NOT " SUM_TOMBSTONES},
		{3, "SELECT count(*) FROM history WHERE sum IS NOT " SUM_HISTORY      },
		{4, "SELECT count(*) FROM tokens WHERE sum IS NOT " SUM_TOKENS        },
		{5, "SELECT count(*) FROM secrets WHERE sum IS NOT " SUM_SECRETS      },
		{6, "SELECT count(*) FROM feeds WHERE sum IS NOT " SUM_FEEDS          },
		{3, "SELECT count(*) FROM epochs WHERE sum IS NOT " SUM_EPOCHS        },
		{3, "SELECT count(*) FROM meta WHERE sum IS NOT " SUM_META            },
	};
	enum err e = sum_add_function(db, error);

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]) && e == OK; i++) {
		int64_t n = 0;

		if (v->version >= counts[i].since)
			e = sql_query_int(db, counts[i].sql, 0, &n, error);
		v->doubtful += n;
	}
	return e;
}

static enum err
read_epoch(sqlite3 *db, char out[VERIFY_EPOCH_SIZE], struct error *error)
{
	sqlite3_stmt *st;
	enum err e =
		sql_prepare(db, "SELECT epoch FROM epochs ORDER BY rowid DESC LIMIT 1", &st, error);
	int rc;

	if (e != OK)
		return e;
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		snprintf(out, VERIFY_EPOCH_SIZE, "%.*s", SPAN_FMT(sql_span(st, 0)));
	else if (rc != SQLITE_DONE)
		e = sql_error(db, error, "reading the epochs");
	sqlite3_finalize(st);
	return e;
}

static enum err
read_counts(sqlite3 *db, struct verify *v, struct error *error)
{
	const struct {
		int since; /* version of the schema */
		const char *sql;
		int64_t *to;
	} counts[] = {
		{1, SQL_LAST_SEQ,				       &v->last_seq  },
		{1, SQL_PRUNED_TO,				      &v->pruned_to },
		{1, "SELECT count(*) FROM records",                     &v->records   },
		{1, "SELECT count(*) FROM tombstones",                  &v->tombstones},
		{4, "SELECT count(*) FROM tokens WHERE name <> '$key'", &v->tokens    },
	};
	enum err e = OK;

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]) && e == OK; i++)
		if (v->version >= counts[i].since)
			e = sql_query_int(db, counts[i].sql, 0, counts[i].to, error);
	return e == OK ? read_epoch(db, v->epoch, error) : e;
}

static enum err
check_version(sqlite3 *db, int *version, struct error *error)
{
	enum err e = migrate_version(db, version, error);

	if (e == OK && *version == 0)
		e = error_set(error, ERR_DATABASE_ERROR, "there is no store in it");
	return e;
}

static enum err
look_into(const char *path, bool does_check, const _Atomic bool *stop, struct verify *out,
	struct error *error)
{
	struct verify v = {.version = 0};
	struct stat st;
	sqlite3 *db;
	enum err e = sql_open_plain(path, &db, error);

	if (e != OK)
		return e;
	if (stop != NULL)
		sqlite3_progress_handler(db, LOOK_EVERY, look, (void *)(uintptr_t)stop);
	e = check_version(db, &v.version, error);
	if (e == OK && does_check)
		e = check_all(db, error);
	if (e == OK && does_check)
		e = count_doubtful(db, &v, error);
	if (e == OK)
		e = read_counts(db, &v, error);
	if (e != OK && stop != NULL && *stop)
		e = error_set(error, ERR_UNAVAILABLE, "stopped while checking the file");
	sql_close(db);
	if (e != OK)
		return e;
	v.nbytes = stat(path, &st) == 0 ? st.st_size : 0;
	*out = v;
	return OK;
}

enum err
verify_file(const char *path, const _Atomic bool *stop, struct verify *out, struct error *error)
{
	return look_into(path, true, stop, out, error);
}

enum err
verify_glance(const char *path, struct verify *out, struct error *error)
{
	return look_into(path, false, NULL, out, error);
}

void
verify_add_line(const struct verify *v, struct buf *out)
{
	buf_addf(out,
		"epoch=%s seq=%" PRId64 " pruned_to=%" PRId64 " records=%" PRId64
		" tombstones=%" PRId64 " tokens=%" PRId64 " schema=%d bytes=%" PRId64,
		v->epoch, v->last_seq, v->pruned_to, v->records, v->tombstones, v->tokens,
		v->version, v->nbytes);
	if (v->doubtful > 0)
		buf_addf(out, " doubtful=%" PRId64, v->doubtful);
}
