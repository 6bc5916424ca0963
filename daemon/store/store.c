/*
 * The face of the store: see store.h. Jobs go through the lobby; what it lets
 * in is pushed to the writer at the end of the turn, so that all that was read
 * in one turn is one batch. What comes back is handed on in one call.
 */

#include "daemon/store/store.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/xalloc.h"
#include "daemon/base/loop.h"
#include "daemon/base/queue.h"
#include "daemon/store/chain.h"
#include "daemon/store/checker.h"
#include "daemon/store/client.h"
#include "daemon/store/file.h"
#include "daemon/store/lobby.h"
#include "daemon/store/reader.h"
#include "daemon/store/sql.h"
#include "daemon/store/vacuum.h"
#include "daemon/store/writer.h"

#define READERS_MAX 64

struct store {
	struct loop *loop;
	const struct conf *conf; /* borrowed */
	struct store_sink sink;
	char *path;
	int lock_fd;
	struct epochs epochs;
	struct writer *writer;
	struct backup_thread *backups;
	struct backup *backup; /* the one that is being made; NULL: none */
	int64_t backup_done;   /* of the last one */
	int64_t backup_total;
	struct checker *checker; /* the check that runs; NULL: none */
	int64_t check_done;      /* of the last one */
	int64_t check_total;
	struct vacuum *vacuum; /* the compaction that runs; NULL: none */
	int64_t compact_done;  /* of the last one */
	int64_t compact_total;
	struct reader *readers[READERS_MAX]; /* the first is for replay */
	unsigned readers_n;
	struct queue *searches;             /* borrowed: for whoever answers them */
	unsigned readers_have[READERS_MAX]; /* jobs, those that run too */
	struct queue *to_writer;
	struct queue *done;
	struct loop_watch *done_watch;
	struct lobby lobby;
	struct qlist entering; /* for the writer, at the end of the turn */
	bool is_pushing;       /* a push is deferred */
	bool is_refusing;
	struct store_client **roomy; /* to be told that there is room */
	size_t roomy_n;
	size_t roomy_cap;
};

static void
push_entering(void *arg)
{
	struct store *s = arg;

	s->is_pushing = false;
	queue_push(s->to_writer, &s->entering);
}

/** The reader with the least to do; replays keep to theirs. */
static unsigned
pick_reader(const struct store *s, const struct job *j)
{
	unsigned best = s->readers_n > 1 && j->kind != JOB_REPLAY ? 1 : 0;

	for (unsigned i = best; i < s->readers_n && j->kind != JOB_REPLAY; i++)
		if (s->readers_have[i] < s->readers_have[best])
			best = i;
	return best;
}

/** Hands a job to one of the threads that read. */
static void
push_read(struct store *s, struct job *j)
{
	struct queue *to = s->searches;
	struct qlist one;

	if (j->kind != JOB_SEARCH) {
		unsigned i = pick_reader(s, j);

		j->reader = 1 + i;
		s->readers_have[i]++;
		to = reader_queue(s->readers[i]);
	}
	qlist_init(&one);
	qlist_append(&one, &j->item);
	queue_push(to, &one);
}

static void
on_enter(void *arg, struct job *j)
{
	struct store *s = arg;
	int64_t timeout_ms =
		j->kind == JOB_SEARCH ? s->conf->search.timeout_ms : s->conf->store.read_timeout_ms;

	if (j->kind != JOB_WRITE && j->deadline_us == 0)
		j->deadline_us = clock_mono_us() + timeout_ms * 1000;
	if (j->kind == JOB_WRITE) {
		qlist_append(&s->entering, &j->item);
		if (!s->is_pushing)
			loop_defer(s->loop, push_entering, s);
		s->is_pushing = true;
		return;
	}
	push_read(s, j);
}

/** The client is told after the answers of this wake. */
static void
on_room(void *arg, struct store_client *c)
{
	struct store *s = arg;

	if (s->roomy_n == s->roomy_cap) {
		s->roomy_cap = s->roomy_cap > 0 ? 2 * s->roomy_cap : 16;
		s->roomy = xrealloc(s->roomy, s->roomy_cap, sizeof(*s->roomy));
	}
	s->roomy[s->roomy_n++] = client_ref(c);
}

