/*
 * The states of a feed's connection: the way to live and every way out of it, what is
 * due when, and then random events under a random clock, which must never make a second
 * connection, wait for longer than it should, or end anywhere but where it should.
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/conf.h"
#include "tests/unit/machine_rules.h"

#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)

static const struct machine_limits standard = {
	.connect_timeout_ms = 10 * SECOND,
	.app_ping_every_ms = MACHINE_NEVER,
	.heartbeat_ms = 30 * SECOND,
	.idle_timeout_ms = MACHINE_NEVER,
	.max_retries = MACHINE_NEVER,
};

static struct machine m;
static int64_t now_ms;
static uint64_t seed;

static uint64_t
next_random(void)
{
	uint64_t z = seed += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static unsigned
below(unsigned n)
{
	return (unsigned)(next_random() % n);
}

static void
setup(void)
{
	now_ms = 1000000;
	seed = 1;
	machine_init(&m, &standard);
}

static unsigned
happens(enum machine_event_kind kind)
{
	return machine_step(&m, &(struct machine_event){.kind = kind}, now_ms, next_random());
}

static unsigned
ends(const char *why)
{
	return machine_step(
		&m, &(struct machine_event){MACHINE_ENDED, .why = why}, now_ms, next_random());
}

static unsigned
tick_in(int64_t ms)
{
	now_ms += ms;
	return happens(MACHINE_TICK);
}

/** Waits for the next tick that is wanted. */
static unsigned
tick_next(void)
{
	ck_assert_int_ne(machine_next(&m), MACHINE_NEVER);
	return tick_in(machine_next(&m) - now_ms);
}

static void
expect_state(enum machine_state state)
{
	ck_assert_str_eq(machine_state_name(m.state), machine_state_name(state));
}

static void
go_live(void)
{
	ck_assert_uint_eq(happens(MACHINE_START), MACHINE_CONNECT);
	happens(MACHINE_OPENED);
	happens(MACHINE_GREETED);
	expect_state(FEED_LIVE);
}

START_TEST(the_way_to_live)
{
	expect_state(FEED_IDLE);
	ck_assert_int_eq(machine_next(&m), MACHINE_NEVER);
	ck_assert_uint_eq(happens(MACHINE_START), MACHINE_CONNECT);
	expect_state(FEED_RESOLVING);
	ck_assert_int_eq(machine_next(&m), now_ms + 10 * SECOND);
	happens(MACHINE_RESOLVED);
	expect_state(FEED_CONNECTING);
	machine_step(&m, &(struct machine_event){MACHINE_CONNECTED, .is_tls = true}, now_ms, 0);
	expect_state(FEED_TLS);
	happens(MACHINE_SECURED);
	expect_state(FEED_HANDSHAKE);
	happens(MACHINE_OPENED);
	expect_state(FEED_GREETING);
	ck_assert_int_eq(machine_next(&m), MACHINE_NEVER);
	happens(MACHINE_GREETED);
	expect_state(FEED_LIVE);
	ck_assert_uint_eq(happens(MACHINE_STOP), MACHINE_CLOSE);
	expect_state(FEED_IDLE);
	ck_assert_uint_eq(happens(MACHINE_STOP), 0);
}
END_TEST

/* A redirect goes to another host, and perhaps from ws to wss. */
START_TEST(a_redirect_begins_again)
{
	happens(MACHINE_START);
	happens(MACHINE_RESOLVED);
	happens(MACHINE_CONNECTED);
	expect_state(FEED_HANDSHAKE);
	happens(MACHINE_RESOLVED);
	expect_state(FEED_CONNECTING);
	machine_step(&m, &(struct machine_event){MACHINE_CONNECTED, .is_tls = true}, now_ms, 0);
	happens(MACHINE_SECURED);
	expect_state(FEED_HANDSHAKE);
	/* Its time is that of all of it. */
	ck_assert_uint_eq(tick_in(10 * SECOND - 1), 0);
	ck_assert_uint_eq(tick_in(1), MACHINE_CLOSE);
	expect_state(FEED_BACKOFF);
	ck_assert_str_eq(m.why, "the upstream did not answer the WebSocket handshake within 10s");
}
END_TEST

