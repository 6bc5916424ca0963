/*
 * The items of an array as a stream: which they are, whatever the pieces that
 * the text comes in.
 */

#include <check.h>
#include <string.h>

#include "common/buf.h"
#include "ctl/unarray.h"

/** Writes the items as "(a)(b)", ")" only where an item has ended, "!" at a fault. */
static void
show(const char *text, size_t step, struct buf *out)
{
	struct unarray u = unarray_start();
	size_t n = strlen(text), at = 0, start = 0;

	buf_reset(out);
	while (at < n) {
		size_t used;
		enum unarray_found found =
			unarray_next(&u, text + at, n - at < step ? n - at : step, &used);

		at += used;
		if (found == UNARRAY_END)
			buf_addf(out, "(%.*s)", (int)(at - 1 - start), text + start);
		if (found == UNARRAY_END || found == UNARRAY_NOTHING)
			start = at;
		if (found == UNARRAY_FAULT) {
			buf_add_char(out, '!');
			break;
		}
	}
	if (u.place == UNARRAY_FIRST || u.place == UNARRAY_ITEM)
		buf_addf(out, "(%.*s", (int)(at - start), text + start);
	buf_add_char(out, '\0');
}

START_TEST(items_are_found)
{
	const struct {
		const char *text, *shown;
	} cases[] = {
		{"",			      ""			       },
		{" \n",			   ""			       },
		{"[]",			    ""			       },
		{" [ ] ",                         ""			       },
		{"[1]",			   "(1)"                            },
		{"[1,2]\n",                       "(1)(2)"                         },
		{"[{\"a\":[1,2]},[3,[4]],\"]\"]", "({\"a\":[1,2]})([3,[4]])(\"]\")"},
		{"[\"a\\\"],\",\"\\\\\",1]",      "(\"a\\\"],\")(\"\\\\\")(1)"     },
		{"[1,,2,]",                       "(1)()(2)()"                     },
		{"[,]",			   "()()"                           },
		{"[{],1]",                        "({])(1)"                        },
		{"[1}2,3]",                       "(1}2)(3)"                       },
		{"[1 2]",                         "(1 2)"                          },
		{"[1]]",			  "(1)!"                           },
		{"[1] x",                         "(1)!"                           },
		{"{\"a\":[1]}",                   "!"                              },
		{"x[1]",			  "!"			      },
		{"[1,2",			  "(1)(2"                          },
		{"[",			     "("			      },
		{"[\"a",			  "(\"a"                           },
	};
	struct buf out;

	buf_init(&out, 4096);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (size_t step = 1; step < 40; step++) {
			show(cases[i].text, step, &out);
			ck_assert_str_eq(out.p, cases[i].shown);
		}
	}
	buf_fini(&out);
}
END_TEST

START_TEST(a_stream_goes_on_behind_an_item)
{
	struct unarray u = unarray_resume(false);
	size_t used;

	ck_assert_int_eq(unarray_next(&u, "1,2]", 4, &used), UNARRAY_END);
	ck_assert_uint_eq(used, 2);
	ck_assert_int_eq(unarray_next(&u, "2]", 2, &used), UNARRAY_END);
	ck_assert_int_eq(u.place, UNARRAY_BEHIND);
	u = unarray_resume(true);
	ck_assert_int_eq(unarray_next(&u, "\n", 1, &used), UNARRAY_NOTHING);
	ck_assert_int_eq(unarray_next(&u, "1", 1, &used), UNARRAY_FAULT);
}
END_TEST

int
main(void)
{
	TCase *t = tcase_create("unarray");
	Suite *s = suite_create("unarray");
	SRunner *r;
	int failed;

	tcase_add_test(t, items_are_found);
	tcase_add_test(t, a_stream_goes_on_behind_an_item);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed > 0;
}
