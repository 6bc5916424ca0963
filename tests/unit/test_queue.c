/*
 * The queue between threads: order, bounds, wake-ups, and many producers against
 * one taker (run this one under ThreadSanitizer).
 *
 * threads: yes
 */

#include <check.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/xalloc.h"
#include "daemon/base/queue.h"

#define PRODUCERS  4
#define PER_THREAD 20000

struct item {
	struct qitem link; /* first: a taken qitem is its item */
	unsigned producer;
	unsigned number;
};

static struct qitem *
item_new(unsigned producer, unsigned number, size_t nbytes)
{
	struct item *it = xnew(struct item);

	it->link.nbytes = nbytes;
	it->producer = producer;
	it->number = number;
	return &it->link;
}

static void
push_one(struct queue *q, unsigned producer, unsigned number, size_t nbytes)
{
	struct qlist one;

	qlist_init(&one);
	qlist_append(&one, item_new(producer, number, nbytes));
	queue_push(q, &one);
}

static unsigned
free_all(struct qlist *l)
{
	struct qitem *it;
	unsigned n = 0;

	while ((it = qlist_shift(l)) != NULL) {
		free(it);
		n++;
	}
	return n;
}

static bool
is_readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

START_TEST(lists_keep_order)
{
	struct qlist a, b;

	qlist_init(&a);
	qlist_init(&b);
	qlist_splice(&a, &b);
	ck_assert_ptr_null(qlist_shift(&a));
	for (unsigned i = 0; i < 3; i++) {
		qlist_append(&a, item_new(0, i, 0));
		qlist_append(&b, item_new(0, 3 + i, 0));
	}
	qlist_splice(&a, &b);
	ck_assert_uint_eq(b.n, 0);
	qlist_append(&b, item_new(0, 6, 0));
	qlist_splice(&a, &b);
	ck_assert_uint_eq(a.n, 7);
	for (unsigned i = 0; i < 7; i++) {
		struct qitem *it = qlist_shift(&a);

		ck_assert_uint_eq(((struct item *)it)->number, i);
		free(it);
	}
	ck_assert_ptr_null(qlist_shift(&a));
	qlist_append(&a, item_new(0, 7, 0));
	ck_assert_uint_eq(free_all(&a), 1);
}
END_TEST

START_TEST(descriptor_is_readable_while_something_waits)
{
	struct queue *q = queue_new();
	int fd = queue_fd(q);
	struct qlist out;

	qlist_init(&out);
	for (int round = 0; round < 3; round++) {
		ck_assert(!is_readable(fd));
		push_one(q, 0, 0, 1);
		push_one(q, 0, 1, 1);
		ck_assert(is_readable(fd));
		queue_take(q, &out);
		ck_assert(!is_readable(fd));
		ck_assert_uint_eq(free_all(&out), 2);
	}
	queue_free(q);
}
END_TEST

START_TEST(waiting_ends_by_time_and_by_closing)
{
	struct queue *q = queue_new();
	int64_t start_us = clock_mono_us();
	struct qlist out;

	qlist_init(&out);
	ck_assert(!queue_wait(q, start_us + 20000));
	ck_assert_int_ge(clock_mono_us() - start_us, 20000);
	push_one(q, 0, 0, 1);
	ck_assert(queue_wait(q, INT64_MAX));
	queue_take(q, &out);
	free_all(&out);
	ck_assert(!queue_is_closed(q));
	queue_close(q);
	ck_assert(queue_is_closed(q));
	ck_assert(!queue_wait(q, INT64_MAX));
	queue_free(q);
}
END_TEST

struct producer {
	struct queue *q;
	unsigned number;
};

static void *
produce(void *arg)
{
	struct producer *p = arg;

	for (unsigned i = 0; i < PER_THREAD; i++)
		push_one(p->q, p->number, i, 1);
	return NULL;
}

START_TEST(nothing_is_lost_between_threads)
{
	struct queue *q = queue_new();
	struct producer producers[PRODUCERS];
	pthread_t threads[PRODUCERS];
	unsigned next[PRODUCERS] = {0}, taken = 0;
	struct qitem *it;
	struct qlist out;

	qlist_init(&out);
	for (unsigned i = 0; i < PRODUCERS; i++) {
		producers[i] = (struct producer){q, i};
		ck_assert_int_eq(pthread_create(&threads[i], NULL, produce, &producers[i]), 0);
	}
	while (taken < PRODUCERS * PER_THREAD) {
		ck_assert(queue_wait(q, INT64_MAX));
		queue_take(q, &out);
		while ((it = qlist_shift(&out)) != NULL) {
			struct item *item = (struct item *)it;

			ck_assert_uint_eq(item->number, next[item->producer]++);
			free(item);
			taken++;
		}
	}
	for (unsigned i = 0; i < PRODUCERS; i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(queue_length(q), 0);
	queue_free(q);
}
END_TEST

static void *
close_later(void *arg)
{
	queue_close(arg);
	return NULL;
}

START_TEST(closing_wakes_a_waiting_thread)
{
	struct queue *q = queue_new();
	pthread_t thread;

	ck_assert_int_eq(pthread_create(&thread, NULL, close_later, q), 0);
	ck_assert(!queue_wait(q, INT64_MAX));
	pthread_join(thread, NULL);
	queue_free(q);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("queue");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_test(t, lists_keep_order);
	tcase_add_test(t, descriptor_is_readable_while_something_waits);
	tcase_add_test(t, waiting_ends_by_time_and_by_closing);
	tcase_add_test(t, nothing_is_lost_between_threads);
	tcase_add_test(t, closing_wakes_a_waiting_thread);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