START_TEST(each_phase_has_words_for_being_late)
{
	static const struct {
		enum machine_event_kind kind;
		bool is_tls;
		const char *why;
	} rows[] = {
		{MACHINE_START,     false, "the name of the host was not resolved within 10s"},
		{MACHINE_RESOLVED,  false, "no connection came about within 10s"             },
		{MACHINE_CONNECTED, true,  "the TLS handshake was not done within 10s"       },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		machine_init(&m, &standard);
		happens(MACHINE_START);
		machine_step(&m, &(struct machine_event){rows[i].kind, .is_tls = rows[i].is_tls},
			now_ms, 0);
		ck_assert_uint_eq(tick_next(), MACHINE_CLOSE);
		ck_assert_str_eq(m.why, rows[i].why);
	}
}
END_TEST

START_TEST(a_step_of_the_greeting_has_its_time)
{
	happens(MACHINE_START);
	happens(MACHINE_OPENED);
	machine_step(&m, &(struct machine_event){MACHINE_AWAITS, .wait_ms = 500}, now_ms, 0);
	ck_assert_int_eq(machine_next(&m), now_ms + 500);
	happens(MACHINE_MESSAGE);
	ck_assert_int_eq(machine_next(&m), now_ms + 500);
	ck_assert_uint_eq(tick_in(500), MACHINE_CLOSE);
	expect_state(FEED_BACKOFF);
	ck_assert_str_eq(m.why, "the upstream did not send what on_connect awaits");
}
END_TEST

START_TEST(pings_and_their_answers)
{
	go_live();
	ck_assert_int_ge(machine_next(&m), now_ms + 15 * SECOND);
	ck_assert_int_le(machine_next(&m), now_ms + 30 * SECOND);
	ck_assert_uint_eq(tick_next(), MACHINE_PING);
	for (int i = 0; i < 10; i++) {
		ck_assert_uint_eq(tick_in(30 * SECOND), MACHINE_PING);
		ck_assert_uint_eq(tick_in(30 * SECOND), MACHINE_PING);
		happens(MACHINE_PONG);
	}
	/* That messages come is no answer. */
	for (int i = 0; i < 3; i++) {
		happens(MACHINE_MESSAGE);
		ck_assert_uint_eq(tick_in(30 * SECOND), MACHINE_PING);
	}
	ck_assert_uint_eq(tick_in(30 * SECOND), MACHINE_CLOSE);
	expect_state(FEED_BACKOFF);
	ck_assert_str_eq(m.why, "three pings were left unanswered");
}
END_TEST

START_TEST(an_upstream_that_should_not_be_silent)
{
	m.limits.idle_timeout_ms = 5 * SECOND;
	go_live();
	for (int i = 0; i < 5; i++) {
		ck_assert_uint_eq(tick_in(4 * SECOND) & MACHINE_CLOSE, 0);
		happens(MACHINE_MESSAGE);
	}
	ck_assert_int_le(machine_next(&m), now_ms + 5 * SECOND);
	happens(MACHINE_PONG);
	ck_assert_uint_eq(tick_in(5 * SECOND), MACHINE_CLOSE);
	ck_assert_str_eq(m.why, "the upstream sent nothing (idle_timeout)");
}
END_TEST

START_TEST(messages_that_the_upstream_wants)
{
	m.limits.heartbeat_ms = MACHINE_NEVER;
	m.limits.app_ping_every_ms = 20 * SECOND;
	go_live();
	for (int i = 0; i < 5; i++) {
		ck_assert_int_eq(machine_next(&m), now_ms + 20 * SECOND);
		ck_assert_uint_eq(tick_next(), MACHINE_APP_PING);
	}
	ck_assert_uint_eq(tick_in(1), 0);
}
END_TEST

/* While the feed does not read, it cannot know what the upstream has sent. */
START_TEST(clocks_stand_still_while_it_is_held)
{
	int64_t left_ms;

	m.limits.idle_timeout_ms = 40 * SECOND;
	go_live();
	tick_in(10 * SECOND);
	left_ms = machine_next(&m) - now_ms;
	happens(MACHINE_HELD);
	ck_assert_int_eq(machine_next(&m), MACHINE_NEVER);
	for (int i = 0; i < 10; i++)
		ck_assert_uint_eq(tick_in(HOUR), 0);
	happens(MACHINE_HELD);
	now_ms += 7;
	happens(MACHINE_RELEASED);
	ck_assert_int_eq(machine_next(&m), now_ms + left_ms);
	happens(MACHINE_PONG);
	ck_assert_uint_eq(tick_in(30 * SECOND - 1) & MACHINE_CLOSE, 0);
	ck_assert_uint_eq(tick_in(1), MACHINE_CLOSE);
	ck_assert_str_eq(m.why, "the upstream sent nothing (idle_timeout)");
}
END_TEST

