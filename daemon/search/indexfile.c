/* The file of the search index: see indexfile.h. */

#include "daemon/search/indexfile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/xalloc.h"
#include "daemon/search/tokens.h"
#include "daemon/store/sql.h"

/* What the file is, and the version of what is in it. Anything else is removed. */
#define INDEX_APPLICATION 0x73797278 /* "syrx" */
#define INDEX_VERSION     1
#define LOG_PAGES         16384 /* copied back into the file when the log is so long */
#define BOOT_UNKNOWN      "unknown"

const char *const indexfile_tables[INDEX_KINDS] = {
	[SEARCH_WORDS] = "words",
	[SEARCH_TRIGRAM] = "trigrams",
};

enum statement {
	ST_BEGIN,
	ST_COMMIT,
	ST_ROLLBACK,
	ST_FIND,
	ST_NOTE,
	ST_FORGET,
	ST_SET_META,
	ST_PAGES,
	ST_REMOVE,
	ST_ADD = ST_REMOVE + INDEX_KINDS,
	ST_COUNT = ST_ADD + INDEX_KINDS
};

static const char *const texts[ST_COUNT] = {
	[ST_BEGIN] = "BEGIN IMMEDIATE",
	[ST_COMMIT] = "COMMIT",
	[ST_ROLLBACK] = "ROLLBACK",
	[ST_FIND] = "SELECT seq FROM docs WHERE category = ?1 AND id = ?2",
	[ST_NOTE] = "REPLACE INTO docs (category, id, seq) VALUES (?1, ?2, ?3)",
	[ST_FORGET] = "DELETE FROM docs WHERE category = ?1 AND id = ?2",
	[ST_SET_META] = "REPLACE INTO meta (key, value) VALUES (?1, ?2)",
	[ST_PAGES] = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
	[ST_REMOVE + SEARCH_WORDS] = "DELETE FROM words WHERE rowid = ?1",
	[ST_REMOVE + SEARCH_TRIGRAM] = "DELETE FROM trigrams WHERE rowid = ?1",
	[ST_ADD + SEARCH_WORDS] = "INSERT INTO words (rowid, name, data) VALUES (?1, ?2, ?3)",
	[ST_ADD + SEARCH_TRIGRAM] = "INSERT INTO trigrams (rowid, name, data) VALUES (?1, ?2, ?3)",
};

struct indexfile {
	sqlite3 *db;
	sqlite3_stmt *st[ST_COUNT];
	struct index_place place;
	int64_t nbytes;
};

char *
indexfile_path(const char *store_path)
{
	return xasprintf("%s.search", store_path);
}

void
indexfile_remove_file(const char *path)
{
	static const char *const ends[] = {"", "-wal", "-shm", "-journal"};

	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		char *name = xasprintf("%s%s", path, ends[i]);

		unlink(name);
		free(name);
	}
}

/** What the writer's connection needs beside the store's ways. */
static const char pragmas[] = "PRAGMA journal_mode = WAL;"
			      "PRAGMA synchronous = OFF;"
			      "PRAGMA secure_delete = FAST;";

static enum err
make_table(sqlite3 *db, const char *table, enum tokenizer_kind kind, struct error *error)
{
	char *sql = xasprintf("CREATE VIRTUAL TABLE %s USING fts5(name, data, tokenize = \"%s\");"
			      "INSERT INTO %s (%s, rank) VALUES "
			      "('hashsize', %d), ('automerge', %d);",
		table, tokenizer_option(kind), table, table, INDEX_HASH_BYTES, INDEX_AUTOMERGE);
	enum err e = sql_exec(db, sql, error);

	free(sql);
	return e;
}

/** Writes what is bound to the second parameter of ST_SET_META. */
static enum err
set_meta(struct indexfile *x, const char *key, struct error *error)
{
	sql_bind_span(x->st[ST_SET_META], 1, span_of(key));
	return sql_run(x->st[ST_SET_META]) == SQLITE_DONE
		       ? OK
		       : sql_error(x->db, error, "writing to the search index");
}

static enum err
set_meta_text(struct indexfile *x, const char *key, const char *text, struct error *error)
{
	sql_bind_span(x->st[ST_SET_META], 2, span_of(text));
	return set_meta(x, key, error);
}

