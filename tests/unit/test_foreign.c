/*
 * PBKDF2 by published vectors, and what other programs seal: what OpenSSL has sealed
 * opens here, and the other way round.
 */

#include <check.h>
#include <openssl/evp.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/guard/foreign.h"
#include "daemon/guard/pbkdf2.h"
#include "daemon/guard/seal.h"

#define ROUNDS  1000
#define NONCE_N 12
#define TAG_N   16

static struct error error;

START_TEST(published_vectors)
{
	static const struct {
		struct span password, salt;
		uint64_t rounds;
		const char *key;
	} vectors[] = {
  /* RFC 7914, section 11 */
		{{"passwd", 6},                    {"salt", 4},                                  1,
                 "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc"
			"49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783"                                                },
		{{"Password", 8},                  {"NaCl", 4},                                  80000,
                 "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56"
			"a1d425a1225833549adb841b51c9b3176a272bdebba1d078478f62b397f33c8d"                                                },
 /* those of RFC 6070, as they are with SHA-256 */
		{{"password", 8},                  {"salt", 4},                                  1,
                 "120fb6cffcf8b32c43e7225256c4f837a86548c92ccc35480805987cb70be17b"                                                       },
		{{"password", 8},                  {"salt", 4},                                  2,
                 "ae4d0c95af6b46d32d0adff928f06dd02a303f8ef3c251dfd6e2d85a95474c43"                                                       },
		{{"password", 8},                  {"salt", 4},                                  4096,
                 "c5e478d59288c841aa530db6845c4c8d962893a001ce4e11a4963873aa98134a"                                                       },
		{{"passwordPASSWORDpassword", 24}, {"saltSALTsaltSALTsaltSALTsaltSALTsalt", 36},
                 4096,										  "348c89dbcbd32b2f32d814b8116e84cf2b17347ebc1800181c4e2a1fb8dd53e1c635518c"
			"7dac47e9"										  },
		{{"pass\0word", 9},                {"sa\0lt", 5},                                4096,  "89b69d0516f829893c696226650a8687"},
	};

	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		struct secret *want = secret_from_hex(span_of(vectors[i].key));
		struct secret *got = pbkdf2_sha256(
			vectors[i].password, vectors[i].salt, vectors[i].rounds, want->n);

		ck_assert_msg(span_eq(secret_span(want), secret_span(got)), "%zu", i);
		secret_free(want);
		secret_free(got);
	}
}
END_TEST

/** A password longer than a block of the hash is hashed first. */
START_TEST(a_long_password_as_openssl_has_it)
{
	char password[200], want[SEAL_KEY_BYTES];
	struct secret *got;

	memset(password, 'p', sizeof(password));
	got = foreign_key((struct span){password, sizeof(password)}, SPAN("0123456789"), ROUNDS);
	ck_assert_int_eq(
		PKCS5_PBKDF2_HMAC(password, sizeof(password), (const unsigned char *)"0123456789",
			10, ROUNDS, EVP_sha256(), sizeof(want), (unsigned char *)want),
		1);
	ck_assert_mem_eq(got->bytes, want, sizeof(want));
	secret_free(got);
}
END_TEST

/** Nonce, ciphertext and tag, made by OpenSSL with a key of OpenSSL's. */
static size_t
seal_by_openssl(struct span password, struct span salt, struct span plain, unsigned char *out)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	unsigned char key[SEAL_KEY_BYTES];
	int n = 0, rest = 0;

	randombytes_buf(out, NONCE_N);
	ck_assert(
		PKCS5_PBKDF2_HMAC(password.p, (int)password.n, (const unsigned char *)salt.p,
			(int)salt.n, ROUNDS, EVP_sha256(), sizeof(key), key) == 1 &&
		EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, out) == 1 &&
		EVP_EncryptUpdate(
			c, out + NONCE_N, &n, (const unsigned char *)plain.p, (int)plain.n) == 1 &&
		EVP_EncryptFinal_ex(c, out + NONCE_N + n, &rest) == 1 &&
		EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, TAG_N, out + NONCE_N + n + rest) == 1);
	EVP_CIPHER_CTX_free(c);
	return NONCE_N + (size_t)(n + rest) + TAG_N;
}

