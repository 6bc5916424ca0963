/* The rows of secrets: see safe.h. */

#include "daemon/store/safe.h"

#include <sqlite3.h>
#include <stdlib.h>

#include "common/log.h"
#include "common/name.h"
#include "common/xalloc.h"
#include "daemon/store/rows.h"
#include "daemon/store/sql.h"
#include "daemon/store/sum.h"

#define TEXT_MAX ((size_t)1 << 20) /* of a key or a value: more than any that is ours */

enum statement { ST_VERSION, ST_REMOVE, ST_STOW, ST_SEAL, ST_COUNT };

static const char *const texts[ST_COUNT] = {
	[ST_VERSION] = "SELECT version FROM secrets WHERE name = ?1",
	[ST_REMOVE] = "DELETE FROM secrets WHERE name = ?1",
	[ST_STOW] = "INSERT INTO secrets "
		    "(id, name, key, value, version, created_at, updated_at, sealed_at) "
		    "VALUES ((SELECT coalesce(max(id), 0) + 1 FROM secrets), "
		    "?1, ?2, ?3, ?4, ?5, ?6, ?7)",
	[ST_SEAL] = "UPDATE secrets SET sum = " SUM_SECRETS " WHERE name = ?1",
};

static const char read_all[] =
	"SELECT name, key, value, version, created_at, updated_at, sealed_at, "
	"sum IS " SUM_SECRETS " FROM secrets ORDER BY name";

struct safe {
	sqlite3 *db;
	sqlite3_stmt *st[ST_COUNT];
};

enum err
safe_new(sqlite3 *db, struct safe **out, struct error *error)
{
	struct safe *s = xnew(struct safe);
	enum err e = OK;

	s->db = db;
	for (int i = 0; i < ST_COUNT && e == OK; i++)
		e = sql_prepare(db, texts[i], &s->st[i], error);
	if (e != OK) {
		safe_free(s);
		return e;
	}
	*out = s;
	return OK;
}

void
safe_free(struct safe *s)
{
	if (s == NULL)
		return;
	for (int i = 0; i < ST_COUNT; i++)
		sqlite3_finalize(s->st[i]);
	free(s);
}

static enum err
run(struct safe *s, enum statement which, struct span name, struct error *error)
{
	sql_bind_span(s->st[which], 1, name);
	return sql_run(s->st[which]) == SQLITE_DONE ? OK
						    : sql_error(s->db, error, "writing a secret");
}

/** Of what the operation was made: another program may have changed it since. */
static enum err
check_version(struct safe *s, const struct op *op, struct error *error)
{
	int64_t version;
	int rc;

	if (op->if_seq < 0)
		return OK;
	sql_bind_span(s->st[ST_VERSION], 1, op->name);
	version = sql_int(s->st[ST_VERSION], 0, &rc);
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		return sql_error(s->db, error, "reading a secret");
	if (version != op->if_seq)
		return error_set(error, ERR_CONFLICT,
			"the vault in the store is not the one that was read: another program has "
			"changed it, or a change whose outcome was not known was made; restart the "
			"daemon");
	return OK;
}

static enum err
stow(struct safe *s, struct op *op, struct error *error)
{
	sqlite3_stmt *st = s->st[ST_STOW];
	enum err e = check_version(s, op, error);

	if (e == OK)
		e = run(s, ST_REMOVE, op->name, error);
	if (e != OK)
		return e;
	sql_bind_span(st, 2, op->id);
	sql_bind_span(st, 3, op->data);
	sqlite3_bind_int64(st, 4, op->given.rev);
	sqlite3_bind_int64(st, 5, op->given.created_at);
	sqlite3_bind_int64(st, 6, op->given.updated_at);
	sqlite3_bind_int64(st, 7, op->now_ms);
	e = run(s, ST_STOW, op->name, error);
	return e == OK ? run(s, ST_SEAL, op->name, error) : e;
}

enum err
safe_apply(struct safe *s, struct op *op, struct error *error)
{
	return op->kind == OP_STOW ? stow(s, op, error) : run(s, ST_REMOVE, op->name, error);
}

/** Of what another program wrote, what could not be one of ours is not taken. */
static bool
is_usable(sqlite3_stmt *st)
{
	struct span name = sql_span(st, 0);

	return name.n > 0 && name.n <= NAME_TEXT_MAX && memchr(name.p, '\0', name.n) == NULL &&
	       sql_span(st, 1).n <= TEXT_MAX && sql_span(st, 2).n <= TEXT_MAX;
}

static void
take_row(void *arg, sqlite3_stmt *st)
{
	struct safe_rows *rows = arg;

	if (sqlite3_column_int(st, 7) == 0)
		log_error("store", "a secret is damaged, or was written by another program",
			F_SPAN("secret", sql_span(st, 0)));
	if (!is_usable(st))
		return;
	rows->v = xrealloc(rows->v, rows->n + 1, sizeof(*rows->v));
	rows->v[rows->n++] = (struct safe_row){
		.name = rows_dup_text(st, 0),
		.key = rows_dup_text(st, 1),
		.value = rows_dup_text(st, 2),
		.version = sqlite3_column_int64(st, 3),
		.created_at = sqlite3_column_int64(st, 4),
		.updated_at = sqlite3_column_int64(st, 5),
		.sealed_at = sqlite3_column_int64(st, 6),
	};
}

enum err
safe_read(const char *path, struct safe_rows *rows, struct error *error)
{
	struct rows_reading reading = {read_all, "reading the secrets", take_row, NULL};
	enum err e;

	*rows = (struct safe_rows){.v = NULL};
	reading.arg = rows;
	e = rows_read(path, &reading, error);
	if (e != OK)
		safe_rows_fini(rows);
	return e;
}

void
safe_row_fini(struct safe_row *row)
{
	free(row->name);
	free(row->key);
	free(row->value);
	*row = (struct safe_row){.name = NULL};
}

void
safe_rows_fini(struct safe_rows *rows)
{
	for (size_t i = 0; i < rows->n; i++)
		safe_row_fini(&rows->v[i]);
	free(rows->v);
	*rows = (struct safe_rows){.v = NULL};
}

void
safe_op(const struct safe_row *row, struct op *op)
{
	op->kind = OP_STOW;
	op->name = span_of(row->name);
	op->id = span_of(row->key);
	op->data = span_of(row->value);
	op->given.rev = row->version;
	op->given.created_at = row->created_at;
	op->given.updated_at = row->updated_at;
	op->now_ms = row->sealed_at;
}
