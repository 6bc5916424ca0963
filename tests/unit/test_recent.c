/*
 * The newest records in memory, against looking at each of them.
 */

#include <check.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/xalloc.h"
#include "daemon/search/follow.h"
#include "daemon/search/query_recent.h"
#include "daemon/store/migrate.h"
#include "daemon/store/sql.h"

static sqlite3 *db;
static struct tokenizer *words;
static struct recent recent;
static struct query_doc doc;
static uint64_t rng;

static void
setup(void)
{
	ck_assert_int_eq(sqlite3_open(":memory:", &db), SQLITE_OK);
	ck_assert_int_eq(tokenizer_new(db, TOKENIZER_WORDS, &words, NULL), OK);
	recent_init(&recent);
	for (int i = 0; i < QUERY_COLUMNS; i++)
		tokens_init(&doc.columns[i]);
	rng = 42;
}

static void
teardown(void)
{
	recent_fini(&recent);
	for (int i = 0; i < QUERY_COLUMNS; i++)
		tokens_fini(&doc.columns[i]);
	tokenizer_free(words);
	sqlite3_close(db);
}

static unsigned
pick(unsigned n)
{
	rng = rng * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (unsigned)(rng >> 33) % n;
}

static void
take_apart(const char *name, const char *data)
{
	tokens_reset(&doc.columns[QUERY_NAME]);
	tokens_reset(&doc.columns[QUERY_DATA]);
	ck_assert_int_eq(tokens_add(&doc.columns[QUERY_NAME], words, span_of(name), NULL), OK);
	ck_assert_int_eq(tokens_add(&doc.columns[QUERY_DATA], words, span_of(data), NULL), OK);
}

static void
add(int64_t seq, const char *name, const char *data)
{
	take_apart(name, data);
	recent_add(&recent, seq, &doc);
}

static struct query *
query_of(const char *text)
{
	struct query *q;

	ck_assert_int_eq(query_new(span_of(text), words, &q, NULL), OK);
	return q;
}

static bool
has(const struct recent_bits *bits, uint32_t i)
{
	return bits->v[i / 64] >> i % 64 & 1;
}

START_TEST(counts_are_told_per_column)
{
	struct query *q = query_of("red -sea");
	struct query_phrase phrases[QUERY_TERMS_MAX];
	struct recent_count c;

	add(7, "red", "a red house, a red door");
	add(9, "blue", "the red sea");
	ck_assert_uint_eq(query_phrases(q, phrases), 2);
	ck_assert(!phrases[0].is_excluded && phrases[1].is_excluded);
	c = query_recent_count(q, &phrases[0], &recent, recent.newest, 0);
	ck_assert_uint_eq(c.name, 1);
	ck_assert_uint_eq(c.data, 2);
	c = query_recent_count(q, &phrases[1], &recent, recent.newest, 0);
	ck_assert_uint_eq(c.name + c.data, 0);
	ck_assert_uint_eq(query_recent_docs(q, &phrases[0], &recent), 2);
	ck_assert_uint_eq(recent.newest->docs[0].tokens_n, 7);
	ck_assert_uint_eq(recent.tokens_n, 11);
	query_free(q);
}
END_TEST

START_TEST(a_segment_goes_when_all_of_it_is_in_the_index)
{
	for (int64_t seq = 1; seq <= RECENT_DOCS + 1; seq++)
		add(seq, "name", "word");
	ck_assert_ptr_ne(recent.newest, recent.oldest);
	recent_drop(&recent, RECENT_DOCS - 1);
	ck_assert_uint_eq(recent.docs_n, RECENT_DOCS + 1);
	recent_drop(&recent, RECENT_DOCS);
	ck_assert_ptr_eq(recent.newest, recent.oldest);
	ck_assert_uint_eq(recent.docs_n, 1);
	recent_clear(&recent);
	ck_assert_uint_eq(recent.docs_n + recent.tokens_n + recent.nbytes, 0);
	ck_assert_ptr_null(recent.newest);
}
END_TEST

START_TEST(a_term_that_is_very_often_in_a_record)
{
	static char text[40000];
	struct query *q = query_of("w");
	struct query_phrase phrases[QUERY_TERMS_MAX];

	for (size_t i = 0; i + 2 < sizeof(text); i += 2)
		memcpy(text + i, "w ", 2);
	add(1, "n", text);
	query_phrases(q, phrases);
	ck_assert_uint_eq(query_recent_count(q, &phrases[0], &recent, recent.newest, 0).data, 1023);
	ck_assert_uint_eq(query_recent_count(q, &phrases[0], &recent, recent.newest, 0).name, 0);
	query_free(q);
}
END_TEST

#define RECORDS_N 500

static char *texts[RECORDS_N][QUERY_COLUMNS];

