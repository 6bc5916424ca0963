/* The rows of tokens: see grant.h. */

#include "daemon/store/grant.h"

#include <sqlite3.h>
#include <stdlib.h>

#include "common/log.h"
#include "common/xalloc.h"
#include "daemon/store/rows.h"
#include "daemon/store/sql.h"
#include "daemon/store/sum.h"

enum statement {
	ST_MAKE_WAY,
	ST_GRANT,
	ST_WITHDRAW,
	ST_WITHDRAW_EXPIRED,
	ST_NOTE_USE,
	ST_SEAL,
	ST_COUNT
};

static const char *const texts[ST_COUNT] = {
	[ST_MAKE_WAY] = "DELETE FROM tokens WHERE name = ?1 AND expires_at <= ?2",
	[ST_GRANT] = "INSERT INTO tokens (name, hash, scopes, created_at, expires_at) "
		     "VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
	[ST_WITHDRAW] = "DELETE FROM tokens WHERE name = ?1",
	[ST_WITHDRAW_EXPIRED] = "DELETE FROM tokens WHERE expires_at <= ?1",
	[ST_NOTE_USE] = "UPDATE tokens SET used_at = ?2 WHERE name = ?1",
	[ST_SEAL] = "UPDATE tokens SET sum = " SUM_TOKENS " WHERE name = ?1",
};

static const char read_all[] =
	"SELECT name, hash, scopes, created_at, coalesce(expires_at, 0), "
	"coalesce(used_at, 0), sum IS " SUM_TOKENS " FROM tokens ORDER BY id";

struct grants {
	sqlite3 *db;
	sqlite3_stmt *st[ST_COUNT];
};

enum err
grants_new(sqlite3 *db, struct grants **out, struct error *error)
{
	struct grants *g = xnew(struct grants);
	enum err e = OK;

	g->db = db;
	for (int i = 0; i < ST_COUNT && e == OK; i++)
		e = sql_prepare(db, texts[i], &g->st[i], error);
	if (e != OK) {
		grants_free(g);
		return e;
	}
	*out = g;
	return OK;
}

void
grants_free(struct grants *g)
{
	if (g == NULL)
		return;
	for (int i = 0; i < ST_COUNT; i++)
		sqlite3_finalize(g->st[i]);
	free(g);
}

/** Runs a statement on the row of this name; *n is how many it changed. */
static enum err
run(struct grants *g, enum statement which, struct span name, int *n, struct error *error)
{
	sql_bind_span(g->st[which], 1, name);
	if (sql_run(g->st[which]) != SQLITE_DONE)
		return sql_error(g->db, error, "writing a token");
	*n = sqlite3_changes(g->db);
	return OK;
}

static enum err
grant(struct grants *g, struct op *op, struct error *error)
{
	sqlite3_stmt *st = g->st[ST_GRANT];
	int n = 0;
	enum err e;

	sqlite3_bind_int64(g->st[ST_MAKE_WAY], 2, op->now_ms);
	e = run(g, ST_MAKE_WAY, op->name, &n, error);
	if (e != OK)
		return e;
	sql_bind_span(st, 2, op->id);
	sql_bind_span(st, 3, op->data);
	sqlite3_bind_int64(st, 4, op->now_ms);
	if (op->expires_at != 0)
		sqlite3_bind_int64(st, 5, op->expires_at);
	else
		sqlite3_bind_null(st, 5);
	e = run(g, ST_GRANT, op->name, &n, error);
	if (e == OK && n == 0)
		return error_set(error, ERR_CONFLICT, "there is a token of the name %.*s already",
			SPAN_FMT(op->name));
	return e == OK ? run(g, ST_SEAL, op->name, &n, error) : e;
}

static enum err
withdraw(struct grants *g, struct op *op, struct error *error)
{
	int n = 0;
	enum err e = run(g, ST_WITHDRAW, op->name, &n, error);

	if (e == OK && n == 0)
		return error_set(error, ERR_NOT_FOUND, "there is no token of the name %.*s",
			SPAN_FMT(op->name));
	return e;
}

static enum err
withdraw_expired(struct grants *g, struct op *op, struct error *error)
{
	sqlite3_bind_int64(g->st[ST_WITHDRAW_EXPIRED], 1, op->expires_at);
	return sql_run(g->st[ST_WITHDRAW_EXPIRED]) == SQLITE_DONE
		       ? OK
		       : sql_error(g->db, error, "removing tokens that have expired");
}

/** It may be gone by now. */
static enum err
note_use(struct grants *g, struct op *op, struct error *error)
{
	int n = 0;
	enum err e;

	sqlite3_bind_int64(g->st[ST_NOTE_USE], 2, op->now_ms);
	e = run(g, ST_NOTE_USE, op->name, &n, error);
	return e == OK ? run(g, ST_SEAL, op->name, &n, error) : e;
}

enum err
grants_apply(struct grants *g, struct op *op, struct error *error)
{
	if (op->kind == OP_GRANT)
		return grant(g, op, error);
	if (op->kind == OP_WITHDRAW_EXPIRED)
		return withdraw_expired(g, op, error);
	return op->kind == OP_WITHDRAW ? withdraw(g, op, error) : note_use(g, op, error);
}

enum err
grants_drop(sqlite3 *db, struct error *error)
{
	return sql_exec(db, "DELETE FROM tokens WHERE name <> '$key'", error);
}

static void
append(struct grant_list *list, sqlite3_stmt *st)
{
	list->v = xrealloc(list->v, list->n + 1, sizeof(*list->v));
	list->v[list->n++] = (struct grant){
		.name = rows_dup_text(st, 0),
		.hash = rows_dup_text(st, 1),
		.scopes = rows_dup_text(st, 2),
		.created_at = sqlite3_column_int64(st, 3),
		.expires_at = sqlite3_column_int64(st, 4),
		.used_at = sqlite3_column_int64(st, 5),
	};
}

static void
take_row(void *arg, sqlite3_stmt *st)
{
	struct grant_list *list = arg;
	struct span name = sql_span(st, 0);

	if (sqlite3_column_int(st, 6) == 0) {
		log_error("store",
			"a token is damaged, or was written by another program: it is "
			"not taken",
			F_SPAN("token", name));
	} else if (span_is(name, "$key")) {
		free(list->key);
		list->key = rows_dup_text(st, 1);
	} else {
		append(list, st);
	}
}

enum err
grants_read(const char *path, struct grant_list *list, struct error *error)
{
	struct rows_reading reading = {read_all, "reading the tokens", take_row, NULL};
	enum err e;

	*list = (struct grant_list){.v = NULL};
	reading.arg = list;
	e = rows_read(path, &reading, error);
	if (e != OK)
		grant_list_fini(list);
	else if (list->key == NULL)
		log_error("store", "the key of the tokens is gone, none is good any longer: "
				   "`sysrtd store repair` makes another");
	return e;
}

void
grant_list_fini(struct grant_list *list)
{
	for (size_t i = 0; i < list->n; i++) {
		free(list->v[i].name);
		free(list->v[i].hash);
		free(list->v[i].scopes);
	}
	free(list->v);
	free(list->key);
	*list = (struct grant_list){.v = NULL};
}
