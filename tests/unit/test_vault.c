/*
 * The vault without a store: what is planned and taken over, and what it says to rows
 * that are not as it left them. The rows that a store would have are kept here.
 */

#include <check.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/xalloc.h"
#include "daemon/guard/vault_plan.h"

#define NOW 1000

static struct error error;
static struct safe_rows store;
static struct vault *vault;
static struct secret *first, *second;

static struct safe_row
dup_row(const struct safe_row *row)
{
	struct safe_row copy = *row;

	copy.name = xstrdup(row->name);
	copy.key = xstrdup(row->key);
	copy.value = xstrdup(row->value);
	return copy;
}

static struct safe_rows
dup_rows(const struct safe_rows *rows)
{
	struct safe_rows copy = {xnew_n(rows->n + 1, struct safe_row), rows->n};

	for (size_t i = 0; i < rows->n; i++)
		copy.v[i] = dup_row(&rows->v[i]);
	return copy;
}

static struct safe_row *
find(const char *name)
{
	for (size_t i = 0; i < store.n; i++)
		if (strcmp(store.v[i].name, name) == 0)
			return &store.v[i];
	return NULL;
}

static void
drop(const char *name)
{
	struct safe_row *row = find(name);

	if (row == NULL)
		return;
	safe_row_fini(row);
	*row = store.v[--store.n];
}

static void
stow(struct safe_row row)
{
	drop(row.name);
	store.v = xrealloc(store.v, store.n + 1, sizeof(row));
	store.v[store.n++] = row;
}

/** What the store would do with it, and the vault after that. */
static void
carry_out(struct vault_plan *plan)
{
	struct job *j = vault_plan_job(plan);

	ck_assert_int_eq(j->ops[0].if_seq, plan->before);
	ck_assert_uint_eq(j->ops_n, plan->puts.n + (plan->dropped != NULL));
	job_free(j);
	for (size_t i = 0; i < plan->puts.n; i++)
		stow(dup_row(&plan->puts.v[i]));
	if (plan->dropped != NULL)
		drop(plan->dropped);
	vault_commit(vault, plan);
}

static enum err
set(const char *name, const char *value)
{
	struct vault_plan plan;
	enum err e = vault_plan_set(
		vault, span_of(name), span_of(value), SEAL_XCHACHA20, NOW, &plan, &error);

	if (e == OK)
		carry_out(&plan);
	return e;
}

/** As after a restart, without a key. */
static void
reopen(void)
{
	struct safe_rows rows = dup_rows(&store);

	vault_free(vault);
	vault = vault_new(&rows);
}

static enum err
unlock(const struct secret *key)
{
	return vault_unlock(vault, secret_copy(secret_span(key)), "key_file", &error);
}

static void
setup(void)
{
	error = ERROR_NONE;
	store = (struct safe_rows){.v = NULL};
	first = seal_key_new();
	second = seal_key_new();
	reopen();
	ck_assert_int_eq(unlock(first), OK);
	ck_assert_int_eq(set("a", "the value of a"), OK);
	ck_assert_int_eq(set("b", "the value of b"), OK);
	ck_assert_int_eq(set("c", "the value of c"), OK);
}

static void
teardown(void)
{
	vault_free(vault);
	vault = NULL;
	safe_rows_fini(&store);
	secret_free(first);
	secret_free(second);
}

static void
expect_value(const char *name, const char *value, int64_t version)
{
	struct secret *s = NULL;
	const struct safe_row *row = NULL;

	ck_assert_msg(vault_reveal(vault, span_of(name), &s, &row, &error) == OK, "%s: %s", name,
		error.text);
	ck_assert_msg(span_is(secret_span(s), value), "%s", name);
	ck_assert_int_eq(row->version, version);
	secret_free(s);
}

static void
expect_fault(const char *name, enum err code, const char *why)
{
	struct secret *s = NULL;
	const struct safe_row *row = NULL;

	ck_assert_int_eq(vault_reveal(vault, span_of(name), &s, &row, &error), code);
	ck_assert_ptr_null(s);
	ck_assert_msg(strstr(error.text, why) != NULL, "%s", error.text);
	ck_assert_msg(strstr(error.text, "the value of") == NULL, "%s", error.text);
}

