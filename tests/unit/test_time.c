/*
 * Texts of times, durations and sizes: the examples of RFC 3339, every day of the
 * calendar's period against timegm(), and what is printed reads back.
 */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/time.h"

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

START_TEST(test_rfc3339)
{
	static const struct {
		const char *text;
		int64_t ms;
	} rows[] = {
		{"1970-01-01T00:00:00Z",         0                         },
		{"1985-04-12T23:20:50.52Z",      482196050520              },
		{"1996-12-19T16:39:57-08:00",    851042397000              },
		{"1996-12-20T00:39:57Z",         851042397000              },
		{"1990-12-31T23:59:60Z",         662687999999              },
		{"1990-12-31T15:59:60-08:00",    662687999999              },
		{"1937-01-01T12:00:27.87+00:20", -1041337172130            },
		{"2026-11-24T10:00:00.5+01:00",  1795510800500             },
		{"2026-11-24 10:00:00z",         1795514400000             },
		{"2026-11-24t10:00:00.1239999z", 1795514400123             },
		{"2000-02-29T00:00:00-00:00",    951782400000              },
		{"1969-12-31T23:59:59.999Z",     -1                        },
		{"0000-01-01T00:00:00Z",         -62167219200000           },
		{"9999-12-31T23:59:59.999Z",     253402300799999           },
		{"0000-01-01T00:00:00+23:59",    -62167219200000 - 86340000},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		int64_t ms = 1;

		ck_assert_msg(time_parse(span_of(rows[i].text), &ms), "%s", rows[i].text);
		ck_assert_msg(ms == rows[i].ms, "%s: %lld", rows[i].text, (long long)ms);
	}
}
END_TEST

START_TEST(test_bad_times)
{
	static const char *const texts[] = {"", "2026", "2026-11-24", "2026-11-24T10:00Z",
		"2026-11-24T10:00:00", "2026-11-24T10:00:00.Z", "2026-11-24T10:00:00,5Z",
		"2026-11-24T10:00:00+0100", "2026-11-24T10:00:00+1:00", "2026-11-24T10:00:00+24:00",
		"2026-11-24T10:00:00+00:60", "2026-11-24T10:00:00Z ", " 2026-11-24T10:00:00Z",
		"2026-11-24T10:00:00ZZ", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z",
		"2026-01-00T00:00:00Z", "2026-01-32T00:00:00Z", "2026-02-29T00:00:00Z",
		"1900-02-29T00:00:00Z", "2026-04-31T00:00:00Z", "2026-11-24T24:00:00Z",
		"2026-11-24T10:60:00Z", "2026-11-24T10:00:61Z", "26-11-24T10:00:00Z",
		"+2026-11-24T10:00:00Z", "2026-1-24T10:00:00Z", "2026/11/24T10:00:00Z",
		"2026-11-24_10:00:00Z", "2026-11-24T10:00:00 Z", "2026-11-24T1O:00:00Z",
		"-026-11-24T10:00:00Z", "1795514400000"};
	int64_t ms = 77;

	for (size_t i = 0; i < COUNT_OF(texts); i++)
		ck_assert_msg(!time_parse(span_of(texts[i]), &ms), "%s", texts[i]);
	ck_assert(!time_parse(SPAN("2026-11-24T10:00:00\0"), &ms));
	ck_assert(!time_parse(SPAN("2026-11-24\0"
				   "10:00:00Z"),
		&ms));
	ck_assert_int_eq(ms, 77);
}
END_TEST

START_TEST(test_every_day)
{
	struct tm first = {.tm_year = 1600 - 1900, .tm_mday = 1};
	struct tm end = {.tm_year = 2400 - 1900, .tm_mday = 1}; /* two periods of the calendar */

	for (time_t t = timegm(&first); t < timegm(&end); t += 86400) {
		char text[TIME_TEXT_SIZE];
		char want[64];
		struct tm tm;
		int64_t ms;

		gmtime_r(&t, &tm);
		snprintf(want, sizeof(want), "%04d-%02d-%02dT00:00:00.000Z", tm.tm_year + 1900,
			tm.tm_mon + 1, tm.tm_mday);
		time_format((int64_t)t * 1000, text);
		if (strcmp(text, want) != 0 || !time_parse(span_of(text), &ms) ||
			ms != (int64_t)t * 1000)
			ck_abort_msg("%s, %s", text, want);
	}
}
END_TEST

START_TEST(test_format_times)
{
	static const struct {
		int64_t ms;
		const char *text;
	} rows[] = {
		{0,               "1970-01-01T00:00:00.000Z"},
		{-1,              "1969-12-31T23:59:59.999Z"},
		{-1000,           "1969-12-31T23:59:59.000Z"},
		{1795514400500,   "2026-11-24T10:00:00.500Z"},
		{253402300799999, "9999-12-31T23:59:59.999Z"},
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char text[TIME_TEXT_SIZE];

		time_format(rows[i].ms, text);
		ck_assert_str_eq(text, rows[i].text);
	}
}
END_TEST

