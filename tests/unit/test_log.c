/*
 * The log: levels by part, both formats, and that no value can break out of its
 * line. Reads what is really written to standard error.
 *
 * threads: yes
 */

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/log.h"
#include "common/time.h"

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))
#define TEXT_SIZE   (1 << 20)

static int saved_stderr;
static FILE *caught;

/** From here on standard error goes to a file. */
static void
catch_stderr(void)
{
	fflush(stderr);
	caught = tmpfile();
	saved_stderr = dup(STDERR_FILENO);
	dup2(fileno(caught), STDERR_FILENO);
	fcntl(STDERR_FILENO, F_SETFL, O_APPEND);
}

/** What was written since; static. */
static const char *
caught_text(void)
{
	static char text[TEXT_SIZE];
	size_t n;

	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	rewind(caught);
	n = fread(text, 1, sizeof(text) - 1, caught);
	text[n] = '\0';
	fclose(caught);
	return text;
}

/** The line behind its time, which must be one. */
static const char *
behind_time(const char *line, size_t head)
{
	int64_t ms;

	ck_assert(time_parse((struct span){line + head, 24}, &ms));
	ck_assert_int_lt(llabs(ms - clock_wall_ms()), 10000);
	return line + head + 24;
}

static void
set_filter(const char *filter)
{
	struct error error = ERROR_NONE;

	ck_assert_msg(log_set_filter(span_of(filter), &error) == OK, "%s", error.text);
	ck_assert_str_eq(log_filter(), filter);
}

/* Every test starts from what the program starts from. */
static void
reset_log(void)
{
	log_set_format(LOG_LOGFMT);
	set_filter("info");
}

START_TEST(test_default_filter)
{
	ck_assert_str_eq(log_filter(), "info");
	ck_assert(log_is_on(LOG_ERROR, "store"));
	ck_assert(log_is_on(LOG_INFO, "store"));
	ck_assert(!log_is_on(LOG_DEBUG, "store"));
}
END_TEST

START_TEST(test_filters)
{
	static const struct {
		const char *filter;
		const char *part;
		enum log_level loudest;
	} rows[] = {
		{"error",                      "x",      LOG_ERROR},
		{"trace",                      "x",      LOG_TRACE},
		{"info,store=debug",           "store",  LOG_DEBUG},
		{"info,store=debug",           "hub",    LOG_INFO },
		{"info,store=debug",           "stor",   LOG_INFO },
		{"info,store=debug",           "stores", LOG_INFO },
		{"warn,store=error,hub=trace", "store",  LOG_ERROR},
		{"warn,store=error,hub=trace", "hub",    LOG_TRACE},
		{"warn,store=error,hub=trace", "net",    LOG_WARN },
		{" store = debug , warn ",     "store",  LOG_DEBUG},
		{" store = debug , warn ",     "net",    LOG_WARN },
		{"store=debug",                "net",    LOG_INFO },
		{"a=warn,a=trace",             "a",      LOG_TRACE},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		set_filter(rows[i].filter);
		for (enum log_level l = LOG_ERROR; l <= LOG_TRACE; l++)
			ck_assert_msg(log_is_on(l, rows[i].part) == (l <= rows[i].loudest),
				"%s: level %d of %s", rows[i].filter, (int)l, rows[i].part);
	}
}
END_TEST

START_TEST(test_bad_filters)
{
	static const char *const filters[] = {"", " ", "loud", "INFO", "info,", ",info",
		"info,,warn", "store=", "=debug", "store=loud", "store=debug=x", "a=b,info"};
	char text[1000] = "info";
	struct error error = ERROR_NONE;

	set_filter("warn,hub=debug");
	for (size_t i = 0; i < COUNT_OF(filters); i++) {
		ck_assert_msg(log_set_filter(span_of(filters[i]), &error) == ERR_CONFIG_ERROR, "%s",
			filters[i]);
		ck_assert_str_eq(log_filter(), "warn,hub=debug");
		ck_assert(log_is_on(LOG_DEBUG, "hub"));
	}
	for (int i = 0; i < 33; i++)
		strcat(text, ",p=info");
	ck_assert_int_eq(log_set_filter(span_of(text), &error), ERR_CONFIG_ERROR);
	memset(text, 'x', sizeof(text) - 1);
	ck_assert_int_eq(log_set_filter(span_of(text), &error), ERR_CONFIG_ERROR);
}
END_TEST

START_TEST(test_as_long_as_the_configuration_takes)
{
	static const char end[] = "=debug";
	char text[1002];
	struct error error = ERROR_NONE;

	memset(text, 'x', sizeof(text) - sizeof(end));
	memcpy(text + sizeof(text) - sizeof(end), end, sizeof(end));
	ck_assert_int_eq(log_set_filter(span_of(text), &error), ERR_CONFIG_ERROR);
	set_filter(text + 1);
}
END_TEST