/* What the upstream wants to hear, it wants to hear while nothing is read, too. */
START_TEST(what_is_owed_is_sent_while_it_is_held)
{
	m.limits.app_ping_every_ms = 20 * SECOND;
	go_live();
	happens(MACHINE_HELD);
	for (int i = 0; i < 100; i++) {
		ck_assert_int_eq(machine_next(&m), now_ms + 20 * SECOND);
		ck_assert_uint_eq(tick_in(10 * SECOND), 0);
		ck_assert_uint_eq(tick_next(), MACHINE_APP_PING);
	}
	happens(MACHINE_RELEASED);
	ck_assert_int_le(machine_next(&m), now_ms + 20 * SECOND);
	expect_state(FEED_LIVE);
}
END_TEST

/* Held for an hour is not live for an hour. */
START_TEST(what_is_held_is_not_stable)
{
	go_live();
	ends("first");
	tick_next();
	happens(MACHINE_OPENED);
	happens(MACHINE_GREETED);
	tick_in(10 * SECOND);
	happens(MACHINE_HELD);
	now_ms += HOUR;
	ends("second");
	ck_assert_int_eq(m.retries, 2);
	expect_state(FEED_BACKOFF);
}
END_TEST

/** The longest that it waits after that many failures. */
static int64_t
longest_wait(int failures)
{
	int64_t longest = 0;

	for (int i = 0; i < 500; i++) {
		machine_init(&m, &standard);
		happens(MACHINE_START);
		for (int n = 0; n < failures - 1; n++) {
			ends("no");
			tick_next();
		}
		ends("no");
		expect_state(FEED_BACKOFF);
		if (machine_next(&m) - now_ms > longest)
			longest = machine_next(&m) - now_ms;
	}
	return longest;
}

START_TEST(the_back_off_is_doubled)
{
	static const int64_t most[] = {
		100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000, 30000};

	for (int n = 1; n <= 12; n++) {
		int64_t longest = longest_wait(n);

		ck_assert_int_le(longest, most[n - 1]);
		ck_assert_int_gt(longest, most[n - 1] * 9 / 10);
	}
}
END_TEST

START_TEST(a_stable_minute_begins_anew)
{
	go_live();
	for (int i = 0; i < 8; i++) {
		ends("no");
		tick_next();
	}
	ck_assert_int_eq(m.retries, 8);
	happens(MACHINE_OPENED);
	happens(MACHINE_GREETED);
	now_ms += MINUTE - 1;
	ends("just before");
	ck_assert_int_eq(m.retries, 9);
	tick_next();
	happens(MACHINE_OPENED);
	happens(MACHINE_GREETED);
	now_ms += MINUTE;
	ends("after it");
	ck_assert_int_eq(m.retries, 1);
	ck_assert_int_le(machine_next(&m) - now_ms, 100);
}
END_TEST

START_TEST(what_is_refused_for_good_waits_long)
{
	for (int i = 0; i < 1000; i++) {
		struct machine_event e = {
			MACHINE_ENDED, .is_permanent = true, .why = "401 Unauthorized"};

		machine_init(&m, &standard);
		happens(MACHINE_START);
		machine_step(&m, &e, now_ms, next_random());
		ck_assert_int_ge(machine_next(&m) - now_ms, 4 * MINUTE);
		ck_assert_int_le(machine_next(&m) - now_ms, 6 * MINUTE);
		ck_assert_str_eq(m.why, "401 Unauthorized");
	}
}
END_TEST

START_TEST(what_the_upstream_asks_for_is_waited)
{
	static const int64_t rows[][2] = {
		{1500,       1500},
                {HOUR,       HOUR},
                {100 * HOUR, HOUR}
        };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct machine_event e = {MACHINE_ENDED, .wait_ms = rows[i][0]};

		machine_init(&m, &standard);
		happens(MACHINE_START);
		machine_step(&m, &e, now_ms, next_random());
		ck_assert_int_ge(machine_next(&m) - now_ms, rows[i][1]);
		ck_assert_int_le(machine_next(&m) - now_ms, rows[i][1] + 100);
	}
}
END_TEST

