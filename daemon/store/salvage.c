/* Getting records out of a damaged file: see salvage.h. */

#include "daemon/store/salvage.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/utf8.h"
#include "common/xalloc.h"
#include "daemon/store/apply.h"
#include "daemon/store/cells.h"
#include "daemon/store/safe.h"
#include "daemon/store/salvage_map.h"
#include "daemon/store/sql.h"
#include "daemon/store/sum.h"

#define TEXT_MAX 512 /* of an id, the longer of the two */

enum what { RECORDS, TOMBSTONES, HISTORY, TOKENS, SECRETS, FEEDS, WHAT_N };

enum statement { ST_INSERT, ST_RIVALS, ST_DROP, STATEMENTS_N };

/** How a table's rows look: one letter a column. k: the rowid, t: a text, m: a text or
 * NULL, i: an integer, n: an integer or NULL. Behind them comes the sum, if the file has sums. */
static const struct shape {
	const char *table;
	const char *one;
	const char *columns;
	unsigned at; /* the category; the id, and the name and the data if it has some, follow it.
			Of a token: its name; its hash follows it. Of a secret: its name; its key
			follows it. Of a feed: its name; its definition follows it */
	const char *texts[STATEMENTS_N];
} shapes[WHAT_N] = {
	[RECORDS] = {"records",    "record",   "kttttiiin",     1,
		     {
			[ST_INSERT] = "INSERT INTO records (seq, category, id, name, data, rev, "
				      "created_at, updated_at, expires_at, sum) "
				      "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
			[ST_RIVALS] = "SELECT seq, sum IS NOT NULL FROM records "
				      "WHERE (category = ?1 AND id = ?2) OR seq = ?3",
			[ST_DROP] = "DELETE FROM records WHERE seq = ?1",
		}},
	[TOMBSTONES] = {"tombstones", "deletion", "kttii",         1,
		     {
			[ST_INSERT] = "INSERT INTO tombstones "
				      "(seq, category, id, rev, deleted_at, sum) "
				      "VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
			[ST_RIVALS] = "SELECT seq, sum IS NOT NULL FROM tombstones "
				      "WHERE (category = ?1 AND id = ?2) OR seq = ?3",
			[ST_DROP] = "DELETE FROM tombstones WHERE seq = ?1",
		}},
	[HISTORY] = {"history",    "version",  "kiittmmininin", 3,
		     {
			[ST_INSERT] = "INSERT INTO history (seq, n, op, category, id, name, data, "
				      "rev, created_at, updated_at, expires_at, ended_at, "
				      "ended_seq, sum) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, "
				      "?10, ?11, ?12, ?13, ?14)",
			[ST_RIVALS] = "SELECT seq, sum IS NOT NULL FROM history WHERE seq = ?3 "
				      "AND ?1 IS NOT NULL AND ?2 IS NOT NULL",
			[ST_DROP] = "DELETE FROM history WHERE seq = ?1",
		}},
	[TOKENS] = {"tokens",     "token",    "ktttinn",       1,
		     {
			[ST_INSERT] = "INSERT INTO tokens (id, name, hash, scopes, created_at, "
				      "expires_at, used_at, sum) "
				      "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
			[ST_RIVALS] = "SELECT id, sum IS NOT NULL FROM tokens "
				      "WHERE name = ?1 OR hash = ?2 OR id = ?3",
			[ST_DROP] = "DELETE FROM tokens WHERE id = ?1",
		}},
	[SECRETS] = {"secrets",    "secret",   "ktttiiii",      1,
		     {
			[ST_INSERT] = "INSERT INTO secrets (id, name, key, value, version, "
				      "created_at, updated_at, sealed_at, sum) "
				      "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
			[ST_RIVALS] = "SELECT id, sum IS NOT NULL FROM secrets "
				      "WHERE (name = ?1 OR id = ?3) AND ?2 IS NOT NULL",
			[ST_DROP] = "DELETE FROM secrets WHERE id = ?1",
		}},
	[FEEDS] = {"feeds",      "feed",     "kttiii",        1,
		     {
			[ST_INSERT] = "INSERT INTO feeds (id, name, definition, version, "
				      "created_at, updated_at, sum) "
				      "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
			[ST_RIVALS] = "SELECT id, sum IS NOT NULL FROM feeds "
				      "WHERE (name = ?1 OR id = ?3) AND ?2 IS NOT NULL",
			[ST_DROP] = "DELETE FROM feeds WHERE id = ?1",
		}},
};

/* Columns of a record. */
enum { AT_CATEGORY = 1, AT_ID, AT_NAME, AT_DATA, AT_UPDATED = 7, AT_EXPIRES };

