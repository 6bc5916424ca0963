/*
 * Snippets: the piece that is chosen, how it is cut, and that the offsets beside
 * it are those of the matches, in UTF-16 code units.
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/xalloc.h"
#include "daemon/search/snippet.h"
#include "daemon/search/text.h"

#define ANY_SIZE ((size_t)1 << 20)
#define SMILE    "\360\237\230\200"

/** The matches of a text in which they stand in brackets: [0word] is term 0's. Takes the brackets
 * out. */
static size_t
unbracket(char *text, struct match *matches)
{
	char *to = text;
	size_t n = 0;

	for (const char *p = text; *p != '\0'; p++) {
		if (*p == '[') {
			matches[n].start = (uint32_t)(to - text);
			matches[n].term = (uint32_t)(*++p - '0');
		} else if (*p == ']') {
			matches[n++].end = (uint32_t)(to - text);
		} else {
			*to++ = *p;
		}
	}
	*to = '\0';
	return n;
}

static void
assert_snippet(const char *bracketed, size_t length, const char *want)
{
	struct match matches[SNIPPET_MATCHES_MAX];
	char *text = xstrdup(bracketed);
	size_t n = unbracket(text, matches);
	struct json_out o;
	struct buf out;

	buf_init(&out, ANY_SIZE);
	o = json_out_start(&out);
	snippet_put(&o, NULL, span_of(text), matches, n, length);
	ck_assert_msg(
		span_is(buf_span(&out), want), "%s: %.*s", bracketed, SPAN_FMT(buf_span(&out)));
	buf_fini(&out);
	free(text);
}

START_TEST(a_text_that_fits_is_whole)
{
	assert_snippet("", 10, "{\"text\":\"\",\"matches\":[]}");
	assert_snippet("one two", 10, "{\"text\":\"one two\",\"matches\":[]}");
	assert_snippet("[0one] two", 7, "{\"text\":\"one two\",\"matches\":[[0,3]]}");
	assert_snippet("one [0two]", 7, "{\"text\":\"one two\",\"matches\":[[4,7]]}");
}
END_TEST

START_TEST(white_space_and_borders_are_shown_short)
{
	assert_snippet(" one\n\t two  [0three \n four] ", 99,
		"{\"text\":\"one two three four\",\"matches\":[[8,18]]}");
	assert_snippet("one " TEXT_SEPARATOR " [0two] " TEXT_SEPARATOR " ", 99,
		"{\"text\":\"one \u00b7 two\",\"matches\":[[6,9]]}");
}
END_TEST

START_TEST(offsets_are_in_utf16)
{
	assert_snippet("\u00fc " SMILE " [0\u00fcb" SMILE "er] x", 99,
		"{\"text\":\"\u00fc " SMILE " \u00fcb" SMILE "er x\",\"matches\":[[5,11]]}");
	assert_snippet("\u6771[0\u4eac]\u90fd", 99,
		"{\"text\":\"\u6771\u4eac\u90fd\",\"matches\":[[1,2]]}");
}
END_TEST

START_TEST(it_is_cut_between_words)
{
	assert_snippet("one two three four", 9, "{\"text\":\"one two\u2026\",\"matches\":[]}");
	assert_snippet("one two three [0four] five six seven", 16,
		"{\"text\":\"\u2026three four five\u2026\",\"matches\":[[7,11]]}");
	assert_snippet("one two three four [0five]", 10,
		"{\"text\":\"\u2026four five\",\"matches\":[[6,10]]}");
	assert_snippet("abcdefghijklm[0nop]qrstuvw", 5,
		"{\"text\":\"\u2026mnopq\u2026\",\"matches\":[[2,5]]}");
	assert_snippet("x [0one two three four]", 7,
		"{\"text\":\"\u2026one two\u2026\",\"matches\":[[1,8]]}");
	assert_snippet("x [0" SMILE SMILE SMILE "]", 2,
		"{\"text\":\"\u2026" SMILE SMILE "\u2026\",\"matches\":[[1,5]]}");
}
END_TEST

START_TEST(no_other_match_is_cut_in_two)
{
	assert_snippet("abcdef-[0ghijkl]/[0mnopqr]", 9,
		"{\"text\":\"\u2026-ghijkl/\u2026\",\"matches\":[[2,8]]}");
	assert_snippet("[0abcdef]-x[0ghijkl][1m]", 10,
		"{\"text\":\"\u2026-xghijklm\",\"matches\":[[3,10]]}");
}
END_TEST