static void
tell_roomy(struct store *s)
{
	struct store_client **clients = s->roomy;
	size_t n = s->roomy_n;

	s->roomy = NULL;
	s->roomy_n = s->roomy_cap = 0;
	for (size_t i = 0; i < n; i++) {
		if (!clients[i]->is_closed && clients[i]->parked.n == 0)
			s->sink.room(s->sink.arg, clients[i]);
		client_unref(clients[i]);
	}
	free(clients);
}

static void
give_up(struct job *j)
{
	j->result = error_set(
		&j->error, ERR_UNAVAILABLE, "the daemon is shutting down; this was not done");
}

/** Answers jobs that are given up. */
static void
give_up_all(struct store *s, struct qlist *jobs)
{
	for (struct qitem *it = jobs->first; it != NULL; it = it->next)
		give_up((struct job *)(void *)it);
	if (jobs->n > 0)
		s->sink.done(s->sink.arg, jobs);
}

static void
end_backup(struct store *s, struct job *j)
{
	s->backup_done = s->backup->done;
	s->backup_total = s->backup->total;
	backup_free(s->backup);
	s->backup = j->backup = NULL;
}

static void
end_check(struct store *s)
{
	checker_progress(s->checker, &s->check_done, &s->check_total);
	checker_free(s->checker);
	s->checker = NULL;
}

static void
end_compaction(struct store *s, struct job *j)
{
	s->compact_done = s->vacuum->done;
	s->compact_total = s->vacuum->total;
	vacuum_free(s->vacuum);
	s->vacuum = j->vacuum = NULL;
}

/** Takes what the threads have handed back; what was put off stays in the lobby. */
static void
take_done(struct store *s, struct qlist *jobs)
{
	struct qlist back;
	struct qitem *it;

	qlist_init(&back);
	queue_take(s->done, &back);
	while ((it = qlist_shift(&back)) != NULL) {
		struct job *j = (struct job *)(void *)it;

		if (j->reader > 0)
			s->readers_have[j->reader - 1]--;
		j->reader = 0;
		if (j->kind == JOB_BACKUP)
			end_backup(s, j);
		if (j->kind == JOB_CHECK)
			end_check(s);
		if (j->kind == JOB_COMPACT)
			end_compaction(s, j);
		if (!lobby_returned(&s->lobby, j))
			continue;
		if (j->is_put_off)
			give_up(j);
		qlist_append(jobs, it);
	}
}

/** Jobs are back: first the next ones go in, so that the threads have work, then the answers. */
static void
on_done(void *arg)
{
	struct store *s = arg;
	struct qlist jobs;

	qlist_init(&jobs);
	take_done(s, &jobs);
	lobby_serve(&s->lobby);
	if (s->is_pushing)
		queue_push(s->to_writer, &s->entering);
	s->sink.done(s->sink.arg, &jobs);
	tell_roomy(s);
	lobby_go_on(&s->lobby);
}

static enum err
start_readers(struct store *s, struct error *error)
{
	enum err e = OK;

	for (int64_t i = 0; i < s->conf->store.readers && i < READERS_MAX && e == OK; i++) {
		e = reader_start(s->path, s->conf, store_epoch(s), s->done,
			&s->readers[s->readers_n], error);
		s->readers_n += e == OK;
	}
	return e;
}

static enum err
open_parts(struct store *s, struct error *error)
{
	enum err e = file_lock(s->path, &s->lock_fd, error);
	struct writer_queues queues = {.in = s->to_writer, .out = s->done};

	sql_init();
	if (e == OK)
		e = file_prepare(s->path, s->conf, &s->epochs, error);
	if (e != OK)
		return e;
	backup_clean(s->path);
	s->backups = backup_thread_start(s->to_writer, s->done);
	queues.backups = backup_thread_queue(s->backups);
	e = writer_start(s->path, s->conf, &queues, &s->writer, error);
	if (e == OK)
		e = start_readers(s, error);
	return e;
}