struct salvage {
	const struct pages *pages;
	sqlite3 *db;
	sqlite3_stmt *st[WHAT_N][STATEMENTS_N];
	sqlite3_stmt *is_there;
	struct salvage_map map;
	struct cells cells;
	struct salvaged n;
	struct findings *findings;
	struct buf text; /* data that is no JSON any more, as a string */
};

/** Adds a column to a sum as what it has to be: a text that has become a blob, of the same length,
 * is a text with one bit flipped. */
static void
add_column(struct sum *s, char letter, const struct row *row, struct column *c)
{
	if (c->type == COLUMN_OTHER && (letter == 't' || letter == 'm'))
		c->type = COLUMN_TEXT;
	if (letter == 'k')
		sum_add_int(s, row->rowid);
	else if (c->type == COLUMN_INT)
		sum_add_int(s, c->value);
	else if (c->type == COLUMN_NULL)
		sum_add_null(s);
	else
		sum_add_text(s, c->text);
}

/** If so, its columns are what they have to be. */
static bool
is_proven(const struct shape *shape, struct row *row)
{
	size_t n = strlen(shape->columns);
	struct sum s = sum_start(shape->table);
	struct column columns[ROW_COLUMNS_MAX];

	if (row->n != n + 1 || row->is_cut || row->columns[n].type != COLUMN_INT)
		return false;
	memcpy(columns, row->columns, sizeof(columns));
	for (size_t i = 0; i < n; i++)
		add_column(&s, shape->columns[i], row, &columns[i]);
	if (sum_end(&s) != row->columns[n].value)
		return false;
	memcpy(row->columns, columns, sizeof(columns));
	return true;
}

/** True if the row may be one of this table; what is cut off may be anything. */
static bool
has_shape(const struct shape *shape, const struct row *row)
{
	size_t n = strlen(shape->columns);

	if (row->n != n && row->n != n + 1)
		return false;
	for (size_t i = 0; i < n; i++) {
		enum column_type type = row->columns[i].type;
		char letter = shape->columns[i];

		if (row->is_cut && type == COLUMN_OTHER)
			continue;
		if ((letter == 'k' && type != COLUMN_NULL) ||
			(letter == 't' && type != COLUMN_TEXT) ||
			(letter == 'm' && type != COLUMN_TEXT && type != COLUMN_NULL) ||
			(letter == 'i' && type != COLUMN_INT) ||
			(letter == 'n' && type != COLUMN_INT && type != COLUMN_NULL))
			return false;
	}
	return true;
}

static bool
is_text(struct span s)
{
	const char *p = s.p, *end = s.p + s.n;

	while (p < end) {
		size_t n = utf8_next(p, end);

		if (n == 0 || (unsigned char)*p < 0x20 || *p == 0x7f)
			return false;
		p += n;
	}
	return true;
}

/** True if the row can be kept under what it says it is. */
static bool
has_key(const struct shape *shape, const struct row *row)
{
	struct span category = row->columns[shape->at].text;
	struct span id = row->columns[shape->at + 1].text;

	return row->rowid >= 1 && row->rowid <= SEQ_MAX && category.n >= 1 &&
	       category.n <= TEXT_MAX && id.n >= 1 && id.n <= TEXT_MAX && is_text(category) &&
	       is_text(id);
}

/** Of tokens, secrets and feeds only the name is told. */
static void
tell(struct salvage *s, const struct shape *shape, const struct row *row, const char *why)
{
	struct span name = row->columns[shape->at].text, id = row->columns[shape->at + 1].text;

	if (shape == &shapes[TOKENS] || shape == &shapes[SECRETS] || shape == &shapes[FEEDS])
		findings_add(s->findings, shape->table, "%s %.*s (row %" PRId64 "): %s", shape->one,
			SPAN_FMT(name), row->rowid, why);
	else
		findings_add(s->findings, shape->table, "%s %.*s/%.*s (seq %" PRId64 "): %s",
			shape->one, SPAN_FMT(name), SPAN_FMT(id), row->rowid, why);
}

/** Numbers that are none any more. No record may be kept only to expire at once. */
static void
mend_numbers(enum what what, struct column *c)
{
	for (size_t i = 0; shapes[what].columns[i] != '\0'; i++) {
		if (c[i].type != COLUMN_OTHER)
			continue;
		if (shapes[what].columns[i] == 'i')
			c[i] = (struct column){.type = COLUMN_INT, .value = 1};
		else if (shapes[what].columns[i] == 'n')
			c[i] = (struct column){.type = COLUMN_NULL};
	}
	if (what == RECORDS && c[AT_EXPIRES].type == COLUMN_INT &&
		c[AT_EXPIRES].value < c[AT_UPDATED].value)
		c[AT_EXPIRES] = (struct column){.type = COLUMN_NULL};
}

