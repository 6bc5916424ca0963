/* Following the store for a search: see follow.h. */

#include "daemon/search/follow.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/xalloc.h"
#include "daemon/search/text.h"
#include "daemon/store/sql.h"

#define READ_SQL                                                                                   \
	"SELECT seq, category, id, name, data, rev, created_at, updated_at, expires_at "           \
	"FROM records WHERE seq = ?1"
#define PROGRESS_OPS 2000
#define LOOK_ROWS    64 /* between looks at the clock */

enum statement {
	ST_BEGIN,
	ST_END,
	ST_LAST_SEQ,
	ST_CHANGED,
	ST_LOOK,
	ST_LOOK_TIME,
	ST_READ,
	ST_COUNT
};

static const char *const texts[ST_COUNT] = {
	[ST_BEGIN] = "BEGIN",
	[ST_END] = "COMMIT",
	[ST_LAST_SEQ] = SQL_LAST_SEQ,
	[ST_CHANGED] = "SELECT seq, category, name, data FROM records WHERE seq > ?1 ORDER BY seq",
	[ST_LOOK] = "SELECT category FROM records WHERE seq = ?1",
	[ST_LOOK_TIME] = "SELECT category, updated_at FROM records WHERE seq = ?1",
	[ST_READ] = READ_SQL,
};

struct follow_statements {
	sqlite3_stmt *v[ST_COUNT];
};

static int
on_progress(void *arg)
{
	const struct follow *f = arg;

	return f->deadline_us != 0 && clock_mono_us() > f->deadline_us;
}

enum err
follow_open(struct follow *f, const char *store_path, const struct conf *conf, struct error *error)
{
	enum err e;

	*f = (struct follow){.st = xnew(struct follow_statements)};
	buf_init(&f->name, TOKENS_TEXT_MAX);
	buf_init(&f->text, TOKENS_TEXT_MAX);
	for (int i = 0; i < QUERY_COLUMNS; i++)
		tokens_init(&f->doc.columns[i]);
	for (int i = 0; i < INDEX_KINDS; i++)
		recent_init(&f->tails[i]);
	e = sql_open(store_path, SQL_READER, conf, &f->db, error);
	for (int i = 0; i < ST_COUNT && e == OK; i++)
		e = sql_prepare(f->db, texts[i], &f->st->v[i], error);
	for (int i = 0; i < INDEX_KINDS && e == OK; i++)
		e = tokenizer_new(f->db, (enum tokenizer_kind)i, &f->tokenizers[i], error);
	if (e == OK)
		sqlite3_progress_handler(f->db, PROGRESS_OPS, on_progress, f);
	return e;
}

void
follow_close(struct follow *f)
{
	for (int i = 0; i < INDEX_KINDS; i++) {
		recent_fini(&f->tails[i]);
		tokenizer_free(f->tokenizers[i]);
	}
	for (int i = 0; i < ST_COUNT; i++)
		sqlite3_finalize(f->st->v[i]);
	sql_close(f->db);
	free(f->st);
	for (int i = 0; i < QUERY_COLUMNS; i++)
		tokens_fini(&f->doc.columns[i]);
	buf_fini(&f->name);
	buf_fini(&f->text);
}

enum err
follow_error(struct follow *f, struct error *error)
{
	if (sqlite3_errcode(f->db) == SQLITE_INTERRUPT)
		return error_set(error, ERR_TIMEOUT, "out of time");
	return sql_error(f->db, error, "searching");
}

enum err
follow_begin(struct follow *f, struct error *error)
{
	int rc;

	sql_begin_work();
	if (sql_run(f->st->v[ST_BEGIN]) != SQLITE_DONE)
		return follow_error(f, error);
	f->seq = sql_int(f->st->v[ST_LAST_SEQ], 0, &rc);
	return rc == SQLITE_ROW ? OK : follow_error(f, error);
}

void
follow_end(struct follow *f)
{
	for (int i = ST_LOOK; i < ST_COUNT; i++)
		sqlite3_reset(f->st->v[i]);
	if (!sqlite3_get_autocommit(f->db))
		sql_run(f->st->v[ST_END]);
}