START_TEST(test_logfmt)
{
	const char *text;

	catch_stderr();
	log_info("session", "session ready", F_INT("protocol", -1), F_BOOL("tls", true),
		F_STR("peer", "127.0.0.1:80"), F_STR("name", "a \"b\"\n=\\"), F_STR("none", ""),
		F_SPAN("null", ((struct span){0})));
	log_debug("session", "not this one");
	log_error("main", "no fields");
	text = caught_text();
	ck_assert_ptr_eq(strstr(text, "time="), text);
	text = behind_time(text, 5);
	ck_assert_str_eq(
		strchr(text, '\n') + 1 + 5 + 24, " level=error part=main msg=\"no fields\"\n");
	ck_assert(span_has_prefix(span_of(text),
		SPAN(" level=info part=session msg=\"session ready\" protocol=-1 tls=true "
		     "peer=127.0.0.1:80 name=\"a \\\"b\\\"\\n=\\\\\" none=\"\" null=\"\"\n")));
}
END_TEST

START_TEST(test_json_lines)
{
	struct json_fault fault;
	struct json_value value;
	const char *text;

	log_set_format(LOG_JSON);
	catch_stderr();
	log_warn("hub", "odd \"one\"", F_INT("n", INT64_MIN), F_BOOL("b", false),
		F_SPAN("s", SPAN("\0\x1f\x7f\xff\xc3\xa9\t")));
	text = caught_text();
	ck_assert_int_eq(json_check(span_of(text), 1, &value, &fault), OK);
	ck_assert_str_eq(behind_time(text, 9),
		"\",\"level\":\"warn\",\"part\":\"hub\",\"msg\":\"odd \\\"one\\\"\","
		"\"n\":-9223372036854775808,\"b\":false,"
		"\"s\":\"\\u0000\\u001f\\u007f\xef\xbf\xbd\xc3\xa9\\t\"}\n");
}
END_TEST

/* Very long values are cut, fields that do not fit are left out, the line still ends well. */
START_TEST(test_long_values)
{
	static char value[20000];
	struct json_fault fault;
	struct json_value parsed;
	const char *text;

	memset(value, 0x01, sizeof(value) - 1);
	log_set_format(LOG_JSON);
	catch_stderr();
	log_info("x", "long", F_STR("a", value), F_STR("b", value), F_STR("c", value),
		F_INT("d", 5));
	text = caught_text();
	ck_assert_uint_le(strlen(text), 8192);
	ck_assert_int_eq(json_check(span_of(text), 1, &parsed, &fault), OK);
	ck_assert_ptr_nonnull(strstr(text, "\"a\":\"\\u0001"));
	ck_assert_ptr_nonnull(strstr(text, "...\""));
	ck_assert_ptr_null(strstr(text, "\"b\":"));
	ck_assert_ptr_nonnull(strstr(text, ",\"d\":5}\n"));
}
END_TEST

START_TEST(test_keeps_errno)
{
	errno = ENOENT;
	catch_stderr();
	close(STDERR_FILENO);
	errno = ENOENT;
	log_error("x", "nowhere to go");
	ck_assert_int_eq(errno, ENOENT);
	caught_text();
}
END_TEST

static void *
write_lines(void *arg)
{
	for (int i = 0; i < 500; i++)
		log_info("thread", "line", F_INT("i", i), F_STR("who", (const char *)arg));
	return NULL;
}

START_TEST(test_threads)
{
	static char names[4][2] = {"a", "b", "c", "d"};
	pthread_t threads[4];
	struct span rest;
	size_t lines = 0;

	catch_stderr();
	for (size_t i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, write_lines, names[i]), 0);
	for (int i = 0; i < 100; i++)
		log_set_filter(i % 2 ? SPAN("info,store=debug") : SPAN("debug,store=warn"), NULL);
	for (size_t i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	rest = span_of(caught_text());
	while (rest.n > 0) {
		size_t n = (size_t)((const char *)memchr(rest.p, '\n', rest.n) - rest.p) + 1;

		ck_assert(span_has_prefix(rest, SPAN("time=")));
		ck_assert(memchr(rest.p + 1, '\n', n - 2) == NULL && rest.p[n - 3] == '=');
		rest = (struct span){rest.p + n, rest.n - n};
		lines++;
	}
	ck_assert_uint_eq(lines, 2000);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {test_default_filter, test_filters, test_bad_filters,
		test_as_long_as_the_configuration_takes, test_logfmt, test_json_lines,
		test_long_values, test_keeps_errno, test_threads};
	Suite *suite = suite_create("log");
	TCase *tcase = tcase_create("log");
	SRunner *runner = srunner_create(suite);
	int failed;

	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_test(tcase, tests[i]);
	tcase_add_checked_fixture(tcase, reset_log, NULL);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
