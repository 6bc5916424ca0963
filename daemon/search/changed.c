/* What has changed in the store: see changed.h. */

#include "daemon/search/changed.h"

#include <stdlib.h>

#include "common/buf.h"
#include "common/xalloc.h"
#include "daemon/search/indexcheck.h"
#include "daemon/search/text.h"
#include "daemon/search/tokens.h"
#include "daemon/store/sql.h"

/* A batch ends at one of these: large ones are cheaper a record, and are held up longer. */
#define BATCH_ROWS  10000
#define BATCH_BYTES ((size_t)16 << 20)
#define BATCH_MAX   ((size_t)1 << 30) /* with its last record */

enum statement { ST_BEGIN, ST_END, ST_LAST_SEQ, ST_PRUNED_TO, ST_RECORDS, ST_DELETIONS, ST_COUNT };

static const char *const texts[ST_COUNT] = {
	[ST_BEGIN] = "BEGIN",
	[ST_END] = "COMMIT",
	[ST_LAST_SEQ] = SQL_LAST_SEQ,
	[ST_PRUNED_TO] = SQL_PRUNED_TO,
	[ST_RECORDS] = "SELECT seq, category, id, name, data FROM records WHERE seq > ?1 "
		       "ORDER BY seq",
	[ST_DELETIONS] = "SELECT seq, category, id FROM tombstones WHERE seq > ?1 AND seq <= ?2 "
			 "ORDER BY seq",
};

struct changed {
	sqlite3 *db;
	sqlite3_stmt *st[ST_COUNT];
	struct changed_row *rows;
	size_t n;
	size_t cap;
	struct buf memory;
	struct buf text; /* of one record */
	int64_t last_seq;
	int64_t pruned_to;
	int64_t end;
};

enum err
changed_open(
	const char *store_path, const struct conf *conf, struct changed **out, struct error *error)
{
	struct changed *c = xnew(struct changed);
	enum err e = sql_open(store_path, SQL_READER, conf, &c->db, error);

	buf_init(&c->memory, BATCH_MAX);
	buf_init(&c->text, TOKENS_TEXT_MAX);
	for (int i = 0; i < ST_COUNT && e == OK; i++)
		e = sql_prepare(c->db, texts[i], &c->st[i], error);
	if (e != OK) {
		changed_close(c);
		return error_wrap(error, "reading the store for the search index");
	}
	*out = c;
	return OK;
}

void
changed_close(struct changed *c)
{
	if (c == NULL)
		return;
	for (int i = 0; i < ST_COUNT; i++)
		sqlite3_finalize(c->st[i]);
	sql_close(c->db);
	buf_fini(&c->memory);
	buf_fini(&c->text);
	free(c->rows);
	free(c);
}

enum err
changed_knows(struct changed *c, const struct index_place *place, bool *knows, struct error *error)
{
	return indexcheck_fits(c->db, place, knows, error);
}

int64_t
changed_peek_seq(struct changed *c)
{
	return sql_int(c->st[ST_LAST_SEQ], 0, NULL);
}

static enum err
fail(struct changed *c, struct error *error)
{
	return sql_error(c->db, error, "reading the store for the search index");
}

static struct changed_row *
add_row(struct changed *c, sqlite3_stmt *st, const struct kinds *kinds)
{
	struct span category = sql_span(st, 1), id = sql_span(st, 2);
	enum conf_search kind = kinds_of(kinds, category);
	struct changed_row *row;

	if (kind == SEARCH_OFF)
		return NULL;
	if (c->n == c->cap) {
		c->cap = c->cap > 0 ? 2 * c->cap : 256;
		c->rows = xrealloc(c->rows, c->cap, sizeof(*c->rows));
	}
	row = &c->rows[c->n++];
	*row = (struct changed_row){
		.seq = sqlite3_column_int64(st, 0),
		.kind = kind,
		.category_n = (uint32_t)category.n,
		.id_n = (uint32_t)id.n,
		.at = c->memory.n,
	};
	buf_add_span(&c->memory, category);
	buf_add_span(&c->memory, id);
	return row;
}