/** After a restart with the right key: this one is refused, and no other. */
static void
expect_one_fault(const char *name, const char *why)
{
	static const char *const names[] = {"a", "b", "c"};

	reopen();
	ck_assert_msg(unlock(first) == OK, "%s", error.text);
	for (size_t i = 0; i < 3; i++) {
		char value[32];

		snprintf(value, sizeof(value), "the value of %s", names[i]);
		if (strcmp(names[i], name) == 0)
			expect_fault(name, ERR_DATABASE_ERROR, why);
		else
			expect_value(names[i], value, 1);
	}
	ck_assert_uint_eq(vault_faults(vault), 1);
}

START_TEST(values_come_back)
{
	expect_value("a", "the value of a", 1);
	ck_assert_int_eq(set("a", "another"), OK);
	expect_value("a", "another", 2);
	expect_fault("d", ERR_NOT_FOUND, "there is no secret of the name d");
	reopen();
	expect_fault("a", ERR_VAULT_LOCKED, "vault.key_file");
	ck_assert_int_eq(vault_state(vault), VAULT_LOCKED);
	ck_assert_int_eq(unlock(first), OK);
	expect_value("a", "another", 2);
	expect_value("b", "the value of b", 1);
	ck_assert_uint_eq(vault_count(vault), 3);
	ck_assert_uint_eq(vault_faults(vault), 0);
	for (size_t i = 0; i < store.n; i++)
		ck_assert_ptr_null(strstr(store.v[i].value, "another"));
}
END_TEST

START_TEST(another_key_is_refused)
{
	reopen();
	ck_assert_int_eq(unlock(second), ERR_PERMISSION_DENIED);
	ck_assert_ptr_nonnull(strstr(error.text, "not that of this vault"));
	ck_assert_int_eq(vault_state(vault), VAULT_LOCKED);
	ck_assert_int_eq(unlock(first), OK);
	vault_lock(vault);
	expect_fault("a", ERR_VAULT_LOCKED, "");
}
END_TEST

START_TEST(removing)
{
	struct vault_plan plan;

	ck_assert_int_eq(vault_plan_remove(vault, SPAN("d"), NOW, &plan, &error), ERR_NOT_FOUND);
	ck_assert_int_eq(vault_plan_remove(vault, SPAN("b"), NOW, &plan, &error), OK);
	carry_out(&plan);
	expect_fault("b", ERR_NOT_FOUND, "b");
	reopen();
	ck_assert_int_eq(unlock(first), OK);
	expect_fault("b", ERR_NOT_FOUND, "b");
	expect_value("c", "the value of c", 1);
	ck_assert_uint_eq(vault_count(vault), 2);
}
END_TEST

START_TEST(rotating_seals_anew)
{
	char *key = xstrdup(find("a")->key), *value = xstrdup(find("a")->value);
	char *other = xstrdup(find("b")->value);
	struct vault_plan plan;

	ck_assert_int_eq(
		vault_plan_rotate(vault, SPAN("a"), SEAL_XCHACHA20, NOW + 1, &plan, &error), OK);
	ck_assert_uint_eq(plan.n, 1);
	carry_out(&plan);
	ck_assert_str_ne(find("a")->key, key);
	ck_assert_str_ne(find("a")->value, value);
	ck_assert_str_eq(find("b")->value, other);
	ck_assert_int_eq(find("a")->updated_at, NOW);
	ck_assert_int_eq(find("a")->sealed_at, NOW + 1);
	expect_value("a", "the value of a", 2);
	ck_assert_int_eq(
		vault_plan_rotate(vault, SPAN(""), SEAL_XCHACHA20, NOW + 2, &plan, &error), OK);
	ck_assert_uint_eq(plan.n, 3);
	carry_out(&plan);
	ck_assert_str_ne(find("b")->value, other);
	expect_value("a", "the value of a", 3);
	expect_value("b", "the value of b", 2);
	free(key);
	free(value);
	free(other);
}
END_TEST

