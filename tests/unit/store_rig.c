/*
 * The rig of the store's tests: see store_rig.h.
 */

#include "tests/unit/store_rig.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/xalloc.h"
#include "daemon/store/sum.h"

#define TEXTS_BYTES 1024

struct store_rig rig;

static const struct origin asked = {
	.kind = ORIGIN_WEBSOCKET, .peer = 1, .id = {"1", 1}
};

static void
on_done(void *arg, struct qlist *jobs)
{
	(void)arg;
	qlist_splice(&rig.answers, jobs);
	if (rig.answers.n >= rig.wanted)
		loop_stop(rig.loop);
}

static void
on_room(void *arg, struct store_client *c)
{
	(void)arg;
	(void)c;
}

void
rig_open(void)
{
	struct error error = ERROR_NONE;
	struct store_sink sink = {on_done, on_room, NULL};

	qlist_init(&rig.answers);
	rig.loop = loop_new();
	ck_assert_msg(
		store_open(rig.loop, &rig.conf, &sink, &rig.store, &error) == OK, "%s", error.text);
	rig.client = store_client_new(rig.store, 1, false);
}

void
rig_close(void)
{
	while (rig.answers.first != NULL)
		job_free((struct job *)(void *)qlist_shift(&rig.answers));
	store_client_close(rig.client);
	store_close(rig.store);
	loop_free(rig.loop);
	rig.loop = NULL;
}

