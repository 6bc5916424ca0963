/* A check of the store while it is in use: see checker.h. */

#include "daemon/store/checker.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "common/json.h"
#include "common/xalloc.h"
#include "daemon/store/check.h"
#include "daemon/store/sql.h"

#define NICE 10

struct checker {
	pthread_t thread;
	char *path;
	const struct wal_figures *log; /* borrowed */
	int64_t log_max;
	struct queue *out; /* borrowed */
	struct job *job;
	_Atomic bool is_stopped;
	_Atomic int64_t done;
	_Atomic int64_t total;
};

static bool
is_log_large(const struct checker *c)
{
	return c->log->nbytes > c->log_max;
}

static int
look(void *arg)
{
	const struct checker *c = arg;

	return c->is_stopped || is_log_large(c);
}

static enum err
run_pieces(struct checker *c, struct check *check, struct error *error)
{
	bool more = true;
	enum err e = OK;

	c->total = check_total(check);
	while (more && e == OK && !look(c)) {
		e = check_step(check, &more, error);
		c->done = check_done(check);
	}
	if (c->is_stopped)
		return error_set(error, ERR_UNAVAILABLE, "the check was stopped");
	if (is_log_large(c))
		return error_set(error, ERR_UNAVAILABLE,
			"so much is written that the log grows too large while the store is "
			"checked: try again later, or stop the daemon and run `sysrtd store check`");
	return e;
}

static enum err
check_store(struct checker *c, struct error *error)
{
	struct json_out o = json_out_start(&c->job->reply);
	struct check *check = NULL;
	sqlite3 *db;
	enum err e = sql_open_plain(c->path, &db, error);

	if (e != OK)
		return e;
	e = check_new(db, false, &check, error);
	if (e == OK) {
		check_watch(check, look, c);
		e = run_pieces(c, check, error);
	}
	if (e == OK) {
		c->job->wants_index = check_found(check, "search") > 0;
		json_begin_object(&o, NULL);
		check_add_json(check, &o);
		if (c->job->wants_index)
			json_put_bool(&o, "rebuilding", true);
		json_end_object(&o);
	}
	check_free(check);
	sql_close(db);
	return e;
}

static void *
run(void *arg)
{
	struct checker *c = arg;
	struct qlist one;

	setpriority(PRIO_PROCESS, 0, NICE); /* of this thread */
	c->job->result = check_store(c, &c->job->error);
	qlist_init(&one);
	qlist_append(&one, &c->job->item);
	queue_push(c->out, &one);
	return NULL;
}

struct checker *
checker_start(const char *path, const struct wal_figures *log, int64_t log_max, struct queue *out,
	struct job **job)
{
	struct checker *c = xnew(struct checker);

	c->path = xstrdup(path);
	c->log = log;
	c->log_max = log_max;
	c->out = out;
	c->job = *job;
	*job = NULL;
	must(pthread_create(&c->thread, NULL, run, c) == 0);
	pthread_setname_np(c->thread, "checker");
	return c;
}

void
checker_stop(struct checker *c)
{
	c->is_stopped = true;
}

void
checker_progress(const struct checker *c, int64_t *done, int64_t *total)
{
	*done = c->done;
	*total = c->total;
}

void
checker_free(struct checker *c)
{
	if (c == NULL)
		return;
	pthread_join(c->thread, NULL);
	free(c->path);
	free(c);
}
