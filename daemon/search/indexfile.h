#pragma once
/*
 * The file of the search index, beside the store's: PATH.search. All in it comes
 * out of the store, so it may be lost at any time: one that is damaged, of another
 * version or not ours is removed and begun anew. Who owns this object is the only
 * one who writes to the file. Indexer thread.
 *
 *	words, trigrams   FTS5 over name and the text of data; rowid is the seq
 *	docs              category, id -> seq: the entry to remove when the record changes
 *	meta              mark, base, seen, epoch: see struct index_place; kinds: which
 *	                  categories are in which table; boot: of the machine ("unknown"
 *	                  if that cannot be told), "" after a clean stop
 *
 * Why so. FTS5 with content of its own, since it deletes an entry by itself: with
 * outside content it must be given the old values, which the store has no more, and
 * contentless tables cannot delete before SQLite 3.43. In a file of its own, with a
 * thread of its own: in the store's file the writer would have to do it, and each
 * batch of 1,000 stood in the way of commits for 50 to 200 ms. FTS5 gathers what is
 * written in memory and writes it out when a rowid comes that is below the last one:
 * so first all removals of a batch by their rowid, then all additions. (Removing and
 * adding record by record takes 300 us of processor time a record, this 30 to 60.)
 * Nothing is synced but at a clean stop: after a crash of the process the kernel has
 * all of it, and after one of the machine (another boot) the file is begun anew.
 */

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "daemon/base/conf.h"
#include "daemon/search/kinds.h"

/* How FTS5 is set: written into the tables when they are made. */
#define INDEX_AUTOMERGE   8
#define INDEX_HASH_BYTES  (32 << 20)
#define INDEX_JOURNAL     "wal"
#define INDEX_SYNCHRONOUS "off"

/** Where an index stands in the history of its store. */
struct index_place {
	int64_t mark;   /* everything up to here is in; 0: nothing */
	int64_t base;   /* where the store stood when the index was begun: what was deleted before
			   never came in */
	int64_t seen;   /* where it stood at the last batch: what has moved by then may not be in */
	char epoch[64]; /* of the store then; "": there was no batch */
};

/** Deletions up to here may be forgotten: no entry is of what they deleted. */
static inline int64_t
index_place_floor(const struct index_place *p)
{
	return p->mark > p->base ? p->mark : p->base;
}

struct indexfile;

/** The name of the index's file, the caller's. */
char *indexfile_path(const char *store_path);
/** Removes the file and what SQLite has beside it. */
void indexfile_remove_file(const char *path);

/** Opens or makes the file. Any other content than that of an index for these kinds is removed, and
 * the log says so; a file that cannot be opened now stays. */
enum err indexfile_open(const char *path, const char *kinds, const struct conf *conf,
	struct indexfile **out, struct error *error);
void indexfile_close(struct indexfile *x);
/** For a progress handler. */
sqlite3 *indexfile_db(struct indexfile *x);
/** False if the file was removed or replaced under us: who opens it now gets something else. */
bool indexfile_is_there(struct indexfile *x);

/** Borrowed; it moves with each commit. */
const struct index_place *indexfile_place(const struct indexfile *x);
int64_t indexfile_mark(const struct indexfile *x);
int64_t indexfile_bytes(const struct indexfile *x);

/** A batch: begin, then note each record and each deletion, then remove and add, then commit. */
enum err indexfile_begin(struct indexfile *x, struct error *error);
/** The record is at `seq` now (0: it is gone): *old is the entry to remove, 0: there is none. */
enum err indexfile_note(struct indexfile *x, struct span category, struct span id, int64_t seq,
	int64_t *old, struct error *error);
/** In order of seq. */
enum err indexfile_remove(
	struct indexfile *x, enum conf_search kind, int64_t seq, struct error *error);
/** In order of seq, after all removals. */
enum err indexfile_add(struct indexfile *x, enum conf_search kind, int64_t seq, struct span name,
	struct span text, struct error *error);
/** The batch was read when the store stood at last_seq, in this epoch. */
enum err indexfile_commit(struct indexfile *x, int64_t mark, int64_t last_seq, const char *epoch,
	struct error *error);
void indexfile_roll_back(struct indexfile *x);

/* What readers of the file share with its writer. */
#define INDEX_MARK_SQL  "SELECT value FROM meta WHERE key = 'mark'"
#define INDEX_KINDS_SQL "SELECT value FROM meta WHERE key = 'kinds'"
extern const char *const indexfile_tables[INDEX_KINDS];
/** Opens it for reading. Without a memory map: a file that is cut short would be a SIGBUS. */
enum err indexfile_open_reader(
	const char *path, const struct conf *conf, sqlite3 **out, struct error *error);
/** True if this result of SQLite's says that the file is not what was written to it. */
bool indexfile_is_damage(int rc);
/** True if the file says that it is an index, of this version. */
bool indexfile_is_ours(sqlite3 *db);
/** False if the machine went down since the file was opened for writing: what was written to it may
 * be on the disk or not, and the next to open it makes it anew. */
bool indexfile_is_whole(sqlite3 *db);
/** A value of meta as text, the caller's; "" when there is none. */
char *indexfile_read_meta(sqlite3 *db, const char *key);
enum err indexfile_read_place(sqlite3 *db, struct index_place *out, struct error *error);
/** Makes the tables of an index, empty. */
enum err indexfile_make_tables(sqlite3 *db, struct error *error);
