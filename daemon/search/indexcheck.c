/* Whether the search index is whole: see indexcheck.h. */

#include "daemon/search/indexcheck.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/xalloc.h"
#include "daemon/search/indexfile.h"
#include "daemon/search/text.h"
#include "daemon/search/tokens.h"
#include "daemon/store/sql.h"
#include "daemon/store/verify.h"

#define WHERE      "search"
#define PIECE_ROWS 1000
#define ENOUGH     20 /* findings: an index is made anew as a whole */
#define LOCKED_MAX 30 /* times that the lock is waited for, each SQL_BUSY_TIMEOUT_MS */

enum statement {
	ST_MARK,    /* of the index */
	ST_ENTRIES, /* by category and id */
	ST_TEXTS,
	ST_RECORDS = ST_TEXTS + INDEX_KINDS, /* of the store, by category and id */
	ST_DELETED,
	ST_COUNT
};

static const char *const texts[ST_COUNT] = {
	[ST_MARK] = INDEX_MARK_SQL,
	[ST_ENTRIES] = "SELECT seq, category, id FROM docs WHERE (category, id) > (?1, ?2) "
		       "ORDER BY category, id",
	[ST_TEXTS + SEARCH_WORDS] = "SELECT name, data FROM words WHERE rowid = ?1",
	[ST_TEXTS + SEARCH_TRIGRAM] = "SELECT name, data FROM trigrams WHERE rowid = ?1",
	[ST_RECORDS] = "SELECT seq, category, id, name, data FROM records "
		       "WHERE (category, id) > (?1, ?2) ORDER BY category, id",
	[ST_DELETED] = "SELECT seq FROM tombstones WHERE category = ?1 AND id = ?2",
};

/** FTS5's check of a table: the terms are those of the texts, and its tree is whole. */
static const char *const fts_checks[INDEX_KINDS] = {
	[SEARCH_WORDS] = "INSERT INTO words (words) VALUES ('integrity-check')",
	[SEARCH_TRIGRAM] = "INSERT INTO trigrams (trigrams) VALUES ('integrity-check')",
};

/** Where a walk stands. */
struct walk_place {
	struct buf category;
	struct buf id;
};

struct indexcheck {
	sqlite3 *store; /* borrowed */
	sqlite3 *index;
	struct error broken; /* why index is NULL */
	sqlite3_stmt *st[ST_COUNT];
	struct kinds *kinds;
	unsigned phase;
	unsigned kind;   /* of the table that FTS5 checks */
	unsigned locked; /* times that it could not */
	int64_t mark;
	struct walk_place from; /* bound to what walks: it stays meanwhile */
	struct walk_place last; /* that was looked at */
	struct buf text;        /* as it has to be */
};

/** A row of the walk: an entry, or a record. */
struct side {
	sqlite3_stmt *st;
	sqlite3 *db;
	bool is_there; /* the statement is at a row */
	int64_t seq;
	struct span category;
	struct span id;
};

enum err
indexcheck_fits(sqlite3 *store, const struct index_place *place, bool *fits, struct error *error)
{
	sqlite3_stmt *st;
	enum err e;
	int rc;

	*fits = place->mark == 0;
	if (place->mark == 0)
		return OK;
	e = sql_prepare(store,
		"SELECT max(?2, ?3) <= coalesce((SELECT min(first_seq) - 1 FROM epochs AS next "
		"WHERE next.rowid > this.rowid), (" SQL_LAST_SEQ ")) AND (" SQL_PRUNED_TO
		") <= ?4 FROM epochs AS this WHERE epoch = ?1",
		&st, error);
	if (e != OK)
		return e;
	sql_bind_span(st, 1, span_of(place->epoch));
	sqlite3_bind_int64(st, 2, place->mark);
	sqlite3_bind_int64(st, 3, place->seen);
	sqlite3_bind_int64(st, 4, index_place_floor(place));
	*fits = sql_int(st, 0, &rc) != 0;
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		e = sql_error(store, error, "reading the epochs");
	sqlite3_finalize(st);
	return e;
}

/** What SQLite says of the index. What cannot be read is damaged; a lock is not. */
static enum err
fail(struct indexcheck *x, struct error *error)
{
	if ((sqlite3_errcode(x->index) & 0xff) == SQLITE_INTERRUPT)
		return error_set(error, ERR_UNAVAILABLE, "the check was interrupted");
	return sql_error(x->index, error, "reading the search index");
}

