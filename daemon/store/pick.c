/* Records that an operation does not name: see pick.h. */

#include "daemon/store/pick.h"

#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"
#include "daemon/store/sql.h"

enum statement { ST_OLDEST, ST_FROM, ST_COUNT };

static const char *const texts[ST_COUNT] = {
	[ST_OLDEST] = "SELECT id FROM records INDEXED BY records_by_category "
		      "WHERE category = ?1 ORDER BY seq LIMIT 1",
	[ST_FROM] = "SELECT id, seq, data FROM records INDEXED BY records_by_category "
		    "WHERE category = ?1 AND seq > ?2 ORDER BY seq",
};

struct pick {
	sqlite3 *db;
	sqlite3_stmt *st[ST_COUNT];
};

enum err
pick_new(sqlite3 *db, struct pick **out, struct error *error)
{
	struct pick *p = xnew(struct pick);
	enum err e = OK;

	p->db = db;
	for (int i = 0; i < ST_COUNT && e == OK; i++)
		e = sql_prepare(db, texts[i], &p->st[i], error);
	if (e != OK) {
		pick_free(p);
		return e;
	}
	*out = p;
	return OK;
}

void
pick_free(struct pick *p)
{
	if (p == NULL)
		return;
	for (int i = 0; i < ST_COUNT; i++)
		sqlite3_finalize(p->st[i]);
	free(p);
}

static void
picked_init(struct picked *found)
{
	found->at = 0;
	buf_init(&found->texts, SIZE_MAX / 2);
}

static void
picked_add(struct picked *found, struct span id)
{
	buf_add(&found->texts, &id.n, sizeof(id.n));
	buf_add_span(&found->texts, id);
}

/** How the search ended; resets its statement. */
static enum err
end(struct pick *p, enum statement which, int rc, struct picked *found, struct error *error)
{
	enum err e = OK;

	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		e = sql_error(p->db, error, "looking for records to delete");
	else if (found->texts.failed)
		e = error_set(error, ERR_UNAVAILABLE, "out of memory");
	sqlite3_reset(p->st[which]);
	return e;
}

enum err
pick_oldest(struct pick *p, struct span category, struct picked *found, struct error *error)
{
	sqlite3_stmt *st = p->st[ST_OLDEST];
	int rc;

	picked_init(found);
	sql_bind_span(st, 1, category);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		picked_add(found, sql_span(st, 0));
	return end(p, ST_OLDEST, rc, found, error);
}

enum err
pick_matching(struct pick *p, const struct op *op, struct picked *found, struct error *error)
{
	sqlite3_stmt *st = p->st[ST_FROM];
	struct sweep *s = op->sweep;
	size_t rows = 0, nbytes = 0, n = 0;
	int64_t last = s->since;
	int rc;

	picked_init(found);
	sql_bind_span(st, 1, op->category);
	sqlite3_bind_int64(st, 2, s->since);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW && n < op->limit && rows < SWEEP_ROWS &&
		nbytes < SWEEP_BYTES) {
		struct span data = sql_span(st, 2);

		if (where_matches(s->where, data)) {
			picked_add(found, sql_span(st, 0));
			n++;
		}
		last = sqlite3_column_int64(st, 1);
		nbytes += data.n;
		rows++;
	}
	s->end = rc == SQLITE_ROW ? last : 0;
	return end(p, ST_FROM, rc, found, error);
}

bool
picked_next(struct picked *found, struct span *id)
{
	if (found->at == found->texts.n)
		return false;
	memcpy(&id->n, found->texts.p + found->at, sizeof(id->n));
	id->p = found->texts.p + found->at + sizeof(id->n);
	found->at += sizeof(id->n) + id->n;
	return true;
}

void
picked_fini(struct picked *found)
{
	buf_fini(&found->texts);
}
