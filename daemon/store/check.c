/* Whether a store is whole: see check.h. */

#include "daemon/store/check.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"
#include "daemon/search/indexcheck.h"
#include "daemon/store/migrate.h"
#include "daemon/store/sql.h"
#include "daemon/store/sum.h"
#include "daemon/store/verify.h"

#define PIECE_ROWS 1000
#define NAME_BYTES 64
#define LOOK_EVERY 10000 /* instructions of SQLite's machine: a millisecond or so */

/** The rows of a table that come after ?1, at most ?2: where, what it is called, its sum, and what
 * that has to be. */
static const struct sealed {
	int since; /* the version of the schema that it came with, or its sums */
	const char *table;
	const char *sql;
} sealed[] = {
	{3, "records",
         "SELECT seq, category || '/' || id, sum, " SUM_RECORDS
		" FROM records WHERE seq > ?1 ORDER BY seq LIMIT ?2"   },
	{3, "tombstones",
         "SELECT seq, category || '/' || id, sum, " SUM_TOMBSTONES
		" FROM tombstones WHERE seq > ?1 ORDER BY seq LIMIT ?2"},
	{3, "history",
         "SELECT seq, category || '/' || id, sum, " SUM_HISTORY
		" FROM history WHERE seq > ?1 ORDER BY seq LIMIT ?2"   },
	{4, "tokens",
         "SELECT id, name, sum, " SUM_TOKENS
		" FROM tokens WHERE id > ?1 ORDER BY id LIMIT ?2"      },
	{5, "secrets",
         "SELECT id, name, sum, " SUM_SECRETS
		" FROM secrets WHERE id > ?1 ORDER BY id LIMIT ?2"     },
	{6, "feeds",
         "SELECT id, name, sum, " SUM_FEEDS
		" FROM feeds WHERE id > ?1 ORDER BY id LIMIT ?2"       },
	{3, "epochs",
         "SELECT rowid, epoch, sum, " SUM_EPOCHS
		" FROM epochs WHERE rowid > ?1 ORDER BY rowid LIMIT ?2"},
	{3, "meta",
         "SELECT row_number() OVER (ORDER BY key), key, sum, " SUM_META
		" FROM meta WHERE ?1 < 1 LIMIT ?2"                     },
};
#define SEALED_N (sizeof(sealed) / sizeof(sealed[0]))

struct check {
	sqlite3 *db;
	struct indexcheck *index; /* NULL: there is none */
	bool is_alone;
	int version;
	unsigned phase; /* the check that is under way */
	unsigned at;    /* the table in it */
	int64_t after;  /* the row in that */
	char (*tables)[NAME_BYTES];
	unsigned tables_n;
	int64_t done;
	int64_t total;
	struct findings findings;
};

static enum err
check_schema(struct check *c, bool *more, struct error *error)
{
	sqlite3 *model = NULL;
	enum err e = OK;

	*more = false;
	if (sqlite3_open(":memory:", &model) != SQLITE_OK)
		e = error_set(error, ERR_DATABASE_ERROR, "cannot open a database in memory");
	if (e == OK)
		e = migrate_to(model, c->version, error);
	if (e == OK)
		e = verify_schema(c->db, model, "schema", &c->findings, error);
	sqlite3_close(model);
	return e;
}

static enum err
check_counters(struct check *c, bool *more, struct error *error)
{
	*more = false;
	return verify_rules(c->db, &c->findings, error);
}

static void
check_row(struct check *c, sqlite3_stmt *st)
{
	bool has_sum = sqlite3_column_type(st, 2) == SQLITE_INTEGER;

	if (has_sum && sqlite3_column_int64(st, 2) == sqlite3_column_int64(st, 3))
		return;
	findings_add(&c->findings, "rows", "%s %.*s (row %" PRId64 "): %s", sealed[c->at].table,
		SPAN_FMT(sql_span(st, 1)), (int64_t)sqlite3_column_int64(st, 0),
		has_sum ? "written by another program, or damaged"
			: "written by another program: it has no sum");
}

/** A number of rows of a table; its last piece goes on to the next table. */
static enum err
check_rows(struct check *c, bool *more, struct error *error)
{
	sqlite3_stmt *st;
	int64_t n = 0;
	enum err e;
	int rc;

	*more = false;
	if (c->version < sealed[c->at].since) {
		c->at++;
		*more = c->at < SEALED_N;
		return OK;
	}
	e = sql_prepare(c->db, sealed[c->at].sql, &st, error);
	if (e != OK)
		return e;
	sqlite3_bind_int64(st, 1, c->after);
	sqlite3_bind_int64(st, 2, PIECE_ROWS);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		int64_t row = sqlite3_column_int64(st, 0);

		if (row <= c->after) { /* going on from there might never end */
			findings_add(&c->findings, "rows", "%s: row %" PRId64 " is out of order",
				sealed[c->at].table, row);
			n = 0;
			break;
		}
		check_row(c, st);
		c->after = row;
		c->done++;
		n++;
	}
	if (rc != SQLITE_DONE && rc != SQLITE_ROW)
		e = sql_error(c->db, error, "reading the rows");
	sqlite3_finalize(st);
	if (n < PIECE_ROWS) {
		c->at++;
		c->after = INT64_MIN;
	}
	*more = c->at < SEALED_N;
	return e;
}

