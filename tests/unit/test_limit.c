/*
 * What clients may use: which bucket refuses, all or nothing, exemption, reload, and
 * a flood of addresses that takes no more memory than the table has.
 */

#include <arpa/inet.h>
#include <check.h>
#include <malloc.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "common/rpc.h"
#include "common/xalloc.h"
#include "daemon/guard/limit.h"

#define FLOOD 1000000

static struct stats *stats;
static struct bounds *bounds;
static struct conf *conf;
static struct limits *limits;

static struct rate
rate_of(const char *text)
{
	struct rate r;

	ck_assert_msg(rate_parse(span_of(text), &r), "%s", text);
	return r;
}

static struct address
address_named(const char *text)
{
	struct network n;

	ck_assert_msg(network_parse(span_of(text), &n), "%s", text);
	return n.address;
}

static void
set_up(void)
{
	stats = stats_new();
	conf = conf_new();
	conf->limits.session = rate_of("10/s");
	conf->limits.address = rate_of("15/s");
	conf->limits.connections = rate_of("1/m burst 3");
	conf->limits.total = rate_of("100/s");
	conf->limits.addresses = 64;
	bounds = bounds_new(stats);
	limits = limits_new(conf, bounds);
}

static void
tear_down(void)
{
	limits_free(limits);
	bounds_free(bounds);
	conf_free(conf);
	stats_free(stats);
}

static struct limited
session_from(const char *address)
{
	struct address a = address_named(address);
	struct limited s;

	limited_init(&s, &a);
	return s;
}

/** Takes; the bucket that refuses, or NULL. */
static const char *
take(struct limited *s, int64_t cost, int64_t now_ms)
{
	struct error error = ERROR_NONE;

	if (limits_take(limits, s, cost, now_ms, &error) == OK)
		return NULL;
	must(error.code == ERR_RATE_LIMITED && error.limit.name == s->by);
	return error.limit.name;
}

START_TEST(test_the_nearest_bucket_refuses)
{
	struct limited a = session_from("192.0.2.1"), b = session_from("192.0.2.1"),
		       c = session_from("192.0.2.2");

	ck_assert_ptr_null(take(&a, 10, 0));
	ck_assert_str_eq(take(&a, 1, 0), "session");
	ck_assert_ptr_null(take(&b, 5, 0));
	ck_assert_str_eq(take(&b, 1, 0), "address");
	ck_assert_ptr_null(take(&c, 10, 0));
	/* What the address refused was not taken from the session. */
	ck_assert_ptr_null(take(&b, 5, 334));
	ck_assert_uint_eq(a.refused, 1);
	ck_assert_uint_eq(c.refused, 0);
}
END_TEST

START_TEST(test_the_total)
{
	struct limited s;
	char name[32];

	for (int i = 0; i < 10; i++) {
		snprintf(name, sizeof(name), "192.0.2.%d", i);
		s = session_from(name);
		ck_assert_ptr_null(take(&s, 10, 0));
	}
	s = session_from("198.51.100.1");
	ck_assert_str_eq(take(&s, 1, 0), "total");
	ck_assert_ptr_null(take(&s, 1, 10));
}
END_TEST

START_TEST(test_the_error_says_how_long)
{
	struct limited s = session_from("192.0.2.1");
	struct error error = ERROR_NONE;
	struct buf out;

	ck_assert_ptr_null(take(&s, 10, 0));
	ck_assert_int_eq(limits_take(limits, &s, 3, 50, &error), ERR_RATE_LIMITED);
	ck_assert_str_eq(error.text, "too fast: try again in 250 ms (limits.session is \"10/s\")");
	buf_init(&out, 4096);
	rpc_add_error(&out, SPAN("1"), &error);
	buf_add_char(&out, '\0');
	ck_assert_ptr_nonnull(
		strstr(out.p, "\"data\":{\"code\":\"RATE_LIMITED\",\"retry_after_ms\":250,"
			      "\"bucket\":\"session\",\"level\":0,\"rate\":\"10/s\"}"));
	buf_fini(&out);
	ck_assert_int_eq(limits_take(limits, &s, 3, 299, &error), ERR_RATE_LIMITED);
	ck_assert_int_eq(limits_take(limits, &s, 3, 300, &error), OK);
}
END_TEST