START_TEST(another_key_seals_only_the_keys_anew)
{
	char *key = xstrdup(find("a")->key), *value = xstrdup(find("a")->value);
	struct vault_head head = vault_head_new(VAULT_BY_KEY, 0, 0);
	struct vault_plan plan;

	ck_assert_int_eq(vault_plan_rekey(vault, &head, secret_copy(secret_span(second)), "key",
				 NOW, &plan, &error),
		OK);
	ck_assert_uint_eq(plan.n, 3);
	carry_out(&plan);
	ck_assert_str_ne(find("a")->key, key);
	ck_assert_str_eq(find("a")->value, value);
	expect_value("a", "the value of a", 1);
	reopen();
	ck_assert_int_eq(unlock(first), ERR_PERMISSION_DENIED);
	ck_assert_int_eq(unlock(second), OK);
	expect_value("c", "the value of c", 1);
	free(key);
	free(value);
}
END_TEST

/** The store said no, or nothing at all. */
START_TEST(what_was_not_written_changed_nothing)
{
	struct vault_head head = vault_head_new(VAULT_BY_KEY, 0, 0);
	struct vault_plan plan;

	ck_assert_int_eq(vault_plan_set(vault, SPAN("a"), SPAN("another"), SEAL_XCHACHA20, NOW,
				 &plan, &error),
		OK);
	vault_plan_fini(&plan);
	ck_assert_int_eq(vault_plan_rekey(vault, &head, secret_copy(secret_span(second)), "key",
				 NOW, &plan, &error),
		OK);
	vault_plan_fini(&plan);
	expect_value("a", "the value of a", 1);
	reopen();
	ck_assert_int_eq(unlock(first), OK);
	expect_value("a", "the value of a", 1);
}
END_TEST

static void
swap(char **a, char **b)
{
	char *kept = *a;

	*a = *b;
	*b = kept;
}

START_TEST(rows_that_are_swapped)
{
	swap(&find("a")->key, &find("b")->key);
	swap(&find("a")->value, &find("b")->value);
	reopen();
	ck_assert_int_eq(unlock(first), OK);
	expect_fault("a", ERR_DATABASE_ERROR, "changed by another program");
	expect_fault("b", ERR_DATABASE_ERROR, "changed by another program");
	expect_value("c", "the value of c", 1);
	ck_assert_uint_eq(vault_faults(vault), 2);
}
END_TEST

START_TEST(names_that_are_swapped)
{
	swap(&find("a")->name, &find(SAFE_VAULT)->name);
	reopen();
	ck_assert_int_ne(unlock(first), OK);
}
END_TEST

START_TEST(an_older_version_that_is_put_back)
{
	struct safe_row old = dup_row(find("a"));

	ck_assert_int_eq(set("a", "the newer value"), OK);
	stow(old);
	expect_one_fault("a", "an older version, 1, was put back");
	/* It can be set anew, and is above all that there was. */
	ck_assert_int_eq(set("a", "the value of a"), OK);
	expect_value("a", "the value of a", 3);
	ck_assert_uint_eq(vault_faults(vault), 0);
}
END_TEST

START_TEST(an_older_list_that_is_put_back)
{
	struct safe_row old = dup_row(find(SAFE_VAULT));

	ck_assert_int_eq(set("a", "the newer value"), OK);
	ck_assert_int_eq(set("d", "one more"), OK);
	stow(old);
	reopen();
	ck_assert_int_eq(unlock(first), OK);
	expect_fault("a", ERR_DATABASE_ERROR, "an older list was put back");
	expect_fault("d", ERR_DATABASE_ERROR, "by another program");
	expect_value("b", "the value of b", 1);
}
END_TEST

START_TEST(a_row_that_is_gone)
{
	drop("a");
	expect_one_fault("a", "is gone from the store");
}
END_TEST

START_TEST(a_row_of_somebody_else)
{
	struct vault_plan plan;
	struct safe_row copy = dup_row(find("a"));

	free(copy.name);
	copy.name = xstrdup("d");
	stow(copy);
	reopen();
	ck_assert_int_eq(unlock(first), OK);
	expect_fault("d", ERR_DATABASE_ERROR, "by another program");
	ck_assert_uint_eq(vault_faults(vault), 1);
	ck_assert_int_eq(vault_plan_remove(vault, SPAN("d"), NOW, &plan, &error), OK);
	carry_out(&plan);
	ck_assert_uint_eq(vault_faults(vault), 0);
	expect_value("a", "the value of a", 1);
}
END_TEST

