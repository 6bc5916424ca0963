/* A store that no daemon holds: see repair.h. */

#include "daemon/store/repair.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/xalloc.h"
#include "daemon/search/indexfile.h"
#include "daemon/store/beside.h"
#include "daemon/store/check.h"
#include "daemon/store/file.h"
#include "daemon/store/folder.h"
#include "daemon/store/migrate.h"
#include "daemon/store/salvage.h"
#include "daemon/store/sql.h"

static enum err
run_check(sqlite3 *db, struct check **out, struct error *error)
{
	struct check *c = NULL;
	bool more = true;
	enum err e = check_new(db, true, &c, error);

	while (e == OK && more)
		e = check_step(c, &more, error);
	if (e != OK) {
		check_free(c);
		return e;
	}
	*out = c;
	return OK;
}

/** What SQLite cannot open, read or make sense of is damaged: a finding, not a failure. */
static void
add_unreadable(struct json_out *o, const struct error *error)
{
	json_put_bool(o, "ok", false);
	json_put_int(o, "found", 1);
	json_begin_array(o, "checks");
	json_begin_object(o, NULL);
	json_put_str(o, "check", "file");
	json_put_bool(o, "ok", false);
	json_begin_array(o, "findings");
	json_put_str(o, NULL, error->text);
	json_end_array(o);
	json_end_object(o);
	json_end_array(o);
}

static enum err
must_be_there(const char *path, struct error *error)
{
	return access(path, F_OK) == 0
		       ? OK
		       : error_set_errno(error, ERR_NOT_FOUND, errno, "opening the file");
}

enum err
repair_check(const char *path, struct json_out *o, bool *ok, struct error *error)
{
	struct check *c = NULL;
	sqlite3 *db = NULL;
	int lock_fd = -1;
	enum err e = must_be_there(path, error);

	if (e == OK)
		e = file_lock_if_there(path, &lock_fd, error);
	if (e != OK)
		return e;
	e = sql_open_plain(path, &db, error);
	if (e == OK)
		e = run_check(db, &c, error);
	if (sql_is_damage(db, e))
		e = ERR_DATABASE_ERROR;
	*ok = e == OK && check_findings(c)->total == 0;
	if (e == OK)
		check_add_json(c, o);
	else if (e == ERR_DATABASE_ERROR)
		add_unreadable(o, error);
	check_free(c);
	sql_close(db);
	if (lock_fd >= 0)
		close(lock_fd);
	return e == ERR_DATABASE_ERROR ? OK : e;
}

/** True if all that is wrong with the store is that indexes and tables do not agree: the trees
 * themselves are whole, and so are the rows. */
static bool
is_only_indexes(const struct findings *f)
{
	static const char *const said[] = {
		"missing from index", "wrong # of entries in index", "non-unique entry in index"};

	if (f->total > f->n)
		return false;
	for (size_t i = 0; i < f->n; i++) {
		bool is_said = false;

		if (strcmp(f->v[i].where, "search") == 0)
			continue;
		for (size_t k = 0; k < sizeof(said) / sizeof(said[0]); k++)
			is_said |= strstr(f->v[i].text, said[k]) != NULL;
		if (!is_said || strcmp(f->v[i].where, "file") != 0)
			return false;
	}
	return true;
}

/** In one transaction; false if the store is still not whole afterwards. */
static bool
rebuild_indexes(const char *path, const struct conf *conf)
{
	struct check *c = NULL;
	sqlite3 *db = NULL;
	enum err e = sql_open(path, SQL_WRITER, conf, &db, NULL);
	bool is_whole;

	if (e == OK)
		e = sql_exec(db, "REINDEX", NULL);
	if (e == OK)
		sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	if (e == OK)
		e = run_check(db, &c, NULL);
	is_whole = e == OK && check_findings(c)->total == check_found(c, "search");
	check_free(c);
	sql_close(db);
	return is_whole;
}

/** Fills a new store with what the pages have, and sees that it is whole. */
static enum err
fill(const struct pages *pages, const char *fresh, const struct conf *conf, struct salvaged *s,
	struct findings *f, struct error *error)
{
	struct check *c = NULL;
	sqlite3 *db = NULL;
	enum err e = sql_open(fresh, SQL_WRITER, conf, &db, error);

	if (e == OK)
		e = sql_exec(db, "PRAGMA synchronous = OFF", error); /* synced as a whole */
	if (e == OK)
		e = migrate_to(db, migrate_newest(), error);
	if (e == OK)
		e = salvage_run(pages, db, s, f, error);
	if (e == OK && sqlite3_wal_checkpoint_v2(
			       db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) != SQLITE_OK)
		e = sql_error(db, error, "copying the log");
	if (e == OK)
		e = run_check(db, &c, error);
	if (e == OK && check_findings(c)->total > 0)
		e = error_set(error, ERR_INTERNAL_ERROR, "the new store is not whole: %s",
			check_findings(c)->v[0].text);
	check_free(c);
	sql_close(db);
	return e;
}

