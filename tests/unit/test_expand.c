/*
 * What a connection of a feed says: ${...} in headers and messages, signatures by the
 * vectors of RFC 4231, what a secret may not do, and what is left out of what comes back.
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/xalloc.h"
#include "daemon/base/conf.h"
#include "daemon/base/expand.h"

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))
#define NOW         INT64_C(1700000000123)

/** The vault of the tests. */
static struct span values[] = {
	SPAN("plain"),
	SPAN("q\"b\\s\nn"),
	SPAN("\377\376"),
	SPAN("line\n"),
	SPAN(""),
};
static const char *const names[] = {"plain", "quotes", "bytes", "line", "empty"};
static struct span key, text; /* of a signature */
static unsigned fetched;
static struct error error;

static enum err
reveal(void *arg, struct span name, struct secret **value, struct error *why)
{
	ck_assert_ptr_eq(arg, &fetched);
	fetched++;
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		if (span_is(name, names[i])) {
			*value = secret_copy(values[i]);
			return OK;
		}
	}
	if (span_is(name, "key") || span_is(name, "text")) {
		*value = secret_copy(span_is(name, "key") ? key : text);
		return OK;
	}
	if (span_is(name, "locked"))
		return error_set(why, ERR_VAULT_LOCKED, "the vault is locked");
	return error_set(why, ERR_NOT_FOUND, "there is no such secret");
}

/** The feed of a definition, whose url is added. */
static struct conf_feed *
feed_of(const char *definition)
{
	char *json = xasprintf(
		"{\"url\":\"wss://h\"%s%s}", definition[0] != '\0' ? "," : "", definition);
	struct conf_feed *f = NULL;
	struct json_value value;
	struct json_fault fault;

	ck_assert_msg(
		json_check(span_of(json), 10, &value, &fault) == OK, "%s: %s", json, fault.what);
	error = ERROR_NONE;
	ck_assert_msg(
		conf_feed_read(SPAN("f"), value, &f, &error) == OK, "%s: %s", json, error.text);
	free(json);
	return f;
}

static struct expand *
expand(const struct conf_feed *f)
{
	struct expand *x = NULL;

	error = ERROR_NONE;
	ck_assert_msg(expand_new(f, NOW, reveal, &fetched, &x, &error) == OK, "%s", error.text);
	return x;
}

static void
setup(void)
{
	fetched = 0;
	error = ERROR_NONE;
}

/** What a message comes to, of a feed with these secrets. */
static void
expect_message(const char *message, const char *want)
{
	struct conf_feed *f = feed_of("\"app_ping\":\"${secret:plain}${secret:quotes}\"");
	struct expand *x = expand(f);
	struct buf out;

	buf_init(&out, 10000);
	ck_assert_msg(
		expand_add_message(x, span_of(message), &out, &error) == OK, "%s", error.text);
	ck_assert_msg(span_is(buf_span(&out), want), "%s: %.*s", message, SPAN_FMT(buf_span(&out)));
	buf_fini(&out);
	expand_free(x);
	conf_feed_free(f);
}

START_TEST(messages)
{
	expect_message("", "");
	expect_message("{\"a\":1}", "{\"a\":1}");
	expect_message("$ $$ {} $x", "$ $$ {} $x");
	expect_message("a$${now_ms}b$$$${", "a${now_ms}b$$${");
	expect_message("${now_ms} ${now_s} ${now_iso}",
		"1700000000123 1700000000 2023-11-14T22:13:20.123Z");
	expect_message("LOGIN ${secret:plain} ${secret:quotes}", "LOGIN plain q\"b\\s\nn");
	/* In a string of JSON what it holds stays in the string. */
	expect_message(" {\"k\":\"${secret:quotes}\",\"t\":${now_ms}}",
		" {\"k\":\"q\\\"b\\\\s\\nn\",\"t\":1700000000123}");
	expect_message(
		"[\"a\\\"${secret:quotes}\",${secret:plain}]", "[\"a\\\"q\\\"b\\\\s\\nn\",plain]");
	expect_message("{\"a\\\\${now_s}\":\"\\\\$\\\\${now_s}\"}",
		"{\"a\\\\1700000000\":\"\\\\$\\\\1700000000\"}");
	expect_message("\\${now_s}", "\\1700000000");
	expect_message("say \"${secret:quotes}\"", "say \"q\"b\\s\nn\"");
}
END_TEST

START_TEST(headers)
{
	struct conf_feed *f = feed_of("\"headers\":[\"Authorization: Bearer ${secret:plain}\","
				      "\"X-Time:${now_s}\",\"X-Tab:\\ta\"]");
	struct expand *x = expand(f);
	struct buf out;

	buf_init(&out, 10000);
	ck_assert_int_eq(expand_add_headers(x, &out, &error), OK);
	ck_assert(span_is(buf_span(&out),
		"Authorization: Bearer plain\r\nX-Time:1700000000\r\nX-Tab:\ta\r\n"));
	buf_fini(&out);
	expand_free(x);
	conf_feed_free(f);
}
END_TEST