START_TEST(test_one_of_ipv6_has_64_bits)
{
	struct limited a = session_from("2001:db8:0:1::1"), b = session_from("2001:db8:0:1:f::2"),
		       c = session_from("2001:db8:0:2::1");

	ck_assert_ptr_null(take(&a, 10, 0));
	ck_assert_str_eq(take(&b, 10, 0), "address");
	ck_assert_ptr_null(take(&c, 10, 0));
}
END_TEST

START_TEST(test_who_is_not_limited)
{
	struct limited near[] = {
		session_from("127.3.2.1"), session_from("::1"), {.has_address = false}};
	struct limited mapped = session_from("::ffff:127.0.0.1"), far = session_from("128.0.0.1");

	for (int i = 0; i < 3; i++)
		ck_assert_ptr_null(take(&near[i], 1000, 0));
	ck_assert_ptr_null(take(&mapped, 1000, 0));
	ck_assert_ptr_null(take(&far, 10, 0));
	ck_assert_str_eq(take(&far, 1, 0), "session");
}
END_TEST

START_TEST(test_a_reload_counts_for_those_who_are_there)
{
	struct limited a = session_from("127.0.0.1"), b = session_from("192.0.2.1");

	ck_assert_ptr_null(take(&a, 10, 0));
	ck_assert_ptr_null(take(&a, 10, 0));
	ck_assert_ptr_null(take(&b, 10, 0));
	free(conf->limits.exempt.v[0]);
	conf->limits.exempt.v[0] = strdup("192.0.2.0/24");
	limits_reload(limits, conf);
	ck_assert_ptr_null(take(&a, 10, 0));
	ck_assert_str_eq(take(&a, 1, 0), "session");
	ck_assert_ptr_null(take(&b, 10, 0));
	ck_assert_ptr_null(take(&b, 10, 0));
}
END_TEST

START_TEST(test_a_reload_of_the_same_changes_nothing)
{
	struct limited s = session_from("192.0.2.1"), other = session_from("192.0.2.1");

	ck_assert_ptr_null(take(&s, 10, 0));
	limits_reload(limits, conf);
	ck_assert_str_eq(take(&s, 1, 0), "session");
	ck_assert_ptr_null(take(&other, 5, 0));
	ck_assert_str_eq(take(&other, 1, 0), "address");
	conf->limits.addresses += 64;
	limits_reload(limits, conf);
	ck_assert_ptr_null(take(&s, 10, 0));
	ck_assert_ptr_null(take(&other, 5, 0));
}
END_TEST

/** One that is refused too often is not read until there is room again: for a while. */
START_TEST(test_who_goes_on_is_held_back)
{
	struct limited s = session_from("192.0.2.1");

	conf->limits.refusals = rate_of("1/s burst 2");
	limits_reload(limits, conf);
	ck_assert_ptr_null(take(&s, 10, 1000));
	for (int i = 0; i < 2; i++) {
		ck_assert_str_eq(take(&s, 1, 1000), "session");
		ck_assert(!limited_is_held(&s, 1000) && !limited_is_restless(&s, 1000));
	}
	ck_assert_str_eq(take(&s, 1, 1000), "session");
	ck_assert(limited_is_held(&s, 1249) && !limited_is_held(&s, 1250));
	ck_assert(limited_is_restless(&s, 6249) && !limited_is_restless(&s, 6250));
	ck_assert_ptr_null(take(&s, 1, 1250));
	ck_assert_str_eq(take(&s, 10, 1250), "session"); /* nothing is left */
	ck_assert(limited_is_held(&s, 2249) && !limited_is_held(&s, 2250));
	ck_assert_uint_eq(s.holds, 2);
}
END_TEST