static char *
aside_name(const char *path)
{
	char stamp[FOLDER_STAMP_SIZE];

	folder_stamp(clock_wall_ms(), stamp);
	return xasprintf("%s.damaged-%s", path, stamp);
}

static void
add_salvaged(
	struct json_out *o, const char *aside, const struct salvaged *s, const struct findings *f)
{
	json_put_str(o, "how", "salvaged");
	json_put_str(o, "kept", aside);
	json_put_int(o, "records", s->records);
	json_put_int(o, "tombstones", s->tombstones);
	json_put_int(o, "versions", s->versions);
	json_put_int(o, "tokens", s->tokens);
	json_put_int(o, "secrets", s->secrets);
	json_put_int(o, "feeds", s->feeds);
	json_put_int(o, "doubtful", s->doubtful);
	json_put_int(o, "lost", s->lost);
	json_put_int(o, "pages", s->pages);
	json_put_int(o, "unreadable_pages", s->unreadable);
	findings_add_json(f, NULL, o, "findings");
}

static enum err
salvage(const char *path, const struct conf *conf, struct json_out *o, struct error *error)
{
	char *fresh = xasprintf("%s.salvage", path), *aside = aside_name(path);
	struct findings f = {.n = 0};
	struct salvaged s = {.pages = 0};
	struct pages pages;
	enum err e = beside_has_room(path, 2 * beside_nbytes(path), error);

	beside_remove(fresh);
	if (e == OK)
		e = pages_open(&pages, path, error);
	if (e == OK) {
		e = fill(&pages, fresh, conf, &s, &f, error);
		pages_close(&pages);
	}
	if (e == OK && s.records + s.tombstones == 0)
		e = error_set(error, ERR_DATABASE_ERROR,
			"no record was found in it: it is left as it was");
	if (e == OK)
		e = beside_seal(fresh, path, error);
	if (e == OK)
		e = beside_swap(fresh, path, aside, error);
	beside_remove(fresh);
	if (e == OK)
		add_salvaged(o, aside, &s, &f);
	findings_fini(&f);
	free(fresh);
	free(aside);
	return e;
}

/** What a look at it says that has to be done with the store, and whether its search index stays.
 */
static enum err
find_how(const char *path, enum repair_how *how, bool *keeps_index, struct error *error)
{
	struct check *c = NULL;
	sqlite3 *db = NULL;
	enum err e = sql_open_plain(path, &db, error);

	if (e == OK)
		e = run_check(db, &c, error);
	if (sql_is_damage(db, e))
		e = ERR_DATABASE_ERROR;
	*how = REPAIR_SALVAGED;
	*keeps_index = e == OK && check_found(c, "search") == 0;
	if (e == ERR_DATABASE_ERROR && migrate_is_newer(db))
		e = ERR_UNAVAILABLE;
	else if (e == OK && check_findings(c)->total == 0)
		*how = REPAIR_NOTHING;
	else if (e == OK && check_findings(c)->total == check_found(c, "search"))
		*how = REPAIR_SEARCH;
	else if (e == OK && is_only_indexes(check_findings(c)))
		*how = REPAIR_INDEXES;
	check_free(c);
	sql_close(db);
	return e == ERR_DATABASE_ERROR ? OK : e;
}

static void
remove_index(const char *path, struct json_out *o)
{
	char *index = indexfile_path(path);

	if (access(index, F_OK) == 0) {
		indexfile_remove_file(index);
		json_put_str(o, "removed", index);
	}
	free(index);
}

static enum err
repair(const char *path, const struct conf *conf, struct json_out *o, enum repair_how *how,
	struct error *error)
{
	bool keeps_index;
	enum err e = find_how(path, how, &keeps_index, error);

	if (e != OK)
		return e;
	if (*how == REPAIR_NOTHING) {
		json_put_str(o, "how", "nothing");
	} else if (*how == REPAIR_SEARCH) {
		json_put_str(o, "how", "search");
	} else if (*how == REPAIR_INDEXES && rebuild_indexes(path, conf)) {
		json_put_str(o, "how", "indexes");
	} else {
		*how = REPAIR_SALVAGED;
		e = salvage(path, conf, o, error);
	}
	if (e == OK && (*how == REPAIR_SALVAGED || !keeps_index))
		remove_index(path, o);
	return e;
}

enum err
repair_file(const char *path, const struct conf *conf, struct json_out *o, enum repair_how *how,
	struct error *error)
{
	int lock_fd = -1;
	enum err e = must_be_there(path, error);

	if (e == OK)
		e = file_lock(path, &lock_fd, error);
	if (e != OK)
		return e;
	e = repair(path, conf, o, how, error);
	close(lock_fd);
	return e;
}
