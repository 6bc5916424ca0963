/* The searcher: see searcher.h. */

#include "daemon/search/searcher.h"

#include <pthread.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/xalloc.h"
#include "daemon/search/find.h"
#include "daemon/search/page.h"
#include "daemon/store/reader.h"
#include "daemon/store/turn.h"

#define FOLLOW_US   10000000 /* so long after a search the tail is kept up */
#define REST_US     20000    /* between looks */
#define CATCH_UP_US 50000    /* of one look, so that a search does not wait for it */

struct searcher {
	pthread_t thread;
	struct search_shared *shared; /* borrowed */
	struct indexer *indexer;      /* borrowed */
	struct finder *finder;
	struct queue *in;
	struct queue *out;   /* borrowed */
	int64_t searched_us; /* the last search */
	bool is_following;
};

static void
search(struct searcher *s, struct job *j)
{
	struct found found = {.v = NULL};
	enum err e = finder_begin(s->finder, j->deadline_us, &j->error);

	if (e == OK)
		e = finder_run(s->finder, &j->read, &found, &j->error);
	if (e == OK)
		e = page_put(finder_store(s->finder), &found, j, s->shared->epoch);
	if (found.is_wrong)
		e = finder_note_damage(s->finder, &j->error);
	found_fini(&found);
	finder_end(s->finder);
	if (e == OK && j->reply.failed)
		e = error_set(&j->error, ERR_LIMIT_EXCEEDED, "the answer is too large");
	if (e == ERR_TIMEOUT)
		error_set(&j->error, e,
			"searching took longer than search.timeout: narrow the search, or ask for "
			"the newest");
	else if (e == ERR_UNAVAILABLE)
		indexer_poke(s->indexer); /* it may have to mend the index */
	j->result = e;
}

static void
run_search(struct searcher *s, struct job *j)
{
	if (clock_mono_us() > j->deadline_us)
		j->result = error_set(&j->error, ERR_TIMEOUT,
			"the search waited for its turn for longer than search.timeout: try again "
			"when fewer are under way");
	else
		search(s, j);
	s->shared->timeouts += j->result == ERR_TIMEOUT;
	s->shared->searches++;
}

static void
run_all(struct searcher *s, struct qlist *waiting)
{
	struct qitem *it;
	struct qlist one;

	while ((it = qlist_shift(waiting)) != NULL) {
		struct job *j = (struct job *)(void *)it;

		if (!reader_puts_off(j)) {
			run_search(s, j);
			reader_note_made(j);
		}
		qlist_init(&one);
		qlist_append(&one, &j->item);
		queue_push(s->out, &one);
		s->searched_us = clock_mono_us();
		s->is_following = true;
		turn_take(s->in, waiting);
	}
}

/** Keeps the tail up, or lets it go. */
static void
follow(struct searcher *s)
{
	struct error error = ERROR_NONE;
	int64_t now = clock_mono_us();

	if (now - s->searched_us > FOLLOW_US) {
		s->is_following = false;
		finder_rest(s->finder);
		return;
	}
	if (finder_begin(s->finder, now + CATCH_UP_US, &error) == ERR_UNAVAILABLE)
		indexer_poke(s->indexer);
	finder_end(s->finder);
}

static void *
run(void *arg)
{
	struct searcher *s = arg;
	struct qlist waiting;

	qlist_init(&waiting);
	for (;;) {
		bool is_last = queue_is_closed(s->in);

		turn_take(s->in, &waiting);
		if (waiting.first != NULL)
			run_all(s, &waiting);
		else if (is_last)
			break;
		else if (s->is_following)
			follow(s);
		queue_wait(s->in, s->is_following ? clock_mono_us() + REST_US : INT64_MAX);
	}
	return NULL;
}

struct searcher *
searcher_start(struct search_shared *shared, struct indexer *indexer, const struct conf *conf,
	struct queue *out)
{
	struct searcher *s = xnew(struct searcher);

	s->shared = shared;
	s->indexer = indexer;
	s->finder = finder_new(shared, conf);
	s->in = queue_new();
	s->out = out;
	must(pthread_create(&s->thread, NULL, run, s) == 0);
	pthread_setname_np(s->thread, "searcher");
	return s;
}

struct queue *
searcher_queue(struct searcher *s)
{
	return s->in;
}

void
searcher_stop(struct searcher *s)
{
	if (s == NULL)
		return;
	queue_close(s->in);
	pthread_join(s->thread, NULL);
	queue_free(s->in);
	finder_free(s->finder);
	free(s);
}
