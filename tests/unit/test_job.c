/*
 * Jobs: one block with room for exactly what was asked for, and results that can
 * be dropped to run again. What a job owns is freed with it (under
 * AddressSanitizer).
 */

#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"
#include "daemon/store/client.h"
#include "daemon/store/job.h"

static const struct origin nobody = {.kind = ORIGIN_NONE};

static struct job *
job_of(enum job_kind kind, size_t ops_n, size_t nbytes)
{
	struct job *j = job_new(kind, &nobody, ops_n, nbytes);

	ck_assert_ptr_nonnull(j);
	return j;
}

static struct change *
some_change(int64_t seq)
{
	struct change *c = change_new_delete(SPAN("c"), SPAN("i"), 1, seq, 1);

	ck_assert_ptr_nonnull(c);
	return c;
}

START_TEST(a_new_job_wants_nothing)
{
	struct job *j = job_of(JOB_WRITE, 2, 0);

	ck_assert_int_eq(j->kind, JOB_WRITE);
	ck_assert_uint_eq(j->ops_n, 2);
	for (size_t i = 0; i < 2; i++) {
		ck_assert_int_eq(j->ops[i].if_seq, -1);
		ck_assert_int_eq(j->ops[i].seq, 0);
		ck_assert_int_eq(j->ops[i].mode, PUT_REPLACE);
		ck_assert_ptr_null(j->ops[i].change);
	}
	ck_assert_int_eq(j->read.updated_after, INT64_MIN);
	ck_assert_int_eq(j->read.updated_before, INT64_MAX);
	ck_assert_int_eq(j->result, OK);
	ck_assert_uint_eq(j->reply.n, 0);
	ck_assert_ptr_null(j->client);
	job_free(j);
	job_free(NULL);
}
END_TEST

START_TEST(a_job_has_its_own_copy_of_the_origin)
{
	char id[] = "\"r-1\"";
	struct origin from = {
		.kind = ORIGIN_WEBSOCKET, .peer = 7, .batch = 2, .id = {id, sizeof(id) - 1}
        };
	struct job *j = job_new(JOB_GET, &from, 0, 4);
	size_t room;

	memset(id, 'x', sizeof(id) - 1);
	ck_assert(span_is(j->origin.id, "\"r-1\""));
	ck_assert_int_eq(j->origin.kind, ORIGIN_WEBSOCKET);
	ck_assert_uint_eq(j->origin.peer, 7);
	ck_assert_uint_eq(j->origin.batch, 2);
	job_room(j, &room);
	ck_assert_uint_eq(room, 4);
	job_free(j);
}
END_TEST

START_TEST(texts_fill_the_room)
{
	struct job *j = job_of(JOB_WRITE, 1, 10);
	char text[] = "cat";
	size_t room;
	char *p;

	j->ops[0].category = job_keep(j, (struct span){text, 3});
	memset(text, 'x', 3);
	j->ops[0].name = job_keep(j, (struct span){NULL, 0});
	p = job_room(j, &room);
	ck_assert_uint_eq(room, 7);
	memcpy(p, "data567", 7);
	j->ops[0].data = job_keep_written(j, 4);
	j->ops[0].id = job_keep_written(j, 3);
	job_room(j, &room);
	ck_assert_uint_eq(room, 0);
	ck_assert(span_is(j->ops[0].category, "cat"));
	ck_assert(span_is(j->ops[0].name, ""));
	ck_assert(span_is(j->ops[0].data, "data"));
	ck_assert(span_is(j->ops[0].id, "567"));
	job_free(j);
}
END_TEST

START_TEST(more_than_the_room_is_our_own_bug)
{
	struct job *j = job_of(JOB_WRITE, 0, 3);

	job_keep(j, SPAN("four"));
}
END_TEST

START_TEST(its_size_is_known)
{
	struct job *small = job_of(JOB_WRITE, 1, 0), *large = job_of(JOB_WRITE, 3, 1000);

	ck_assert_uint_eq(large->item.nbytes - small->item.nbytes, 2 * sizeof(struct op) + 1000);
	ck_assert_uint_gt(small->item.nbytes, sizeof(struct job));
	job_free(small);
	job_free(large);
}
END_TEST

static void
fill_results(struct job *j)
{
	struct op *op = &j->ops[0];

	*op = (struct op){.kind = OP_DELETE, .if_seq = 9, .now_ms = 8, .seq = 5, .rev = 6};
	op->created = op->skipped = true;
	op->change = some_change(5);
	op->evicted = some_change(6);
	j->page = (struct page){
		.changes = xnew_n(1, struct change *), .n = 1, .end = 8, .at_head = true};
	j->page.changes[0] = some_change(8);
	buf_add(&j->reply, "{}", 2);
	j->result = error_set(&j->error, ERR_CONFLICT, "no");
}

START_TEST(results_can_be_dropped)
{
	struct job *j = job_of(JOB_WRITE, 1, 3);
	struct change *kept;

	fill_results(j);
	j->ops[0].category = job_keep(j, SPAN("cat"));
	kept = change_ref(j->ops[0].evicted);
	job_drop_results(j);
	ck_assert_int_eq(j->ops[0].seq, 0);
	ck_assert_int_eq(j->ops[0].rev, 0);
	ck_assert(!j->ops[0].created && !j->ops[0].skipped);
	ck_assert_ptr_null(j->ops[0].change);
	ck_assert_ptr_null(j->ops[0].evicted);
	ck_assert_uint_eq(j->page.n, 0);
	ck_assert_int_eq(j->page.end, 0);
	ck_assert(!j->page.at_head);
	ck_assert_uint_eq(j->reply.n, 0);
	ck_assert_int_eq(j->result, OK);
	ck_assert_int_eq(j->error.code, OK);
	/* What it was to do is still there, and so is what somebody else holds. */
	ck_assert_int_eq(j->ops[0].kind, OP_DELETE);
	ck_assert_int_eq(j->ops[0].if_seq, 9);
	ck_assert_int_eq(j->ops[0].now_ms, 8);
	ck_assert(span_is(j->ops[0].category, "cat"));
	ck_assert_int_eq(kept->seq, 6);
	change_unref(kept);
	fill_results(j);
	job_free(j);
}
END_TEST

START_TEST(it_frees_its_pattern_and_lets_its_client_go)
{
	struct store_client *c = client_new(NULL, 1, false);
	struct job *j = job_of(JOB_LIST, 0, 0);
	const struct term all = {SPAN(""), true};

	j->client = client_ref(c);
	j->read.pattern = pattern_new(&all, 1, NULL, 0, NULL);
	ck_assert_uint_eq(c->refs, 2);
	job_free(j);
	ck_assert_uint_eq(c->refs, 1);
	client_unref(c);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("job");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(t, a_new_job_wants_nothing);
	tcase_add_test(t, a_job_has_its_own_copy_of_the_origin);
	tcase_add_test(t, texts_fill_the_room);
	if (srunner_fork_status(r) == CK_FORK)
		tcase_add_test_raise_signal(t, more_than_the_room_is_our_own_bug, SIGABRT);
	tcase_add_test(t, its_size_is_known);
	tcase_add_test(t, results_can_be_dropped);
	tcase_add_test(t, it_frees_its_pattern_and_lets_its_client_go);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
