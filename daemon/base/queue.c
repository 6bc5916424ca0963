/*
 * The hand-over between threads: see queue.h. The eventfd, where there is one,
 * is written only when the list goes from empty to not empty and read when it is
 * taken, both under the lock, so that it is readable exactly while something
 * waits.
 */

#include "daemon/base/queue.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/xalloc.h"

struct queue {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct qlist items;
	int fd; /* -1: nobody waits on a descriptor */
	bool is_closed;
};

void
qlist_append(struct qlist *l, struct qitem *it)
{
	it->next = NULL;
	if (l->first == NULL)
		l->first = it;
	else
		*l->tail = it;
	l->tail = &it->next;
	l->n++;
}

struct qitem *
qlist_shift(struct qlist *l)
{
	struct qitem *it = l->first;

	if (it == NULL)
		return NULL;
	l->first = it->next;
	l->n--;
	it->next = NULL;
	return it;
}

void
qlist_splice(struct qlist *to, struct qlist *from)
{
	if (from->first == NULL)
		return;
	if (to->first == NULL)
		to->first = from->first;
	else
		*to->tail = from->first;
	to->tail = from->tail;
	to->n += from->n;
	qlist_init(from);
}

struct queue *
queue_new(void)
{
	struct queue *q = xnew(struct queue);
	pthread_condattr_t attr;

	q->fd = -1;
	qlist_init(&q->items);
	must(pthread_mutex_init(&q->lock, NULL) == 0);
	must(pthread_condattr_init(&attr) == 0);
	must(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
	must(pthread_cond_init(&q->wake, &attr) == 0);
	pthread_condattr_destroy(&attr);
	return q;
}

void
queue_free(struct queue *q)
{
	if (q == NULL)
		return;
	must(q->items.first == NULL);
	if (q->fd >= 0)
		close(q->fd);
	pthread_cond_destroy(&q->wake);
	pthread_mutex_destroy(&q->lock);
	free(q);
}

static void
signal_fd(int fd)
{
	uint64_t one = 1;

	must(write(fd, &one, sizeof(one)) == sizeof(one));
}

static void
clear_fd(int fd)
{
	uint64_t count;

	must(read(fd, &count, sizeof(count)) == sizeof(count) || errno == EAGAIN);
}

void
queue_push(struct queue *q, struct qlist *items)
{
	bool was_empty;

	if (items->first == NULL)
		return;
	pthread_mutex_lock(&q->lock);
	was_empty = q->items.first == NULL;
	qlist_splice(&q->items, items);
	if (was_empty) {
		pthread_cond_signal(&q->wake);
		if (q->fd >= 0)
			signal_fd(q->fd);
	}
	pthread_mutex_unlock(&q->lock);
}

void
queue_take(struct queue *q, struct qlist *out)
{
	pthread_mutex_lock(&q->lock);
	if (q->fd >= 0 && q->items.first != NULL)
		clear_fd(q->fd);
	qlist_splice(out, &q->items);
	pthread_mutex_unlock(&q->lock);
}

static bool
wait_until(struct queue *q, int64_t until_us)
{
	struct timespec ts = {
		.tv_sec = until_us / 1000000,
		.tv_nsec = until_us % 1000000 * 1000,
	};

	if (until_us == INT64_MAX)
		return pthread_cond_wait(&q->wake, &q->lock) == 0;
	return pthread_cond_timedwait(&q->wake, &q->lock, &ts) != ETIMEDOUT;
}

bool
queue_wait(struct queue *q, int64_t until_us)
{
	bool has;

	pthread_mutex_lock(&q->lock);
	while (q->items.first == NULL && !q->is_closed && wait_until(q, until_us))
		;
	has = q->items.first != NULL;
	pthread_mutex_unlock(&q->lock);
	return has;
}

void
queue_close(struct queue *q)
{
	pthread_mutex_lock(&q->lock);
	q->is_closed = true;
	pthread_cond_broadcast(&q->wake);
	pthread_mutex_unlock(&q->lock);
}

bool
queue_is_closed(struct queue *q)
{
	bool closed;

	pthread_mutex_lock(&q->lock);
	closed = q->is_closed;
	pthread_mutex_unlock(&q->lock);
	return closed;
}

int
queue_fd(struct queue *q)
{
	if (q->fd < 0) {
		q->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		must(q->fd >= 0);
	}
	return q->fd;
}

unsigned
queue_length(struct queue *q)
{
	unsigned n;

	pthread_mutex_lock(&q->lock);
	n = q->items.n;
	pthread_mutex_unlock(&q->lock);
	return n;
}
