#pragma once
/*
 * What the tests of the store stand on: a real file in a folder of its own, the
 * store's threads, a real loop, one client. Answers are kept in the order in
 * which they came.
 */

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/loop.h"
#include "daemon/store/store.h"

struct store_rig {
	char folder[64];
	char path[96];
	struct conf conf;
	struct loop *loop;
	struct store *store;
	struct store_client *client;
	struct qlist answers;
	unsigned wanted;
};

extern struct store_rig rig;

/** How another program, which knows nothing of sums, writes a record: the columns. */
#define STRANGERS_RECORD                                                                           \
	"INSERT INTO records (seq, category, id, name, data, rev, created_at, updated_at) "

/** Fixtures: a folder, the defaults, an open store; and all of it gone again. */
void rig_setup(void);
void rig_teardown(void);
void rig_open(void);
void rig_close(void);

/** Hands a job in. */
void rig_submit(struct job *j);
/** Runs the loop until n answers are there. */
void rig_run_for(unsigned n);
/** The next answer, waited for: the caller's. */
struct job *rig_next(void);
/** The same, but notices of other people's writes are passed over. */
struct job *rig_next_own(void);

/** A write of n operations, and its i-th one; texts are copied. */
struct job *rig_new_write(size_t n);
struct op *rig_set_op(
	struct job *j, size_t i, enum op_kind kind, const char *category, const char *id);
struct job *rig_new_put(const char *category, const char *id, const char *data);
/** A put whose data is a text of n bytes. */
struct job *rig_new_big_put(const char *category, const char *id, size_t n);
/** A read of one category ("": all of them) with the limit 100. */
struct job *rig_new_read(enum job_kind kind, const char *category, const char *id);

/** Submits and waits for the answer. */
struct job *rig_ask(struct job *j);
struct job *rig_put(const char *category, const char *id, const char *data);
struct job *rig_delete(const char *category, const char *id);

/** True if the reply holds this text. */
bool rig_says(const struct job *j, const char *part);
/** A number out of the store's status, by its name. */
int64_t rig_status(const char *name);
/** The first column of the first row, by a connection of its own that is closed again. */
int64_t rig_sql(const char *sql);
/** Fails unless SQLite finds the file whole and no record has a tombstone. */
void rig_check_file(void);

#define ck_says(j, part)                                                                           \
	ck_assert_msg(rig_says(j, part), "no %s in %.*s (%s)", part, (int)(j)->reply.n,            \
		(j)->reply.p, (j)->error.text)