/** Makes a row that nothing proves into one that can be kept; what it says of it, NULL: it was
 * never written with a sum. */
static const char *
mend(struct salvage *s, enum what what, struct row *row)
{
	bool has_sums = row->n > strlen(shapes[what].columns);
	struct column *c = row->columns;
	struct json_fault fault;
	struct json_value value;

	mend_numbers(what, c);
	if (what != RECORDS)
		return has_sums ? "it does not prove itself" : NULL;
	if (!is_text(c[AT_NAME].text))
		c[AT_NAME].text = c[AT_ID].text;
	if (json_check(c[AT_DATA].text, JSON_DEPTH_MAX, &value, &fault) == OK)
		return has_sums ? "it does not prove itself: look at it" : NULL;
	buf_reset(&s->text);
	json_add_string(&s->text, c[AT_DATA].text);
	c[AT_DATA].text = buf_span(&s->text);
	return row->is_cut ? "the end of its data is lost: what is left is kept as a string"
			   : "its data is no JSON any more: it is kept as a string";
}

static void
bind_column(sqlite3_stmt *st, int i, const struct column *c)
{
	if (c->type == COLUMN_INT)
		sqlite3_bind_int64(st, i, c->value);
	else if (c->type == COLUMN_TEXT)
		sql_bind_span(st, i, c->text);
	else
		sqlite3_bind_null(st, i);
}

static int
insert(struct salvage *s, enum what what, const struct row *row, bool is_sure)
{
	sqlite3_stmt *st = s->st[what][ST_INSERT];
	int n = (int)strlen(shapes[what].columns);

	sqlite3_bind_int64(st, 1, row->rowid);
	for (int i = 1; i < n; i++)
		bind_column(st, i + 1, &row->columns[i]);
	if (is_sure)
		bind_column(st, n + 1, &row->columns[n]);
	else
		sqlite3_bind_null(st, n + 1);
	return sql_run(st);
}

/** Drops what has the row's key or its seq and is worse; false when one of them is better. */
static bool
drop_rivals(struct salvage *s, enum what what, const struct row *row, bool is_sure)
{
	sqlite3_stmt *st = s->st[what][ST_RIVALS];
	int64_t worse[2];
	int n = 0;
	bool is_best = true;

	sql_bind_span(st, 1, row->columns[shapes[what].at].text);
	sql_bind_span(st, 2, row->columns[shapes[what].at + 1].text);
	sqlite3_bind_int64(st, 3, row->rowid);
	while (n < 2 && sqlite3_step(st) == SQLITE_ROW) {
		bool is_rival_sure = sqlite3_column_int(st, 1) != 0;

		worse[n] = sqlite3_column_int64(st, 0);
		if (is_rival_sure != is_sure ? is_rival_sure : worse[n] >= row->rowid)
			is_best = false;
		n++;
	}
	sqlite3_reset(st);
	for (int i = 0; i < n && is_best; i++) {
		sqlite3_bind_int64(s->st[what][ST_DROP], 1, worse[i]);
		sql_run(s->st[what][ST_DROP]);
	}
	return is_best;
}

static enum err
put(struct salvage *s, enum what what, const struct row *row, bool is_sure, struct error *error)
{
	int rc = insert(s, what, row, is_sure);

	if ((rc & 0xff) == SQLITE_CONSTRAINT && drop_rivals(s, what, row, is_sure))
		rc = insert(s, what, row, is_sure);
	if (rc == SQLITE_DONE || (rc & 0xff) == SQLITE_CONSTRAINT)
		return OK;
	return sql_error(s->db, error, "writing what was salvaged");
}

/** Nobody comes in by a token that may be another; the vault would refuse a secret; a feed would
 * tell its secrets to whom it should not. */
static bool
needs_proof(enum what what)
{
	return what == HISTORY || what == TOKENS || what == SECRETS || what == FEEDS;
}

/** Of a row whose columns may be anything: whether they look like what they should be. */
static bool
is_usable(enum what what, const struct row *row)
{
	struct json_fault fault;
	struct json_value value;

	return !needs_proof(what) && has_key(&shapes[what], row) &&
	       (what != RECORDS || json_check(row->columns[AT_DATA].text, JSON_DEPTH_MAX, &value,
					   &fault) == OK);
}