static enum err
set_meta_int(struct indexfile *x, const char *key, int64_t value, struct error *error)
{
	sqlite3_bind_int64(x->st[ST_SET_META], 2, value);
	return set_meta(x, key, error);
}

enum err
indexfile_make_tables(sqlite3 *db, struct error *error)
{
	enum err e = sql_exec(db,
		"CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;"
		"CREATE TABLE docs (category TEXT NOT NULL, id TEXT NOT NULL, "
		"seq INTEGER NOT NULL, PRIMARY KEY (category, id)) WITHOUT ROWID;",
		error);

	for (int kind = 0; kind < INDEX_KINDS && e == OK; kind++)
		e = make_table(db, indexfile_tables[kind], (enum tokenizer_kind)kind, error);
	return e;
}

/** The version comes last: what is left of an attempt that was broken off has none. */
static enum err
make_content(struct indexfile *x, const char *kinds, struct error *error)
{
	char *version = xasprintf("PRAGMA application_id = %d; PRAGMA user_version = %d",
		INDEX_APPLICATION, INDEX_VERSION);
	enum err e = indexfile_make_tables(x->db, error);

	if (e == OK)
		e = sql_prepare(x->db, texts[ST_SET_META], &x->st[ST_SET_META], error);
	if (e == OK)
		e = set_meta_text(x, "kinds", kinds, error);
	if (e == OK)
		e = sql_exec(x->db, version, error);
	free(version);
	return e;
}

char *
indexfile_read_meta(sqlite3 *db, const char *key)
{
	sqlite3_stmt *st;
	char *text = NULL;

	if (sql_prepare(db, "SELECT value FROM meta WHERE key = ?1", &st, NULL) != OK)
		return xstrdup("");
	sql_bind_span(st, 1, span_of(key));
	if (sqlite3_step(st) == SQLITE_ROW) {
		struct span value = sql_span(st, 0);

		text = xstrndup(value.p != NULL ? value.p : "", value.n);
	}
	sqlite3_finalize(st);
	return text != NULL ? text : xstrdup("");
}

/** What names this run of the machine. */
static char *
read_boot(void)
{
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
	char text[64] = "";

	if (f != NULL) {
		if (fgets(text, sizeof(text), f) == NULL)
			text[0] = '\0';
		fclose(f);
	}
	text[strcspn(text, "\n")] = '\0';
	return xstrdup(text[0] != '\0' ? text : BOOT_UNKNOWN);
}

bool
indexfile_is_ours(sqlite3 *db)
{
	int64_t application = 0, version = 0;

	return sql_query_int(db, "PRAGMA application_id", 0, &application, NULL) == OK &&
	       sql_query_int(db, "PRAGMA user_version", 0, &version, NULL) == OK &&
	       application == INDEX_APPLICATION && version == INDEX_VERSION;
}

bool
indexfile_is_whole(sqlite3 *db)
{
	char *its_boot = indexfile_read_meta(db, "boot"), *boot = read_boot();
	bool is_whole = *its_boot == '\0' ||
			(strcmp(its_boot, boot) == 0 && strcmp(boot, BOOT_UNKNOWN) != 0);

	free(its_boot);
	free(boot);
	return is_whole;
}

/** Why what is in the file cannot be gone on with; NULL: it can. */
static const char *
why_unusable(sqlite3 *db, const char *kinds)
{
	const char *why = NULL;
	char *its_kinds;

	if (!indexfile_is_ours(db))
		return "it is damaged, or not of this version";
	its_kinds = indexfile_read_meta(db, "kinds");
	if (strcmp(its_kinds, kinds) != 0)
		why = "categories are searched in another way now";
	else if (!indexfile_is_whole(db))
		why = "the machine went down while it was open";
	free(its_kinds);
	return why;
}

bool
indexfile_is_damage(int rc)
{
	int kind = rc & 0xff;

	return kind == SQLITE_CORRUPT || kind == SQLITE_NOTADB || rc == SQLITE_IOERR_SHORT_READ;
}