/** The index and its tables are what this version makes, and of this store. */
static enum err
check_kind_of_file(struct indexcheck *x, bool *more, struct findings *f, struct error *error)
{
	struct index_place place = {.mark = 0};
	sqlite3 *model = NULL;
	bool fits = true;
	enum err e = OK;

	*more = false;
	if (!indexfile_is_ours(x->index)) {
		findings_add(f, WHERE, "it is no index of this version, or is damaged");
		return OK;
	}
	if (sqlite3_open(":memory:", &model) != SQLITE_OK)
		e = error_set(error, ERR_DATABASE_ERROR, "cannot open a database in memory");
	if (e == OK)
		e = indexfile_make_tables(model, error);
	if (e == OK)
		e = verify_schema(x->index, model, WHERE, f, error);
	sqlite3_close(model);
	if (e == OK)
		e = indexfile_read_place(x->index, &place, error);
	if (e == OK)
		e = indexcheck_fits(x->store, &place, &fits, error);
	if (e == OK && !fits)
		findings_add(f, WHERE,
			"it is of another store, or of another history of this one: epoch %s, seq "
			"%" PRId64,
			place.epoch, place.mark);
	return e;
}

static enum err
check_pages(struct indexcheck *x, bool *more, struct findings *f, struct error *error)
{
	enum err e = verify_integrity(x->index, NULL, WHERE, f, error);

	*more = false;
	return e == OK ? OK : fail(x, error);
}

static enum err
check_terms(struct indexcheck *x, bool *more, struct findings *f, struct error *error)
{
	int rc = sqlite3_exec(x->index, fts_checks[x->kind], NULL, NULL, NULL);

	*more = true;
	if ((rc & 0xff) == SQLITE_BUSY && x->locked++ < LOCKED_MAX)
		return OK;
	x->locked = 0;
	if ((rc & 0xff) == SQLITE_CORRUPT)
		findings_add(f, WHERE, "the terms of the table %s are not those of its texts",
			indexfile_tables[x->kind]);
	else if (rc != SQLITE_OK && (rc & 0xff) != SQLITE_READONLY) /* on a disk that is */
		return fail(x, error);
	*more = ++x->kind < INDEX_KINDS;
	return OK;
}

static enum err
next_row(struct indexcheck *x, struct side *s, struct error *error)
{
	int rc = sqlite3_step(s->st);

	s->is_there = rc == SQLITE_ROW;
	if (!s->is_there)
		return rc == SQLITE_DONE   ? OK
		       : s->db == x->index ? fail(x, error)
					   : sql_error(s->db, error, "reading the records");
	s->seq = sqlite3_column_int64(s->st, 0);
	s->category = sql_span(s->st, 1);
	s->id = sql_span(s->st, 2);
	return OK;
}

static enum err
start_side(struct indexcheck *x, struct side *s, struct error *error)
{
	sql_bind_span(s->st, 1, buf_span(&x->from.category));
	sql_bind_span(s->st, 2, buf_span(&x->from.id));
	return next_row(x, s, error);
}

static int
compare_spans(struct span a, struct span b)
{
	int order = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);

	return order != 0 ? order : (a.n > b.n) - (a.n < b.n);
}

/** Which of the two comes first; one that is at no row comes last. */
static int
compare_sides(const struct side *a, const struct side *b)
{
	int order;

	if (!a->is_there || !b->is_there)
		return a->is_there ? -1 : 1;
	order = compare_spans(a->category, b->category);
	return order != 0 ? order : compare_spans(a->id, b->id);
}

static void
add_finding(struct findings *f, const struct side *s, const char *what)
{
	findings_add(f, WHERE, "%.*s/%.*s (seq %" PRId64 "): %s", SPAN_FMT(s->category),
		SPAN_FMT(s->id), s->seq, what);
}

/** True if the column holds what is in `text`. */
static bool
is_text(sqlite3_stmt *st, int column, const struct buf *text)
{
	struct span held = sql_span(st, column);

	return held.n == text->n && (held.n == 0 || memcmp(held.p, text->p, held.n) == 0);
}

