/*
 * CSV: the rules of RFC 4180 one by one, that a row ends at the same place
 * however its bytes come in, that what is written is read back, and rows as
 * objects.
 */

#include <check.h>
#include <string.h>

#include "ctl/columns.h"
#include "ctl/csv.h"

#define BYTES 4096

/** Reads a text as CSV and writes it as "[a|b][c]"; a fault as "!why". */
static void
show(const char *text, char separator, struct buf *out)
{
	size_t n = strlen(text);
	enum csv_state state = CSV_FIELD;

	buf_reset(out);
	for (size_t at = 0, used; at < n; at += used) {
		struct csv_field field;
		struct csv_walk w;
		size_t row_n, fields_n = 0;

		used = csv_row_end(&state, separator, text + at, n - at);
		row_n = used > 0 ? used - 1 : n - at;
		used = used > 0 ? used : n - at;
		row_n -= row_n > 0 && text[at + row_n - 1] == '\r';
		w = csv_walk_start((struct span){text + at, row_n}, separator);
		buf_add_char(out, '[');
		for (; csv_next(&w, &field); fields_n++) {
			if (fields_n > 0)
				buf_add_char(out, '|');
			csv_add_text(out, &field);
		}
		if (w.fault != NULL)
			buf_addf(out, "!%s", w.fault);
		buf_add_char(out, ']');
	}
	buf_add_char(out, '\0');
}

START_TEST(the_rules_of_rfc_4180)
{
	const struct {
		const char *text, *shown;
	} cases[] = {
  /* section 2, rules 1 to 7, their examples */
		{"aaa,bbb,ccc\r\nzzz,yyy,xxx\r\n",                  "[aaa|bbb|ccc][zzz|yyy|xxx]"     },
		{"aaa,bbb,ccc\r\nzzz,yyy,xxx",                      "[aaa|bbb|ccc][zzz|yyy|xxx]"     },
		{"field_name,field_name,field_name\r\naaa,bbb,ccc",
                 "[field_name|field_name|field_name]"
			"[aaa|bbb|ccc]"							      },
		{"\"aaa\",\"bbb\",\"ccc\"\r\nzzz,yyy,xxx",          "[aaa|bbb|ccc][zzz|yyy|xxx]"     },
		{"\"aaa\",\"b \r\nbb\",\"ccc\"\r\nzzz,yyy,xxx",     "[aaa|b \r\nbb|ccc][zzz|yyy|xxx]"},
		{"\"aaa\",\"b\"\"bb\",\"ccc\"",                     "[aaa|b\"bb|ccc]"                },
 /* spaces belong to the field */
		{" a , b \n",				       "[ a | b ]"                      },
 /* what is empty */
		{",\n",					     "[|]"                            },
		{"\"\",a,\n",				       "[|a|]"                          },
		{"\n",					      "[]"			     },
		{"\"\"\"\"\n",				      "[\"]"                           },
		{"\"\"\"\"\"\"",				    "[\"\"]"                         },
		{"\",\",\"\n\"\n",                                  "[,|\n]"                         },
 /* a quote means something at the beginning of a field only */
		{"5\" pipe,a\"b\"\nc\n",                            "[5\" pipe|a\"b\"][c]"           },
		{" \"a\",b\n",				      "[ \"a\"|b]"                     },
		{"a\rb,c\r\r\n",				    "[a\rb|c\r]"                     },
 /* faults */
		{"a,\"b\nc,d\n",				    "[a!a quote is not closed]"      },
		{"\"a\"b,c\nd\n",				   "[!something stands behind a closing "
				  "quote][d]"                       },
		{"\"",					      "[!a quote is not closed]"       },
	};
	struct buf out;

	buf_init(&out, BYTES);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		show(cases[i].text, ',', &out);
		ck_assert_str_eq(out.p, cases[i].shown);
	}
	show("a,b\tc\n\"d\te\"\tf\n", '\t', &out);
	ck_assert_str_eq(out.p, "[a,b|c][d\te|f]");
	buf_fini(&out);
}
END_TEST

