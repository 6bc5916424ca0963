/*
 * Patterns: what a term matches, and that a pattern is one block that is sorted,
 * without duplicates, and told apart by its key.
 */

#include <check.h>
#include <stdlib.h>

#include "common/xalloc.h"
#include "daemon/store/pattern.h"

#define EXACT(text)  ((struct term){SPAN(text), false})
#define PREFIX(text) ((struct term){SPAN(text), true})

#define TERMS_MAX 4

static struct pattern *
pattern_of(const struct term *categories, size_t categories_n, const struct term *ids, size_t ids_n)
{
	struct pattern *p = pattern_new(categories, categories_n, ids, ids_n, NULL);

	ck_assert_ptr_nonnull(p);
	return p;
}

START_TEST(a_term_is_exact_or_a_prefix)
{
	const struct {
		struct term term;
		struct span text;
		bool matches;
	} cases[] = {
		{EXACT("a"),     SPAN("a"),        true },
		{EXACT("a"),     SPAN("ab"),       false},
		{EXACT("ab"),    SPAN("a"),        false},
		{EXACT("a"),     SPAN("A"),        false},
		{EXACT("a*"),    SPAN("a*"),       true },
		{EXACT("a*"),    SPAN("ab"),       false},
		{PREFIX("a."),   SPAN("a."),       true },
		{PREFIX("a."),   SPAN("a.b.c"),    true },
		{PREFIX("a."),   SPAN("a"),        false},
		{PREFIX(""),     SPAN(""),         true },
		{PREFIX(""),     SPAN("x"),        true },
		{PREFIX("\303"), SPAN("\303\244"), true },
		{EXACT("a\0b"),  SPAN("a\0b"),     true },
		{EXACT("a\0b"),  SPAN("a\0c"),     false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ck_assert_msg(
			term_matches(&cases[i].term, cases[i].text) == cases[i].matches, "%zu", i);
}
END_TEST

START_TEST(one_category_and_one_id_have_to_match)
{
	struct pattern *p = pattern_of((struct term[]){EXACT("news"), PREFIX("log.")}, 2,
		(struct term[]){EXACT("1"), PREFIX("x-")}, 2);

	ck_assert(pattern_matches(p, SPAN("news"), SPAN("1")));
	ck_assert(pattern_matches(p, SPAN("news"), SPAN("x-9")));
	ck_assert(pattern_matches(p, SPAN("log.a"), SPAN("x-")));
	ck_assert(!pattern_matches(p, SPAN("news"), SPAN("2")));
	ck_assert(!pattern_matches(p, SPAN("news2"), SPAN("1")));
	ck_assert(!pattern_matches(p, SPAN("log"), SPAN("1")));
	free(p);
}
END_TEST

START_TEST(no_ids_are_all_ids)
{
	struct pattern *p = pattern_of((struct term[]){EXACT("news")}, 1, NULL, 0);

	ck_assert(pattern_matches(p, SPAN("news"), SPAN("anything")));
	ck_assert(!pattern_matches(p, SPAN("new"), SPAN("anything")));
	free(p);
}
END_TEST

START_TEST(a_pattern_owns_its_texts)
{
	char category[] = "news", id[] = "one";
	struct pattern *p = pattern_of(
			       &(struct term){
				       {category, 4},
                                       false
        },
			       1, &(struct term){{id, 3}, false}, 1),
		       *copy;

	memset(category, 'x', 4);
	memset(id, 'x', 3);
	copy = pattern_dup(p);
	ck_assert(span_eq(copy->key, p->key));
	free(p);
	ck_assert(pattern_matches(copy, SPAN("news"), SPAN("one")));
	free(copy);
}
END_TEST

START_TEST(terms_are_sorted_and_once)
{
	struct pattern *p = pattern_of(
		(struct term[]){PREFIX("b"), EXACT("b"), EXACT("a"), EXACT("b")}, 4, NULL, 0);

	ck_assert_uint_eq(p->categories_n, 3);
	ck_assert(span_is(p->categories[0].text, "a"));
	ck_assert(span_is(p->categories[1].text, "b") && !p->categories[1].is_prefix);
	ck_assert(span_is(p->categories[2].text, "b") && p->categories[2].is_prefix);
	free(p);
}
END_TEST

/** True if the two patterns have the same key. */
static bool
have_equal_keys(struct pattern *a, struct pattern *b)
{
	bool equal = span_eq(a->key, b->key);

	free(a);
	free(b);
	return equal;
}

START_TEST(the_key_is_the_set_of_terms)
{
	const struct term ab[] = {EXACT("a"), EXACT("b")}, ba[] = {EXACT("b"), EXACT("a")};
	const struct term bab[] = {EXACT("b"), EXACT("a"), EXACT("b")};
	const struct term a[] = {EXACT("a")}, a_prefix[] = {PREFIX("a")}, joined[] = {EXACT("ab")};
	const struct term forged[] = {EXACT("ac\0\1b")}; /* as the key writes "a" and "b" */

	ck_assert(have_equal_keys(pattern_of(ab, 2, ba, 2), pattern_of(ba, 2, ab, 2)));
	ck_assert(have_equal_keys(pattern_of(ab, 2, NULL, 0), pattern_of(bab, 3, NULL, 0)));
	ck_assert(!have_equal_keys(pattern_of(a, 1, NULL, 0), pattern_of(a_prefix, 1, NULL, 0)));
	ck_assert(!have_equal_keys(pattern_of(ab, 2, NULL, 0), pattern_of(joined, 1, NULL, 0)));
	ck_assert(!have_equal_keys(pattern_of(ab, 2, NULL, 0), pattern_of(forged, 1, NULL, 0)));
	ck_assert(!have_equal_keys(pattern_of(ab, 2, NULL, 0), pattern_of(a, 1, ab + 1, 1)));
}
END_TEST

START_TEST(one_exact_category_is_known_as_such)
{
	const struct term a[] = {EXACT("a")}, twice[] = {EXACT("a"), EXACT("a")};
	const struct term prefix[] = {PREFIX("a")}, two[] = {EXACT("a"), EXACT("b")};
	struct pattern *patterns[] = {pattern_of(a, 1, two, 2), pattern_of(twice, 2, NULL, 0),
		pattern_of(prefix, 1, NULL, 0), pattern_of(two, 2, NULL, 0)};
	const bool expected[] = {true, true, false, false};

	for (size_t i = 0; i < 4; i++) {
		struct span name = SPAN("?");

		ck_assert(pattern_is_one_category(patterns[i], &name) == expected[i]);
		ck_assert(span_is(name, expected[i] ? "a" : "?"));
		free(patterns[i]);
	}
}
END_TEST

static struct span
random_text(char out[TERMS_MAX], size_t least)
{
	size_t n = least + (size_t)rand() % (TERMS_MAX - least);

	for (size_t i = 0; i < n; i++)
		out[i] = "ab"[rand() % 2];
	return (struct span){out, n};
}

/** The order of the terms and what is there twice leave no trace in the key. */
START_TEST(equal_sets_at_random_have_equal_keys)
{
	for (int round = 0; round < 2000; round++) {
		char texts[TERMS_MAX][TERMS_MAX];
		struct term terms[TERMS_MAX], turned[TERMS_MAX + 1];
		size_t n = 1 + (size_t)rand() % TERMS_MAX;

		for (size_t i = 0; i < n; i++) {
			terms[i].is_prefix = rand() % 2 == 0;
			terms[i].text = random_text(texts[i], terms[i].is_prefix ? 0 : 1);
		}
		for (size_t i = 0; i < n; i++)
			turned[n - 1 - i] = terms[i];
		turned[n] = terms[(size_t)rand() % n];
		ck_assert(have_equal_keys(
			pattern_of(terms, n, terms, n), pattern_of(turned, n + 1, turned, n)));
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("pattern");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(t, a_term_is_exact_or_a_prefix);
	tcase_add_test(t, one_category_and_one_id_have_to_match);
	tcase_add_test(t, no_ids_are_all_ids);
	tcase_add_test(t, a_pattern_owns_its_texts);
	tcase_add_test(t, terms_are_sorted_and_once);
	tcase_add_test(t, the_key_is_the_set_of_terms);
	tcase_add_test(t, one_exact_category_is_known_as_such);
	tcase_add_test(t, equal_sets_at_random_have_equal_keys);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
