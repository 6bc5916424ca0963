/*
 * Queries: how each is read, by the text for MATCH that comes of it, and what is
 * refused and where. At random, over random records: the evaluation says what a
 * table of FTS5 with the same tokenizer says, and FTS5 never complains. A failure
 * names its seed; SYSRT_SEED repeats it.
 */

#include <check.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/xalloc.h"
#include "daemon/search/query.h"
#include "daemon/search/text.h"

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))
#define DOCS        150
#define QUERIES     600
#define MANY        20 /* times as many, in the long check */
#define TEXT_ROOM   1024

static sqlite3 *db;
static struct tokenizer *tokenizers[2];

static void
set_up(void)
{
	struct error error = ERROR_NONE;

	ck_assert_int_eq(sqlite3_open(":memory:", &db), SQLITE_OK);
	for (int kind = TOKENIZER_WORDS; kind <= TOKENIZER_TRIGRAM; kind++)
		ck_assert_msg(tokenizer_new(db, (enum tokenizer_kind)kind, &tokenizers[kind],
				      &error) == OK,
			"%s", error.text);
}

static void
tear_down(void)
{
	tokenizer_free(tokenizers[TOKENIZER_WORDS]);
	tokenizer_free(tokenizers[TOKENIZER_TRIGRAM]);
	ck_assert_int_eq(sqlite3_close(db), SQLITE_OK);
}

static void
assert_match_span(enum tokenizer_kind kind, struct span text, const char *want)
{
	struct error error = ERROR_NONE;
	struct query *q;

	ck_assert_msg(query_new(text, tokenizers[kind], &q, &error) == OK, "%.*s: %s",
		SPAN_FMT(text), error.text);
	ck_assert_msg(span_is(query_match_text(q), want), "%.*s: %.*s", SPAN_FMT(text),
		SPAN_FMT(query_match_text(q)));
	query_free(q);
}

static void
assert_match(enum tokenizer_kind kind, const char *text, const char *want)
{
	assert_match_span(kind, span_of(text), want);
}

static void
assert_error(enum tokenizer_kind kind, const char *text, enum err code, const char *want)
{
	struct error error = ERROR_NONE;
	struct query *q = NULL;

	ck_assert_msg(query_new(span_of(text), tokenizers[kind], &q, &error) == code, "%s: %s",
		text, error.text);
	ck_assert_msg(q == NULL && strcmp(error.text, want) == 0, "%s: %s", text, error.text);
}

static void
assert_refused(enum tokenizer_kind kind, const char *text, const char *want)
{
	assert_error(kind, text, ERR_INVALID_ARGUMENT, want);
}