static unsigned
queue_jobs(const struct conf *conf)
{
	/* One queue's worth waits while another one runs. */
	return conf->store.queue < UINT32_MAX / 4 ? (unsigned)conf->store.queue * 2
						  : UINT32_MAX / 2;
}

enum err
store_open(struct loop *loop, const struct conf *conf, const struct store_sink *sink,
	struct store **out, struct error *error)
{
	struct store *s = xnew(struct store);
	enum err e;

	s->loop = loop;
	s->conf = conf;
	s->sink = *sink;
	s->path = xstrdup(conf->store.path);
	s->lock_fd = -1;
	s->to_writer = queue_new();
	s->done = queue_new();
	s->done_watch = loop_watch_new(loop, queue_fd(s->done), on_done, s);
	qlist_init(&s->entering);
	lobby_init(&s->lobby, queue_jobs(conf), (size_t)conf->store.queue_bytes,
		&(struct lobby_ops){on_enter, on_room, s});
	e = open_parts(s, error);
	if (e != OK) {
		error_wrap(error, "opening store %s", s->path);
		store_close(s);
		return e;
	}
	*out = s;
	return OK;
}

void
store_reload(struct store *s, const struct conf *conf)
{
	s->conf = conf;
	s->lobby.queue_max = queue_jobs(conf);
	s->lobby.bytes_max = (size_t)conf->store.queue_bytes;
	writer_reload(s->writer, conf);
}

struct store_client *
store_client_new(struct store *s, uint64_t id, bool is_control)
{
	return client_new(&s->lobby, id, is_control);
}

void
store_client_close(struct store_client *c)
{
	if (c == NULL)
		return;
	lobby_leave(c->lobby, c);
	client_unref(c);
}

bool
store_client_is_waiting(const struct store_client *c)
{
	return c->parked.n > 0;
}

void
store_client_choke(struct store_client *c, bool is_choked)
{
	lobby_choke(c->lobby, c, is_choked);
}

uint64_t
store_client_id(const struct store_client *c)
{
	return c->id;
}

void
store_client_refuse(struct store_client *c)
{
	c->has_refused = true;
}

enum err
store_submit(struct store *s, struct store_client *client, struct job **job, struct error *error)
{
	struct job *j = *job;

	if (s->is_refusing)
		return error_set(
			error, ERR_UNAVAILABLE, "the daemon is shutting down: try again later");
	if (chain_admit(client, j, error) != OK)
		return ERR_UNAVAILABLE;
	*job = NULL;
	lobby_submit(&s->lobby, client, j);
	return PENDING;
}

enum err
store_backup(struct store *s, const struct store_backup *how, struct error *error)
{
	struct backup *b = backup_new(s->path, how);
	struct qlist one;
	struct job *j;
	enum err e;

	if (s->is_refusing) {
		e = error_set(error, ERR_UNAVAILABLE, "the daemon is shutting down");
		goto refused;
	}
	if (s->backup != NULL) {
		e = error_set(error, ERR_UNAVAILABLE,
			"a backup is being made already: wait for it, or stop it");
		goto refused;
	}
	j = job_new(JOB_BACKUP, &(struct origin){.kind = ORIGIN_NONE}, 0, 0);
	if (j == NULL) {
		e = error_set(error, ERR_LIMIT_EXCEEDED, "out of memory");
		goto refused;
	}
	j->backup = s->backup = b;
	j->result = PENDING;
	qlist_init(&one);
	qlist_append(&one, &j->item);
	queue_push(backup_thread_queue(s->backups), &one);
	return OK;
refused:
	backup_free(b);
	return e;
}

void
store_backup_stop(struct store *s)
{
	if (s->backup != NULL)
		s->backup->is_stopped = true;
}

bool
store_backup_progress(const struct store *s, int64_t *done, int64_t *total)
{
	*done = s->backup != NULL ? s->backup->done : s->backup_done;
	*total = s->backup != NULL ? s->backup->total : s->backup_total;
	return s->backup != NULL;
}

