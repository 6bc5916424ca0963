/* Tables that are read whole: see rows.h. */

#include "daemon/store/rows.h"

#include "common/xalloc.h"
#include "daemon/store/sql.h"
#include "daemon/store/sum.h"

static enum err
read_all(sqlite3 *db, const struct rows_reading *r, struct error *error)
{
	sqlite3_stmt *st = NULL;
	enum err e = sum_add_function(db, error);
	int rc;

	if (e == OK)
		e = sql_prepare(db, r->select, &st, error);
	if (e != OK)
		return e;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW)
		r->take(r->arg, st);
	if (rc != SQLITE_DONE)
		e = sql_error(db, error, r->doing);
	sqlite3_finalize(st);
	return e;
}

enum err
rows_read(const char *path, const struct rows_reading *r, struct error *error)
{
	sqlite3 *db = NULL;
	enum err e = sql_open_plain(path, &db, error);

	if (e == OK)
		e = read_all(db, r, error);
	sql_close(db);
	return e;
}

char *
rows_dup_text(sqlite3_stmt *row, int column)
{
	struct span text = sql_span(row, column);

	return xstrndup(text.p, text.n);
}
