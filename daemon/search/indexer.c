/* The indexer: see indexer.h. */

#include "daemon/search/indexer.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/xalloc.h"
#include "daemon/base/queue.h"
#include "daemon/search/changed.h"
#include "daemon/search/indexfile.h"
#include "daemon/search/kinds.h"

#define REST_US      200000 /* between batches, while little happens */
#define REST_LAG     1000   /* that is little */
#define RETRY_US     5000000
#define LOCKED_US    100000 /* likewise, while somebody else has the lock */
#define NICE         10
#define PROGRESS_OPS 1000

struct message {
	struct qitem item; /* first: a qitem is a message */
	char *kinds;       /* NULL: something was committed */
};

struct indexer {
	pthread_t thread;
	struct search_shared *shared; /* borrowed */
	struct conf conf;             /* what sql_open() looks at: not for anything else */
	struct queue *in;
	struct message poke;
	_Atomic bool is_poked; /* the poke is on its way */
	_Atomic bool is_stopping;
	/* the thread's own */
	bool has_poke; /* it has come: is_poked may be taken back */
	char *kinds_text;
	struct kinds *kinds;
	struct changed *changed; /* NULL: the store is not open for reading */
	struct indexfile *index; /* NULL: it is not open */
	int64_t floor_lag;       /* how far it was behind at the least since the index was begun */
	int64_t retry_us;        /* not before this; 0: at once */
	bool is_failing;         /* and that was logged */
	bool has_reset;          /* the index was begun anew and nothing has been written since */
};

static const char *const state_names[SEARCH_STATES] = {
	[SEARCH_IDLE] = "off",
	[SEARCH_BUILDING] = "building",
	[SEARCH_READY] = "ready",
	[SEARCH_FAILING] = "failing",
};

const char *
search_state_name(enum search_state state)
{
	return state_names[state];
}

static bool
has_work(const struct indexer *x)
{
	return kinds_has(x->kinds, SEARCH_WORDS) || kinds_has(x->kinds, SEARCH_TRIGRAM);
}

static void
set_state(struct indexer *x, enum search_state state)
{
	enum search_state old = x->shared->state;

	if (old == state)
		return;
	log_debug("search", "the state of the search index has changed",
		F_STR("old", state_names[old]), F_STR("new", state_names[state]));
	x->shared->state = state;
}

/** Tells where the index stands, and how far the writer may go ahead of it: by max_lag, or while an
 * index is being made, no further than it has been ahead already and max_lag. */
static void
publish(struct indexer *x, int64_t last_seq)
{
	struct search_shared *s = x->shared;
	int64_t mark = indexfile_mark(x->index), lag = last_seq - mark, max_lag = s->max_lag;

	if (lag < x->floor_lag)
		x->floor_lag = lag <= max_lag ? 0 : lag;
	s->mark = mark;
	s->index_bytes = indexfile_bytes(x->index);
	s->pace->allowed = x->floor_lag + max_lag;
	s->pace->slope = max_lag;
	s->pace->mark = mark;
	if (lag <= max_lag && s->state == SEARCH_BUILDING && s->batches > 0)
		log_info("search", "the search index is complete", F_INT("mark", mark));
	if (lag <= max_lag)
		set_state(x, SEARCH_READY);
	else if (lag > 2 * max_lag || s->state != SEARCH_READY)
		set_state(x, SEARCH_BUILDING);
}

static int
on_progress(void *arg)
{
	const struct indexer *x = arg;

	return x->is_stopping;
}

static void
close_index(struct indexer *x)
{
	if (x->index == NULL)
		return;
	sqlite3_progress_handler(indexfile_db(x->index), 0, NULL, NULL);
	indexfile_close(x->index);
	x->index = NULL;
}

/** Begins the index anew. */
static void
reset(struct indexer *x, const char *why)
{
	log_info("search", "the search index is made anew", F_STR("why", why));
	close_index(x);
	indexfile_remove_file(x->shared->index_path);
	/* not before: nobody is to find the old file under the new number */
	x->shared->generation++;
	x->shared->rebuilds++;
	x->has_reset = true;
}

static bool
is_damaged(const struct indexer *x)
{
	return x->shared->damaged == x->shared->generation;
}

/** The store cannot be read: nothing is known of the index, and nothing is wrong with it. */
static enum err
fail_by_store(struct indexer *x, enum err e)
{
	close_index(x);
	return e;
}