static enum err
take_doubtful(struct salvage *s, enum what what, struct row *row, struct error *error)
{
	bool has_sums = row->n > strlen(shapes[what].columns);
	const char *why = NULL;

	if (row->length != ROW_AGREES && !is_usable(what, row))
		why = "lost: its columns are not where they should be";
	else if (!has_key(&shapes[what], row))
		why = "lost: what is left of it has no key";
	else if (needs_proof(what) && (has_sums || row->is_cut || what != HISTORY))
		why = "lost: it does not prove itself";
	if (why != NULL) {
		s->n.lost++;
		tell(s, &shapes[what], row, why);
		return OK;
	}
	why = mend(s, what, row);
	if (why != NULL) {
		s->n.doubtful++;
		tell(s, &shapes[what], row, why);
	}
	return put(s, what, row, false, error);
}

/** A row proves what it is, or its page does, or its shape suggests it. */
static enum err
take_row(struct salvage *s, struct row *row, const char *table, bool is_guess, struct error *error)
{
	for (enum what w = 0; w < WHAT_N; w++)
		if (is_proven(&shapes[w], row))
			return put(s, w, row, true, error);
	is_guess |= row->length == ROW_BY_COLUMNS; /* it comes once more */
	for (enum what w = 0; w < WHAT_N && !is_guess; w++)
		if ((table == NULL || strcmp(table, shapes[w].table) == 0) &&
			has_shape(&shapes[w], row))
			return take_doubtful(s, w, row, error);
	return OK;
}

static bool
is_ours(const char *table)
{
	for (enum what w = 0; w < WHAT_N; w++)
		if (table != NULL && strcmp(table, shapes[w].table) == 0)
			return true;
	return false;
}

/** A page whose type is none may be a leaf with a damaged first byte: what proves itself counts. */
static enum err
take_page(struct salvage *s, uint32_t page, struct error *error)
{
	const char *table = salvage_map_table(&s->map, page);
	unsigned type = s->map.types[page];
	bool is_guess = type != PAGE_TABLE_LEAF;
	struct row row;
	enum err e = OK;

	if (type == 0 || type == PAGE_TABLE || type == PAGE_INDEX || type == PAGE_INDEX_LEAF)
		return OK;
	cells_open(&s->cells, page);
	if (is_guess)
		cells_force_type(&s->cells, PAGE_TABLE_LEAF);
	while (e == OK && cells_next(&s->cells, &row))
		e = take_row(s, &row, table, is_guess, error);
	if (is_ours(table) && !is_guess && s->cells.broken_n > 0) {
		s->n.lost += s->cells.broken_n;
		findings_add(s->findings, table, "page %u: %u rows cannot be read", page,
			s->cells.broken_n);
	}
	return e;
}

/** The tombstone counts if it is newer, unless it proves nothing and the record does. */
static enum err
part_living_from_dead(struct salvage *s, struct error *error)
{
	enum err e = sql_exec(s->db,
		"DELETE FROM records WHERE EXISTS (SELECT 1 FROM tombstones AS t "
		"WHERE t.category = records.category AND t.id = records.id "
		"AND t.seq > records.seq AND (t.sum IS NOT NULL OR records.sum IS NULL))",
		error);

	if (e == OK)
		e = sql_exec(s->db,
			"DELETE FROM tombstones WHERE seq IN (SELECT seq FROM records) "
			"OR (category, id) IN (SELECT category, id FROM records)",
			error);
	return e;
}

static bool
is_key(const struct row *row)
{
	return row->n == 3 && row->length == ROW_AGREES && !row->is_cut &&
	       row->columns[0].type == COLUMN_TEXT && row->columns[1].type == COLUMN_TEXT &&
	       row->columns[2].type == COLUMN_INT;
}

/** The index of the keys tells of rows that nothing else is left of. */
static void
take_key(struct salvage *s, const struct row *key, const char *table)
{
	struct row row = {.rowid = key->columns[2].value};
	const struct shape *shape = &shapes[RECORDS];

	row.columns[AT_CATEGORY] = key->columns[0];
	row.columns[AT_ID] = key->columns[1];
	if (strcmp(table, shapes[TOMBSTONES].table) == 0)
		shape = &shapes[TOMBSTONES];
	sql_bind_span(s->is_there, 1, row.columns[AT_CATEGORY].text);
	sql_bind_span(s->is_there, 2, row.columns[AT_ID].text);
	if (!has_key(shape, &row) || sql_int(s->is_there, 1, NULL) != 0)
		return;
	s->n.lost++;
	tell(s, shape, &row, "lost: only its key is left");
}