/** The texts of an entry: they are there, and with a record (it is not NULL) they are its. */
static enum err
check_texts(struct indexcheck *x, const struct side *entry, const struct side *record,
	struct findings *f, struct error *error)
{
	enum conf_search kind = kinds_of(x->kinds, entry->category);
	sqlite3_stmt *st = kind == SEARCH_OFF ? NULL : x->st[ST_TEXTS + kind];
	bool is_same = true;
	int rc;

	if (st == NULL) {
		add_finding(f, entry, "an entry in a category that is not searched");
		return OK;
	}
	if (entry->seq > x->mark)
		add_finding(f, entry, "an entry above what the index knows");
	sqlite3_bind_int64(st, 1, entry->seq);
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW && record != NULL) {
		buf_reset(&x->text);
		text_add_name(&x->text, sql_span(record->st, 3));
		is_same = is_text(st, 0, &x->text);
		buf_reset(&x->text);
		text_add_data(&x->text, sql_span(record->st, 4));
		is_same = is_same && is_text(st, 1, &x->text);
	}
	if (rc == SQLITE_DONE)
		add_finding(f, entry, "an entry without its texts");
	else if (rc == SQLITE_ROW && !is_same)
		add_finding(f, entry, "the texts of the entry are not those of the record");
	sqlite3_reset(st);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? OK : fail(x, error);
}

/** An entry whose record is not there: it was deleted, and the index has not come so far. */
static enum err
check_dead(struct indexcheck *x, const struct side *entry, struct findings *f, struct error *error)
{
	sqlite3_stmt *st = x->st[ST_DELETED];
	int64_t seq;
	int rc;

	sql_bind_span(st, 1, entry->category);
	sql_bind_span(st, 2, entry->id);
	seq = sql_int(st, 0, &rc);
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		return sql_error(x->store, error, "reading the deletions");
	if (seq <= x->mark)
		add_finding(f, entry, "an entry whose record is not there");
	return check_texts(x, entry, NULL, f, error);
}

static enum err
check_pair(struct indexcheck *x, const struct side *entry, const struct side *record,
	struct findings *f, struct error *error)
{
	if (record->seq > x->mark)
		return check_texts(x, entry, NULL, f, error);
	if (record->seq == entry->seq)
		return check_texts(x, entry, record, f, error);
	add_finding(f, record, "the entry is of another version");
	return OK;
}

static void
check_alone(struct indexcheck *x, const struct side *record, struct findings *f)
{
	if (record->seq <= x->mark && kinds_of(x->kinds, record->category) != SEARCH_OFF)
		add_finding(f, record, "the record has no entry");
}

static void
note_place(struct walk_place *p, const struct side *s)
{
	buf_reset(&p->category);
	buf_add_span(&p->category, s->category);
	buf_reset(&p->id);
	buf_add_span(&p->id, s->id);
}

static void
swap_places(struct indexcheck *x)
{
	struct walk_place last = x->last;

	x->last = x->from;
	x->from = last;
}

/** Entries and records side by side, in their order. */
static enum err
walk(struct indexcheck *x, bool *more, struct findings *f, struct error *error)
{
	struct side entry = {.st = x->st[ST_ENTRIES], .db = x->index};
	struct side record = {.st = x->st[ST_RECORDS], .db = x->store};
	enum err e = start_side(x, &entry, error);
	size_t before = f->total;

	if (e == OK)
		e = start_side(x, &record, error);
	for (int n = 0; e == OK && (entry.is_there || record.is_there); n++) {
		int order = compare_sides(&entry, &record);

		if (n == PIECE_ROWS || f->total - before >= ENOUGH)
			break;
		note_place(&x->last, order <= 0 ? &entry : &record);
		if (order < 0)
			e = check_dead(x, &entry, f, error);
		else if (order > 0)
			check_alone(x, &record, f);
		else
			e = check_pair(x, &entry, &record, f, error);
		if (e == OK && order >= 0)
			e = next_row(x, &record, error);
		if (e == OK && order <= 0)
			e = next_row(x, &entry, error);
	}
	*more = entry.is_there || record.is_there;
	sqlite3_reset(entry.st);
	sqlite3_reset(record.st);
	swap_places(x);
	return e;
}

