/*
 * Sealed bytes by both ciphers: they come back; any bit that flips, another length,
 * name, version, purpose or key is refused; no two seals are equal. And the memory that
 * secrets are in: locked, and not part of a core.
 */

#include <check.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/guard/seal.h"

static const enum seal_cipher both[] = {SEAL_XCHACHA20, SEAL_AES256GCM};
static const struct seal_for what = {
	"value", {"feeds/one", 9},
         7
};
static struct error error;
static struct secret *key;
static struct buf sealed;
static enum seal_cipher cipher;

static void
setup(void)
{
	error = ERROR_NONE;
	key = seal_key_new();
	buf_init(&sealed, SIZE_MAX / 2);
}

static void
teardown(void)
{
	secret_free(key);
	buf_fini(&sealed);
}

/** Seals with the cipher of the loop's number; false where the processor does not have it. */
static bool
make(int i, struct span plain)
{
	cipher = both[i];
	if (cipher == SEAL_AES256GCM && !seal_has_aes())
		return false;
	buf_reset(&sealed);
	seal_make(cipher, key, &what, plain, &sealed);
	ck_assert(!sealed.failed);
	return true;
}

static void
expect_refusal(const struct secret *with, const struct seal_for *as, const char *why)
{
	struct secret *plain = NULL;

	ck_assert_int_eq(
		seal_open(with, as, buf_span(&sealed), &plain, &error), ERR_DATABASE_ERROR);
	ck_assert_ptr_null(plain);
	ck_assert_msg(strstr(error.text, why) != NULL, "%s", error.text);
}

START_TEST(it_comes_back)
{
	static const size_t sizes[] = {0, 1, 15, 16, 17, 1000, SEAL_PLAIN_MAX};
	char *text = calloc(1, SEAL_PLAIN_MAX);

	randombytes_buf(text, SEAL_PLAIN_MAX);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct span plain = {text, sizes[i]};
		struct secret *back = NULL;
		enum seal_cipher told;

		if (!make(_i, plain))
			break;
		ck_assert_msg(seal_open(key, &what, buf_span(&sealed), &back, &error) == OK, "%s",
			error.text);
		ck_assert(span_eq(secret_span(back), plain));
		ck_assert_int_eq(seal_read_cipher(buf_span(&sealed), &told, &error), OK);
		ck_assert_int_eq(told, cipher);
		ck_assert(sizes[i] < 16 || memmem(sealed.p, sealed.n, text, sizes[i]) == NULL);
		secret_free(back);
	}
	free(text);
}
END_TEST

START_TEST(no_two_are_equal)
{
	struct buf first;

	if (!make(_i, SPAN("the same")))
		return;
	buf_init(&first, SIZE_MAX / 2);
	buf_add_span(&first, buf_span(&sealed));
	make(_i, SPAN("the same"));
	ck_assert(!span_eq(buf_span(&first), buf_span(&sealed)));
	buf_fini(&first);
}
END_TEST

START_TEST(every_bit_counts)
{
	if (!make(_i, SPAN("a value that nobody may change")))
		return;
	for (size_t bit = 0; bit < 8 * sealed.n; bit++) {
		sealed.p[bit / 8] ^= (char)(1 << bit % 8);
		expect_refusal(key, &what, bit < 16 ? "" : "it does not open");
		sealed.p[bit / 8] ^= (char)(1 << bit % 8);
	}
}
END_TEST

START_TEST(every_length_counts)
{
	size_t n;

	if (!make(_i, SPAN("a value")))
		return;
	n = sealed.n;
	for (sealed.n = 0; sealed.n < n; sealed.n++)
		expect_refusal(key, &what, "");
	sealed.n = n;
	buf_add_char(&sealed, 'x');
	expect_refusal(key, &what, "it does not open");
	for (size_t i = sealed.n; i <= SEAL_MAX; i++)
		buf_add_char(&sealed, 'x');
	expect_refusal(key, &what, "bytes, which cannot be");
}
END_TEST

START_TEST(what_is_bound_in_counts)
{
	static const struct seal_for others[] = {
		{"value", {"feeds/two", 9},   7},
		{"value", {"feeds/on", 8},    7},
		{"value", {"feeds/one/", 10}, 7},
		{"value", {"feeds/one", 9},   6},
		{"key",   {"feeds/one", 9},   7},
		{"value", {"", 0},            7},
	};
	struct secret *other = seal_key_new();

	if (make(_i, SPAN("a value"))) {
		for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
			expect_refusal(key, &others[i], "another name, version or key");
		expect_refusal(other, &what, "another name, version or key");
	}
	secret_free(other);
}
END_TEST

/** As the kernel tells of the mapping that an address is in: "lo" is locked, "dd" is left out of
 * cores. */
static void
read_flags(const void *address, char flags[512])
{
	FILE *f = fopen("/proc/self/smaps", "r");
	unsigned long from, to, at = (unsigned long)(uintptr_t)address;
	char line[512];
	bool is_in = false;

	flags[0] = '\0';
	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			is_in = from <= at && at < to;
		else if (is_in && strncmp(line, "VmFlags:", 8) == 0)
			snprintf(flags, 512, "%s", line);
	}
	fclose(f);
}

START_TEST(secrets_are_in_locked_pages)
{
	struct secret *s = secret_copy(SPAN("in locked pages"));
	char flags[512];

	ck_assert_uint_eq(s->n, 15);
	ck_assert(secret_can_lock());
	read_flags(s->bytes, flags);
#ifndef __SANITIZE_ADDRESS__ /* with it nothing is locked */
	ck_assert_msg(strstr(flags, " lo") != NULL, "%s", flags);
#endif
	ck_assert_msg(strstr(flags, " dd") != NULL, "%s", flags);
	secret_free(s);
	secret_free(NULL);
}
END_TEST

START_TEST(secrets_out_of_texts)
{
	struct secret *s = secret_from_base64(SPAN("AAEC/w=="));

	ck_assert_uint_eq(s->n, 4);
	ck_assert_int_eq(memcmp(s->bytes, "\0\1\2\377", 4), 0);
	secret_free(s);
	s = secret_from_hex(SPAN("00fF"));
	ck_assert_uint_eq(s->n, 2);
	secret_free(s);
	s = secret_from_base64(SPAN(""));
	ck_assert_uint_eq(s->n, 0);
	secret_free(s);
	ck_assert_ptr_null(secret_from_base64(SPAN("AAEC/w=")));
	ck_assert_ptr_null(secret_from_base64(SPAN("AAEC/x==")));
	ck_assert_ptr_null(secret_from_base64(SPAN("AA EC")));
	for (int c = 0x80; c < 0x100; c++) {
		char text[] = {'A', 'A', (char)c, 'A'};

		ck_assert_ptr_null(secret_from_base64((struct span){text, sizeof(text)}));
	}
	ck_assert_ptr_null(secret_from_hex(SPAN("0")));
	ck_assert_ptr_null(secret_from_hex(SPAN("0g")));
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("seal");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	if (sodium_init() < 0)
		return EXIT_FAILURE;
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_loop_test(t, it_comes_back, 0, 2);
	tcase_add_loop_test(t, no_two_are_equal, 0, 2);
	tcase_add_loop_test(t, every_bit_counts, 0, 2);
	tcase_add_loop_test(t, every_length_counts, 0, 2);
	tcase_add_loop_test(t, what_is_bound_in_counts, 0, 2);
	tcase_add_test(t, secrets_are_in_locked_pages);
	tcase_add_test(t, secrets_out_of_texts);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