static enum err
open_writer(const char *path, const struct conf *conf, sqlite3 **out, struct error *error)
{
	sqlite3 *db;
	char *checkpoint = xasprintf("PRAGMA wal_autocheckpoint = %d", LOG_PAGES);
	enum err e = sql_open(path, SQL_INDEXER, conf, &db, error);

	if (e == OK) {
		e = sql_exec(db, pragmas, error);
		if (e == OK)
			e = sql_exec(db, checkpoint, error);
		if (e == OK)
			*out = db;
		else
			sql_close(db);
	}
	free(checkpoint);
	return e;
}

enum err
indexfile_read_place(sqlite3 *db, struct index_place *out, struct error *error)
{
	char *epoch = indexfile_read_meta(db, "epoch");
	enum err e = sql_query_int(db, INDEX_MARK_SQL, 0, &out->mark, error);

	if (e == OK)
		e = sql_query_int(
			db, "SELECT value FROM meta WHERE key = 'base'", 0, &out->base, error);
	if (e == OK)
		e = sql_query_int(
			db, "SELECT value FROM meta WHERE key = 'seen'", 0, &out->seen, error);
	snprintf(out->epoch, sizeof(out->epoch), "%s", epoch);
	free(epoch);
	return e;
}

static enum err
finish_open(struct indexfile *x, const char *kinds, bool is_new, struct error *error)
{
	char *boot = read_boot();
	enum err e = is_new ? make_content(x, kinds, error) : OK;

	for (int i = 0; i < ST_COUNT && e == OK; i++)
		if (x->st[i] == NULL)
			e = sql_prepare(x->db, texts[i], &x->st[i], error);
	if (e == OK)
		e = set_meta_text(x, "boot", boot, error);
	if (e == OK)
		e = indexfile_read_place(x->db, &x->place, error);
	if (e == OK)
		x->nbytes = sql_int(x->st[ST_PAGES], 0, NULL);
	free(boot);
	return e;
}

static void
close_file(struct indexfile *x)
{
	for (int i = 0; i < ST_COUNT; i++)
		sqlite3_finalize(x->st[i]);
	sql_close(x->db);
}

/** Opens what is there. If it cannot be gone on with, the log says why, and nothing is open. What
 * cannot be opened now, for a lock or a disk, may be good. */
static enum err
open_old(struct indexfile *x, const char *path, const char *kinds, const struct conf *conf,
	struct error *error)
{
	struct error broken = ERROR_NONE;
	const char *why = NULL;
	enum err e = open_writer(path, conf, &x->db, &broken);

	if (e == OK)
		why = why_unusable(x->db, kinds);
	if (e == OK && why == NULL)
		e = finish_open(x, kinds, false, &broken);
	if (e == OK && why == NULL)
		return OK;
	if (e != OK && e != ERR_DATABASE_ERROR) {
		if (error != NULL)
			*error = broken;
		return e;
	}
	log_info("search", "the search index is made anew",
		F_STR("why", why != NULL ? why : broken.text));
	close_file(x);
	*x = (struct indexfile){.db = NULL};
	return OK;
}

enum err
indexfile_open(const char *path, const char *kinds, const struct conf *conf, struct indexfile **out,
	struct error *error)
{
	struct indexfile *x = xnew(struct indexfile);
	enum err e = access(path, F_OK) == 0 ? open_old(x, path, kinds, conf, error) : OK;

	if (e == OK && x->db == NULL) {
		indexfile_remove_file(path);
		e = open_writer(path, conf, &x->db, error);
		if (e == OK)
			e = finish_open(x, kinds, true, error);
	}
	if (e != OK) {
		close_file(x);
		free(x);
		return error_wrap(error, "opening the search index %s", path);
	}
	*out = x;
	return OK;
}

/** What is in the file is on the disk, and says so: the next boot may go on with it. */
static void
make_durable(struct indexfile *x)
{
	struct error error = ERROR_NONE;

	if (sql_exec(x->db, "PRAGMA synchronous = FULL", &error) != OK ||
		set_meta_text(x, "boot", "", &error) != OK ||
		sqlite3_wal_checkpoint_v2(x->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) !=
			SQLITE_OK)
		log_debug("search", "the index is not synced: it is made anew after a reboot");
}

void
indexfile_close(struct indexfile *x)
{
	if (x == NULL)
		return;
	make_durable(x);
	close_file(x);
	free(x);
}