/* No secret adds a header of its own, or ends the head. */
START_TEST(a_secret_that_would_break_a_header)
{
	static const char *const some[] = {"line", "quotes"};

	for (size_t i = 0; i < COUNT_OF(some); i++) {
		char *definition =
			xasprintf("\"headers\":[\"A: b\",\"X-Key: ${secret:%s}\"]", some[i]);
		struct conf_feed *f = feed_of(definition);
		struct expand *x = expand(f);
		struct buf out;

		buf_init(&out, 10000);
		ck_assert_int_eq(expand_add_headers(x, &out, &error), ERR_INVALID_ARGUMENT);
		ck_assert_str_eq(error.text,
			"the header X-Key: its secret has a control character (a "
			"newline at its end?)");
		buf_fini(&out);
		expand_free(x);
		conf_feed_free(f);
		free(definition);
	}
}
END_TEST

START_TEST(a_secret_that_is_no_text)
{
	struct conf_feed *f = feed_of("\"app_ping\":\"x${secret:bytes}\"");
	struct expand *x = expand(f);
	struct buf out;

	buf_init(&out, 10000);
	ck_assert_int_eq(
		expand_add_message(x, span_of(f->app_ping), &out, &error), ERR_INVALID_ARGUMENT);
	ck_assert_str_eq(error.text, "the secret bytes is no text, and cannot stand in a message");
	buf_fini(&out);
	expand_free(x);
	conf_feed_free(f);
}
END_TEST

START_TEST(each_secret_is_fetched_once)
{
	struct conf_feed *f = feed_of("\"headers\":[\"A: ${secret:plain}${secret:plain}\"],"
				      "\"on_connect\":[\"${secret:plain}\",\"${secret:empty}\"]");
	struct expand *x;

	ck_assert(expand_needs_secrets(f));
	x = expand(f);
	ck_assert_uint_eq(fetched, 2);
	expand_free(x);
	conf_feed_free(f);
	f = feed_of("\"headers\":[\"A: $${secret:plain} ${now_ms}\"]");
	ck_assert(!expand_needs_secrets(f));
	x = expand(f);
	ck_assert_uint_eq(fetched, 2);
	expand_free(x);
	conf_feed_free(f);
}
END_TEST

START_TEST(secrets_that_cannot_be_had)
{
	static const struct {
		const char *definition;
		enum err code;
		const char *words;
	} rows[] = {
		{"\"app_ping\":\"${secret:locked}\"",                                              ERR_VAULT_LOCKED,
                 "${secret:locked}: the vault is locked"													    },
		{"\"on_connect\":[\"${secret:none}\"]",                                            ERR_NOT_FOUND,
                 "${secret:none}: there is no such secret"													  },
		{"\"headers\":[\"A: ${signature}\"],\"sign_text\":\"t\",\"sign_secret\":\"none\"",
                 ERR_NOT_FOUND,											  "${secret:none}: there is no such secret"  },
		{"\"headers\":[\"A: ${signature}\"],\"sign_text\":\"t\",\"sign_secret\":\"plain\","
		 "\"sign_key\":\"hex\"",					  ERR_INVALID_ARGUMENT,
                 "the secret plain is not hexadecimal digits (sign_key)"											    },
		{"\"headers\":[\"A: ${signature}\"],\"sign_text\":\"t\",\"sign_secret\":\"plain\","
		 "\"sign_key\":\"base64\"",				       ERR_INVALID_ARGUMENT, "the secret plain is not base64 (sign_key)"},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct conf_feed *f = feed_of(rows[i].definition);
		struct expand *x = NULL;

		ck_assert_int_eq(expand_new(f, NOW, reveal, &fetched, &x, &error), rows[i].code);
		ck_assert_str_eq(error.text, rows[i].words);
		conf_feed_free(f);
	}
}
END_TEST

/** The same byte, n times. */
static char *
repeated(unsigned char byte, size_t n)
{
	char *p = xcalloc(1, n + 1);

	memset(p, byte, n);
	return p;
}

static void
expect_signature(const char *settings, const char *want)
{
	char *definition =
		xasprintf("\"app_ping\":\"${signature}\",\"sign_text\":\"${secret:text}\","
			  "\"sign_secret\":\"key\"%s",
			settings);
	struct conf_feed *f = feed_of(definition);
	struct expand *x = expand(f);
	struct buf out;

	buf_init(&out, 10000);
	ck_assert(expand_add_message(x, SPAN("${signature}"), &out, &error) == OK);
	ck_assert_msg(span_has_prefix(buf_span(&out), span_of(want)), "%.*s is not %s",
		SPAN_FMT(buf_span(&out)), want);
	buf_fini(&out);
	expand_free(x);
	conf_feed_free(f);
	free(definition);
}