void
rig_setup(void)
{
	struct conf *conf = &rig.conf;

	snprintf(rig.folder, sizeof(rig.folder), "/tmp/test_store.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(rig.folder));
	snprintf(rig.path, sizeof(rig.path), "%s/sysrt.db", rig.folder);
	memset(conf, 0, sizeof(*conf));
	conf->store.path = rig.path;
	conf->store.durability = DURABILITY_NORMAL;
	conf->store.readers = 2;
	conf->store.queue = 256;
	conf->store.queue_bytes = 64 << 20;
	conf->store.max_record = 1 << 20;
	conf->store.tombstone_retention_ms = INT64_C(604800000);
	conf->store.tombstone_max = 1000000;
	conf->store.read_timeout_ms = 10000;
	conf->store.cache_bytes = 8 << 20;
	conf->store.wal_limit = 256 << 20;
	conf->store.wal_hard_limit = INT64_C(4) << 30;
	rig_open();
}

void
rig_teardown(void)
{
	char command[128];

	rig_close();
	snprintf(command, sizeof(command), "rm -rf %s", rig.folder);
	ck_assert_int_eq(system(command), 0);
}

void
rig_submit(struct job *j)
{
	struct error error = ERROR_NONE;

	ck_assert_int_eq(store_submit(rig.store, rig.client, &j, &error), PENDING);
	ck_assert_ptr_null(j);
}

void
rig_run_for(unsigned n)
{
	rig.wanted = n;
	while (rig.answers.n < n)
		loop_run(rig.loop);
}

struct job *
rig_next(void)
{
	rig_run_for(1);
	return (struct job *)(void *)qlist_shift(&rig.answers);
}

struct job *
rig_next_own(void)
{
	for (;;) {
		struct job *j = rig_next();

		if (j->kind != JOB_NOTICE)
			return j;
		job_free(j);
	}
}

struct job *
rig_new_write(size_t n)
{
	return job_new(JOB_WRITE, &asked, n, n * TEXTS_BYTES);
}

struct op *
rig_set_op(struct job *j, size_t i, enum op_kind kind, const char *category, const char *id)
{
	struct op *op = &j->ops[i];

	op->kind = kind;
	op->category = job_keep(j, span_of(category));
	op->id = job_keep(j, span_of(id));
	op->name = op->id;
	op->now_ms = clock_wall_ms();
	return op;
}

struct job *
rig_new_put(const char *category, const char *id, const char *data)
{
	struct job *j = rig_new_write(1);

	rig_set_op(j, 0, OP_PUT, category, id)->data = job_keep(j, span_of(data));
	return j;
}

struct job *
rig_new_big_put(const char *category, const char *id, size_t n)
{
	struct job *j = job_new(JOB_WRITE, &asked, 1, TEXTS_BYTES + n);
	char *text = xcalloc(1, n + 1);

	memset(text, 'x', n);
	text[0] = text[n - 1] = '"';
	rig_set_op(j, 0, OP_PUT, category, id)->data = job_keep(j, (struct span){text, n});
	free(text);
	return j;
}

struct job *
rig_new_read(enum job_kind kind, const char *category, const char *id)
{
	struct job *j = job_new(kind, &asked, 0, TEXTS_BYTES);
	struct term term = {span_of(category), false};

	j->read.category = job_keep(j, span_of(category));
	j->read.id = job_keep(j, span_of(id));
	j->read.limit = 100;
	if (category[0] != '\0')
		j->read.pattern = pattern_new(&term, 1, NULL, 0, NULL);
	return j;
}

struct job *
rig_ask(struct job *j)
{
	rig_submit(j);
	return rig_next_own();
}

struct job *
rig_put(const char *category, const char *id, const char *data)
{
	return rig_ask(rig_new_put(category, id, data));
}

struct job *
rig_delete(const char *category, const char *id)
{
	struct job *j = rig_new_write(1);

	rig_set_op(j, 0, OP_DELETE, category, id);
	return rig_ask(j);
}

bool
rig_says(const struct job *j, const char *part)
{
	return memmem(j->reply.p, j->reply.n, part, strlen(part)) != NULL;
}

int64_t
rig_status(const char *name)
{
	struct buf text;
	struct json_out o;
	char key[64];
	const char *at;
	long long value = -1;

	buf_init(&text, SIZE_MAX / 2);
	o = json_out_start(&text);
	store_add_status(rig.store, &o);
	buf_add_char(&text, '\0');
	snprintf(key, sizeof(key), "\"%s\":", name);
	at = strstr(text.p, key);
	ck_assert_ptr_nonnull(at);
	value = strtoll(at + strlen(key), NULL, 10);
	buf_fini(&text);
	return value;
}

int64_t
rig_sql(const char *sql)
{
	sqlite3 *db;
	sqlite3_stmt *st;
	int64_t value;

	ck_assert_int_eq(sqlite3_open(rig.path, &db), SQLITE_OK);
	sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	ck_assert_int_eq(sum_add_function(db, NULL), OK);
	ck_assert_msg(
		sqlite3_prepare_v2(db, sql, -1, &st, NULL) == SQLITE_OK, "%s", sqlite3_errmsg(db));
	ck_assert_int_eq(sqlite3_step(st), SQLITE_ROW);
	value = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	sqlite3_close(db);
	return value;
}

void
rig_check_file(void)
{
	ck_assert_int_eq(rig_sql("SELECT integrity_check = 'ok' FROM pragma_integrity_check"), 1);
	ck_assert_int_eq(
		rig_sql("SELECT count(*) FROM records JOIN tombstones USING (category, id)"), 0);
	ck_assert_int_eq(rig_sql("SELECT count(*) FROM records JOIN tombstones USING (seq)"), 0);
	/* What strangers have written has none. */
	ck_assert_int_eq(rig_sql("SELECT count(*) FROM records WHERE sum <> " SUM_RECORDS), 0);
	ck_assert_int_eq(
		rig_sql("SELECT count(*) FROM tombstones WHERE sum <> " SUM_TOMBSTONES), 0);
	ck_assert_int_eq(rig_sql("SELECT count(*) FROM history WHERE sum IS NOT " SUM_HISTORY), 0);
	ck_assert_int_eq(rig_sql("SELECT count(*) FROM epochs WHERE sum IS NOT " SUM_EPOCHS), 0);
	ck_assert_int_eq(rig_sql("SELECT count(*) FROM meta WHERE sum IS NOT " SUM_META), 0);
}
