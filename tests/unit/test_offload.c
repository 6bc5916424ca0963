/*
 * Work on the thread apart: each piece is run, in order, and is done on the loop; what
 * was not done when all ends is still its owner's.
 *
 * threads: yes
 */

#include <check.h>
#include <pthread.h>
#include <stdlib.h>

#include "daemon/base/loop.h"
#include "daemon/base/offload.h"

#define PIECES 200

struct piece {
	struct offload_work work; /* first */
	unsigned number;
	pthread_t ran_on;
	bool is_done;
};

static struct loop *loop;
static struct offload *offload;
static struct piece pieces[PIECES];
static unsigned done_n;

static void
run(struct offload_work *w)
{
	((struct piece *)(void *)w)->ran_on = pthread_self();
}

static void
done(struct offload_work *w)
{
	struct piece *p = (struct piece *)(void *)w;

	ck_assert_uint_eq(p->number, done_n++);
	ck_assert(!pthread_equal(p->ran_on, pthread_self()));
	p->is_done = true;
	if (done_n == PIECES)
		loop_stop(loop);
}

static void
submit_all(void)
{
	loop = loop_new();
	offload = offload_new(loop);
	done_n = 0;
	for (unsigned i = 0; i < PIECES; i++) {
		pieces[i] = (struct piece){
			.work = {.run = run, .done = done},
                          .number = i
                };
		offload_submit(offload, &pieces[i].work);
	}
}

START_TEST(each_is_run_and_done)
{
	submit_all();
	loop_run(loop);
	for (unsigned i = 0; i < PIECES; i++)
		ck_assert(pieces[i].is_done);
	offload_free(offload);
	loop_free(loop);
}
END_TEST

START_TEST(an_end_before_that)
{
	submit_all();
	offload_free(offload);
	loop_free(loop);
	ck_assert_uint_eq(done_n, 0);
	offload_free(NULL);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("offload");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(t, each_is_run_and_done);
	tcase_add_test(t, an_end_before_that);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
