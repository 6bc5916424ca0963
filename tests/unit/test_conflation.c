/* Keeping the newest of each record, against a list that is looked through. */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/feed/conflation.h"

#define KEYS   40
#define ROUNDS 20000

static struct feed_record
record_of(char texts[5][32], unsigned key, unsigned version)
{
	snprintf(texts[0], 32, "c%u", key % 3);
	snprintf(texts[1], 32, "i%u", key);
	snprintf(texts[2], 32, "name %u", version);
	snprintf(texts[3], 32, "%u", version);
	return (struct feed_record){
		.category = span_of(texts[0]),
		.id = span_of(texts[1]),
		.name = span_of(texts[2]),
		.data = span_of(texts[3]),
		.now_ms = version,
		.came_us = version + 1,
	};
}

/** The model: keys in the order in which they came, and the newest version of each. */
static struct {
	unsigned keys[KEYS];
	unsigned versions[KEYS];
	unsigned n;
} model;

static bool
model_put(unsigned key, unsigned version)
{
	for (unsigned i = 0; i < model.n; i++) {
		if (model.keys[i] == key) {
			model.versions[i] = version;
			return true;
		}
	}
	model.keys[model.n] = key;
	model.versions[model.n++] = version;
	return false;
}

static void
check_first(struct conflation *c)
{
	char texts[5][32];
	struct feed_record got, wanted = record_of(texts, model.keys[0], model.versions[0]);

	ck_assert(conflation_peek(c, &got));
	ck_assert(span_eq(got.category, wanted.category));
	ck_assert(span_eq(got.id, wanted.id));
	ck_assert(span_eq(got.name, wanted.name));
	ck_assert(span_eq(got.data, wanted.data));
	ck_assert_int_eq(got.now_ms, wanted.now_ms);
	ck_assert_int_eq(got.came_us, wanted.came_us);
	conflation_drop(c);
	for (unsigned i = 1; i < model.n; i++) {
		model.keys[i - 1] = model.keys[i];
		model.versions[i - 1] = model.versions[i];
	}
	model.n--;
}

START_TEST(as_the_model)
{
	struct conflation c;
	struct feed_record got;

	srand(7);
	model.n = 0;
	conflation_init(&c, UINT64_MAX);
	for (unsigned i = 1; i <= ROUNDS; i++) {
		unsigned key = (unsigned)rand() % KEYS;
		char texts[5][32];
		struct feed_record r = record_of(texts, key, i);

		ck_assert_int_eq(conflation_put(&c, &r), model_put(key, i));
		while (model.n > 0 && rand() % 4 == 0)
			check_first(&c);
		ck_assert_uint_eq(c.n, model.n);
		ck_assert_int_eq(c.nbytes == 0, c.n == 0);
	}
	while (model.n > 1)
		check_first(&c);
	ck_assert_uint_eq(c.n, 1);
	conflation_fini(&c);
	ck_assert(!conflation_peek(&c, &got));
	ck_assert_uint_eq(c.nbytes, 0);
}
END_TEST

/** "a" and "bc" are not "ab" and "c". */
START_TEST(categories_and_ids_are_parted)
{
	struct feed_record one = {.category = SPAN("a"), .id = SPAN("bc")};
	struct feed_record two = {.category = SPAN("ab"), .id = SPAN("c")};
	struct conflation c;

	conflation_init(&c, 1);
	ck_assert(!conflation_put(&c, &one));
	ck_assert(!conflation_put(&c, &two));
	ck_assert(conflation_put(&c, &one));
	ck_assert_uint_eq(c.n, 2);
	conflation_fini(&c);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("conflation");
	TCase *tc = tcase_create("conflation");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(tc, as_the_model);
	tcase_add_test(tc, categories_and_ids_are_parted);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
