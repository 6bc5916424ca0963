/* The sum of a row: see sum.h. */

#include "daemon/store/sum.h"

#include <endian.h>
#include <sodium.h>
#include <string.h>

#include "common/xalloc.h"
#include "daemon/store/sql.h"

/* Of a record's fields, behind the table's name. */
#define AT_REV        6
#define AT_CREATED_AT 7

static const unsigned char key[crypto_shorthash_KEYBYTES] = "sysrt: row sums";

static uint64_t
hash(const void *p, size_t n)
{
	unsigned char out[crypto_shorthash_BYTES];
	uint64_t word;

	crypto_shorthash(out, p, n, key);
	memcpy(&word, out, sizeof(word));
	return le64toh(word);
}

/** A type as SQLite numbers it, and what tells the value from all others of its type. */
static void
set_field(struct sum *s, unsigned at, int type, uint64_t n, uint64_t value)
{
	s->words[2 * at] = htole64((uint64_t)type << 56 | n);
	s->words[2 * at + 1] = htole64(value);
}

static void
add_field(struct sum *s, int type, uint64_t n, uint64_t value)
{
	must(s->n < SUM_FIELDS_MAX);
	set_field(s, s->n++, type, n, value);
}

struct sum
sum_start(const char *table)
{
	struct sum s;

	s.n = 0;
	sum_add_text(&s, span_of(table));
	return s;
}

void
sum_add_int(struct sum *s, int64_t value)
{
	add_field(s, SQLITE_INTEGER, 0, (uint64_t)value);
}

void
sum_add_text(struct sum *s, struct span text)
{
	add_field(s, SQLITE_TEXT, text.n, hash(text.p, text.n));
}

void
sum_add_null(struct sum *s)
{
	add_field(s, SQLITE_NULL, 0, 0);
}

int64_t
sum_end(const struct sum *s)
{
	return (int64_t)hash(s->words, 2 * s->n * sizeof(s->words[0]));
}

struct sum
sum_of_record(const struct record *r)
{
	struct sum s = sum_start("records");

	sum_add_int(&s, r->seq);
	sum_add_text(&s, r->category);
	sum_add_text(&s, r->id);
	sum_add_text(&s, r->name);
	sum_add_text(&s, r->data);
	sum_add_int(&s, r->rev);
	sum_add_int(&s, r->created_at);
	sum_add_int(&s, r->updated_at);
	if (r->expires_at != 0)
		sum_add_int(&s, r->expires_at);
	else
		sum_add_null(&s);
	return s;
}

void
sum_set_life(struct sum *s, int64_t rev, int64_t created_at)
{
	set_field(s, AT_REV, SQLITE_INTEGER, 0, (uint64_t)rev);
	set_field(s, AT_CREATED_AT, SQLITE_INTEGER, 0, (uint64_t)created_at);
}

int64_t
sum_of_tombstone(int64_t seq, struct span category, struct span id, int64_t rev, int64_t deleted_at)
{
	struct sum s = sum_start("tombstones");

	sum_add_int(&s, seq);
	sum_add_text(&s, category);
	sum_add_text(&s, id);
	sum_add_int(&s, rev);
	sum_add_int(&s, deleted_at);
	return sum_end(&s);
}

static void
add_value(struct sum *s, sqlite3_value *value)
{
	int type = sqlite3_value_type(value);

	if (type == SQLITE_NULL) {
		sum_add_null(s);
	} else if (type == SQLITE_INTEGER) {
		sum_add_int(s, sqlite3_value_int64(value));
	} else {
		const void *p = type == SQLITE_TEXT ? (const void *)sqlite3_value_text(value)
						    : sqlite3_value_blob(value);
		size_t n = (size_t)sqlite3_value_bytes(value);

		add_field(s, type, n, hash(p, n));
	}
}

/** row_sum(table, column, ...) */
static void
row_sum(sqlite3_context *c, int n, sqlite3_value **values)
{
	struct sum s = {.n = 0};

	if (n < 1 || n > SUM_FIELDS_MAX) {
		sqlite3_result_error(c, "row_sum() takes a table's name and its columns", -1);
		return;
	}
	for (int i = 0; i < n; i++)
		add_value(&s, values[i]);
	sqlite3_result_int64(c, sum_end(&s));
}

enum err
sum_add_function(sqlite3 *db, struct error *error)
{
	const int flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_DIRECTONLY;

	if (sqlite3_create_function(db, "row_sum", -1, flags, NULL, row_sum, NULL, NULL) !=
		SQLITE_OK)
		return sql_error(db, error, "adding a function");
	return OK;
}
