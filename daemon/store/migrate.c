/* The schema's versions: see migrate.h. */

#include "daemon/store/migrate.h"

#include <inttypes.h>
#include <sodium.h>
#include <string.h>

#include "common/clock.h"
#include "daemon/store/migrate_texts.h"
#include "daemon/store/sql.h"
#include "daemon/store/sum.h"

#define CHECKSUM_SIZE (2 * crypto_hash_sha256_BYTES + 1)

int
migrate_newest(void)
{
	return (int)migration_texts_n;
}

static void
checksum(const struct migration_text *m, char out[CHECKSUM_SIZE])
{
	unsigned char hash[crypto_hash_sha256_BYTES];

	crypto_hash_sha256(hash, (const unsigned char *)m->up, strlen(m->up));
	sodium_bin2hex(out, CHECKSUM_SIZE, hash, sizeof(hash));
}

static enum err
check_row(sqlite3_stmt *st, int64_t expected, struct error *error)
{
	int64_t version = sqlite3_column_int64(st, 0);
	char sum[CHECKSUM_SIZE];

	if (version > migrate_newest())
		return error_set(error, ERR_DATABASE_ERROR,
			"the store is from a newer sysrt (its schema is version %" PRId64
			", this program knows %d): use the newer program, or migrate down with it",
			version, migrate_newest());
	if (version != expected || version < 1)
		return error_set(error, ERR_DATABASE_ERROR,
			"the store's list of migrations is damaged at version %" PRId64, version);
	checksum(&migration_texts[version - 1], sum);
	if (!span_is(sql_span(st, 1), sum))
		return error_set(error, ERR_DATABASE_ERROR,
			"migration %" PRId64 " of the store is not the one that this program knows",
			version);
	return OK;
}

/** What was applied must be what this program would have applied, without a gap. */
static enum err
check_applied(sqlite3 *db, int64_t newest, struct error *error)
{
	int64_t expected = newest;
	int rc = SQLITE_DONE;
	sqlite3_stmt *st;
	enum err e = sql_prepare(
		db, "SELECT version, checksum FROM migrations ORDER BY version DESC", &st, error);

	if (e != OK)
		return e;
	while (e == OK && (rc = sqlite3_step(st)) == SQLITE_ROW)
		e = check_row(st, expected--, error);
	if (e == OK && rc != SQLITE_DONE)
		e = sql_error(db, error, "reading the migrations");
	if (e == OK && expected != 0)
		e = error_set(error, ERR_DATABASE_ERROR,
			"the store's list of migrations lacks version %" PRId64, expected);
	sqlite3_finalize(st);
	return e;
}

enum err
migrate_version(sqlite3 *db, int *version, struct error *error)
{
	int64_t newest = 0;
	bool yes = false;
	enum err e = sql_is_store(db, &yes, error);

	if (e == OK && yes)
		e = sql_query_int(db, "SELECT max(version) FROM migrations", 0, &newest, error);
	if (e == OK && yes)
		e = check_applied(db, newest, error);
	if (e == OK)
		*version = (int)newest;
	return e;
}

bool
migrate_is_newer(sqlite3 *db)
{
	int64_t newest = 0;

	/* A number that has flipped leaves a gap. */
	return sql_query_int(db,
		       "SELECT CASE WHEN max(version) = count(*) AND min(version) = 1 "
		       "THEN max(version) END FROM migrations",
		       0, &newest, NULL) == OK &&
	       newest > migrate_newest();
}

static enum err
make_table(sqlite3 *db, struct error *error)
{
	bool yes = false;
	enum err e = sql_is_store(db, &yes, error);

	if (e != OK || yes)
		return e;
	return sql_exec(db,
		"CREATE TABLE migrations (version INTEGER PRIMARY KEY, name TEXT NOT NULL,"
		" checksum TEXT NOT NULL, applied_at INTEGER NOT NULL);"
		"PRAGMA application_id = 1937339250",
		error);
}

static enum err
note_up(sqlite3 *db, const struct migration_text *m, struct error *error)
{
	char sum[CHECKSUM_SIZE];
	sqlite3_stmt *st;
	enum err e = sql_prepare(db,
		"INSERT INTO migrations (version, name, checksum, applied_at) "
		"VALUES (?1, ?2, ?3, ?4)",
		&st, error);

	if (e != OK)
		return e;
	checksum(m, sum);
	sqlite3_bind_int(st, 1, m->version);
	sql_bind_span(st, 2, span_of(m->name));
	sql_bind_span(st, 3, span_of(sum));
	sqlite3_bind_int64(st, 4, clock_wall_ms());
	if (sql_run(st) != SQLITE_DONE)
		e = sql_error(db, error, "noting a migration");
	sqlite3_finalize(st);
	return e;
}

static enum err
note_down(sqlite3 *db, const struct migration_text *m, struct error *error)
{
	sqlite3_stmt *st;
	enum err e = sql_prepare(db, "DELETE FROM migrations WHERE version = ?1", &st, error);

	if (e != OK)
		return e;
	sqlite3_bind_int(st, 1, m->version);
	if (sql_run(st) != SQLITE_DONE)
		e = sql_error(db, error, "noting a migration");
	sqlite3_finalize(st);
	return e;
}

static enum err
step(sqlite3 *db, const struct migration_text *m, bool up, struct error *error)
{
	enum err e = sql_exec(db, up ? m->up : m->down, error);

	if (e == OK)
		e = up ? note_up(db, m, error) : note_down(db, m, error);
	if (e != OK)
		return error_wrap(
			error, "migration %04d_%s %s", m->version, m->name, up ? "up" : "down");
	return OK;
}

static enum err
move_to(sqlite3 *db, int version, struct error *error)
{
	int now = 0;
	enum err e = make_table(db, error);

	if (e == OK)
		e = migrate_version(db, &now, error);
	for (; e == OK && now < version; now++)
		e = step(db, &migration_texts[now], true, error);
	for (; e == OK && now > version; now--)
		e = step(db, &migration_texts[now - 1], false, error);
	return e;
}

enum err
migrate_to(sqlite3 *db, int version, struct error *error)
{
	enum err e;

	if (version < 0 || version > migrate_newest())
		return error_set(error, ERR_INVALID_ARGUMENT,
			"there is no version %d; the newest is %d", version, migrate_newest());
	e = sum_add_function(db, error); /* for the migrations */
	if (e == OK)
		e = sql_exec(db, "BEGIN IMMEDIATE", error);
	if (e == OK)
		e = move_to(db, version, error);
	if (e == OK)
		e = sql_exec(db, "COMMIT", error);
	if (e != OK && !sqlite3_get_autocommit(db))
		sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	return e;
}

enum err
migrate_add_list(sqlite3 *db, struct json_out *o, struct error *error)
{
	int now = 0;
	enum err e = migrate_version(db, &now, error);

	if (e != OK)
		return e;
	json_begin_array(o, NULL);
	for (size_t i = 0; i < migration_texts_n; i++) {
		json_begin_object(o, NULL);
		json_put_int(o, "version", migration_texts[i].version);
		json_put_str(o, "name", migration_texts[i].name);
		json_put_bool(o, "applied", migration_texts[i].version <= now);
		json_end_object(o);
	}
	json_end_array(o);
	return OK;
}