START_TEST(a_query_is_read_as_people_mean_it)
{
	static const char *const cases[][2] = {
		{"one",                    "\"one\""					  },
		{"  one\ttwo\n",           "(\"one\" AND \"two\")"                            },
		{"one\u3000two\u00a0x",    "(\"one\" AND \"two\" AND \"x\")"                  },
		{"\"one two\"",            "\"one two\""                                      },
		{"\"one two",              "\"one two\""                                      },
		{"\"one\"\"two\"",         "(\"one\" AND \"two\")"                            },
		{"\"one\"two",             "(\"one\" AND \"two\")"                            },
		{"pre*",                   "\"pre\"*"					 },
		{"pre***",                 "\"pre\"*"					 },
		{"\"one pre\"*",           "\"one pre\"*"                                     },
		{"one OR two",             "(\"one\" OR \"two\")"                             },
		{"a b OR c d",             "((\"a\" AND \"b\") OR (\"c\" AND \"d\"))"         },
		{"a (b OR c) d",           "(\"a\" AND (\"b\" OR \"c\") AND \"d\")"           },
		{"a OR b OR c",            "(\"a\" OR \"b\" OR \"c\")"                        },
		{"or OR Or",               "(\"or\" OR \"Or\")"                               },
		{"\"OR\"",                 "\"OR\""					   },
		{"ORb",                    "\"ORb\""					  },
		{"a AND NOT b NEAR c",
                 "(\"a\" AND \"AND\" AND \"NOT\" AND \"b\" AND \"NEAR\" AND \"c\")"           },
		{"a -b",                   "((\"a\") NOT (\"b\"))"                            },
		{"-b a -c d",              "((\"a\" AND \"d\") NOT (\"b\" OR \"c\"))"         },
		{"a -\"b c\"",             "((\"a\") NOT (\"b c\"))"                          },
		{"a -(b c)",               "((\"a\") NOT ((\"b\" AND \"c\")))"                },
		{"a -(b OR c*)",           "((\"a\") NOT ((\"b\" OR \"c\"*)))"                },
		{"a -name:b",              "((\"a\") NOT (name:\"b\"))"                       },
		{"a - b --force",          "(\"a\" AND \"b\" AND \"--force\")"                },
		{"foo-bar 3.14",           "(\"foo-bar\" AND \"3.14\")"                       },
		{"name:one",               "name:\"one\""                                     },
		{"name:one*",              "name:\"one\"*"                                    },
		{"name:\"a phrase\"*",     "name:\"a phrase\"*"                               },
		{"name:(a OR b) c",        "((name:\"a\" OR name:\"b\") AND \"c\")"           },
		{"name: one",              "(\"name:\" AND \"one\")"                          },
		{"name:",                  "\"name:\""					},
		{"Name:x data:y :z a:",    "(\"Name:x\" AND \"data:y\" AND \":z\" AND \"a:\")"},
		{"name:name:x",            "name:\"name:x\""                                  },
		{"5\" disk",               "(\"5\"\"\" AND \"disk\")"                         },
		{"it\"s *a* b*c",          "(\"it\"\"s\" AND \"*a\"* AND \"b*c\")"            },
		{"printf(3) f(x,(y)) a)b", "(\"printf(3)\" AND \"f(x,(y))\" AND \"a)b\")"     },
		{"(printf(3) OR a)",       "(\"printf(3)\" OR \"a\")"                         },
		{"(a",                     "\"a\""					    },
		{"a)",                     "\"a)\""					   },
		{"((a))",                  "\"a\""					    },
		{"(a)b",                   "(\"a\" AND \"b\")"                                },
		{"((a) b)",                "(\"a\" AND \"b\")"                                },
		{"\360\237\230\200 a",     "\"a\""                                            },
		{"a -\360\237\230\200",    "\"a\""                                            },
		{"\360\237\230\200 OR a",  "\"a\""                                            },
		{"a :) * \" , \" +",       "\"a\""					    },
		{"a\xee\x80\x80"
		 "b",     "\"a\xef\xbf\xbd"
			"b\""                           },
		{"\u6771\u4eac \u0441*",   "(\"\u6771\u4eac\" AND \"\u0441\"*)"               },
	};

	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_match(TOKENIZER_WORDS, cases[i][0], cases[i][1]);
	assert_match_span(TOKENIZER_WORDS, SPAN("\"a\0b\" c\0d"), "(\"a b\" AND \"c\" AND \"d\")");
	assert_match(TOKENIZER_TRIGRAM, "ab abc \"a b\"", "(\"abc\" AND \"a b\")");
}
END_TEST

START_TEST(what_makes_no_sense_is_refused_with_its_place)
{
	static const char *const cases[][2] = {
		{"",                    "nothing to look for"					     },
		{" \t\u3000",           "nothing to look for"                                             },
		{"\360\237\230\200",    "nothing to look for: a term needs a letter or a digit"           },
		{"* + ()*",             "nothing in the parentheses at 5"                                 },
		{"* + :)*",             "nothing to look for: a term needs a letter or a digit"           },
		{"search \"\"",         "an empty phrase at 8"                                            },
		{"\u00fcber \"  \"",    "an empty phrase at 6"                                            },
		{"a \"",                "an empty phrase at 3"                                            },
		{"a name:\"\"",         "an empty phrase at 8"                                            },
		{"-a",                  "only exclusions at 1: add a word to look for"                    },
		{"a OR -b -c",          "only exclusions at 6: add a word to look for"                    },
		{"a (-b)",              "only exclusions at 4: add a word to look for"                    },
		{"\360\237\230\200 -a", "only exclusions at 1: add a word to look for"                    },
		{"OR",                  "nothing in front of the OR at 1 (the word itself goes in quotes)"},
		{"OR a",                "nothing in front of the OR at 1 (the word itself goes in quotes)"},
		{"a OR",                "nothing behind the OR at 3 (the word itself goes in quotes)"     },
		{"a OR OR b",           "nothing in front of the OR at 6 (the word itself goes in quotes)"},
		{"(a OR ) b",           "nothing behind the OR at 4 (the word itself goes in quotes)"     },
		{"a (OR b)",            "nothing in front of the OR at 4 (the word itself goes in quotes)"},
		{"a ( )",               "nothing in the parentheses at 3"                                 },
		{"a (",                 "nothing in the parentheses at 3"                                 },
		{"((((((((((((((((( a", "parentheses nested too deeply at 17"                             },
	};
	char text[QUERY_MAX_BYTES + 1];

	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_refused(TOKENIZER_WORDS, cases[i][0], cases[i][1]);
	assert_refused(TOKENIZER_TRIGRAM, "ab",
		"nothing to look for: a term needs at least three characters");
	memset(text, 'a', QUERY_MAX_BYTES + 1);
	ck_assert_int_eq(
		query_new((struct span){text, QUERY_MAX_BYTES + 1}, tokenizers[TOKENIZER_WORDS],
			&(struct query *){NULL}, &(struct error){.code = OK}),
		ERR_INVALID_ARGUMENT);
}
END_TEST