static void
take_keys(struct salvage *s, uint32_t page)
{
	const char *table = salvage_map_table(&s->map, page);
	unsigned type = s->map.types[page];
	struct row row;

	if ((type != PAGE_INDEX && type != PAGE_INDEX_LEAF) || !is_ours(table))
		return;
	cells_open(&s->cells, page);
	while (cells_next(&s->cells, &row))
		if (is_key(&row))
			take_key(s, &row, table);
}

/** Tokens are nothing without their key: then there is a new one, for new tokens. */
static enum err
keep_token_key(struct salvage *s, struct error *error)
{
	return sql_exec(s->db,
		"DELETE FROM tokens WHERE NOT EXISTS (SELECT 1 FROM tokens WHERE name = '$key');"
		"INSERT INTO tokens (name, hash, scopes, created_at) "
		"SELECT '$key', lower(hex(randomblob(32))), '', 0 "
		"WHERE NOT EXISTS (SELECT 1 FROM tokens);"
		"UPDATE tokens SET sum = " SUM_TOKENS " WHERE sum IS NULL",
		error);
}

/** Counts, seals what had no sum, and notes where the store stands. */
static enum err
finish(struct salvage *s, struct error *error)
{
	const struct {
		const char *sql;
		int64_t *to;
	} counts[] = {
		{"SELECT count(*) FROM records",                                &s->n.records   },
		{"SELECT count(*) FROM tombstones",                             &s->n.tombstones},
		{"SELECT count(*) FROM history",                                &s->n.versions  },
		{"SELECT count(*) FROM tokens WHERE name <> '$key'",            &s->n.tokens    },
		{"SELECT count(*) FROM secrets WHERE name <> '" SAFE_VAULT "'", &s->n.secrets   },
		{"SELECT count(*) FROM feeds",                                  &s->n.feeds     },
	};
	enum err e = keep_token_key(s, error);

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]) && e == OK; i++)
		e = sql_query_int(s->db, counts[i].sql, 0, counts[i].to, error);
	if (e == OK)
		e = sql_exec(s->db,
			"UPDATE records SET sum = " SUM_RECORDS " WHERE sum IS NULL;"
			"UPDATE tombstones SET sum = " SUM_TOMBSTONES " WHERE sum IS NULL;"
			"UPDATE history SET sum = " SUM_HISTORY " WHERE sum IS NULL;"
			"UPDATE meta SET value = (" SQL_LAST_SEQ ") WHERE key = 'last_seq';"
			"UPDATE meta SET sum = " SUM_META,
			error);
	return e;
}

static enum err
prepare(struct salvage *s, struct error *error)
{
	enum err e = sql_prepare(s->db,
		"SELECT EXISTS (SELECT 1 FROM records WHERE category = ?1 AND id = ?2) "
		"OR EXISTS (SELECT 1 FROM tombstones WHERE category = ?1 AND id = ?2)",
		&s->is_there, error);

	for (enum what w = 0; w < WHAT_N; w++)
		for (int i = 0; i < STATEMENTS_N && e == OK; i++)
			e = sql_prepare(s->db, shapes[w].texts[i], &s->st[w][i], error);
	return e;
}

static enum err
take_all(struct salvage *s, struct error *error)
{
	enum err e = sql_exec(s->db, "BEGIN IMMEDIATE; DELETE FROM tokens", error);

	for (uint32_t page = 1; page <= s->pages->n && e == OK; page++)
		e = take_page(s, page, error);
	if (e == OK)
		e = part_living_from_dead(s, error);
	for (uint32_t page = 1; page <= s->pages->n && e == OK; page++)
		take_keys(s, page);
	if (e == OK)
		e = finish(s, error);
	return e == OK ? sql_exec(s->db, "COMMIT", error) : e;
}

enum err
salvage_run(const struct pages *pages, sqlite3 *db, struct salvaged *out, struct findings *findings,
	struct error *error)
{
	struct salvage s = {.pages = pages, .db = db, .findings = findings};
	enum err e;

	cells_init(&s.cells, pages);
	buf_init(&s.text, SIZE_MAX / 2);
	salvage_map_init(&s.map, &s.cells);
	s.n.pages = pages->n;
	s.n.unreadable = s.map.unreadable;
	e = prepare(&s, error);
	if (e == OK)
		e = take_all(&s, error);
	for (enum what w = 0; w < WHAT_N; w++)
		for (int i = 0; i < STATEMENTS_N; i++)
			sqlite3_finalize(s.st[w][i]);
	sqlite3_finalize(s.is_there);
	salvage_map_fini(&s.map);
	cells_fini(&s.cells);
	buf_fini(&s.text);
	if (e == OK)
		*out = s.n;
	return e;
}
