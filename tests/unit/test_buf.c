/*
 * The growable buffer: it holds exactly what was added, never more than its maximum,
 * and takes nothing after it failed.
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"

static void
assert_holds(const struct buf *b, const char *want)
{
	ck_assert_msg(
		span_is(buf_span(b), want), "\"%.*s\" is not \"%s\"", SPAN_FMT(buf_span(b)), want);
}

START_TEST(test_add)
{
	struct buf b;

	buf_init(&b, 1000);
	ck_assert_ptr_null(b.p);
	assert_holds(&b, "");
	buf_add(&b, NULL, 0);
	buf_add_span(&b, (struct span){0});
	ck_assert_ptr_null(b.p);
	buf_add(&b, "abc", 2);
	buf_add_char(&b, '-');
	buf_add_span(&b, SPAN("xyz"));
	buf_add_int(&b, 0);
	buf_addf(&b, "[%d %s]", 5, "five");
	assert_holds(&b, "ab-xyz0[5 five]");
	ck_assert(!b.failed);
	buf_fini(&b);
	ck_assert_ptr_null(b.p);
	buf_fini(&b);
}
END_TEST

START_TEST(test_integers)
{
	static const int64_t values[] = {
		0, 1, -1, 9, 10, -10, 1234567890, INT64_MAX, INT64_MIN, INT64_MIN + 1};
	struct buf b;

	buf_init(&b, 100);
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		char want[32];

		snprintf(want, sizeof(want), "%lld", (long long)values[i]);
		buf_reset(&b);
		buf_add_int(&b, values[i]);
		assert_holds(&b, want);
	}
	buf_fini(&b);
}
END_TEST

START_TEST(test_maximum)
{
	struct buf b;

	buf_init(&b, 5);
	buf_add(&b, "12345", 5);
	ck_assert(!b.failed);
	ck_assert_uint_le(b.cap, 5);
	buf_add(&b, "", 0);
	ck_assert(!b.failed);
	buf_add_char(&b, '6');
	ck_assert(b.failed);
	assert_holds(&b, "12345");
	buf_consume(&b, 2);
	buf_add_char(&b, '6');
	assert_holds(&b, "345");
	ck_assert_msg(b.failed, "half a text must not be followed by its end");
	buf_reset(&b);
	ck_assert(!b.failed);
	buf_add(&b, "54321", 5);
	assert_holds(&b, "54321");
	buf_reset(&b);
	ck_assert_ptr_null(buf_reserve(&b, SIZE_MAX));
	ck_assert(b.failed);
	buf_fini(&b);
}
END_TEST

START_TEST(test_format_at_the_maximum)
{
	char text[600];
	struct buf b;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	buf_init(&b, 599);
	buf_addf(&b, "%s", text);
	assert_holds(&b, text);
	buf_reset(&b);
	buf_addf(&b, "%s!", text);
	ck_assert(b.failed);
	ck_assert_uint_eq(b.n, 0);
	buf_reset(&b);
	for (size_t n = 250; n < 260; n++) { /* around the room on the stack */
		buf_reset(&b);
		buf_addf(&b, "%.*s", (int)n, text);
		ck_assert_uint_eq(b.n, n);
		ck_assert(memcmp(b.p, text, n) == 0);
	}
	buf_fini(&b);
}
END_TEST

START_TEST(test_no_room_at_all)
{
	struct buf b = {0};

	buf_add_char(&b, 'x');
	ck_assert(b.failed);
	ck_assert_uint_eq(b.n, 0);
	buf_fini(&b);
}
END_TEST

START_TEST(test_reserve_and_consume)
{
	struct buf b;
	char *room;

	buf_init(&b, 100);
	room = buf_reserve(&b, 10);
	ck_assert_ptr_nonnull(room);
	memcpy(room, "0123456789", 10);
	b.n += 10;
	buf_consume(&b, 0);
	assert_holds(&b, "0123456789");
	buf_consume(&b, 4);
	assert_holds(&b, "456789");
	buf_consume(&b, 100);
	assert_holds(&b, "");
	ck_assert_ptr_nonnull(buf_reserve(&b, 0));
	buf_fini(&b);
}
END_TEST

START_TEST(test_grows)
{
	struct buf b;

	buf_init(&b, 1 << 20);
	for (int i = 0; i < 1 << 20; i++)
		buf_add_char(&b, (char)i);
	ck_assert(!b.failed);
	ck_assert_uint_eq(b.n, 1 << 20);
	ck_assert_uint_eq(b.cap, 1 << 20);
	for (int i = 0; i < 1 << 20; i += 4099)
		ck_assert_int_eq(b.p[i], (char)i);
	buf_fini(&b);
}
END_TEST

START_TEST(test_clear)
{
	struct buf b;

	buf_init(&b, 5000);
	b.wipes = true;
	buf_add_span(&b, SPAN("some"));
	buf_clear(&b, 4096);
	ck_assert_uint_eq(b.n, 0);
	ck_assert_uint_gt(b.cap, 0);
	ck_assert_ptr_nonnull(buf_reserve(&b, 4097));
	ck_assert_ptr_null(buf_reserve(&b, 5001));
	ck_assert(b.failed);
	buf_clear(&b, 4096);
	ck_assert(!b.failed && b.wipes);
	ck_assert_uint_eq(b.cap, 0);
	ck_assert_ptr_nonnull(buf_reserve(&b, 5000));
	ck_assert_ptr_null(buf_reserve(&b, 5001));
	buf_fini(&b);
}
END_TEST

START_TEST(test_steal)
{
	struct buf b;
	size_t n;
	char *p;

	buf_init(&b, 10);
	buf_add_span(&b, SPAN("hello"));
	p = buf_steal(&b, &n);
	ck_assert_uint_eq(n, 5);
	ck_assert(memcmp(p, "hello", 5) == 0);
	free(p);
	assert_holds(&b, "");
	buf_add_span(&b, SPAN("0123456789"));
	ck_assert_msg(!b.failed, "the maximum stays");
	buf_add_char(&b, 'x');
	ck_assert(b.failed);
	buf_fini(&b);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {test_add, test_integers, test_maximum,
		test_format_at_the_maximum, test_no_room_at_all, test_reserve_and_consume,
		test_grows, test_clear, test_steal};
	Suite *suite = suite_create("buf");
	TCase *tcase = tcase_create("buf");
	SRunner *runner = srunner_create(suite);
	int failed;

	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_test(tcase, tests[i]);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