/* RFC 4231, 4.2 to 4.8. */
START_TEST(signatures_by_the_rfc)
{
	static const struct {
		unsigned char key;
		size_t key_n;
		const char *text; /* NULL: bytes, all the same */
		unsigned char byte;
		const char *want; /* or how it begins */
	} rows[] = {
		{0x0b, 20,  "Hi There",					       0,
                 "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"                                                                           },
		{0xaa, 20,  NULL,						     0xdd,
                 "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"                                                                           },
		{0x0c, 20,  "Test With Truncation",                                   0,    "a3b6167473100ee06e0c796c2955552b"                                },
		{0xaa, 131, "Test Using Larger Than Block-Size Key - Hash Key First", 0,
                 "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"                                                                           },
		{0xaa, 131,
                 "This is a test using a larger than block-size key and a larger than "
			"block-size data. The key needs to be hashed before being used by the HMAC "
			"algorithm.",						 0,    "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char *k = repeated(rows[i].key, rows[i].key_n), *bytes = repeated(rows[i].byte, 50);

		key = (struct span){k, rows[i].key_n};
		text = rows[i].text != NULL ? span_of(rows[i].text) : (struct span){bytes, 50};
		expect_signature("", rows[i].want);
		free(k);
		free(bytes);
	}
	key = SPAN("Jefe");
	text = SPAN("what do ya want for nothing?");
	expect_signature("", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}
END_TEST

START_TEST(keys_and_signatures_in_other_forms)
{
	char bytes[50];

	memset(bytes, 0xcd, sizeof(bytes));
	key = SPAN("0102030405060708090a0b0c0d0e0f10111213141516171819");
	text = (struct span){bytes, sizeof(bytes)};
	expect_signature(",\"sign_key\":\"hex\"",
		"82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b");
	key = SPAN("AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGQ==");
	expect_signature(",\"sign_key\":\"base64\"",
		"82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b");
	expect_signature(",\"sign_key\":\"base64\",\"sign_as\":\"base64\"",
		"glWKOJpEPA6kzIGYmfIIOoXw+qPlePgHei4/9GcpZls=");
}
END_TEST

/* Signature and text say the same time; another time is another signature. */
START_TEST(time_and_signature_are_one)
{
	struct conf_feed *f = feed_of("\"app_ping\":\"${now_ms}${signature}\","
				      "\"sign_text\":\"${now_ms}GET\",\"sign_secret\":\"key\"");
	struct buf first, second;
	struct expand *x;

	key = SPAN("k");
	x = expand(f);
	buf_init(&first, 1000);
	buf_init(&second, 1000);
	expand_add_message(x, span_of(f->app_ping), &first, &error);
	expand_add_message(x, span_of(f->app_ping), &second, &error);
	ck_assert(span_eq(buf_span(&first), buf_span(&second)));
	expand_set_time(x, NOW + 1);
	buf_reset(&second);
	expand_add_message(x, span_of(f->app_ping), &second, &error);
	ck_assert(span_has_prefix(buf_span(&second), SPAN("1700000000124")));
	ck_assert(!span_eq((struct span){first.p + 13, 64}, (struct span){second.p + 13, 64}));
	expand_set_time(x, NOW);
	buf_reset(&second);
	expand_add_message(x, span_of(f->app_ping), &second, &error);
	ck_assert(span_eq(buf_span(&first), buf_span(&second)));
	buf_fini(&first);
	buf_fini(&second);
	expand_free(x);
	conf_feed_free(f);
}
END_TEST

START_TEST(what_comes_back_is_left_out)
{
	struct conf_feed *f = feed_of("\"app_ping\":\"${secret:quotes}${signature}\","
				      "\"sign_text\":\"${now_ms}\",\"sign_secret\":\"key\"");
	struct buf message, out;
	struct expand *x;

	key = SPAN("signing key");
	x = expand(f);
	buf_init(&message, 1000);
	buf_init(&out, 1000);
	expand_add_message(x, SPAN("{\"echo\":\"${secret:quotes}\",\"s\":\"${signature}\"}"),
		&message, &error);
	buf_add_span(&message, SPAN("signing key"));
	expand_set_time(x, NOW + 1); /* the last one may still come back */
	ck_assert(expand_redact(x, buf_span(&message), false, &out));
	ck_assert_msg(span_is(buf_span(&out), "{\"echo\":\"***\",\"s\":\"***\"}***"), "%.*s",
		SPAN_FMT(buf_span(&out)));
	buf_reset(&out);
	ck_assert(!expand_redact(x, SPAN("{\"price\":1}"), false, &out));
	ck_assert_uint_eq(out.n, 0);
	buf_fini(&message);
	buf_fini(&out);
	expand_free(x);
	conf_feed_free(f);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {messages, headers, a_secret_that_would_break_a_header,
		a_secret_that_is_no_text, each_secret_is_fetched_once, secrets_that_cannot_be_had,
		signatures_by_the_rfc, keys_and_signatures_in_other_forms,
		time_and_signature_are_one, what_comes_back_is_left_out};
	Suite *suite = suite_create("expand");
	TCase *tcase = tcase_create("expand");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tcase, setup, NULL);
	for (size_t i = 0; i < COUNT_OF(tests); i++)
		tcase_add_test(tcase, tests[i]);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