START_TEST(a_row_ends_where_it_ends)
{
	static const char text[] = "a,\"b\"\"\n,\",c\r\nx,\"\"\n\"\"\"\"\n,\n\n";
	const size_t ends[] = {13, 18, 23, 25, 26};

	ck_assert_uint_eq(sizeof(text) - 1, 26);
	for (size_t step = 1; step < sizeof(text); step++) {
		enum csv_state state = CSV_FIELD;
		size_t rows = 0;

		for (size_t at = 0; at < sizeof(text) - 1;) {
			size_t left = sizeof(text) - 1 - at, n = left < step ? left : step;
			size_t used = csv_row_end(&state, ',', text + at, n);

			at += used > 0 ? used : n;
			if (used > 0)
				ck_assert_uint_eq(at, ends[rows++]);
		}
		ck_assert_uint_eq(rows, 5);
	}
}
END_TEST

START_TEST(fields_are_written_with_quotes_where_they_must)
{
	const struct {
		const char *text, *written;
	} cases[] = {
		{"",     ""          },
		{"a b",  "a b"       },
		{"a,b",  "\"a,b\""   },
		{"a\"b", "\"a\"\"b\""},
		{"\"",   "\"\"\"\""  },
		{"a\nb", "\"a\nb\""  },
		{"a\rb", "\"a\rb\""  },
		{"a\tb", "a\tb"      },
	};
	struct buf out;

	buf_init(&out, BYTES);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		buf_reset(&out);
		csv_add_field(&out, span_of(cases[i].text), ',');
		buf_add_char(&out, '\0');
		ck_assert_str_eq(out.p, cases[i].written);
	}
	buf_fini(&out);
}
END_TEST

START_TEST(rows_become_objects)
{
	const struct {
		const char *row, *object; /* or why not */
	} cases[] = {
		{"1,\"2\",x",      "{\"a\":1,\"b\":\"2\",\"c \\\"d\\\"\":\"x\"}"       },
		{"-1.5e3,007,1.0", "{\"a\":-1.5e3,\"b\":\"007\",\"c \\\"d\\\"\":1.0}"  },
		{" 1,+1,.5",       "{\"a\":\" 1\",\"b\":\"+1\",\"c \\\"d\\\"\":\".5\"}"},
		{",\"\"\"\",\"\"", "{\"a\":\"\",\"b\":\"\\\"\",\"c \\\"d\\\"\":\"\"}"  },
		{"1,2",            "2 fields, the header has 3"                        },
		{"1",              "1 field, the header has 3"                         },
		{"1,2,3,4",        "4 fields, the header has 3"                        },
		{"1,\xff,3",       "invalid UTF-8 at byte 3"                           },
		{"1,\"2,3",        "a quote is not closed"                             },
	};
	char why[COLUMNS_WHY_SIZE];
	struct columns c;
	struct buf out;

	buf_init(&out, BYTES);
	columns_init(&c, ',', true);
	ck_assert(columns_read(&c, SPAN("a,b,\"c \"\"d\"\"\""), why));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		buf_reset(&out);
		if (columns_add_row(&c, span_of(cases[i].row), &out, why)) {
			buf_add_char(&out, '\0');
			ck_assert_str_eq(out.p, cases[i].object);
		} else {
			ck_assert_str_eq(why, cases[i].object);
		}
	}
	columns_fini(&c);
	buf_fini(&out);
}
END_TEST

START_TEST(headers_are_judged)
{
	const struct {
		const char *header, *why;
	} cases[] = {
		{"a,b,a",   "two columns are called \"a\""},
		{",",       "two columns are called \"\"" },
		{"a,\"b",   "a quote is not closed"       },
		{"a,\xc3(", "invalid UTF-8 at byte 3"     },
	};
	char why[COLUMNS_WHY_SIZE];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct columns c;

		columns_init(&c, ',', false);
		ck_assert(!columns_read(&c, span_of(cases[i].header), why));
		ck_assert_str_eq(why, cases[i].why);
		columns_fini(&c);
	}
}
END_TEST

int
main(void)
{
	TCase *t = tcase_create("csv");
	Suite *s = suite_create("csv");
	SRunner *r;
	int failed;

	tcase_add_test(t, the_rules_of_rfc_4180);
	tcase_add_test(t, a_row_ends_where_it_ends);
	tcase_add_test(t, fields_are_written_with_quotes_where_they_must);
	tcase_add_test(t, rows_become_objects);
	tcase_add_test(t, headers_are_judged);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed > 0;
}