/** Every character of the texts of a secret, and every number. */
START_TEST(anything_that_is_changed)
{
	struct safe_row *row = find("a");
	char *texts[] = {row->key, row->value};
	int64_t *numbers[] = {&row->version, &row->created_at, &row->updated_at, &row->sealed_at};

	for (size_t i = 0; i < 2; i++) {
		for (char *at = texts[i]; *at != '\0'; at++) {
			char kept = *at;

			*at = kept == 'A' ? 'B' : 'A';
			expect_one_fault("a", "");
			*at = kept;
		}
	}
	for (size_t i = 0; i < 4; i++) {
		(*numbers[i])++;
		expect_one_fault("a", "");
		(*numbers[i])--;
	}
	reopen();
	ck_assert_int_eq(unlock(first), OK);
	ck_assert_uint_eq(vault_faults(vault), 0);
}
END_TEST

/** Of the vault's own row: nothing opens, and it says why. */
START_TEST(anything_that_is_changed_in_the_list)
{
	struct safe_row *row = find(SAFE_VAULT);
	char *texts[] = {row->key, row->value};

	for (size_t i = 0; i < 2; i++) {
		for (char *at = texts[i]; *at != '\0'; at++) {
			char kept = *at;

			*at = kept == 'A' ? 'B' : 'A';
			reopen();
			ck_assert_int_ne(unlock(first), OK);
			ck_assert_str_ne(error.text, "");
			expect_fault("a",
				vault_head(vault) != NULL ? ERR_VAULT_LOCKED : ERR_DATABASE_ERROR,
				"");
			*at = kept;
		}
	}
	row->version++;
	reopen();
	ck_assert_int_eq(unlock(first), ERR_DATABASE_ERROR);
	row->version--;
	drop(SAFE_VAULT);
	reopen();
	ck_assert_int_eq(unlock(first), OK);
	expect_fault("a", ERR_DATABASE_ERROR, "by another program");
	ck_assert_int_eq(set("d", "x"), ERR_DATABASE_ERROR);
	ck_assert_ptr_nonnull(strstr(error.text, "is gone from the store"));
}
END_TEST

START_TEST(nothing_is_given_another_key_while_something_is_wrong)
{
	struct vault_head head = vault_head_new(VAULT_BY_KEY, 0, 0);
	struct vault_plan plan;

	drop("b");
	reopen();
	ck_assert_int_eq(unlock(first), OK);
	ck_assert_int_eq(vault_plan_rekey(vault, &head, secret_copy(secret_span(second)), "key",
				 NOW, &plan, &error),
		ERR_DATABASE_ERROR);
	ck_assert_int_eq(vault_plan_rotate(vault, SPAN(""), SEAL_XCHACHA20, NOW, &plan, &error),
		ERR_DATABASE_ERROR);
	expect_value("a", "the value of a", 1);
}
END_TEST

/** Writes the answer of a test as JSON. */
static enum err
test(const char *name, struct buf *out)
{
	struct safe_rows rows = dup_rows(&store);
	struct json_out o;

	buf_reset(out);
	o = json_out_start(out);
	return vault_test(vault, &rows, span_of(name), &o, &error);
}

START_TEST(a_test_reads_anew)
{
	struct buf out;
	struct safe_row old = dup_row(find("a"));
	struct safe_rows before = dup_rows(&store);

	buf_init(&out, SIZE_MAX / 2);
	ck_assert_int_eq(test("a", &out), OK);
	ck_assert(
		span_is(buf_span(&out), "\"items\":[{\"name\":\"a\",\"version\":1,\"ok\":true}]"));
	ck_assert_int_eq(test("d", &out), ERR_NOT_FOUND);
	ck_assert_int_eq(set("a", "the newer value"), OK);
	stow(old);
	ck_assert_int_eq(test("", &out), OK);
	buf_add_char(&out, '\0');
	ck_assert_ptr_nonnull(
		strstr(out.p, "{\"name\":\"a\",\"version\":1,\"ok\":false,\"error\":\""));
	ck_assert_ptr_nonnull(strstr(out.p, "{\"name\":\"c\",\"version\":1,\"ok\":true}"));
	safe_rows_fini(&store);
	store = before;
	ck_assert_int_eq(test("", &out), ERR_DATABASE_ERROR);
	ck_assert_ptr_nonnull(strstr(error.text, "or an older one, was put in its place"));
	buf_fini(&out);
}
END_TEST