static size_t
open_by_openssl(struct span password, struct span salt, struct span sealed, unsigned char *out)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	unsigned char key[SEAL_KEY_BYTES], tag[TAG_N];
	int n = 0, rest = 0;

	memcpy(tag, sealed.p + sealed.n - TAG_N, TAG_N);
	ck_assert(PKCS5_PBKDF2_HMAC(password.p, (int)password.n, (const unsigned char *)salt.p,
			  (int)salt.n, ROUNDS, EVP_sha256(), sizeof(key), key) == 1 &&
		  EVP_DecryptInit_ex(
			  c, EVP_aes_256_gcm(), NULL, key, (const unsigned char *)sealed.p) == 1 &&
		  EVP_DecryptUpdate(c, out, &n, (const unsigned char *)sealed.p + NONCE_N,
			  (int)(sealed.n - NONCE_N - TAG_N)) == 1 &&
		  EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, TAG_N, tag) == 1 &&
		  EVP_DecryptFinal_ex(c, out + n, &rest) == 1);
	EVP_CIPHER_CTX_free(c);
	return (size_t)(n + rest);
}

START_TEST(to_and_from_openssl)
{
	static const size_t sizes[] = {0, 1, 16, 33, 5000, SEAL_PLAIN_MAX};
	char *plain = calloc(1, SEAL_PLAIN_MAX);
	unsigned char *room = calloc(1, SEAL_PLAIN_MAX + 64);
	struct secret *key = foreign_key(SPAN("a password"), SPAN("some salt"), ROUNDS);

	randombytes_buf(plain, SEAL_PLAIN_MAX);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]) && seal_has_aes(); i++) {
		struct span text = {plain, sizes[i]};
		struct secret *back = NULL;
		struct buf out;
		size_t n = seal_by_openssl(SPAN("a password"), SPAN("some salt"), text, room);

		ck_assert_msg(
			foreign_open(key, (struct span){(char *)room, n}, &back, &error) == OK,
			"%s", error.text);
		ck_assert(span_eq(secret_span(back), text));
		secret_free(back);
		buf_init(&out, SIZE_MAX / 2);
		ck_assert_int_eq(foreign_make(key, text, &out, &error), OK);
		ck_assert_uint_eq(out.n, NONCE_N + text.n + TAG_N);
		n = open_by_openssl(SPAN("a password"), SPAN("some salt"), buf_span(&out), room);
		ck_assert(span_eq((struct span){(char *)room, n}, text));
		buf_fini(&out);
	}
	secret_free(key);
	free(plain);
	free(room);
}
END_TEST

START_TEST(what_does_not_open)
{
	struct secret *key = foreign_key(SPAN("right"), SPAN("some salt"), ROUNDS), *back = NULL;
	struct secret *other = foreign_key(SPAN("wrong"), SPAN("some salt"), ROUNDS);
	unsigned char room[64];
	size_t n = seal_by_openssl(SPAN("right"), SPAN("some salt"), SPAN("value"), room);
	struct span sealed = {(const char *)room, n};

	if (!seal_has_aes()) {
		ck_assert_int_eq(foreign_open(key, sealed, &back, &error), ERR_UNAVAILABLE);
	} else {
		ck_assert_int_eq(foreign_open(other, sealed, &back, &error), ERR_INVALID_ARGUMENT);
		for (sealed.n = 0; sealed.n < n; sealed.n++)
			ck_assert_int_eq(
				foreign_open(key, sealed, &back, &error), ERR_INVALID_ARGUMENT);
		for (size_t bit = 0; bit < 8 * n; bit++) {
			room[bit / 8] ^= (unsigned char)(1 << bit % 8);
			ck_assert_int_eq(
				foreign_open(key, sealed, &back, &error), ERR_INVALID_ARGUMENT);
			room[bit / 8] ^= (unsigned char)(1 << bit % 8);
		}
	}
	ck_assert_ptr_null(back);
	secret_free(key);
	secret_free(other);
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("foreign");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	if (sodium_init() < 0)
		return EXIT_FAILURE;
	tcase_set_timeout(t, 20);
	tcase_add_test(t, published_vectors);
	tcase_add_test(t, a_long_password_as_openssl_has_it);
	tcase_add_test(t, to_and_from_openssl);
	tcase_add_test(t, what_does_not_open);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