/** Longer each time; and it has not what it would have saved meanwhile. */
START_TEST(test_one_that_never_heeds)
{
	struct limited s = session_from("192.0.2.1");
	int64_t now_ms = 1000, passed = 0;

	conf->limits.session = rate_of("100/s burst 1000");
	conf->limits.address = conf->limits.total = RATE_UNLIMITED;
	conf->limits.refusals = rate_of("1/h");
	limits_reload(limits, conf);
	for (; now_ms < 101000; now_ms++)
		while (!limited_is_held(&s, now_ms))
			passed += take(&s, 1, now_ms) == NULL;
	/* what it had, and the tokens of a tenth of a second each second */
	ck_assert_int_ge(passed, 1000 + 10 * 97);
	ck_assert_int_le(passed, 1000 + 10 * 103);
	ck_assert_uint_le(s.holds, 103);
	/* One that has learned has all of its rate again. */
	now_ms = s.held_until_ms + 5000;
	ck_assert_ptr_null(take(&s, 510, now_ms));
	ck_assert_str_eq(take(&s, 1, now_ms), "session");
}
END_TEST

/** One whose request takes long to save for has it run in the end, however often it asks. */
START_TEST(test_a_dear_request)
{
	struct limited s = session_from("192.0.2.1");
	int64_t now_ms = 1000, passed = 0;

	conf->limits.session = rate_of("10/s burst 1000");
	conf->limits.address = conf->limits.total = RATE_UNLIMITED;
	conf->limits.refusals = rate_of("1/h");
	limits_reload(limits, conf);
	ck_assert_ptr_null(take(&s, 1000, now_ms));
	for (; now_ms < 101000; now_ms++)
		if (!limited_is_held(&s, now_ms))
			passed += take(&s, 50, now_ms) == NULL;
	ck_assert_int_ge(passed, 15);
	ck_assert_int_le(passed, 20);
}
END_TEST

/** Not longer than it takes to fill the bucket, and never long. */
START_TEST(test_how_long_one_is_held_back)
{
	static const struct {
		const char *session;
		int64_t held_ms;
	} rows[] = {
		{"1000/s burst 2",   3   },
                {"1000/s burst 100", 101 },
                {"1000/s",           250 },
                {"1/h",              1000}
        };

	conf->limits.address = conf->limits.total = RATE_UNLIMITED;
	conf->limits.refusals = rate_of("1/h");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct limited s = session_from("192.0.2.1");

		conf->limits.session = rate_of(rows[i].session);
		limits_reload(limits, conf);
		take(&s, 1000, 1000);
		take(&s, 1, 1000);
		take(&s, 1, 1000);
		ck_assert_int_eq(s.held_until_ms - 1000, rows[i].held_ms);
	}
}
END_TEST

START_TEST(test_bytes)
{
	struct limited s = session_from("192.0.2.1"), near = session_from("127.0.0.1");

	limited_owe(&s, 4095);
	limits_settle(limits, &s, 0);
	ck_assert_ptr_null(take(&s, 10, 0));
	limited_owe(&s, 1);
	limits_settle(limits, &s, 0);
	ck_assert(limited_is_held(&s, 0));
	ck_assert_uint_eq(s.refused, 0);
	/* What was not paid is owed. */
	limits_settle(limits, &s, 300);
	ck_assert(!limited_is_held(&s, 300));
	ck_assert_str_eq(take(&s, 1, 349), "session");
	ck_assert_ptr_null(take(&s, 1, 350));
	limited_owe(&near, 1 << 30);
	limits_settle(limits, &near, 0);
	ck_assert(!limited_is_held(&near, 0));
}
END_TEST

