/*
 * sqlite_dbpage for Debian's sqlite3, whose .recover needs it and whose library lacks
 * it: the pages of the main database by their numbers, as far as .recover asks for
 * them. A loadable extension, built by test_check.py.
 */

#include <fcntl.h>
#include <sqlite3ext.h>
#include <stdlib.h>
#include <unistd.h>

SQLITE_EXTENSION_INIT1

struct table {
	sqlite3_vtab base;
	sqlite3 *db;
};

struct cursor {
	sqlite3_vtab_cursor base;
	int fd;
	int size; /* of a page */
	sqlite3_int64 page;
	unsigned char *data; /* NULL: at the end */
};

int sqlite3_extension_init(sqlite3 *db, char **error, const sqlite3_api_routines *api);

static int
on_connect(
	sqlite3 *db, void *aux, int argc, const char *const *argv, sqlite3_vtab **out, char **error)
{
	struct table *t = calloc(1, sizeof(*t));

	(void)aux, (void)argc, (void)argv, (void)error;
	if (t == NULL)
		return SQLITE_NOMEM;
	t->db = db;
	*out = &t->base;
	return sqlite3_declare_vtab(
		db, "CREATE TABLE x(pgno INTEGER PRIMARY KEY, data BLOB, schema HIDDEN)");
}

static int
on_disconnect(sqlite3_vtab *t)
{
	free(t);
	return SQLITE_OK;
}

/** Only `pgno = ?` is served, with or without a schema, which is taken for main. */
static int
on_best_index(sqlite3_vtab *t, sqlite3_index_info *info)
{
	(void)t;
	for (int i = 0; i < info->nConstraint; i++) {
		struct sqlite3_index_constraint c = info->aConstraint[i];

		if (!c.usable || c.op != SQLITE_INDEX_CONSTRAINT_EQ)
			continue;
		if (c.iColumn <= 0) {
			info->aConstraintUsage[i].argvIndex = 1;
			info->idxNum = 1;
		}
		info->aConstraintUsage[i].omit = 1;
	}
	info->estimatedCost = info->idxNum == 1 ? 1 : 1e9;
	return SQLITE_OK;
}

static int
on_open(sqlite3_vtab *t, sqlite3_vtab_cursor **out)
{
	struct cursor *c = calloc(1, sizeof(*c));
	unsigned char head[18] = {0};

	if (c == NULL)
		return SQLITE_NOMEM;
	c->fd = open(sqlite3_db_filename(((struct table *)(void *)t)->db, "main"), O_RDONLY);
	if (pread(c->fd, head, sizeof(head), 0) > 0)
		c->size = head[16] << 8 | head[17];
	*out = &c->base;
	return SQLITE_OK;
}

static int
on_close(sqlite3_vtab_cursor *base)
{
	struct cursor *c = (struct cursor *)(void *)base;

	close(c->fd);
	free(c->data);
	free(c);
	return SQLITE_OK;
}

static int
on_filter(sqlite3_vtab_cursor *base, int number, const char *text, int n, sqlite3_value **values)
{
	struct cursor *c = (struct cursor *)(void *)base;

	(void)text;
	free(c->data);
	c->data = NULL;
	if (number != 1 || n < 1 || c->size <= 0)
		return SQLITE_OK;
	c->page = sqlite3_value_int64(values[0]);
	c->data = calloc(1, (size_t)c->size);
	if (c->page < 1 || pread(c->fd, c->data, (size_t)c->size, (c->page - 1) * c->size) <= 0) {
		free(c->data);
		c->data = NULL;
	}
	return SQLITE_OK;
}

static int
on_next(sqlite3_vtab_cursor *base)
{
	struct cursor *c = (struct cursor *)(void *)base;

	free(c->data);
	c->data = NULL;
	return SQLITE_OK;
}

static int
on_eof(sqlite3_vtab_cursor *base)
{
	return ((struct cursor *)(void *)base)->data == NULL;
}

static int
on_column(sqlite3_vtab_cursor *base, sqlite3_context *out, int i)
{
	struct cursor *c = (struct cursor *)(void *)base;

	if (i == 0)
		sqlite3_result_int64(out, c->page);
	else if (i == 1)
		sqlite3_result_blob(out, c->data, c->size, SQLITE_TRANSIENT);
	else
		sqlite3_result_text(out, "main", -1, SQLITE_STATIC);
	return SQLITE_OK;
}

static int
on_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *out)
{
	*out = ((struct cursor *)(void *)base)->page;
	return SQLITE_OK;
}

static const sqlite3_module module = {
	.xConnect = on_connect,
	.xBestIndex = on_best_index,
	.xDisconnect = on_disconnect,
	.xOpen = on_open,
	.xClose = on_close,
	.xFilter = on_filter,
	.xNext = on_next,
	.xEof = on_eof,
	.xColumn = on_column,
	.xRowid = on_rowid,
};

int
sqlite3_extension_init(sqlite3 *db, char **error, const sqlite3_api_routines *api)
{
	(void)error;
	SQLITE_EXTENSION_INIT2(api);
	return sqlite3_create_module(db, "sqlite_dbpage", &module, NULL);
}