/** "a a a", in quotes or not. */
static void
write_words(char *text, size_t n, bool is_quoted)
{
	if (is_quoted)
		*text++ = '"';
	for (size_t i = 0; i < n; i++)
		memcpy(text + 2 * i, "a ", 2);
	text[2 * n - 1] = '\0';
}

START_TEST(too_much_is_refused)
{
	char text[QUERY_MAX_BYTES + 1], match[QUERY_MAX_BYTES + 3];

	write_words(text, QUERY_TERMS_MAX + 1, false);
	assert_error(TOKENIZER_WORDS, text, ERR_LIMIT_EXCEEDED, "more than 64 terms at 129");
	write_words(text, QUERY_TOKENS_MAX + 1, true);
	assert_error(TOKENIZER_WORDS, text, ERR_LIMIT_EXCEEDED, "more than 256 words at 2");
	write_words(text, QUERY_TOKENS_MAX, true);
	snprintf(match, sizeof(match), "%s\"", text);
	assert_match(TOKENIZER_WORDS, text, match);
	strcat(text, "\" -b");
	assert_error(TOKENIZER_WORDS, text, ERR_LIMIT_EXCEEDED, "more than 256 words at 516");
	memset(text, 'a', QUERY_MAX_BYTES);
	text[QUERY_MAX_BYTES] = '\0';
	assert_error(TOKENIZER_TRIGRAM, text, ERR_LIMIT_EXCEEDED,
		"more than 256 runs of three characters at 1");
	text[QUERY_TOKENS_MAX + 3] = '\0';
	assert_error(TOKENIZER_TRIGRAM, text, ERR_LIMIT_EXCEEDED,
		"more than 256 runs of three characters at 1");
	text[QUERY_TOKENS_MAX + 2] = '\0';
	snprintf(match, sizeof(match), "\"%s\"", text);
	assert_match(TOKENIZER_TRIGRAM, text, match);
}
END_TEST

START_TEST(the_longest_query_has_its_text)
{
	char text[QUERY_MAX_BYTES];
	struct error error = ERROR_NONE;
	struct query *q;

	memset(text, '"', sizeof(text));
	text[0] = 'a'; /* a word, then, of quotes that are all doubled */
	ck_assert(query_new((struct span){text, sizeof(text)}, tokenizers[TOKENIZER_WORDS], &q,
			  &error) == OK);
	ck_assert_uint_eq(query_match_text(q).n, 2 * sizeof(text) + 1);
	query_free(q);
}
END_TEST

/** Fills a record as the index would have it. */
static void
read_doc(struct query_doc *doc, struct tokenizer *tokenizer, const char *name, const char *data)
{
	struct error error = ERROR_NONE;

	for (int i = 0; i < QUERY_COLUMNS; i++)
		tokens_init(&doc->columns[i]);
	ck_assert(tokens_add(&doc->columns[QUERY_NAME], tokenizer, span_of(name), &error) == OK);
	ck_assert(tokens_add(&doc->columns[QUERY_DATA], tokenizer, span_of(data), &error) == OK);
}

static void
forget_doc(struct query_doc *doc)
{
	for (int i = 0; i < QUERY_COLUMNS; i++)
		tokens_fini(&doc->columns[i]);
}

START_TEST(the_places_of_terms_are_found)
{
	static const char name[] = "\u00dcber one", data[] = "one two over one two, one UBER";
	struct error error = ERROR_NONE;
	struct match found[8];
	struct query_doc doc;
	struct query *q;
	size_t n;

	read_doc(&doc, tokenizers[TOKENIZER_WORDS], name, data);
	ck_assert(query_new(SPAN("\"one two\" ube* -over name:one"), tokenizers[TOKENIZER_WORDS],
			  &q, &error) == OK);
	ck_assert(!query_matches(q, &doc));
	n = query_find(q, QUERY_NAME, &doc.columns[QUERY_NAME], found, COUNT_OF(found));
	ck_assert_uint_eq(n, 2);
	ck_assert(found[0].start == 0 && found[0].end == 5 && found[0].term == 1);
	ck_assert(found[1].start == 6 && found[1].end == 9 && found[1].term == 3);
	n = query_find(q, QUERY_DATA, &doc.columns[QUERY_DATA], found, COUNT_OF(found));
	ck_assert_uint_eq(n, 3);
	ck_assert(found[0].start == 0 && found[0].end == 7 && found[0].term == 0);
	ck_assert(found[1].start == 13 && found[1].end == 20 && found[1].term == 0);
	ck_assert(found[2].start == 26 && found[2].end == 30 && found[2].term == 1);
	ck_assert_uint_eq(query_find(q, QUERY_DATA, &doc.columns[QUERY_DATA], found, 1), 1);
	query_free(q);
	forget_doc(&doc);
}
END_TEST