static void
add_texts(struct changed *c, struct changed_row *row, sqlite3_stmt *st)
{
	buf_reset(&c->text);
	text_add_name(&c->text, sql_span(st, 3));
	row->name_n = (uint32_t)c->text.n;
	buf_add_span(&c->memory, buf_span(&c->text));
	buf_reset(&c->text);
	text_add_data(&c->text, sql_span(st, 4));
	row->text_n = c->text.n;
	buf_add_span(&c->memory, buf_span(&c->text));
}

static enum err
read_records(struct changed *c, int64_t mark, const struct kinds *kinds, struct error *error)
{
	sqlite3_stmt *st = c->st[ST_RECORDS];
	size_t scanned = 0;
	int rc;

	sqlite3_bind_int64(st, 1, mark);
	c->end = c->last_seq;
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct changed_row *row = add_row(c, st, kinds);

		if (row != NULL)
			add_texts(c, row, st);
		if (++scanned >= BATCH_ROWS || c->memory.n >= BATCH_BYTES) {
			c->end = sqlite3_column_int64(st, 0);
			break;
		}
	}
	sqlite3_reset(st);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? OK : fail(c, error);
}

/** The records of the batch are those up to `end`. */
static void
cut(struct changed *c, int64_t end)
{
	while (c->n > 0 && c->rows[c->n - 1].seq > end)
		c->n--;
	c->end = end;
}

static enum err
read_deletions(struct changed *c, int64_t mark, const struct kinds *kinds, struct error *error)
{
	sqlite3_stmt *st = c->st[ST_DELETIONS];
	struct changed_row *deletions;
	size_t records_n = c->n, scanned = 0;
	int64_t end = c->end;
	int rc;

	sqlite3_bind_int64(st, 1, mark);
	sqlite3_bind_int64(st, 2, c->end);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct changed_row *row = add_row(c, st, kinds);

		if (row != NULL)
			row->is_deletion = true;
		if (++scanned >= BATCH_ROWS) {
			end = sqlite3_column_int64(st, 0);
			break;
		}
	}
	sqlite3_reset(st);
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		return fail(c, error);
	if (end == c->end)
		return OK;
	/* The deletions ended the batch: records beyond go, and the deletions move up. */
	deletions = c->rows + records_n;
	records_n = c->n - records_n;
	c->n -= records_n;
	cut(c, end);
	for (size_t i = 0; i < records_n; i++)
		c->rows[c->n++] = deletions[i];
	return OK;
}

enum err
changed_read(struct changed *c, int64_t mark, const struct kinds *kinds, struct error *error)
{
	enum err e;

	c->n = 0;
	buf_reset(&c->memory);
	sql_begin_work();
	if (sql_run(c->st[ST_BEGIN]) != SQLITE_DONE)
		return fail(c, error);
	c->last_seq = sql_int(c->st[ST_LAST_SEQ], 0, NULL);
	c->pruned_to = sql_int(c->st[ST_PRUNED_TO], 0, NULL);
	e = read_records(c, mark, kinds, error);
	if (e == OK)
		e = read_deletions(c, mark, kinds, error);
	sql_run(c->st[ST_END]);
	if (e == OK && c->memory.failed)
		e = error_set(error, ERR_LIMIT_EXCEEDED,
			"a batch for the search index is too "
			"large");
	return e;
}

int64_t
changed_last_seq(const struct changed *c)
{
	return c->last_seq;
}

int64_t
changed_pruned_to(const struct changed *c)
{
	return c->pruned_to;
}

int64_t
changed_end(const struct changed *c)
{
	return c->end;
}

size_t
changed_count(const struct changed *c)
{
	return c->n;
}

const struct changed_row *
changed_row(const struct changed *c, size_t i)
{
	return i < c->n ? &c->rows[i] : NULL;
}

struct span
changed_category(const struct changed *c, const struct changed_row *row)
{
	return (struct span){c->memory.p + row->at, row->category_n};
}

struct span
changed_id(const struct changed *c, const struct changed_row *row)
{
	return (struct span){c->memory.p + row->at + row->category_n, row->id_n};
}

struct span
changed_name(const struct changed *c, const struct changed_row *row)
{
	return (struct span){c->memory.p + row->at + row->category_n + row->id_n, row->name_n};
}

struct span
changed_text(const struct changed *c, const struct changed_row *row)
{
	return (struct span){
		c->memory.p + row->at + row->category_n + row->id_n + row->name_n, row->text_n};
}