static enum err
prepare_walk(struct indexcheck *x, struct error *error)
{
	char *kinds = indexfile_read_meta(x->index, "kinds");
	enum err e = OK;

	x->kinds = kinds_new(span_of(kinds));
	free(kinds);
	for (int i = 0; i < ST_COUNT && e == OK; i++)
		e = sql_prepare(i < ST_RECORDS ? x->index : x->store, texts[i], &x->st[i], error);
	return e;
}

static enum err
check_entries(struct indexcheck *x, bool *more, struct findings *f, struct error *error)
{
	enum err e = x->kinds == NULL ? prepare_walk(x, error) : OK;
	int rc;

	*more = false;
	if (e == OK)
		e = sql_exec(x->index, "BEGIN", error);
	if (e != OK)
		return e;
	x->mark = sql_int(x->st[ST_MARK], 0, &rc); /* before the store's snapshot */
	e = rc == SQLITE_ROW || rc == SQLITE_DONE ? OK : fail(x, error);
	if (e == OK)
		e = sql_exec(x->store, "BEGIN", error);
	if (e == OK) {
		e = walk(x, more, f, error);
		sql_exec(x->store, "COMMIT", NULL);
	}
	sql_exec(x->index, "COMMIT", NULL);
	return e;
}

/** No entry of the tables is unknown to the list of entries. */
static enum err
check_counts(struct indexcheck *x, bool *more, struct findings *f, struct error *error)
{
	int64_t surplus;
	enum err e = sql_query_int(x->index,
		"SELECT (SELECT count(*) FROM words_docsize) + "
		"(SELECT count(*) FROM trigrams_docsize) - (SELECT count(*) FROM docs)",
		0, &surplus, error);

	*more = false;
	if (e == OK && surplus != 0)
		findings_add(f, WHERE, "the tables have %" PRId64 " entries more than are listed",
			surplus);
	return e == OK ? OK : fail(x, error);
}

/* Each is for an index in which those above have found nothing. */
static enum err (*const checks[])(
	struct indexcheck *x, bool *more, struct findings *f, struct error *error) = {
	check_kind_of_file,
	check_pages,
	check_terms,
	check_entries,
	check_counts,
};
#define CHECKS_N (sizeof(checks) / sizeof(checks[0]))

static void
init_place(struct walk_place *p)
{
	buf_init(&p->category, SIZE_MAX / 2);
	buf_init(&p->id, SIZE_MAX / 2);
}

static void
fini_place(struct walk_place *p)
{
	buf_fini(&p->category);
	buf_fini(&p->id);
}

struct indexcheck *
indexcheck_open(sqlite3 *store)
{
	char *path = indexfile_path(sqlite3_db_filename(store, "main"));
	struct indexcheck *x = NULL;

	if (access(path, F_OK) == 0) {
		x = xnew(struct indexcheck);
		x->store = store;
		init_place(&x->from);
		init_place(&x->last);
		buf_init(&x->text, TOKENS_TEXT_MAX);
		sql_open_plain_writer(path, &x->index, &x->broken);
	}
	free(path);
	return x;
}

void
indexcheck_close(struct indexcheck *x)
{
	if (x == NULL)
		return;
	for (int i = 0; i < ST_COUNT; i++)
		sqlite3_finalize(x->st[i]);
	sql_close(x->index);
	kinds_free(x->kinds);
	fini_place(&x->from);
	fini_place(&x->last);
	buf_fini(&x->text);
	free(x);
}

sqlite3 *
indexcheck_db(struct indexcheck *x)
{
	return x->index;
}

/** True if there is nothing to look at any more: the file was made anew meanwhile, or will be. */
static bool
is_over(struct indexcheck *x)
{
	int has_moved = 0;

	sqlite3_file_control(x->index, "main", SQLITE_FCNTL_HAS_MOVED, &has_moved);
	return has_moved || !indexfile_is_whole(x->index);
}

enum err
indexcheck_step(struct indexcheck *x, bool *more, struct findings *findings, struct error *error)
{
	size_t before = findings->total;
	enum err e;

	*more = false;
	if (x->index == NULL) {
		*error = x->broken;
		return error->code;
	}
	if (is_over(x))
		return OK;
	e = checks[x->phase](x, more, findings, error);
	x->phase += !*more;
	*more = e == OK && findings->total == before && x->phase < CHECKS_N;
	return e;
}