START_TEST(a_trigram_is_where_it_stands)
{
	struct error error = ERROR_NONE;
	struct match found[2];
	struct query_doc doc;
	struct query *q;

	/* the small letter of U+1E9E has one byte less, that of U+023A one more */
	read_doc(&doc, tokenizers[TOKENIZER_TRIGRAM], "", "a\u1e9e\u023ab c");
	ck_assert(
		query_new(SPAN("\u00df\u2c65b"), tokenizers[TOKENIZER_TRIGRAM], &q, &error) == OK);
	ck_assert_uint_eq(query_find(q, QUERY_DATA, &doc.columns[QUERY_DATA], found, 2), 1);
	ck_assert(found[0].start == 1 && found[0].end == 7);
	query_free(q);
	forget_doc(&doc);
}
END_TEST

static const char *const words[] = {"alpha", "Alphabet", "al", "beta", "BETA", "gamma", "\u00dcber",
	"uber", "u\u0308ber", "na\u00efve", "naive", "\u6771\u4eac", "\u6771\u4eac\u90fd",
	"\u041f\u0440\u0438\u0432\u0435\u0442", "\u043f\u0440\u0438",
	"\u0645\u0631\u062d\u0628\u0627", "\u0939\u093f\u0928\u094d\u0926\u0940", "\u0130stanbul",
	"istanbul", "Stra\u00dfe", "strasse", "\u03a3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2",
	"\360\237\230\200", "\360\237\221\215ok", "3.14", "3", "14", "foo-bar", "foo", "bar",
	"a.b.c", "C++", "-5", "1e3", "OR", "or", "NOT", "and", "x\"y", "name:alpha", "it's", "(",
	")", "*", "--", "e", "a", "b", TEXT_SEPARATOR, "\u200b", "ab*cd", "\xc3", "\ufffd"};
static const char *const joints[] = {" ", " ", " ", " OR ", "\t", "", "\u3000", "-", ", ", " -"};

static unsigned
dice(unsigned n)
{
	return (unsigned)rand() % n;
}

static void
add(char *text, const char *more)
{
	if (strlen(text) + strlen(more) < TEXT_ROOM)
		strcat(text, more);
}

static void
random_text(char *text, unsigned words_max)
{
	text[0] = '\0';
	for (unsigned n = dice(words_max + 1); n > 0; n--) {
		add(text, words[dice(COUNT_OF(words))]);
		add(text, dice(8) == 0 ? "," : " ");
	}
	text_clean(text, strlen(text));
}

/** A term, or what looks like one. */
static void
add_random_term(char *text, unsigned depth)
{
	static const char *const fronts[] = {"", "", "", "", "-", "name:", "-name:", "(", "\""};
	const char *word = words[dice(COUNT_OF(words))];

	add(text, fronts[dice(COUNT_OF(fronts))]);
	if (dice(4) == 0) {
		add(text, "\"");
		for (unsigned n = 1 + dice(3); n > 0; n--) {
			add(text, words[dice(COUNT_OF(words))]);
			add(text, " ");
		}
		add(text, dice(20) > 0 ? "\"" : "");
	} else if (depth < 3 && dice(6) == 0) {
		add(text, "(");
		for (unsigned n = 1 + dice(3); n > 0; n--) {
			add_random_term(text, depth + 1);
			add(text, joints[dice(COUNT_OF(joints))]);
		}
		add(text, dice(20) > 0 ? ")" : "");
	} else if (dice(3) == 0) {
		char part[64];

		snprintf(part, sizeof(part), "%.*s*", (int)dice((unsigned)strlen(word) + 1), word);
		add(text, part);
	} else {
		add(text, word);
	}
}

static void
random_query(char *text)
{
	text[0] = '\0';
	for (unsigned n = 1 + dice(3); n > 0; n--) {
		add_random_term(text, 0);
		add(text, joints[dice(COUNT_OF(joints))]);
	}
}

