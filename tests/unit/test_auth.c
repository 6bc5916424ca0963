/*
 * Tokens whose time is up: their names are free again, in memory as in the store, and
 * they are forgotten after a while.
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/guard/auth.h"
#include "daemon/store/apply.h"
#include "daemon/store/migrate.h"
#include "daemon/store/sql.h"

#define NOW INT64_C(1700000000000)

static char folder[64];
static char path[96];
static struct conf conf;
static sqlite3 *db;
static struct apply *apply;
static struct auth *auth;

static void
read_auth(void)
{
	struct error error = ERROR_NONE;
	struct grant_list list;

	auth_free(auth);
	ck_assert_int_eq(grants_read(path, &list, &error), OK);
	auth = auth_new(&list);
	grant_list_fini(&list);
}

static void
setup(void)
{
	struct error error = ERROR_NONE;

	snprintf(folder, sizeof(folder), "/tmp/test_auth.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/sysrt.db", folder);
	conf = (struct conf){.store = {.cache_bytes = 1 << 20}};
	ck_assert_msg(sql_open(path, SQL_WRITER, &conf, &db, &error) == OK, "%s", error.text);
	ck_assert_msg(migrate_to(db, migrate_newest(), &error) == OK, "%s", error.text);
	ck_assert_msg(apply_new(db, &apply, &error) == OK, "%s", error.text);
	read_auth();
}

static void
teardown(void)
{
	char command[128];

	auth_free(auth);
	auth = NULL;
	apply_free(apply);
	sql_close(db);
	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	ck_assert_int_eq(system(command), 0);
}

/** What the writer does with an operation, and the loop with one that is done. */
static enum err
run(struct op *op, bool *has_revoked)
{
	struct error error = ERROR_NONE;
	enum err e = apply_op(apply, op, &error);

	*has_revoked = e == OK && auth_take(auth, op);
	return e;
}

/** Grants a token whose hash begins with the digit. */
static enum err
grant(const char *name, char digit, int64_t now_ms, int64_t expires_at)
{
	char hash[TOKEN_HASH_SIZE];
	bool has_revoked;
	struct op op = {.kind = OP_GRANT,
		.name = span_of(name),
		.data = SPAN("read"),
		.now_ms = now_ms,
		.expires_at = expires_at};

	memset(hash, digit, sizeof(hash) - 1);
	hash[sizeof(hash) - 1] = '\0';
	op.id = span_of(hash);
	return run(&op, &has_revoked);
}

static int64_t
expiry_of(const char *name)
{
	const struct auth_token *t = auth_find_name(auth, span_of(name));

	return t != NULL ? t->expires_at : -1;
}

START_TEST(test_a_name_is_free_when_its_time_is_up)
{
	struct auth_token *old;
	struct error error = ERROR_NONE;

	ck_assert_int_eq(grant("t", '1', NOW, NOW + 10), OK);
	ck_assert_int_eq(grant("t", '2', NOW + 9, NOW + 20), ERR_CONFLICT);
	old = auth_token_ref(auth_find_name(auth, SPAN("t")));
	ck_assert_int_eq(grant("t", '2', NOW + 10, NOW + 20), OK);
	ck_assert_uint_eq(auth_count(auth), 1);
	ck_assert_int_eq(expiry_of("t"), NOW + 20);
	ck_assert_int_eq(auth_token_check(old, NOW + 10, &error), ERR_UNAUTHENTICATED);
	ck_assert_ptr_nonnull(strstr(error.text, "expired"));
	auth_token_unref(old);
	read_auth();
	ck_assert_uint_eq(auth_count(auth), 1);
	ck_assert_int_eq(expiry_of("t"), NOW + 20);
	ck_assert_int_eq(grant("t", '3', NOW + 20, 0), OK);
	ck_assert_int_eq(grant("t", '4', INT64_MAX, 0), ERR_CONFLICT);
}
END_TEST

START_TEST(test_they_are_forgotten_after_a_while)
{
	struct job *j;
	bool has_revoked;

	ck_assert_int_eq(grant("old", '1', NOW, NOW + 10), OK);
	ck_assert_int_eq(grant("young", '2', NOW, NOW + 11), OK);
	ck_assert_int_eq(grant("eternal", '3', NOW, 0), OK);
	ck_assert_ptr_null(auth_tidy(auth, NOW + 9 + AUTH_EXPIRED_MS));
	auth_find_name(auth, SPAN("young"))->used_at = NOW + 5;
	j = auth_tidy(auth, NOW + 10 + AUTH_EXPIRED_MS);
	ck_assert_ptr_nonnull(j);
	ck_assert_uint_eq(j->ops_n, 2);
	ck_assert_int_eq(run(&j->ops[0], &has_revoked), OK);
	ck_assert(!has_revoked);
	ck_assert_int_eq(run(&j->ops[1], &has_revoked), OK);
	ck_assert(has_revoked);
	job_free(j);
	for (int i = 0; i < 2; i++) {
		ck_assert_uint_eq(auth_count(auth), 2);
		ck_assert_int_eq(expiry_of("old"), -1);
		ck_assert_int_eq(expiry_of("young"), NOW + 11);
		ck_assert_int_eq(auth_find_name(auth, SPAN("young"))->used_at, NOW + 5);
		ck_assert_int_eq(expiry_of("eternal"), INT64_MAX);
		ck_assert_ptr_null(auth_tidy(auth, NOW + 10 + AUTH_EXPIRED_MS));
		read_auth();
	}
}
END_TEST

/** Among so many that each chain has several. */
START_TEST(test_one_is_found_by_its_name)
{
	char name[32], text[TOKEN_TEXT_SIZE], hash[TOKEN_HASH_SIZE];
	struct error error = ERROR_NONE;
	struct op op = {.data = SPAN("read"), .now_ms = NOW};

	for (int i = 0; i < 5000; i++) {
		token_make(text);
		ck_assert_int_eq(auth_hash(auth, span_of(text), hash, &error), OK);
		snprintf(name, sizeof(name), "token-%d", i);
		op.kind = OP_GRANT;
		op.name = span_of(name);
		op.id = span_of(hash);
		ck_assert(!auth_take(auth, &op));
	}
	op.kind = OP_WITHDRAW;
	for (int i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "token-%d", i);
		op.name = span_of(name);
		ck_assert_str_eq(auth_find_name(auth, op.name)->name, name);
		if (i % 2 == 0)
			ck_assert(auth_take(auth, &op));
	}
	ck_assert_uint_eq(auth_count(auth), 2500);
	for (int i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "token-%d", i);
		ck_assert_int_eq(auth_find_name(auth, span_of(name)) != NULL, i % 2);
	}
	op.name = span_of("token-0");
	ck_assert(!auth_take(auth, &op));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("auth");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_a_name_is_free_when_its_time_is_up);
	tcase_add_test(t, test_they_are_forgotten_after_a_while);
	tcase_add_test(t, test_one_is_found_by_its_name);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