START_TEST(test_extreme_times_fit)
{
	static const int64_t values[] = {INT64_MAX, INT64_MIN, INT64_MAX - 1, INT64_MIN + 1,
		253402300800000, -62167219200001};

	for (size_t i = 0; i < COUNT_OF(values); i++) {
		char text[TIME_TEXT_SIZE];

		memset(text, 'x', sizeof(text));
		time_format(values[i], text);
		ck_assert_uint_lt(strnlen(text, sizeof(text)), sizeof(text));
	}
}
END_TEST

START_TEST(test_durations)
{
	static const struct {
		const char *text;
		int64_t ms;
		const char *shown;
	} rows[] = {
		{"0s",                    0,         "0s"                   },
		{"1ms",                   1,         "1ms"                  },
		{"1500ms",                1500,      "1500ms"               },
		{"30s",                   30000,     "30s"                  },
		{"1.5s",                  1500,      "1500ms"               },
		{"0.001s",                1,         "1ms"                  },
		{"90m",                   5400000,   "90m"                  },
		{"1h30m",                 5400000,   "90m"                  },
		{"1.5h",                  5400000,   "90m"                  },
		{"24h",                   86400000,  "1d"                   },
		{"7d",                    604800000, "7d"                   },
		{"1w",                    604800000, "7d"                   },
		{"1d1s1ms",               86401001,  "86401001ms"           },
		{"9223372036854775807ms", INT64_MAX, "9223372036854775807ms"},
		{"00030s",                30000,     "30s"                  },
	};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char text[TIME_TEXT_SIZE];
		int64_t ms, again;

		ck_assert_msg(duration_parse(span_of(rows[i].text), &ms), "%s", rows[i].text);
		ck_assert_int_eq(ms, rows[i].ms);
		duration_format(ms, text);
		ck_assert_str_eq(text, rows[i].shown);
		ck_assert(duration_parse(span_of(text), &again));
		ck_assert_int_eq(again, ms);
	}
}
END_TEST

START_TEST(test_bad_durations)
{
	static const char *const texts[] = {"", "30", "s", "30 s", "-1s", "+1s", "1.s", ".5s",
		"1..5s", "1s ", "1S", "1y", "1sec", "0.5ms", "0.0001s", "9223372036854775808ms",
		"9223372036854775807s", "9223372036854775807ms1ms", "1e3s", "1s-1s",
		"99999999999999999999999s", "0.00000000000000000000001s"};
	int64_t ms = 77;

	for (size_t i = 0; i < COUNT_OF(texts); i++)
		ck_assert_msg(!duration_parse(span_of(texts[i]), &ms), "%s", texts[i]);
	ck_assert_int_eq(ms, 77);
}
END_TEST

START_TEST(test_sizes)
{
	static const struct {
		const char *text;
		int64_t nbytes;
		const char *shown;
	} rows[] = {
		{"0",                   0,          "0B"                  },
		{"5",                   5,          "5B"                  },
		{"5B",                  5,          "5B"                  },
		{"1KB",                 1000,       "1000B"               },
		{"1KiB",                1024,       "1KiB"                },
		{"256KiB",              262144,     "256KiB"              },
		{"1024KiB",             1048576,    "1MiB"                },
		{"3MB",                 3000000,    "3000000B"            },
		{"4MiB",                4194304,    "4MiB"                },
		{"2GB",                 2000000000, "1953125KiB"          },
		{"4GiB",                4294967296, "4GiB"                },
		{"9223372036854775807", INT64_MAX,  "9223372036854775807B"},
	};
	static const char *const bad[] = {"", "B", "-1", "1.5KiB", "1 KiB", "1kib", "1KIB", "1K",
		"1TB", "1KiBB", "9223372036854775808", "9007199254740992KiB", "1.0"};

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char text[TIME_TEXT_SIZE];
		int64_t nbytes, again;

		ck_assert_msg(size_parse(span_of(rows[i].text), &nbytes), "%s", rows[i].text);
		ck_assert_int_eq(nbytes, rows[i].nbytes);
		size_format(nbytes, text);
		ck_assert_str_eq(text, rows[i].shown);
		ck_assert(size_parse(span_of(text), &again));
		ck_assert_int_eq(again, nbytes);
	}
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		ck_assert_msg(!size_parse(span_of(bad[i]), &(int64_t){0}), "%s", bad[i]);
}
END_TEST

int
main(void)
{
	const TTest *const tests[] = {test_rfc3339, test_bad_times, test_every_day,
		test_format_times, test_extreme_times_fit, test_durations, test_bad_durations,
		test_sizes};
	Suite *suite = suite_create("time");
	TCase *tcase = tcase_create("time");
	SRunner *runner = srunner_create(suite);
	int failed;

	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
		tcase_add_test(tcase, tests[i]);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