/** All sessions of a token share its rate, those that are exempt too. */
START_TEST(test_a_token_has_a_rate)
{
	struct allowance shared = {.rate = rate_of("1/s burst 12")};
	struct limited a = session_from("192.0.2.1"), b = session_from("127.0.0.1"),
		       other = session_from("192.0.2.2");

	a.allowance = b.allowance = &shared;
	ck_assert_ptr_null(take(&a, 10, 0));
	ck_assert_str_eq(take(&a, 1, 0), "session"); /* and nothing is taken from the token */
	ck_assert_ptr_null(take(&b, 2, 0));
	ck_assert_str_eq(take(&b, 1, 0), "token");
	ck_assert_str_eq(take(&a, 1, 200), "token");
	ck_assert_ptr_null(take(&other, 10, 0));
	ck_assert_uint_eq(shared.refused, 2);
	b.allowance = NULL;
	ck_assert_ptr_null(take(&b, 1000, 0));
}
END_TEST

START_TEST(test_connections)
{
	struct address a = address_named("192.0.2.1"), b = address_named("192.0.2.2"),
		       home = address_named("127.0.0.1");

	for (int i = 0; i < 3; i++)
		ck_assert(limits_admit(limits, &a, 0));
	ck_assert(!limits_admit(limits, &a, 59999));
	ck_assert(limits_admit(limits, &a, 60000));
	ck_assert(limits_admit(limits, &b, 0));
	for (int i = 0; i < 100; i++)
		ck_assert(limits_admit(limits, &home, 0));
}
END_TEST

/** The result of limits.list holds this. */
static void
expect_listed(size_t most, int64_t now_ms, const char *part)
{
	struct buf out;
	struct json_out o;

	buf_init(&out, 1 << 20);
	o = json_out_start(&out);
	json_begin_object(&o, NULL);
	limits_add_list(limits, most, now_ms, &o);
	json_end_object(&o);
	ck_assert_msg(memmem(out.p, out.n, part, strlen(part)) != NULL, "%.*s", (int)out.n, out.p);
	buf_fini(&out);
}

static void
flood_from(uint32_t first, uint32_t end)
{
	for (uint32_t i = first; i < end; i++) {
		struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(i << 8)}};
		struct address a;
		struct limited s;

		must(address_of((struct sockaddr *)&in, &a)); /* ck_assert() writes to a pipe */
		limited_init(&s, &a);
		must(limits_admit(limits, &a, i / 1000));
		take(&s, 1, i / 1000);
	}
}

START_TEST(test_a_flood_of_addresses)
{
	size_t before;

	flood_from(0, 1000); /* the first line of the log takes some, too */
	before = mallinfo2().uordblks;
	flood_from(1000, FLOOD);
	ck_assert_uint_eq(mallinfo2().uordblks, before);
	expect_listed(5, 1000, "\"addresses\":64,\"places\":64,");
}
END_TEST

/** Those that are full again make room, so that one that is not is remembered. */
START_TEST(test_who_is_short_is_remembered)
{
	struct limited s = session_from("192.0.2.1"), other;
	char name[32];

	conf->limits.total = RATE_UNLIMITED;
	limits_reload(limits, conf);
	ck_assert_ptr_null(take(&s, 10, 0));
	for (unsigned i = 0; i < 10000; i++) {
		snprintf(name, sizeof(name), "10.0.%u.%u", i / 256, i % 256);
		other = session_from(name);
		ck_assert_ptr_null(take(&other, 1, i / 100));
	}
	other = session_from("192.0.2.1");
	ck_assert_ptr_null(take(&other, 6, 100));
	ck_assert_str_eq(take(&other, 1, 100), "address");
	expect_listed(
		1, 100, "{\"address\":\"192.0.2.1\",\"level\":0,\"connections\":3,\"refused\":1}");
}
END_TEST

START_TEST(test_a_trial)
{
	struct rate pace = rate_of("4/s"), own = RATE_UNLIMITED;
	struct limits_trial t = limits_try(limits, &own, &pace, 5, 10000);

	/* 10 at first and 10 a second, of which a request takes 5 */
	ck_assert_int_eq(t.sent, 40);
	ck_assert_int_eq(t.passed, 21);
	ck_assert_int_eq(t.first_refused_ms, 750);
	ck_assert_str_eq(t.first_refused_by, "session");
	pace = rate_of("2/s");
	t = limits_try(limits, &own, &pace, 5, 10000);
	ck_assert_int_eq(t.passed, 20);
	ck_assert_int_eq(t.first_refused_ms, -1);
	own = rate_of("5/s");
	t = limits_try(limits, &own, &pace, 5, 10000);
	ck_assert_int_eq(t.passed, 10);
	ck_assert_str_eq(t.first_refused_by, "token");
}
END_TEST