/** Opens what is not open. The index may be of another history of the store. */
static enum err
open_files(struct indexer *x, struct error *error)
{
	bool knows = false;
	enum err e = OK;

	if (x->changed == NULL)
		e = changed_open(x->shared->store_path, &x->conf, &x->changed, error);
	if (e != OK || x->index != NULL)
		return e;
	e = indexfile_open(x->shared->index_path, x->kinds_text, &x->conf, &x->index, error);
	if (e != OK)
		return e;
	e = changed_knows(x->changed, indexfile_place(x->index), &knows, error);
	if (e != OK)
		return fail_by_store(x, e);
	if (!knows) {
		reset(x, "it belongs to another store, or to another history of this one");
		e = indexfile_open(
			x->shared->index_path, x->kinds_text, &x->conf, &x->index, error);
	}
	if (e != OK)
		return e;
	sqlite3_progress_handler(indexfile_db(x->index), PROGRESS_OPS, on_progress, x);
	x->floor_lag = INT64_MAX;
	publish(x, changed_peek_seq(x->changed));
	x->shared->generation++;
	return OK;
}

/** Entries to remove. */
struct removal {
	enum conf_search kind;
	int64_t seq;
};

static int
compare_removals(const void *a, const void *b)
{
	const struct removal *x = a, *y = b;

	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	return (x->seq > y->seq) - (x->seq < y->seq);
}

static enum err
note_all(struct indexer *x, struct removal *removals, size_t *n, struct error *error)
{
	const struct changed_row *row;
	enum err e = OK;

	*n = 0;
	for (size_t i = 0; e == OK && (row = changed_row(x->changed, i)) != NULL; i++) {
		struct span category = changed_category(x->changed, row);
		int64_t old;

		e = indexfile_note(x->index, category, changed_id(x->changed, row),
			row->is_deletion ? 0 : row->seq, &old, error);
		if (e == OK && old != 0)
			removals[(*n)++] = (struct removal){row->kind, old};
	}
	return e;
}

static enum err
remove_all(struct indexer *x, struct removal *removals, size_t n, struct error *error)
{
	enum err e = OK;

	qsort(removals, n, sizeof(*removals), compare_removals);
	for (size_t i = 0; i < n && e == OK; i++)
		e = indexfile_remove(x->index, removals[i].kind, removals[i].seq, error);
	x->shared->removed += n;
	return e;
}

static enum err
add_all(struct indexer *x, struct error *error)
{
	const struct changed_row *row;
	enum err e = OK;

	for (size_t i = 0; e == OK && (row = changed_row(x->changed, i)) != NULL; i++) {
		if (row->is_deletion)
			continue;
		e = indexfile_add(x->index, row->kind, row->seq, changed_name(x->changed, row),
			changed_text(x->changed, row), error);
		x->shared->indexed++;
	}
	return e;
}

static enum err
write_batch(struct indexer *x, struct error *error)
{
	struct removal *removals = xnew_n(changed_count(x->changed) + 1, struct removal);
	size_t n;
	enum err e = indexfile_begin(x->index, error);

	if (e == OK)
		e = note_all(x, removals, &n, error);
	if (e == OK)
		e = remove_all(x, removals, n, error);
	if (e == OK)
		e = add_all(x, error);
	if (e == OK)
		e = indexfile_commit(x->index, changed_end(x->changed),
			changed_last_seq(x->changed), x->shared->epoch, error);
	if (e != OK)
		indexfile_roll_back(x->index);
	free(removals);
	return e;
}

/** One batch. *more: there was more to do when it began. */
static enum err
run_batch(struct indexer *x, bool *more, struct error *error)
{
	enum err e = open_files(x, error);

	*more = true;
	if (e == OK && !indexfile_is_there(x->index)) {
		reset(x, "somebody has moved or removed its file");
		return OK;
	}
	if (e != OK)
		return e;
	e = changed_read(x->changed, indexfile_mark(x->index), x->kinds, error);
	if (e != OK)
		return fail_by_store(x, e);
	if (changed_pruned_to(x->changed) > index_place_floor(indexfile_place(x->index)) &&
		indexfile_mark(x->index) > 0) {
		reset(x, "deletions that it has not seen are forgotten");
		return OK;
	}
	publish(x, changed_last_seq(x->changed));
	if (changed_end(x->changed) > indexfile_mark(x->index)) {
		e = write_batch(x, error);
		x->shared->batches += e == OK;
		x->has_reset &= e != OK;
	}
	if (e == OK)
		publish(x, changed_last_seq(x->changed));
	*more = indexfile_mark(x->index) < changed_last_seq(x->changed);
	return e;
}

/** The index is being checked, which takes its lock: the writer need not wait for that. */
static void
wait_for_lock(struct indexer *x)
{
	x->floor_lag = INT64_MAX;
	publish(x, changed_peek_seq(x->changed));
	x->retry_us = clock_mono_us() + LOCKED_US;
}

/** The index cannot be written: the writer goes on without it. A damaged one is begun anew, once:
 * then true, go on. */