START_TEST(too_many_retries)
{
	m.limits.max_retries = 2;
	happens(MACHINE_START);
	ends("one");
	ck_assert_uint_eq(tick_next(), MACHINE_CONNECT);
	ends("two");
	ck_assert_uint_eq(tick_next(), MACHINE_CONNECT);
	ck_assert_uint_eq(ends("three"), 0);
	expect_state(FEED_FAILED);
	ck_assert_str_eq(m.why, "three");
	ck_assert_int_eq(machine_next(&m), MACHINE_NEVER);
	ck_assert_uint_eq(tick_in(HOUR), 0);
	ck_assert_uint_eq(happens(MACHINE_UNLOCKED), 0);
	ck_assert_uint_eq(happens(MACHINE_START), MACHINE_CONNECT);
	ck_assert_int_eq(m.retries, 0);
	m.limits.max_retries = 0;
	ends("at once");
	expect_state(FEED_FAILED);
}
END_TEST

START_TEST(a_vault_that_is_locked)
{
	struct machine_event locked = {MACHINE_LOCKED, .why = "the vault is locked"};

	happens(MACHINE_START);
	ck_assert_uint_eq(machine_step(&m, &locked, now_ms, 0), MACHINE_CLOSE);
	expect_state(FEED_PAUSED);
	ck_assert_str_eq(m.why, "the vault is locked");
	ck_assert_int_eq(machine_next(&m), MACHINE_NEVER);
	ck_assert_uint_eq(ends("late"), 0);
	expect_state(FEED_PAUSED);
	ck_assert_uint_eq(happens(MACHINE_UNLOCKED), MACHINE_CONNECT);
	expect_state(FEED_RESOLVING);
	ck_assert_uint_eq(happens(MACHINE_UNLOCKED), 0);
	/* Who waits for another reason finds out by himself. */
	ends("no");
	ck_assert_uint_eq(machine_step(&m, &locked, now_ms, 0), 0);
	expect_state(FEED_BACKOFF);
	happens(MACHINE_STOP);
	ck_assert_uint_eq(machine_step(&m, &locked, now_ms, 0), 0);
	expect_state(FEED_IDLE);
}
END_TEST

START_TEST(a_start_does_not_wait)
{
	happens(MACHINE_START);
	for (int i = 0; i < 9; i++) {
		ends("no");
		tick_next();
	}
	ends("no");
	expect_state(FEED_BACKOFF);
	ck_assert_uint_eq(happens(MACHINE_START), MACHINE_CONNECT);
	ck_assert_int_eq(m.retries, 0);
	ck_assert_uint_eq(happens(MACHINE_START), 0);
	expect_state(FEED_RESOLVING);
}
END_TEST

START_TEST(the_settings_of_a_feed)
{
	static const char text[] = "{\"url\":\"ws://h\",\"heartbeat\":\"unlimited\","
				   "\"app_ping\":\"p\",\"app_ping_every\":\"5s\",\"max_retries\":3,"
				   "\"connect_timeout\":\"2s\",\"idle_timeout\":\"1m\"}";
	struct error error = ERROR_NONE;
	struct conf_feed *f = NULL;
	struct machine_limits l;

	ck_assert_msg(conf_feed_read(SPAN("f"), json_value_of(SPAN(text)), &f, &error) == OK, "%s",
		error.text);
	l = machine_limits_of(f);
	ck_assert_int_eq(l.heartbeat_ms, MACHINE_NEVER);
	ck_assert_int_eq(l.app_ping_every_ms, 5 * SECOND);
	ck_assert_int_eq(l.max_retries, 3);
	ck_assert_int_eq(l.connect_timeout_ms, 2 * SECOND);
	ck_assert_int_eq(l.idle_timeout_ms, MINUTE);
	conf_feed_free(f);
	ck_assert_int_eq(
		conf_feed_read(SPAN("f"), json_value_of(SPAN("{\"url\":\"ws://h\"}")), &f, &error),
		OK);
	ck_assert_int_eq(machine_limits_of(f).app_ping_every_ms, MACHINE_NEVER);
	ck_assert_int_eq(machine_limits_of(f).max_retries, MACHINE_NEVER);
	conf_feed_free(f);
}
END_TEST

