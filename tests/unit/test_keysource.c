/* Where the vault's key comes from: which is taken, which is refused, and what is said. */

#include <check.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/guard/keysource.h"

#define BYTES  "0123456789abcdef0123456789abcdef"
#define DIGITS "3031323334353637383961626364656630313233343536373839616263646566"

static struct error error;
static char folder[64], path[96], credential[96];
static struct secret *key;
static const char *source;

static void
put(const char *at, const char *text, size_t n, mode_t mode)
{
	FILE *f = fopen(at, "wb");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(text, 1, n, f), n);
	ck_assert_int_eq(fclose(f), 0);
	ck_assert_int_eq(chmod(at, mode), 0);
}

static void
setup(void)
{
	snprintf(folder, sizeof(folder), "/tmp/test_keysource.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/key", folder);
	snprintf(credential, sizeof(credential), "%s/sysrt.key", folder);
	ck_assert_int_eq(unsetenv("CREDENTIALS_DIRECTORY"), 0);
	error = ERROR_NONE;
	key = NULL;
}

static void
teardown(void)
{
	secret_free(key);
	unlink(path);
	unlink(credential);
	rmdir(folder);
}

static void
expect_refusal(const char *why)
{
	ck_assert_int_eq(keysource_read(path, &key, &source, &error), ERR_CONFIG_ERROR);
	ck_assert_ptr_null(key);
	ck_assert_msg(strstr(error.text, why) != NULL, "%s", error.text);
	ck_assert_msg(strstr(error.text, "0123456789") == NULL, "%s", error.text);
	ck_assert_msg(strstr(error.text, "30313233") == NULL, "%s", error.text);
}

START_TEST(bytes_or_digits)
{
	static const struct span good[] = {
		{BYTES,         32},
                {DIGITS,        64},
                {DIGITS "\n",   65},
                {DIGITS "\r\n", 66}
        };

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		put(path, good[i].p, good[i].n, i % 2 == 0 ? 0600 : 0400);
		ck_assert_msg(keysource_read(path, &key, &source, &error) == OK, "%s", error.text);
		ck_assert(span_is(secret_span(key), BYTES));
		ck_assert_str_eq(source, "key_file");
		secret_free(key);
		key = NULL;
		unlink(path);
	}
}
END_TEST

START_TEST(what_is_no_key)
{
	static const struct span bad[] = {
		{"",			  0  },
                {BYTES,                       31 },
                {BYTES "\n",                  33 },
                {DIGITS,                      63 },
                {DIGITS "0",                  65 },
		{DIGITS " ",                  65 },
                {DIGITS DIGITS,               128},
                {DIGITS DIGITS DIGITS DIGITS, 256},
		{"x" DIGITS,                  64 }
        };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		put(path, bad[i].p, bad[i].n, 0600);
		expect_refusal("holds no key");
		unlink(path);
	}
	expect_refusal("there is no file");
	ck_assert_int_eq(mkdir(path, 0700), 0);
	expect_refusal("is no file");
	rmdir(path);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	expect_refusal("is no file");
}
END_TEST

START_TEST(who_may_read_it)
{
	static const mode_t modes[] = {0644, 0640, 0620, 0604, 0601, 0660};

	put(path, BYTES, 32, 0600);
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		ck_assert_int_eq(chmod(path, modes[i]), 0);
		expect_refusal("chmod 0400");
	}
	if (geteuid() != 0)
		return;
	ck_assert_int_eq(chmod(path, 0400), 0);
	ck_assert_int_eq(chown(path, 4711, 0), 0);
	expect_refusal("belongs to uid 4711: chown it");
}
END_TEST

START_TEST(the_credential_goes_first)
{
	put(path, "another key, of thirty-two bytes", 32, 0600);
	put(credential, BYTES, 32, 0444);
	ck_assert_int_eq(setenv("CREDENTIALS_DIRECTORY", folder, 1), 0);
	ck_assert_int_eq(keysource_read(path, &key, &source, &error), OK);
	ck_assert(span_is(secret_span(key), BYTES));
	ck_assert_str_eq(source, "credential");
	secret_free(key);
	key = NULL;
	/* One that is no key is not passed over. */
	put(credential, "", 0, 0400);
	expect_refusal("sysrt.key holds no key");
	unlink(credential);
	ck_assert_int_eq(keysource_read(path, &key, &source, &error), OK);
	ck_assert_str_eq(source, "key_file");
}
END_TEST

START_TEST(there_may_be_none)
{
	ck_assert_int_eq(keysource_read("", &key, &source, &error), OK);
	ck_assert_ptr_null(key);
	ck_assert_int_eq(setenv("CREDENTIALS_DIRECTORY", folder, 1), 0);
	ck_assert_int_eq(keysource_read("", &key, &source, &error), OK);
	ck_assert_ptr_null(key);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("keysource");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	if (sodium_init() < 0)
		return EXIT_FAILURE;
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, bytes_or_digits);
	tcase_add_test(t, what_is_no_key);
	tcase_add_test(t, who_may_read_it);
	tcase_add_test(t, the_credential_goes_first);
	tcase_add_test(t, there_may_be_none);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