START_TEST(the_piece_with_most_terms_is_chosen)
{
	assert_snippet("[0one] a b c d e f [0one] [1two] g h i j k l [0one] [0one] [0one]", 11,
		"{\"text\":\"\u2026f one two g\u2026\",\"matches\":[[3,6],[7,10]]}");
	assert_snippet("[0one] a b c d e f [0one] [0one] g h i j k l [0one] [0one]", 11,
		"{\"text\":\"\u2026f one one g\u2026\",\"matches\":[[3,6],[7,10]]}");
}
END_TEST

START_TEST(matches_that_touch_are_one)
{
	struct match m[] = {
		{0, 3, 0},
                {1, 4, 1},
                {4, 6, 0},
                {7, 9, 1}
        };
	struct json_out o;
	struct buf out;

	buf_init(&out, ANY_SIZE);
	o = json_out_start(&out);
	json_begin_object(&o, NULL);
	snippet_put_matches(&o, "found", SPAN("\u00fc12345789"), m, 4);
	snippet_put_matches(&o, "none", SPAN("x"), m, 0);
	json_end_object(&o);
	ck_assert_msg(span_is(buf_span(&out), "{\"found\":[[0,5],[6,8]],\"none\":[]}"), "%.*s",
		SPAN_FMT(buf_span(&out)));
	ck_assert_uint_eq(m[0].end, 3);
	buf_fini(&out);
}
END_TEST

/** Appends random words, the wanted ones as matches; returns how many matches there are. */
static size_t
random_words(struct buf *text, struct match *matches)
{
	static const char *const words[] = {"a", "be", "\u00fcber", SMILE, "\u6771\u4eac", "\n",
		"  ", " " TEXT_SEPARATOR " ", "longer_than_the_window", "\xff", "want"};
	size_t n = 0;

	for (int i = rand() % 60; i > 0; i--) {
		const char *word = words[rand() % 11];

		if (word[0] == 'w' && n < SNIPPET_MATCHES_MAX)
			matches[n++] = (struct match){
				(uint32_t)text->n, (uint32_t)text->n + 4, (uint32_t)rand() % 3};
		buf_addf(text, "%s%s", word, rand() % 8 == 0 ? "" : " ");
	}
	return n;
}

/** A snippet is JSON whose matches are what was wanted, and not longer than it may be. */
static void
check_snippet(struct span json, size_t length, bool wants)
{
	struct json_fault fault;
	struct json_value v, member, range;
	struct span key, text = {NULL, 0};
	struct json_walk w, ranges;
	size_t characters = 0, matches_n = 0;

	ck_assert(json_check(json, 4, &v, &fault) == OK);
	w = json_walk_start(v);
	ck_assert(json_object_next(&w, &key, &member));
	text = (struct span){member.raw.p + 1, member.raw.n - 2};
	for (size_t i = 0; i < text.n; i++)
		characters += ((unsigned char)text.p[i] & 0xc0) != 0x80;
	ck_assert_msg(characters <= length + 2, "%.*s", SPAN_FMT(json));
	ck_assert(json_object_next(&w, &key, &member));
	ranges = json_walk_start(member);
	for (int64_t last = -1; json_array_next(&ranges, &range); matches_n++) {
		struct json_walk pair = json_walk_start(range);
		struct json_value start, end;
		int64_t s, e;

		ck_assert(json_array_next(&pair, &start) && json_array_next(&pair, &end));
		ck_assert(json_number_int64(start.raw, &s) && json_number_int64(end.raw, &e));
		ck_assert_msg(s > last && e > s, "%.*s", SPAN_FMT(json));
		last = e;
	}
	ck_assert_msg((matches_n > 0) == wants, "%.*s", SPAN_FMT(json));
}

START_TEST(at_random_it_is_in_its_bounds)
{
	for (unsigned seed = 1; seed <= 3000; seed++) {
		struct match matches[SNIPPET_MATCHES_MAX];
		struct buf text, out;
		struct json_out o;
		size_t n, length;

		srand(seed);
		length = 1 + (size_t)rand() % 40;
		buf_init(&text, ANY_SIZE);
		buf_init(&out, ANY_SIZE);
		o = json_out_start(&out);
		n = random_words(&text, matches);
		snippet_put(&o, NULL, text.n > 0 ? buf_span(&text) : SPAN(""), matches, n, length);
		check_snippet(buf_span(&out), length, n > 0);
		buf_fini(&text);
		buf_fini(&out);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("snippet");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(t, a_text_that_fits_is_whole);
	tcase_add_test(t, white_space_and_borders_are_shown_short);
	tcase_add_test(t, offsets_are_in_utf16);
	tcase_add_test(t, it_is_cut_between_words);
	tcase_add_test(t, no_other_match_is_cut_in_two);
	tcase_add_test(t, the_piece_with_most_terms_is_chosen);
	tcase_add_test(t, matches_that_touch_are_one);
	tcase_add_test(t, at_random_it_is_in_its_bounds);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
