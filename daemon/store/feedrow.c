/* The rows of feeds: see feedrow.h. */

#include "daemon/store/feedrow.h"

#include <sqlite3.h>
#include <stdlib.h>

#include "common/log.h"
#include "common/xalloc.h"
#include "daemon/store/rows.h"
#include "daemon/store/sql.h"
#include "daemon/store/sum.h"

enum statement { ST_FIND, ST_SET, ST_DROP, ST_SEAL, ST_COUNT };

static const char *const texts[ST_COUNT] = {
	[ST_FIND] = "SELECT version FROM feeds WHERE name = ?1",
	[ST_SET] = "INSERT INTO feeds (id, name, definition, version, created_at, updated_at) "
		   "VALUES ((SELECT coalesce(max(id), 0) + 1 FROM feeds), ?1, ?2, 1, ?3, ?3) "
		   "ON CONFLICT (name) DO UPDATE SET id = excluded.id, "
		   "definition = excluded.definition, version = version + 1, "
		   "updated_at = excluded.updated_at",
	[ST_DROP] = "DELETE FROM feeds WHERE name = ?1",
	[ST_SEAL] = "UPDATE feeds SET sum = " SUM_FEEDS " WHERE name = ?1",
};

static const char read_all[] = "SELECT name, definition, version, created_at, updated_at, "
			       "sum IS " SUM_FEEDS " FROM feeds ORDER BY name";

struct feedrows {
	sqlite3 *db;
	sqlite3_stmt *st[ST_COUNT];
};

enum err
feedrows_new(sqlite3 *db, struct feedrows **out, struct error *error)
{
	struct feedrows *f = xnew(struct feedrows);
	enum err e = OK;

	f->db = db;
	for (int i = 0; i < ST_COUNT && e == OK; i++)
		e = sql_prepare(db, texts[i], &f->st[i], error);
	if (e != OK) {
		feedrows_free(f);
		return e;
	}
	*out = f;
	return OK;
}

void
feedrows_free(struct feedrows *f)
{
	if (f == NULL)
		return;
	for (int i = 0; i < ST_COUNT; i++)
		sqlite3_finalize(f->st[i]);
	free(f);
}

static enum err
run(struct feedrows *f, enum statement which, struct span name, struct error *error)
{
	sql_bind_span(f->st[which], 1, name);
	return sql_run(f->st[which]) == SQLITE_DONE ? OK
						    : sql_error(f->db, error, "writing a feed");
}

/** The version of the row of this name; 0: there is none. */
static enum err
find(struct feedrows *f, struct span name, int64_t *version, struct error *error)
{
	int rc;

	sql_bind_span(f->st[ST_FIND], 1, name);
	*version = sql_int(f->st[ST_FIND], 0, &rc);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? OK
						     : sql_error(f->db, error, "reading a feed");
}

static enum err
set(struct feedrows *f, struct op *op, int64_t version, struct error *error)
{
	enum err e;

	if (version > 0 && op->if_seq == 0)
		return error_set(error, ERR_CONFLICT, "there is a feed of the name %.*s already",
			SPAN_FMT(op->name));
	sql_bind_span(f->st[ST_SET], 2, op->data);
	sqlite3_bind_int64(f->st[ST_SET], 3, op->now_ms);
	e = run(f, ST_SET, op->name, error);
	op->created = version == 0;
	op->rev = version + 1;
	return e == OK ? run(f, ST_SEAL, op->name, error) : e;
}

enum err
feedrows_apply(struct feedrows *f, struct op *op, struct error *error)
{
	int64_t version;
	enum err e = find(f, op->name, &version, error);

	if (e != OK)
		return e;
	if (op->kind == OP_FEED_SET)
		return set(f, op, version, error);
	if (version == 0)
		return error_set(error, ERR_NOT_FOUND, "there is no feed of the name %.*s",
			SPAN_FMT(op->name));
	return run(f, ST_DROP, op->name, error);
}

static void
take_row(void *arg, sqlite3_stmt *st)
{
	struct feedrow_list *list = arg;

	if (sqlite3_column_int(st, 5) == 0) {
		log_error("store",
			"a feed is damaged, or was written by another program: it is not taken",
			F_SPAN("feed", sql_span(st, 0)));
		return;
	}
	list->v = xrealloc(list->v, list->n + 1, sizeof(*list->v));
	list->v[list->n++] = (struct feedrow){
		.name = rows_dup_text(st, 0),
		.definition = rows_dup_text(st, 1),
		.version = sqlite3_column_int64(st, 2),
		.created_at = sqlite3_column_int64(st, 3),
		.updated_at = sqlite3_column_int64(st, 4),
	};
}

enum err
feedrows_read(const char *path, struct feedrow_list *list, struct error *error)
{
	struct rows_reading reading = {read_all, "reading the feeds", take_row, NULL};
	enum err e;

	*list = (struct feedrow_list){.v = NULL};
	reading.arg = list;
	e = rows_read(path, &reading, error);
	if (e != OK)
		feedrow_list_fini(list);
	return e;
}

void
feedrow_list_fini(struct feedrow_list *list)
{
	for (size_t i = 0; i < list->n; i++) {
		free(list->v[i].name);
		free(list->v[i].definition);
	}
	free(list->v);
	*list = (struct feedrow_list){.v = NULL};
}