sqlite3 *
indexfile_db(struct indexfile *x)
{
	return x->db;
}

bool
indexfile_is_there(struct indexfile *x)
{
	int has_moved = 0;

	return sqlite3_file_control(x->db, "main", SQLITE_FCNTL_HAS_MOVED, &has_moved) !=
		       SQLITE_OK ||
	       !has_moved;
}

const struct index_place *
indexfile_place(const struct indexfile *x)
{
	return &x->place;
}

int64_t
indexfile_mark(const struct indexfile *x)
{
	return x->place.mark;
}

int64_t
indexfile_bytes(const struct indexfile *x)
{
	return x->nbytes;
}

static enum err
fail(struct indexfile *x, struct error *error)
{
	return sql_error(x->db, error, "writing to the search index");
}

enum err
indexfile_begin(struct indexfile *x, struct error *error)
{
	sql_begin_work();
	return sql_run(x->st[ST_BEGIN]) == SQLITE_DONE ? OK : fail(x, error);
}

enum err
indexfile_note(struct indexfile *x, struct span category, struct span id, int64_t seq, int64_t *old,
	struct error *error)
{
	sqlite3_stmt *st = x->st[seq != 0 ? ST_NOTE : ST_FORGET];
	int rc;

	sql_bind_span(x->st[ST_FIND], 1, category);
	sql_bind_span(x->st[ST_FIND], 2, id);
	*old = sql_int(x->st[ST_FIND], 0, &rc);
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		return fail(x, error);
	if (seq == 0 && *old == 0)
		return OK;
	sql_bind_span(st, 1, category);
	sql_bind_span(st, 2, id);
	if (seq != 0)
		sqlite3_bind_int64(st, 3, seq);
	return sql_run(st) == SQLITE_DONE ? OK : fail(x, error);
}

enum err
indexfile_remove(struct indexfile *x, enum conf_search kind, int64_t seq, struct error *error)
{
	sqlite3_stmt *st = x->st[ST_REMOVE + kind];

	sqlite3_bind_int64(st, 1, seq);
	return sql_run(st) == SQLITE_DONE ? OK : fail(x, error);
}

enum err
indexfile_add(struct indexfile *x, enum conf_search kind, int64_t seq, struct span name,
	struct span text, struct error *error)
{
	sqlite3_stmt *st = x->st[ST_ADD + kind];

	sqlite3_bind_int64(st, 1, seq);
	sql_bind_span(st, 2, name);
	sql_bind_span(st, 3, text);
	return sql_run(st) == SQLITE_DONE ? OK : fail(x, error);
}

enum err
indexfile_commit(
	struct indexfile *x, int64_t mark, int64_t last_seq, const char *epoch, struct error *error)
{
	struct index_place place = {
		.mark = mark,
		.base = x->place.mark == 0 ? last_seq : x->place.base,
		.seen = last_seq,
	};
	enum err e = set_meta_int(x, "mark", place.mark, error);

	snprintf(place.epoch, sizeof(place.epoch), "%s", epoch);
	if (e == OK)
		e = set_meta_int(x, "base", place.base, error);
	if (e == OK)
		e = set_meta_int(x, "seen", place.seen, error);
	if (e == OK)
		e = set_meta_text(x, "epoch", place.epoch, error);
	if (e == OK && sql_run(x->st[ST_COMMIT]) != SQLITE_DONE)
		e = fail(x, error);
	if (e != OK)
		return e;
	x->place = place;
	x->nbytes = sql_int(x->st[ST_PAGES], x->nbytes, NULL);
	return OK;
}

void
indexfile_roll_back(struct indexfile *x)
{
	if (!sqlite3_get_autocommit(x->db))
		sql_run(x->st[ST_ROLLBACK]);
}

enum err
indexfile_open_reader(const char *path, const struct conf *conf, sqlite3 **out, struct error *error)
{
	sqlite3 *db;
	enum err e = sql_open(path, SQL_READER, conf, &db, error);

	if (e != OK)
		return e;
	e = sql_exec(db, "PRAGMA mmap_size = 0", error);
	if (e == OK)
		*out = db;
	else
		sql_close(db);
	return e;
}