static bool
note_failure(struct indexer *x, const struct error *error)
{
	if (x->is_stopping)
		return false;
	if (error->code == ERR_UNAVAILABLE && x->index != NULL) {
		wait_for_lock(x);
		return false;
	}
	x->shared->pace->mark = PACE_NOBODY;
	if (error->code == ERR_DATABASE_ERROR && x->index != NULL && !x->has_reset) {
		reset(x, error->text);
		return true;
	}
	if (!x->is_failing)
		log_error("search", "the search index cannot be brought up to the store",
			F_ERROR(error));
	x->is_failing = true;
	set_state(x, SEARCH_FAILING);
	close_index(x);
	x->retry_us = clock_mono_us() + RETRY_US;
	return false;
}

/** Batches until nothing is left, or something else is to be done. */
static void
catch_up(struct indexer *x)
{
	bool more = true;

	while (more && !x->is_stopping && queue_length(x->in) == 0) {
		struct error error = ERROR_NONE;

		if (is_damaged(x))
			reset(x, "a search or a check found it damaged");
		if (run_batch(x, &more, &error) != OK) {
			more = note_failure(x, &error);
			continue;
		}
		x->retry_us = 0;
		if (x->is_failing)
			log_info("search", "the search index can be written again");
		x->is_failing = false;
	}
}

static void
take_kinds(struct indexer *x, char *text)
{
	close_index(x);
	kinds_free(x->kinds);
	free(x->kinds_text);
	x->kinds_text = text;
	x->kinds = kinds_new(span_of(text));
	if (has_work(x))
		return;
	indexfile_remove_file(x->shared->index_path);
	x->shared->pace->mark = PACE_NOBODY;
	x->shared->mark = x->shared->index_bytes = 0;
	set_state(x, SEARCH_IDLE);
	x->shared->generation++;
}

static void
take_messages(struct indexer *x)
{
	struct qlist messages;
	struct qitem *it;

	qlist_init(&messages);
	queue_take(x->in, &messages);
	while ((it = qlist_shift(&messages)) != NULL) {
		struct message *m = (struct message *)(void *)it;

		if (m == &x->poke) {
			x->has_poke = true;
			continue;
		}
		take_kinds(x, m->kinds);
		free(m);
	}
}

/** While little has happened, more of it is waited for. Pokes meanwhile are not sent: is_poked. */
static void
rest(struct indexer *x, int64_t since_us)
{
	int64_t until = since_us + REST_US, lag = 0;

	if (x->index != NULL && x->shared->state == SEARCH_READY)
		lag = changed_peek_seq(x->changed) - indexfile_mark(x->index);
	if (lag > 0 && lag < REST_LAG && clock_mono_us() < until)
		queue_wait(x->in, until);
}

/** From now on another poke is sent: not before the one that was sent is out of the queue. */
static void
allow_poke(struct indexer *x)
{
	if (!x->has_poke)
		return;
	x->has_poke = false;
	x->is_poked = false;
}

static void *
run(void *arg)
{
	struct indexer *x = arg;
	int64_t done_us = 0;

	setpriority(PRIO_PROCESS, 0, NICE); /* on Linux: of this thread */
	while (!x->is_stopping) {
		take_messages(x);
		if (has_work(x) && clock_mono_us() >= x->retry_us) {
			rest(x, done_us);
			allow_poke(x);
			catch_up(x);
			done_us = clock_mono_us();
		}
		queue_wait(x->in, x->retry_us > 0 ? x->retry_us : INT64_MAX);
	}
	take_messages(x);
	close_index(x);
	changed_close(x->changed);
	return NULL;
}

struct indexer *
indexer_start(struct search_shared *shared, char **kinds, const struct conf *conf)
{
	struct indexer *x = xnew(struct indexer);

	x->shared = shared;
	x->conf.store = conf->store;
	x->in = queue_new();
	x->kinds_text = *kinds;
	x->kinds = kinds_new(span_of(*kinds));
	*kinds = NULL;
	if (has_work(x)) {
		shared->state = SEARCH_BUILDING;
		open_files(x, NULL); /* for searches that come at once; else it is tried again */
	} else {
		indexfile_remove_file(shared->index_path);
	}
	must(pthread_create(&x->thread, NULL, run, x) == 0);
	pthread_setname_np(x->thread, "indexer");
	return x;
}

static void
push(struct indexer *x, struct message *m)
{
	struct qlist one;

	qlist_init(&one);
	qlist_append(&one, &m->item);
	queue_push(x->in, &one);
}

void
indexer_poke(struct indexer *x)
{
	if (!x->is_poked && !atomic_exchange(&x->is_poked, true))
		push(x, &x->poke);
}

void
indexer_set_kinds(struct indexer *x, char **kinds)
{
	struct message *m = xnew(struct message);

	m->kinds = *kinds;
	*kinds = NULL;
	push(x, m);
}

void
indexer_stop(struct indexer *x)
{
	if (x == NULL)
		return;
	x->is_stopping = true;
	queue_close(x->in);
	pthread_join(x->thread, NULL);
	queue_free(x->in);
	kinds_free(x->kinds);
	free(x->kinds_text);
	free(x);
}