void
follow_forget(struct follow *f)
{
	for (int i = 0; i < INDEX_KINDS; i++)
		recent_clear(&f->tails[i]);
	f->end = 0;
}

uint64_t
follow_records(const struct follow *f)
{
	uint64_t n = 0;

	for (int i = 0; i < INDEX_KINDS; i++)
		n += f->tails[i].docs_n;
	return n;
}

uint64_t
follow_bytes(const struct follow *f)
{
	uint64_t n = 0;

	for (int i = 0; i < INDEX_KINDS; i++)
		n += f->tails[i].nbytes;
	return n;
}

enum err
follow_take_apart(struct follow *f, enum conf_search kind, struct span name, struct span data,
	struct error *error)
{
	struct tokens *columns = f->doc.columns;
	enum err e;

	buf_reset(&f->name);
	buf_reset(&f->text);
	text_add_name(&f->name, name);
	text_add_data(&f->text, data);
	tokens_reset(&columns[QUERY_NAME]);
	tokens_reset(&columns[QUERY_DATA]);
	e = tokens_add(&columns[QUERY_NAME], f->tokenizers[kind], buf_span(&f->name), error);
	if (e == OK)
		e = tokens_add(
			&columns[QUERY_DATA], f->tokenizers[kind], buf_span(&f->text), error);
	return e;
}

static bool
is_late(const struct follow *f, size_t n)
{
	return n % LOOK_ROWS == 0 && f->deadline_us != 0 && clock_mono_us() > f->deadline_us;
}

/** Adds the record in the row of ST_CHANGED. */
static enum err
add_row(struct follow *f, const struct kinds *kinds, struct error *error)
{
	sqlite3_stmt *st = f->st->v[ST_CHANGED];
	enum conf_search kind = kinds_of(kinds, sql_span(st, 1));
	int64_t seq = sqlite3_column_int64(st, 0);
	enum err e = OK;

	if (kind != SEARCH_OFF)
		e = follow_take_apart(f, kind, sql_span(st, 2), sql_span(st, 3), error);
	if (e == OK && kind != SEARCH_OFF)
		recent_add(&f->tails[kind], seq, &f->doc);
	f->end = seq;
	return e;
}

static enum err
add_rows(struct follow *f, const struct kinds *kinds, uint64_t max_bytes, struct error *error)
{
	sqlite3_stmt *st = f->st->v[ST_CHANGED];
	enum err e = OK;
	size_t n = 0;
	int rc = SQLITE_DONE;

	sqlite3_bind_int64(st, 1, f->end);
	while (e == OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		if (follow_bytes(f) > max_bytes)
			e = error_set(error, ERR_UNAVAILABLE,
				"the search index is too far behind: try again later");
		else
			e = add_row(f, kinds, error);
		if (e == OK && is_late(f, ++n))
			e = error_set(error, ERR_TIMEOUT, "out of time");
	}
	if (e == OK && rc != SQLITE_DONE)
		e = follow_error(f, error);
	sqlite3_reset(st);
	if (e == OK)
		f->end = f->seq;
	return e;
}

enum err
follow_catch_up(struct follow *f, int64_t mark, const struct kinds *kinds, uint64_t max_bytes,
	struct error *error)
{
	if (f->end > f->seq)
		follow_forget(f);
	for (int i = 0; i < INDEX_KINDS; i++)
		recent_drop(&f->tails[i], mark);
	if (f->end < mark)
		f->end = mark;
	return f->end < f->seq ? add_rows(f, kinds, max_bytes, error) : OK;
}

int
follow_look(struct follow *f, int64_t seq, bool has_time, struct span *category, int64_t *time)
{
	sqlite3_stmt *st = f->st->v[has_time ? ST_LOOK_TIME : ST_LOOK];
	int rc;

	sqlite3_reset(st);
	sqlite3_bind_int64(st, 1, seq);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		*category = sql_span(st, 0);
		*time = has_time ? sqlite3_column_int64(st, 1) : 0;
	}
	return rc;
}

int
follow_read(struct follow *f, int64_t seq, struct record *out)
{
	sqlite3_stmt *st = f->st->v[ST_READ];
	int rc;

	sqlite3_reset(st);
	sqlite3_bind_int64(st, 1, seq);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		*out = (struct record){
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
	return rc;
}
