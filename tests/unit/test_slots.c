/*
 * Small blocks side by side: each keeps what is in it, whatever happens to the others,
 * and what is freed is used again.
 */

#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/slots.h"

#define BLOCKS 500
#define STEPS  20000

static struct {
	unsigned char *p;
	size_t n;
	unsigned char mark;
} blocks[BLOCKS];

static void
fill(size_t i, size_t n)
{
	blocks[i].n = n;
	blocks[i].mark = (unsigned char)(i * 31 + n);
	memset(blocks[i].p, blocks[i].mark, n);
}

static void
expect(size_t i, size_t n)
{
	size_t same = 0;

	while (same < n && blocks[i].p[same] == blocks[i].mark)
		same++;
	ck_assert_uint_eq(same, n);
}

START_TEST(blocks_keep_what_is_in_them)
{
	slots_use();
	slots_use();
	srandom(1);
	for (int step = 0; step < STEPS; step++) {
		size_t i = (size_t)random() % BLOCKS, n = 1 + (size_t)random() % 130;
		size_t before = blocks[i].n;

		expect(i, before);
		if (random() % 3 == 0) {
			slots_free(blocks[i].p);
			blocks[i].p = NULL;
			blocks[i].n = 0;
			continue;
		}
		blocks[i].p = slots_realloc(blocks[i].p, n);
		ck_assert_ptr_nonnull(blocks[i].p);
		ck_assert_uint_eq((uintptr_t)blocks[i].p % 16, 0);
		expect(i, before < n ? before : n);
		fill(i, n);
	}
	for (size_t i = 0; i < BLOCKS; i++)
		slots_free(blocks[i].p);
}
END_TEST

START_TEST(small_ones_lie_side_by_side)
{
	char *first, *second, *large, *again;

	slots_use();
	first = slots_alloc(1);
	large = slots_alloc(65);
	second = slots_alloc(64);
	ck_assert_int_eq(second - first, 64);
	slots_free(first);
	again = slots_alloc(40);
	ck_assert_ptr_eq(again, first);
	slots_free(large);
	slots_free(second);
	slots_free(again);
	slots_free(NULL);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("slots");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(t, small_ones_lie_side_by_side);
	tcase_add_test(t, blocks_keep_what_is_in_them);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