static enum err
check_file(struct check *c, bool *more, struct error *error)
{
	const char *table = c->is_alone || c->tables_n == 0 ? NULL : c->tables[c->at];

	c->at++;
	*more = table != NULL && c->at < c->tables_n;
	return verify_integrity(c->db, table, "file", &c->findings, error);
}

static enum err
check_search(struct check *c, bool *more, struct error *error)
{
	*more = false;
	return c->index != NULL ? indexcheck_step(c->index, more, &c->findings, error) : OK;
}

/* To add a check: a row here. It does one piece and tells whether there is more of it. */
static const struct {
	const char *name;
	enum err (*run)(struct check *c, bool *more, struct error *error);
} checks[] = {
	{"schema",   check_schema  },
	{"counters", check_counters},
	{"rows",     check_rows    },
	{"file",     check_file    },
	{"search",   check_search  },
};
#define CHECKS_N (sizeof(checks) / sizeof(checks[0]))

static enum err
read_tables(struct check *c, struct error *error)
{
	sqlite3_stmt *st;
	enum err e = sql_prepare(c->db,
		"SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0", &st, error);
	int rc;

	if (e != OK)
		return e;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct span name = sql_span(st, 0);

		if (name.n >= NAME_BYTES)
			continue;
		c->tables = xrealloc(c->tables, c->tables_n + 1, sizeof(*c->tables));
		memset(c->tables[c->tables_n], 0, NAME_BYTES);
		memcpy(c->tables[c->tables_n++], name.p, name.n);
	}
	if (rc != SQLITE_DONE)
		e = sql_error(c->db, error, "reading the schema");
	sqlite3_finalize(st);
	return e;
}

enum err
check_new(sqlite3 *db, bool is_alone, struct check **out, struct error *error)
{
	struct check *c = xnew(struct check);
	enum err e = sum_add_function(db, error);

	c->db = db;
	c->is_alone = is_alone;
	c->after = INT64_MIN;
	if (e == OK)
		e = migrate_version(db, &c->version, error);
	if (e == OK && c->version == 0)
		e = error_set(error, ERR_DATABASE_ERROR, "there is no store in it");
	if (e == OK)
		e = read_tables(c, error);
	if (e == OK) /* a table that cannot be counted is found out soon enough */
		sql_query_int(db,
			"SELECT (SELECT count(*) FROM records) + (SELECT count(*) FROM tombstones)",
			0, &c->total, NULL);
	if (e != OK) {
		check_free(c);
		return e;
	}
	c->index = indexcheck_open(db);
	*out = c;
	return OK;
}

void
check_free(struct check *c)
{
	if (c == NULL)
		return;
	indexcheck_close(c->index);
	findings_fini(&c->findings);
	free(c->tables);
	free(c);
}

void
check_watch(struct check *c, int (*look)(void *), void *arg)
{
	sqlite3_progress_handler(c->db, LOOK_EVERY, look, arg);
	if (c->index != NULL && indexcheck_db(c->index) != NULL)
		sqlite3_progress_handler(indexcheck_db(c->index), LOOK_EVERY, look, arg);
}

/** True if the store, or its index, cannot be read on: that is what was looked for. */
static bool
is_damage(const struct check *c, enum err e)
{
	sqlite3 *index = c->index != NULL ? indexcheck_db(c->index) : NULL;

	return sql_is_damage(c->db, e) || (index != NULL && sql_is_damage(index, e));
}

enum err
check_step(struct check *c, bool *more, struct error *error)
{
	struct error why = ERROR_NONE;
	enum err e = checks[c->phase].run(c, more, &why);

	if (sqlite3_errcode(c->db) == SQLITE_INTERRUPT)
		return error_set(error, ERR_UNAVAILABLE, "the check was interrupted");
	if (is_damage(c, e)) {
		findings_add(&c->findings, checks[c->phase].name, "%s", why.text);
		*more = false;
	} else if (e != OK) {
		*error = why;
		return e;
	}
	if (*more)
		return OK;
	c->phase++;
	c->at = 0;
	c->after = INT64_MIN;
	*more = c->phase < CHECKS_N;
	return OK;
}

int64_t
check_done(const struct check *c)
{
	return c->done < c->total ? c->done : c->total;
}

int64_t
check_total(const struct check *c)
{
	return c->total;
}

const struct findings *
check_findings(const struct check *c)
{
	return &c->findings;
}

const char *
check_name(unsigned i)
{
	return i < CHECKS_N ? checks[i].name : NULL;
}

size_t
check_found(const struct check *c, const char *name)
{
	size_t n = 0;

	for (size_t i = 0; i < c->findings.n; i++)
		n += strcmp(c->findings.v[i].where, name) == 0;
	return n;
}

void
check_add_json(const struct check *c, struct json_out *o)
{
	json_put_bool(o, "ok", c->findings.total == 0);
	json_put_int(o, "schema", c->version);
	json_put_int(o, "rows", c->done);
	json_put_int(o, "found", (int64_t)c->findings.total);
	json_begin_array(o, "checks");
	for (unsigned i = 0; i < CHECKS_N; i++) {
		json_begin_object(o, NULL);
		json_put_str(o, "check", checks[i].name);
		json_put_bool(o, "ok", check_found(c, checks[i].name) == 0);
		findings_add_json(&c->findings, checks[i].name, o, "findings");
		json_end_object(o);
	}
	json_end_array(o);
}