enum err
store_check(struct store *s, struct error *error)
{
	struct job *j = NULL;

	if (s->is_refusing)
		return error_set(error, ERR_UNAVAILABLE, "the daemon is shutting down");
	if (s->checker != NULL)
		return error_set(error, ERR_UNAVAILABLE,
			"the store is being checked already: wait for that, or stop it");
	j = job_new(JOB_CHECK, &(struct origin){.kind = ORIGIN_NONE}, 0, 0);
	if (j == NULL)
		return error_set(error, ERR_LIMIT_EXCEEDED, "out of memory");
	s->checker = checker_start(s->path, writer_log_figures(s->writer),
		s->conf->store.wal_hard_limit / 2, s->done, &j);
	return OK;
}

void
store_check_stop(struct store *s)
{
	if (s->checker != NULL)
		checker_stop(s->checker);
}

bool
store_check_progress(const struct store *s, int64_t *done, int64_t *total)
{
	*done = s->check_done;
	*total = s->check_total;
	if (s->checker != NULL)
		checker_progress(s->checker, done, total);
	return s->checker != NULL;
}

enum err
store_compact(struct store *s, struct error *error)
{
	struct qlist one;
	struct job *j;

	if (s->is_refusing)
		return error_set(error, ERR_UNAVAILABLE, "the daemon is shutting down");
	if (s->vacuum != NULL)
		return error_set(error, ERR_UNAVAILABLE,
			"the store is being compacted already: wait for that, or stop it");
	j = job_new(JOB_COMPACT, &(struct origin){.kind = ORIGIN_NONE}, 0, 0);
	if (j == NULL)
		return error_set(error, ERR_LIMIT_EXCEEDED, "out of memory");
	j->vacuum = s->vacuum = vacuum_new();
	qlist_init(&one);
	qlist_append(&one, &j->item);
	queue_push(s->to_writer, &one);
	return OK;
}

void
store_compact_stop(struct store *s)
{
	if (s->vacuum != NULL)
		s->vacuum->is_stopped = true;
}

bool
store_compact_progress(const struct store *s, int64_t *done, int64_t *total)
{
	*done = s->vacuum != NULL ? s->vacuum->done : s->compact_done;
	*total = s->vacuum != NULL ? s->vacuum->total : s->compact_total;
	return s->vacuum != NULL;
}

void
store_set_searcher(struct store *s, struct queue *searches)
{
	s->searches = searches;
}

struct queue *
store_done_queue(struct store *s)
{
	return s->done;
}

struct pace *
store_pace(struct store *s)
{
	return writer_pace(s->writer);
}

const char *
store_engine_version(void)
{
	return sqlite3_libversion();
}

const char *
store_path(const struct store *s)
{
	return s->path;
}

const char *
store_epoch(const struct store *s)
{
	return s->epochs.v[s->epochs.n - 1].name;
}

int64_t
store_newest_seq(const struct store *s)
{
	return writer_figures(s->writer)->newest;
}

void
store_keep_before(struct store *s, bool keeps)
{
	writer_keep_before(s->writer, keeps);
}

int64_t
store_last_seq(const struct store *s)
{
	return writer_figures(s->writer)->last_seq;
}

int64_t
store_pruned_to(const struct store *s)
{
	return writer_figures(s->writer)->pruned_to;
}

enum err
store_check_position(
	const struct store *s, struct span epoch, int64_t since, int64_t base, struct error *error)
{
	return epochs_check(&s->epochs, &(struct epochs_claim){epoch, since, base},
		store_last_seq(s), store_pruned_to(s), error);
}

enum err
store_read_tail(struct store *s, struct tail *t, struct error *error)
{
	return file_read_tail(s->path, s->conf, t, error);
}

static int64_t
file_nbytes(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? st.st_size : 0;
}

static void
add_compaction(const struct store *s, struct json_out *o)
{
	int64_t done, total;

	if (!store_compact_progress(s, &done, &total))
		return;
	json_begin_object(o, "compacting");
	json_put_int(o, "done", done);
	json_put_int(o, "total", total);
	json_end_object(o);
}