/* --- random events ---------------------------------------------------------------------------- */

static struct machine_limits
random_limits(void)
{
	static const int64_t some[] = {100, SECOND, 30 * SECOND, MACHINE_NEVER};
	static const int64_t retries[] = {0, 3, 20, MACHINE_NEVER};

	return (struct machine_limits){
		.connect_timeout_ms = some[below(3)],
		.app_ping_every_ms = some[below(4)],
		.heartbeat_ms = some[below(4)],
		.idle_timeout_ms = some[below(4)],
		.max_retries = retries[below(4)],
	};
}

static struct machine_event
random_event(void)
{
	return (struct machine_event){
		.kind = (enum machine_event_kind)below(MACHINE_TICK + 1),
		.is_tls = below(2) == 0,
		.is_permanent = below(8) == 0,
		.wait_ms = below(4) == 0 ? (int64_t)below(7200000) : 0,
		.why = below(2) == 0 ? "why" : NULL,
	};
}

static void
step(const struct machine_event *e)
{
	rules_step(&m, e, now_ms, next_random());
}

static void
step_when_wanted(void)
{
	int64_t next_ms = machine_next(&m);

	if (next_ms == MACHINE_NEVER)
		return;
	if (now_ms < next_ms)
		now_ms = next_ms;
	step(&(struct machine_event){.kind = MACHINE_TICK});
}

/** An upstream that does all that it should, from here on. */
static void
settle(void)
{
	for (int i = 0; i < 1000 && m.state != FEED_LIVE; i++) {
		if (m.state == FEED_BACKOFF)
			step_when_wanted();
		for (enum machine_event_kind k = MACHINE_RESOLVED; k <= MACHINE_OPENED; k++)
			step(&(struct machine_event){.kind = k});
		step(&(struct machine_event){.kind = MACHINE_RELEASED});
		step(&(struct machine_event){.kind = MACHINE_GREETED});
		step(&(struct machine_event){.kind = MACHINE_UNLOCKED});
	}
}

START_TEST(random_events)
{
	for (int run = 0; run < 400; run++) {
		struct machine_limits limits = random_limits();

		machine_init(&m, &limits);
		for (int i = 0; i < 300; i++) {
			struct machine_event e = random_event();

			now_ms += below(3) == 0 ? (int64_t)below(90000) : (int64_t)below(50);
			if (below(3) == 0)
				step_when_wanted();
			else
				step(&e);
		}
		step(&(struct machine_event){.kind = MACHINE_START});
		settle();
		expect_state(FEED_LIVE);
		step(&(struct machine_event){.kind = MACHINE_STOP});
		expect_state(FEED_IDLE);
		settle();
		expect_state(FEED_IDLE);
	}
}
END_TEST

/* Whatever came before, it is live again within its back-off. */
START_TEST(live_again_within_the_back_off)
{
	for (int run = 0; run < 200; run++) {
		machine_init(&m, &standard);
		step(&(struct machine_event){.kind = MACHINE_START});
		for (int i = 0; i < 50; i++) {
			if (m.state == FEED_BACKOFF)
				step_when_wanted();
			step(&(struct machine_event){MACHINE_ENDED, .why = "no"});
			ck_assert_int_le(machine_next(&m), now_ms + 30 * SECOND);
		}
		settle();
		expect_state(FEED_LIVE);
	}
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {the_way_to_live, a_redirect_begins_again,
		each_phase_has_words_for_being_late, a_step_of_the_greeting_has_its_time,
		pings_and_their_answers, an_upstream_that_should_not_be_silent,
		messages_that_the_upstream_wants, clocks_stand_still_while_it_is_held,
		what_is_owed_is_sent_while_it_is_held, what_is_held_is_not_stable,
		the_back_off_is_doubled, a_stable_minute_begins_anew,
		what_is_refused_for_good_waits_long, what_the_upstream_asks_for_is_waited,
		too_many_retries, a_vault_that_is_locked, a_start_does_not_wait,
		the_settings_of_a_feed, random_events, live_again_within_the_back_off};
	Suite *suite = suite_create("machine");
	TCase *tcase = tcase_create("machine");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tcase, setup, NULL);
	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_test(tcase, tests[i]);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