START_TEST(test_networks)
{
	static const struct {
		const char *network, *address;
		bool holds;
	} rows[] = {
		{"0.0.0.0/0",            "203.0.113.9",      true },
		{"0.0.0.0/0",            "2001:db8::1",      false},
		{"::/0",                 "203.0.113.9",      true },
		{"10.0.0.0/9",           "10.127.255.255",   true },
		{"10.0.0.0/9",           "10.128.0.0",       false},
		{"192.0.2.7",            "192.0.2.7",        true },
		{"192.0.2.7",            "192.0.2.6",        false},
		{"2001:db8::/33",        "2001:db8:7fff::1", true },
		{"2001:db8::/33",        "2001:db8:8000::1", false},
		{"::ffff:192.0.2.0/120", "192.0.2.200",      true },
	};
	static const char *const bad[] = {"", "/", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/08",
		"10.0.0.1/8", "10.0.0/8", "::/129", "2001:db8::1/64", "localhost", "1.2.3.4 ",
		"10.0.0.0/8/8", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/ 8"};
	struct network n;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct address a = address_named(rows[i].address);

		ck_assert_msg(network_parse(span_of(rows[i].network), &n), "%s", rows[i].network);
		ck_assert_msg(network_holds(&n, &a) == rows[i].holds, "%s", rows[i].network);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!network_parse(span_of(bad[i]), &n), "\"%s\"", bad[i]);
}
END_TEST

START_TEST(test_rates)
{
	static const char *const good[] = {"1/s", "100/s", "30/m burst 60", "7/h", "1000000/s",
		"1/h burst 1000000000", "unlimited"};
	static const char *const bad[] = {"", "1", "1/", "/s", "0/s", "-1/s", "+1/s", "1/d", "1 /s",
		"1/s ", "1/s burst", "1/s burst ", "1/s burst 0", "1/s  burst 2", "1000001/s",
		"1/s burst 1000000001", "99999999999999999999/s", "1.5/s", "Unlimited"};
	char text[RATE_TEXT_SIZE];
	struct rate r;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		r = rate_of(good[i]);
		rate_format(&r, text);
		ck_assert_str_eq(text, good[i]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!rate_parse(span_of(bad[i]), &r), "\"%s\"", bad[i]);
	r = rate_of("5/m burst 5");
	rate_format(&r, text);
	ck_assert_str_eq(text, "5/m");
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("limit");
	TCase *t = tcase_create("all");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, test_the_nearest_bucket_refuses);
	tcase_add_test(t, test_the_total);
	tcase_add_test(t, test_the_error_says_how_long);
	tcase_add_test(t, test_one_of_ipv6_has_64_bits);
	tcase_add_test(t, test_who_is_not_limited);
	tcase_add_test(t, test_a_reload_counts_for_those_who_are_there);
	tcase_add_test(t, test_a_reload_of_the_same_changes_nothing);
	tcase_add_test(t, test_who_goes_on_is_held_back);
	tcase_add_test(t, test_one_that_never_heeds);
	tcase_add_test(t, test_a_dear_request);
	tcase_add_test(t, test_how_long_one_is_held_back);
	tcase_add_test(t, test_bytes);
	tcase_add_test(t, test_a_token_has_a_rate);
	tcase_add_test(t, test_connections);
	tcase_add_test(t, test_a_flood_of_addresses);
	tcase_add_test(t, test_who_is_short_is_remembered);
	tcase_add_test(t, test_a_trial);
	tcase_add_test(t, test_networks);
	tcase_add_test(t, test_rates);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