START_TEST(a_passphrase)
{
	struct vault_head head = vault_head_new(VAULT_BY_PASSPHRASE, 1, 8192), back;
	struct secret *phrase = secret_copy(SPAN("correct horse"));
	struct secret *wrong = secret_copy(SPAN("correct hors"));
	struct secret *key = vault_head_stretch(&head, phrase);
	struct vault_plan plan;
	char text[VAULT_HEAD_SIZE];

	safe_rows_fini(&store);
	reopen();
	ck_assert_int_eq(vault_state(vault), VAULT_NONE);
	expect_fault("a", ERR_VAULT_LOCKED, "there is no vault yet");
	ck_assert_int_eq(
		vault_plan_create(vault, &head, key, "passphrase", NOW, &plan, &error), OK);
	carry_out(&plan);
	ck_assert_int_eq(set("a", "the value of a"), OK);
	reopen();
	expect_fault("a", ERR_VAULT_LOCKED, "sysrtctl vault unlock");
	head = *vault_head(vault);
	ck_assert_int_eq(head.memory, 8192);
	key = vault_head_stretch(&head, wrong);
	ck_assert_int_eq(vault_unlock(vault, key, "passphrase", &error), ERR_PERMISSION_DENIED);
	ck_assert_str_eq(error.text, "the passphrase is not that of this vault");
	key = vault_head_stretch(&head, phrase);
	ck_assert_int_eq(vault_unlock(vault, key, "passphrase", &error), OK);
	expect_value("a", "the value of a", 1);
	ck_assert_int_eq(vault_plan_create(vault, &head, secret_copy(secret_span(first)), "key",
				 NOW, &plan, &error),
		ERR_CONFLICT);
	head.memory = VAULT_MEMORY_MAX + 1;
	vault_head_write(&head, text);
	ck_assert_int_eq(vault_head_read(span_of(text), &back, &error), ERR_DATABASE_ERROR);
	secret_free(phrase);
	secret_free(wrong);
}
END_TEST

START_TEST(there_may_be_so_many)
{
	char name[16];

	for (int i = 3; i < ROSTER_MAX; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		ck_assert_int_eq(set(name, "x"), OK);
	}
	ck_assert_int_eq(set("one-more", "x"), ERR_LIMIT_EXCEEDED);
	ck_assert_int_eq(set("n5", "y"), OK);
	reopen();
	ck_assert_int_eq(unlock(first), OK);
	ck_assert_uint_eq(vault_count(vault), ROSTER_MAX);
	expect_value("n5", "y", 2);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("vault");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	if (sodium_init() < 0)
		return EXIT_FAILURE;
	tcase_set_timeout(t, 20);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, values_come_back);
	tcase_add_test(t, another_key_is_refused);
	tcase_add_test(t, removing);
	tcase_add_test(t, rotating_seals_anew);
	tcase_add_test(t, another_key_seals_only_the_keys_anew);
	tcase_add_test(t, what_was_not_written_changed_nothing);
	tcase_add_test(t, rows_that_are_swapped);
	tcase_add_test(t, names_that_are_swapped);
	tcase_add_test(t, an_older_version_that_is_put_back);
	tcase_add_test(t, an_older_list_that_is_put_back);
	tcase_add_test(t, a_row_that_is_gone);
	tcase_add_test(t, a_row_of_somebody_else);
	tcase_add_test(t, anything_that_is_changed);
	tcase_add_test(t, anything_that_is_changed_in_the_list);
	tcase_add_test(t, nothing_is_given_another_key_while_something_is_wrong);
	tcase_add_test(t, a_test_reads_anew);
	tcase_add_test(t, a_passphrase);
	suite_add_tcase(s, t);
	t = tcase_create("many");
	tcase_set_tags(t, "not-under-valgrind");
	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, there_may_be_so_many);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