static char *
random_text(void)
{
	static const char *const parts[] = {"amber", "ambit", "birch", "cedar", "delta", "ember"};
	char text[256] = "";
	unsigned n = pick(8);

	for (unsigned i = 0; i < n; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s ", parts[pick(6)]);
	snprintf(text + strlen(text), sizeof(text) - strlen(text), "n%u", pick(2000));
	return strdup(text);
}

/** What is selected is what query_matches() says, or, when that is told, more. */
static void
judge(const char *text)
{
	struct query *q = query_of(text);
	struct recent_bits bits;
	bool is_exact = query_select(q, &recent, recent.newest, &bits);
	unsigned more = 0;

	for (uint32_t i = 0; i < RECORDS_N; i++) {
		bool matches;

		take_apart(texts[i][QUERY_NAME], texts[i][QUERY_DATA]);
		matches = query_matches(q, &doc);
		if (matches)
			ck_assert_msg(has(&bits, i), "%s leaves out %u", text, i);
		else
			more += has(&bits, i);
	}
	ck_assert_msg(more == 0 || !is_exact, "%s gives %u too many", text, more);
	query_free(q);
}

START_TEST(selects_what_matches)
{
	static const char *const queries[] = {"amber", "amber birch", "amber OR cedar",
		"amber -birch", "amb*", "\"amber birch\"", "name:amber", "name:\"birch cedar\"",
		"amber -\"birch cedar\"", "(amber OR delta) -(birch ember)", "\"amber bir\"*",
		"n1*", "nothing", "name:amb* -name:cedar", "amber -nothing"};

	for (uint32_t i = 0; i < RECORDS_N; i++) {
		for (int column = 0; column < QUERY_COLUMNS; column++)
			texts[i][column] = random_text();
		add(i + 1, texts[i][QUERY_NAME], texts[i][QUERY_DATA]);
	}
	for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++)
		judge(queries[i]);
	for (uint32_t i = 0; i < RECORDS_N; i++)
		for (int column = 0; column < QUERY_COLUMNS; column++)
			free(texts[i][column]);
}
END_TEST

#define FOLDER "/tmp/test_recent.XXXXXX"

/** A store of five records. */
static void
make_store(const char *path, const struct conf *conf)
{
	struct error error = ERROR_NONE;
	sqlite3 *store;

	ck_assert_int_eq(sql_open(path, SQL_WRITER, conf, &store, &error), OK);
	ck_assert_int_eq(migrate_to(store, migrate_newest(), &error), OK);
	for (int seq = 1; seq <= 5; seq++) {
		char *sql = xasprintf("INSERT INTO records (seq, category, id, name, data, rev, "
				      "created_at, updated_at) "
				      "VALUES (%d, 'c', %d, 'n', '\"word\"', 1, 1, 1)",
			seq, seq);

		ck_assert_msg(sql_exec(store, sql, &error) == OK, "%s", error.text);
		free(sql);
	}
	sql_close(store);
}

START_TEST(a_tail_that_is_full_does_not_grow)
{
	char folder[] = FOLDER, path[sizeof(FOLDER) + 9];
	struct conf conf = {.store = {.cache_bytes = 1 << 20}};
	struct kinds *kinds = kinds_new(SPAN("words *\n"));
	struct error error = ERROR_NONE;
	struct follow f;

	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/sysrt.db", folder);
	make_store(path, &conf);
	ck_assert_msg(follow_open(&f, path, &conf, &error) == OK, "%s", error.text);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(follow_begin(&f, &error), OK);
		ck_assert_int_eq(follow_catch_up(&f, 0, kinds, 1, &error), ERR_UNAVAILABLE);
		ck_assert_uint_eq(follow_records(&f), 1);
		follow_end(&f);
	}
	ck_assert_int_eq(follow_begin(&f, &error), OK);
	ck_assert_int_eq(follow_catch_up(&f, 0, kinds, UINT64_MAX, &error), OK);
	ck_assert_uint_eq(follow_records(&f), 5);
	follow_end(&f);
	follow_close(&f);
	kinds_free(kinds);
	for (int i = 0; i < 3; i++) {
		char *name = xasprintf("%s%s", path, (const char *const[]){"", "-wal", "-shm"}[i]);

		unlink(name);
		free(name);
	}
	rmdir(folder);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("recent");
	TCase *t = tcase_create("recent");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, counts_are_told_per_column);
	tcase_add_test(t, a_segment_goes_when_all_of_it_is_in_the_index);
	tcase_add_test(t, a_term_that_is_very_often_in_a_record);
	tcase_add_test(t, selects_what_matches);
	tcase_add_test(t, a_tail_that_is_full_does_not_grow);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed > 0;
}
