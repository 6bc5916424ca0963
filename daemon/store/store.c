/*
 * The face of the store: see store.h. Jobs go through the lobby; what it lets
 * in is pushed to the writer at the end of the turn, so that all that was read
 * in one turn is one batch. What comes back is handed on in one call.
 */

#include "daemon/store/store.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/xalloc.h"
#include "daemon/base/loop.h"
#include "daemon/base/queue.h"
#include "daemon/store/client.h"
#include "daemon/store/file.h"
#include "daemon/store/lobby.h"
#include "daemon/store/migrate.h"
#include "daemon/store/reader.h"
#include "daemon/store/sql.h"
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
	struct reader *readers[READERS_MAX]; /* the first is for replay */
	unsigned readers_n;
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

static void
on_enter(void *arg, struct job *j)
{
	struct store *s = arg;
	struct qlist one;
	unsigned i;

	if (j->kind != JOB_WRITE && j->deadline_us == 0)
		j->deadline_us = clock_mono_us() + s->conf->store.read_timeout_ms * 1000;
	if (j->kind == JOB_WRITE) {
		qlist_append(&s->entering, &j->item);
		if (!s->is_pushing)
			loop_defer(s->loop, push_entering, s);
		s->is_pushing = true;
		return;
	}
	i = pick_reader(s, j);
	j->reader = 1 + i;
	s->readers_have[i]++;
	qlist_init(&one);
	qlist_append(&one, &j->item);
	queue_push(reader_queue(s->readers[i]), &one);
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

	sql_init();
	if (e == OK)
		e = file_prepare(s->path, s->conf, &s->epochs, error);
	if (e == OK)
		e = writer_start(s->path, s->conf, s->to_writer, s->done, &s->writer, error);
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

enum err
store_migrate(const struct conf *conf, int to, int *from, int *now, struct error *error)
{
	enum err e;

	sql_init();
	e = file_migrate(conf->store.path, conf, to, from, error);
	if (e != OK)
		return error_wrap(error, "migrating store %s", conf->store.path);
	*now = to > 0 ? to : migrate_newest();
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

enum err
store_submit(struct store *s, struct store_client *client, struct job **job, struct error *error)
{
	struct job *j = *job;

	if (s->is_refusing)
		return error_set(
			error, ERR_UNAVAILABLE, "the daemon is shutting down: try again later");
	*job = NULL;
	lobby_submit(&s->lobby, client, j);
	return PENDING;
}

const char *
store_engine_version(void)
{
	return sqlite3_libversion();
}

const char *
store_epoch(const struct store *s)
{
	return s->epochs.v[s->epochs.n - 1].name;
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

/** The last seq that belongs to the history of this epoch; -1: the epoch is unknown. */
static int64_t
last_seq_of(const struct store *s, struct span epoch)
{
	for (size_t i = s->epochs.n; i-- > 0;) {
		if (!span_is(epoch, s->epochs.v[i].name))
			continue;
		return i + 1 < s->epochs.n ? s->epochs.v[i + 1].first_seq - 1 : store_last_seq(s);
	}
	return -1;
}

static enum err
resync(struct error *error, int64_t lowest, const char *why)
{
	error_set(error, ERR_RESYNC_REQUIRED, "%s: start at since 0", why);
	if (error != NULL)
		error->seq = lowest;
	return ERR_RESYNC_REQUIRED;
}

enum err
store_check_position(
	const struct store *s, struct span epoch, int64_t since, int64_t base, struct error *error)
{
	int64_t pruned_to = store_pruned_to(s), last;

	if (since == 0)
		return OK;
	if (epoch.n == 0)
		return error_set(error, ERR_INVALID_ARGUMENT,
			"since: a position above 0 needs the epoch that it belongs to");
	last = last_seq_of(s, epoch);
	if (last < 0)
		return resync(error, pruned_to, "this store does not know that epoch");
	if (since > last || base > last)
		return resync(error, pruned_to,
			"the position is one that the history of this store does not have");
	if (pruned_to > since && pruned_to > base)
		return resync(error, pruned_to, "deletions since that position are forgotten");
	return OK;
}

enum err
store_read_tail(struct store *s, struct tail *t, struct error *error)
{
	return file_read_tail(s->path, s->conf, t, error);
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
	json_put_int(o, "log_bytes", log->nbytes);
	json_put_int(o, "queue", s->lobby.inside);
	json_put_int(o, "parked", s->lobby.parked_n);
	json_put_int(o, "commits", (int64_t)f->commits);
	json_put_int(o, "writes", (int64_t)f->writes);
	json_put_int(o, "rollbacks", (int64_t)f->rollbacks);
	json_put_int(o, "expired", (int64_t)f->expired);
	json_put_int(o, "expiry_lag_ms", f->expiry_lag_ms);
	json_put_int(o, "pruned", (int64_t)f->pruned);
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
	qlist_init(&jobs);
	lobby_end(&s->lobby, &jobs);
	give_up_all(s, &jobs);
}

bool
store_is_idle(const struct store *s)
{
	return lobby_is_idle(&s->lobby) && queue_length(s->done) == 0;
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
	loop_undefer(s->loop, s);
	queue_push(s->to_writer, &s->entering);
	queue_close(s->to_writer);
	for (unsigned i = 0; i < s->readers_n; i++)
		reader_stop(s->readers[i]);
	writer_stop(s->writer);
	loop_watch_free(s->done_watch);
	queue_take(s->done, &left);
	lobby_drain(&s->lobby, &left);
	free_jobs(&left);
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