static sqlite3_stmt *
prepare(const char *sql)
{
	sqlite3_stmt *st;

	ck_assert_msg(
		sqlite3_prepare_v2(db, sql, -1, &st, NULL) == SQLITE_OK, "%s", sqlite3_errmsg(db));
	return st;
}

/** Fills a table and the records beside it. */
static void
fill(enum tokenizer_kind kind, struct query_doc *docs)
{
	char name[TEXT_ROOM], data[TEXT_ROOM];
	char *sql = xasprintf("CREATE VIRTUAL TABLE docs USING fts5(name, data, tokenize = '%s')",
		tokenizer_option(kind));
	sqlite3_stmt *st;

	ck_assert_int_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	free(sql);
	st = prepare("INSERT INTO docs (rowid, name, data) VALUES (?1, ?2, ?3)");
	for (int i = 0; i < DOCS; i++) {
		random_text(name, 4);
		random_text(data, 25);
		read_doc(&docs[i], tokenizers[kind], name, data);
		sqlite3_bind_int(st, 1, i);
		sqlite3_bind_text(st, 2, name, -1, SQLITE_STATIC);
		sqlite3_bind_text(st, 3, data, -1, SQLITE_STATIC);
		ck_assert_int_eq(sqlite3_step(st), SQLITE_DONE);
		sqlite3_reset(st);
	}
	sqlite3_finalize(st);
}

/** Compares what both say of each record; returns how many match. */
static unsigned
compare(sqlite3_stmt *st, const struct query *q, const struct query_doc *docs, const char *text)
{
	struct span match = query_match_text(q);
	bool found[DOCS] = {false};
	unsigned n = 0;
	int rc;

	sqlite3_bind_text(st, 1, match.p, (int)match.n, SQLITE_STATIC);
	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		found[sqlite3_column_int(st, 0)] = true;
		n++;
	}
	ck_assert_msg(rc == SQLITE_DONE, "%s: %.*s: %s", text, SPAN_FMT(match), sqlite3_errmsg(db));
	sqlite3_reset(st);
	for (int i = 0; i < DOCS; i++)
		ck_assert_msg(query_matches(q, &docs[i]) == found[i], "%s: %.*s: record %d is %s",
			text, SPAN_FMT(match), i, found[i] ? "not found" : "found");
	return n;
}

static unsigned
seed_of(int i)
{
	const char *text = getenv("SYSRT_SEED");

	return text != NULL ? (unsigned)strtoul(text, NULL, 10) : (unsigned)i + 1;
}

START_TEST(it_matches_what_fts5_matches)
{
	enum tokenizer_kind kind = _i % 2 == 0 ? TOKENIZER_WORDS : TOKENIZER_TRIGRAM;
	unsigned seed = seed_of(_i), read = 0, some = 0;
	unsigned queries = getenv("SYSRT_LONG") != NULL ? MANY * QUERIES : QUERIES;
	struct query_doc docs[DOCS];
	sqlite3_stmt *st;

	printf("SYSRT_SEED=%u\n", seed);
	srand(seed);
	fill(kind, docs);
	st = prepare("SELECT rowid FROM docs WHERE docs MATCH ?1");
	for (unsigned i = 0; i < queries; i++) {
		struct error error = ERROR_NONE;
		char text[TEXT_ROOM];
		struct query *q;

		random_query(text);
		if (query_new(span_of(text), tokenizers[kind], &q, &error) != OK) {
			ck_assert_msg(error.code == ERR_INVALID_ARGUMENT, "%s", text);
			continue;
		}
		read++;
		some += compare(st, q, docs, text) > 0;
		query_free(q);
	}
	printf("of %u queries %u are read and %u find something\n", queries, read, some);
	ck_assert(read > queries / 2 && some > read / 4);
	sqlite3_finalize(st);
	for (int i = 0; i < DOCS; i++)
		forget_doc(&docs[i]);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("query");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_set_timeout(t, getenv("SYSRT_LONG") != NULL ? 600 : 30);
	tcase_add_test(t, a_query_is_read_as_people_mean_it);
	tcase_add_test(t, what_makes_no_sense_is_refused_with_its_place);
	tcase_add_test(t, too_much_is_refused);
	tcase_add_test(t, the_longest_query_has_its_text);
	tcase_add_test(t, the_places_of_terms_are_found);
	tcase_add_test(t, a_trigram_is_where_it_stands);
	tcase_add_loop_test(t, it_matches_what_fts5_matches, 0, 4);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
