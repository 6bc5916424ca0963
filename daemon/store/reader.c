/* Readers: see reader.h. */

#include "daemon/store/reader.h"

#include <pthread.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/xalloc.h"
#include "daemon/store/client.h"
#include "daemon/store/read.h"
#include "daemon/store/sql.h"
#include "daemon/store/turn.h"

/* One snapshot serves this much, then a new one is opened. */
#define SNAPSHOT_JOBS 64
#define SNAPSHOT_US   2000
/* Answers made for a client and not yet handed on: at this much its next read is put off. */
#define MADE_MAX (256u << 10)

struct reader {
	pthread_t thread;
	sqlite3 *db;
	struct read *read;
	struct queue *in;
	struct queue *out; /* borrowed */
};

bool
reader_puts_off(struct job *j)
{
	struct store_client *c = j->client;

	if (c == NULL || (!c->is_choked && c->made < MADE_MAX))
		return false;
	j->is_put_off = true;
	j->deadline_us = 0;
	return true;
}

void
reader_note_made(const struct job *j)
{
	if (j->client != NULL)
		j->client->made += j->reply.n;
}

/** Answers a job, or puts it off. */
static void
run_job(struct reader *r, struct job *j)
{
	if (reader_puts_off(j))
		return;
	read_run(r->read, j);
	reader_note_made(j);
}

/** Answers some of the jobs in one snapshot. What is answered does not wait for one that may take
 * long. */
static void
run_snapshot(struct reader *r, struct qlist *waiting)
{
	struct qlist done;
	struct error error = ERROR_NONE;
	enum err e = read_begin(r->read, &error);
	int64_t start_us = clock_mono_us();

	qlist_init(&done);
	for (unsigned n = 0; waiting->first != NULL && n < SNAPSHOT_JOBS; n++) {
		struct job *j = (struct job *)(void *)qlist_shift(waiting);

		if (j->kind != JOB_GET)
			queue_push(r->out, &done);
		if (e == OK) {
			run_job(r, j);
		} else {
			j->result = e;
			j->error = error;
		}
		qlist_append(&done, &j->item);
		if (clock_mono_us() - start_us > SNAPSHOT_US)
			break;
	}
	read_end(r->read);
	queue_push(r->out, &done);
}

static void *
run(void *arg)
{
	struct reader *r = arg;
	struct qlist waiting;

	qlist_init(&waiting);
	while (waiting.first != NULL || queue_wait(r->in, INT64_MAX)) {
		turn_take(r->in, &waiting);
		run_snapshot(r, &waiting);
	}
	return NULL;
}

enum err
reader_start(const char *path, const struct conf *conf, const char *epoch, struct queue *out,
	struct reader **result, struct error *error)
{
	struct reader *r = xnew(struct reader);
	enum err e = sql_open(path, SQL_READER, conf, &r->db, error);

	if (e == OK)
		e = read_new(r->db, epoch, &r->read, error);
	if (e != OK) {
		sql_close(r->db);
		free(r);
		return e;
	}
	r->in = queue_new();
	r->out = out;
	must(pthread_create(&r->thread, NULL, run, r) == 0);
	pthread_setname_np(r->thread, "reader");
	*result = r;
	return OK;
}

struct queue *
reader_queue(struct reader *r)
{
	return r->in;
}

void
reader_stop(struct reader *r)
{
	if (r == NULL)
		return;
	queue_close(r->in);
	pthread_join(r->thread, NULL);
	queue_free(r->in);
	read_free(r->read);
	sql_close(r->db);
	free(r);
}
