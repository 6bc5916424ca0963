/*
 * Time-ordered ids: their form, and that of two times the later comes later.
 */

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "common/uuid.h"

START_TEST(their_form)
{
	unsigned char random[UUID_RANDOM_N];
	char text[UUID_SIZE];

	memset(random, 0xff, sizeof(random));
	uuid_write(INT64_C(0x017f22e279b0), random, text);
	ck_assert_str_eq(text, "017f22e2-79b0-7fff-bfff-ffffffffffff");
	memset(random, 0, sizeof(random));
	uuid_write(INT64_C(0x017f22e279b0), random, text);
	ck_assert_str_eq(text, "017f22e2-79b0-7000-8000-000000000000");
}
END_TEST

START_TEST(a_later_time_is_a_later_text)
{
	unsigned char random[UUID_RANDOM_N];
	char before[UUID_SIZE], text[UUID_SIZE];

	memset(random, 0xff, sizeof(random));
	uuid_write(1, random, before);
	memset(random, 0, sizeof(random));
	for (int64_t ms = 2; ms < INT64_C(1) << 47; ms *= 3) {
		uuid_write(ms, random, text);
		ck_assert_str_gt(text, before);
		memcpy(before, text, sizeof(text));
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("uuid");
	TCase *tcase = tcase_create("uuid");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(tcase, their_form);
	tcase_add_test(tcase, a_later_time_is_a_later_text);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