void
store_add_status(struct store *s, struct json_out *o)
{
	const struct writer_figures *f = writer_figures(s->writer);
	const struct wal_figures *log = writer_log_figures(s->writer);

	json_begin_object(o, "store");
	json_put_str(o, "path", s->path);
	json_put_str(
		o, "durability", s->conf->store.durability == DURABILITY_FULL ? "full" : "normal");
	json_put_str(o, "epoch", store_epoch(s));
	json_put_int(o, "seq", f->last_seq);
	json_put_int(o, "pruned_to", f->pruned_to);
	json_put_int(o, "tombstones", f->tombstones);
	json_put_int(o, "bytes", file_nbytes(s->path));
	json_put_int(o, "log_bytes", log->nbytes);
	json_put_int(o, "free_bytes", f->free_bytes);
	add_compaction(s, o);
	json_put_int(o, "queue", lobby_inside(&s->lobby));
	json_put_int(o, "parked", s->lobby.parked_n);
	json_put_int(o, "commits", (int64_t)f->commits);
	json_put_int(o, "writes", (int64_t)f->writes);
	json_put_int(o, "rollbacks", (int64_t)f->rollbacks);
	json_put_int(o, "expired", (int64_t)f->expired);
	json_put_int(o, "expiry_lag_ms", f->expiry_lag_ms);
	json_put_int(o, "pruned", (int64_t)f->pruned);
	json_put_int(o, "evicted", (int64_t)(f->evicted + f->evicted_for_others));
	json_put_int(o, "trimmed", (int64_t)f->trimmed);
	json_put_int(o, "checkpoints", (int64_t)log->checkpoints);
	json_put_int(o, "log_restarts", (int64_t)log->restarts);
	json_put_int(o, "foreign_commits", (int64_t)f->foreign_commits);
	writer_add_commit_times(s->writer, o);
	json_end_object(o);
}

void
store_refuse(struct store *s)
{
	struct qlist jobs;

	s->is_refusing = true;
	store_backup_stop(s);
	store_check_stop(s);
	store_compact_stop(s);
	qlist_init(&jobs);
	lobby_end(&s->lobby, &jobs);
	give_up_all(s, &jobs);
}

bool
store_is_idle(const struct store *s)
{
	return lobby_is_idle(&s->lobby) && queue_length(s->done) == 0 && s->backup == NULL &&
	       s->checker == NULL && s->vacuum == NULL;
}

void
store_abandon(struct store *s)
{
	struct qlist parked;

	qlist_init(&parked);
	writer_abandon(s->writer);
	lobby_drain(&s->lobby, &parked);
	give_up_all(s, &parked);
}

static void
free_jobs(struct qlist *jobs)
{
	struct qitem *it;

	while ((it = qlist_shift(jobs)) != NULL)
		job_free((struct job *)(void *)it);
}

void
store_close(struct store *s)
{
	struct qlist left;

	if (s == NULL)
		return;
	qlist_init(&left);
	store_backup_stop(s);
	store_check_stop(s);
	store_compact_stop(s);
	checker_free(s->checker);
	loop_undefer(s->loop, s);
	queue_push(s->to_writer, &s->entering);
	queue_close(s->to_writer);
	for (unsigned i = 0; i < s->readers_n; i++)
		reader_stop(s->readers[i]);
	writer_stop(s->writer);
	backup_thread_stop(s->backups);
	loop_watch_free(s->done_watch);
	queue_take(s->to_writer, &left);
	queue_take(s->done, &left);
	lobby_drain(&s->lobby, &left);
	free_jobs(&left);
	backup_free(s->backup);
	vacuum_free(s->vacuum);
	for (size_t i = 0; i < s->roomy_n; i++)
		client_unref(s->roomy[i]);
	free(s->roomy);
	queue_free(s->to_writer);
	queue_free(s->done);
	epochs_fini(&s->epochs);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	free(s->path);
	free(s);
}
