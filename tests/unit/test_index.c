/*
 * The index of patterns: at random against a plain loop over pattern_matches().
 * The alphabet is small, so that texts, prefixes and patterns often meet.
 */

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"
#include "daemon/hub/index.h"

#define ENTRIES   300
#define ROUNDS    20000
#define TERMS_MAX 4
#define TEXT_SIZE 7

struct texts {
	char bytes[2 * TERMS_MAX][TEXT_SIZE];
};

static struct span
random_text(char out[TEXT_SIZE], size_t min)
{
	size_t n = min + (size_t)rand() % (TEXT_SIZE - min);

	for (size_t i = 0; i < n; i++)
		out[i] = "ab"[rand() % 2];
	return (struct span){out, n};
}

static size_t
random_terms(struct term terms[TERMS_MAX], char (*texts)[TEXT_SIZE], size_t n)
{
	for (size_t i = 0; i < n; i++) {
		terms[i].is_prefix = rand() % 3 == 0;
		terms[i].text = random_text(texts[i], terms[i].is_prefix ? 0 : 1);
	}
	return n;
}

static struct pattern *
random_pattern(void)
{
	struct term categories[TERMS_MAX], ids[TERMS_MAX];
	struct texts texts;
	size_t categories_n, ids_n;

	categories_n = random_terms(categories, texts.bytes, 1 + (size_t)rand() % TERMS_MAX);
	ids_n = random_terms(ids, texts.bytes + TERMS_MAX, (size_t)rand() % (TERMS_MAX + 1));
	return pattern_new(categories, categories_n, ids, ids_n, NULL);
}

struct set {
	struct index index;
	struct index_entry entries[ENTRIES];
	struct pattern *patterns[ENTRIES]; /* NULL: the entry is not in the index */
};

static void
toggle(struct set *s, size_t i)
{
	if (s->patterns[i] != NULL) {
		index_remove(&s->index, &s->entries[i]);
		free(s->patterns[i]);
		s->patterns[i] = NULL;
		return;
	}
	s->patterns[i] = random_pattern();
	index_add(&s->index, &s->entries[i], s->patterns[i]);
}

static void
compare(struct set *s, struct span category, struct span id)
{
	struct index_entry *const *found;
	size_t n = index_match(&s->index, category, id, &found);
	bool is_found[ENTRIES] = {false};

	for (size_t i = 0; i < n; i++) {
		size_t at = (size_t)(found[i] - s->entries);

		if (at >= ENTRIES || is_found[at])
			ck_abort_msg("found twice, or what is not there");
		is_found[at] = true;
	}
	/* Not ck_assert: it notes each place in a file, which is most of the time here. */
	for (size_t i = 0; i < ENTRIES; i++)
		if (is_found[i] !=
			(s->patterns[i] != NULL && pattern_matches(s->patterns[i], category, id)))
			ck_abort_msg("entry %zu: found %d", i, is_found[i]);
}

static void
run_random(unsigned seed)
{
	struct set *s = xnew(struct set);
	char category[TEXT_SIZE], id[TEXT_SIZE];

	srand(seed);
	index_init(&s->index, (uint64_t)seed * 0x123456789abcdef);
	for (int round = 0; round < ROUNDS; round++) {
		if (rand() % 4 == 0)
			toggle(s, (size_t)rand() % ENTRIES);
		compare(s, random_text(category, 1), random_text(id, 1));
	}
	for (size_t i = 0; i < ENTRIES; i++)
		if (s->patterns[i] != NULL)
			toggle(s, i);
	index_fini(&s->index);
	free(s);
}

START_TEST(random_patterns)
{
	run_random((unsigned)_i + 1);
}
END_TEST

START_TEST(long_texts)
{
	char text[INDEX_TEXT_MAX + 1];
	struct index_entry entries[3] = {{.links = NULL}};
	struct term categories[3] = {
		{{text, INDEX_TEXT_MAX}, false},
		{{text, INDEX_TEXT_MAX}, true },
		{{text, 0},              true },
	};
	struct pattern *patterns[3], *too_long;
	struct index_entry *const *found;
	struct index ix;

	memset(text, 'x', sizeof(text));
	index_init(&ix, 99);
	for (int i = 0; i < 3; i++) {
		patterns[i] = pattern_new(&categories[i], 1, NULL, 0, NULL);
		ck_assert(index_can_hold(patterns[i]));
		index_add(&ix, &entries[i], patterns[i]);
	}
	ck_assert_uint_eq(
		index_match(&ix, (struct span){text, INDEX_TEXT_MAX}, SPAN("i"), &found), 3);
	ck_assert_uint_eq(
		index_match(&ix, (struct span){text, INDEX_TEXT_MAX + 1}, SPAN("i"), &found), 2);
	ck_assert_uint_eq(index_match(&ix, SPAN("x"), SPAN("i"), &found), 1);
	for (int i = 0; i < 3; i++) {
		index_remove(&ix, &entries[i]);
		free(patterns[i]);
	}
	too_long = pattern_new(
		&(struct term){
			{text, INDEX_TEXT_MAX + 1},
                        false
        },
		1, NULL, 0, NULL);
	ck_assert(!index_can_hold(too_long));
	free(too_long);
	index_fini(&ix);
}
END_TEST

/** Every prefix's hash comes out on the way to the whole text's. */
START_TEST(hash_of_prefixes)
{
	struct span text = SPAN("sensor.kitchen/temperature");
	uint64_t point = HASH_MODULUS - 12345, hash = 0;

	for (size_t n = 0; n <= text.n; n++) {
		ck_assert_uint_lt(hash, HASH_MODULUS);
		ck_assert_uint_eq(hash, hash_span(point, (struct span){text.p, n}));
		if (n < text.n)
			hash = hash_add(point, hash, text.p[n]);
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("index");
	TCase *tc = tcase_create("index");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, random_patterns, 0, 4);
	tcase_add_test(tc, long_texts);
	tcase_add_test(tc, hash_of_prefixes);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
