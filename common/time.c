/*
 * Texts of times, durations and sizes. All arithmetic is in integers, and what
 * does not come out exactly, or does not fit, is refused. Pure; any thread.
 */

#include "common/time.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#define MS_PER_SECOND 1000
#define MS_PER_MINUTE (60 * MS_PER_SECOND)
#define MS_PER_HOUR   (60 * MS_PER_MINUTE)
#define MS_PER_DAY    (24 * MS_PER_HOUR)
#define MS_PER_WEEK   (7 * MS_PER_DAY)

struct unit {
	const char *name;
	int64_t factor;
};

/* A name that begins with another one's stands before it. */
static const struct unit duration_units[] = {
	{"ms", 1            },
	{"s",  MS_PER_SECOND},
	{"m",  MS_PER_MINUTE},
	{"h",  MS_PER_HOUR  },
	{"d",  MS_PER_DAY   },
	{"w",  MS_PER_WEEK  },
};

static const struct unit size_units[] = {
	{"B",   1         },
	{"KB",  1000      },
	{"KiB", 1 << 10   },
	{"MB",  1000000   },
	{"MiB", 1 << 20   },
	{"GB",  1000000000},
	{"GiB", 1 << 30   },
};

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/** Takes exactly n digits off the front. */
static bool
take_digits(struct span *s, size_t n, int *value)
{
	int v = 0;

	if (s->n < n)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!is_digit(s->p[i]))
			return false;
		v = v * 10 + (s->p[i] - '0');
	}
	*s = (struct span){s->p + n, s->n - n};
	*value = v;
	return true;
}

/** Takes one byte off the front if it is one of `set`. */
static bool
take_one_of(struct span *s, const char *set)
{
	if (s->n == 0 || s->p[0] == '\0' || strchr(set, s->p[0]) == NULL)
		return false;
	*s = (struct span){s->p + 1, s->n - 1};
	return true;
}

static int
days_in_month(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && is_leap);
}

/** Days from 1970-01-01 to a date of the proleptic Gregorian calendar, year 0 to 9999. */
static int64_t
days_since_epoch(int year, int month, int day)
{
	/* Counted from the 1st of March, so that the leap day ends its year. */
	int y = month > 2 ? year + 400 : year + 399;
	int m = month > 2 ? month - 3 : month + 9;
	int64_t days = (int64_t)y * 365 + y / 4 - y / 100 + y / 400;

	return days + (m * 153 + 2) / 5 + day - 1 - (719468 + 146097);
}

static bool
take_date(struct span *s, int64_t *ms)
{
	int year, month, day;

	if (!take_digits(s, 4, &year) || !take_one_of(s, "-") || !take_digits(s, 2, &month) ||
		!take_one_of(s, "-") || !take_digits(s, 2, &day))
		return false;
	if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month))
		return false;
	*ms = days_since_epoch(year, month, day) * MS_PER_DAY;
	return true;
}

/** The digits behind the point, at least one; those beyond milliseconds are cut. */
static bool
take_fraction(struct span *s, int *ms)
{
	int scale = 100;

	*ms = 0;
	if (s->n == 0 || !is_digit(s->p[0]))
		return false;
	while (s->n > 0 && is_digit(s->p[0])) {
		*ms += (s->p[0] - '0') * scale;
		scale /= 10;
		*s = (struct span){s->p + 1, s->n - 1};
	}
	return true;
}

static bool
take_clock(struct span *s, int64_t *ms)
{
	int hour, minute, second;
	int fraction_ms = 0;

	if (!take_digits(s, 2, &hour) || !take_one_of(s, ":") || !take_digits(s, 2, &minute) ||
		!take_one_of(s, ":") || !take_digits(s, 2, &second))
		return false;
	if (take_one_of(s, ".") && !take_fraction(s, &fraction_ms))
		return false;
	if (hour > 23 || minute > 59 || second > 60)
		return false;
	if (second == 60) {
		second = 59;
		fraction_ms = 999;
	}
	*ms = (int64_t)hour * MS_PER_HOUR + minute * MS_PER_MINUTE + second * MS_PER_SECOND +
	      fraction_ms;
	return true;
}

/** "Z", or how far the local time is ahead of UTC. */
static bool
take_offset(struct span *s, int64_t *ms)
{
	int hour, minute;
	bool is_behind;

	*ms = 0;
	if (take_one_of(s, "Zz"))
		return true;
	is_behind = s->n > 0 && s->p[0] == '-';
	if (!take_one_of(s, "+-") || !take_digits(s, 2, &hour) || !take_one_of(s, ":") ||
		!take_digits(s, 2, &minute) || hour > 23 || minute > 59)
		return false;
	*ms = (int64_t)hour * MS_PER_HOUR + minute * MS_PER_MINUTE;
	if (is_behind)
		*ms = -*ms;
	return true;
}

bool
time_parse(struct span text, int64_t *ms)
{
	int64_t date_ms, clock_ms, offset_ms;

	if (!take_date(&text, &date_ms) || !take_one_of(&text, "Tt ") ||
		!take_clock(&text, &clock_ms) || !take_offset(&text, &offset_ms) || text.n > 0)
		return false;
	*ms = date_ms + clock_ms - offset_ms;
	return true;
}

void
time_format(int64_t ms, char out[TIME_TEXT_SIZE])
{
	int fraction_ms = (int)(ms % MS_PER_SECOND);
	time_t seconds = (time_t)(ms / MS_PER_SECOND);
	struct tm t;

	if (fraction_ms < 0) {
		fraction_ms += MS_PER_SECOND;
		seconds--;
	}
	gmtime_r(&seconds, &t);
	/* The remainders are only there to tell the compiler how long the text can get. */
	snprintf(out, TIME_TEXT_SIZE, "%04d-%02u-%02uT%02u:%02u:%02u.%03uZ", t.tm_year + 1900,
		(unsigned)(t.tm_mon + 1) % 100, (unsigned)t.tm_mday % 100,
		(unsigned)t.tm_hour % 100, (unsigned)t.tm_min % 100, (unsigned)t.tm_sec % 100,
		(unsigned)fraction_ms % 1000);
}

/** A decimal number: `digits` without the point, of which `places` stood behind it. */
struct decimal {
	int64_t digits;
	int64_t scale; /* 10 to the power of places */
};

static bool
take_decimal(struct span *s, struct decimal *d)
{
	bool has_point = false;
	size_t digits_n = 0;
	char last = '\0';

	*d = (struct decimal){.scale = 1};
	for (; s->n > 0 && (is_digit(s->p[0]) || s->p[0] == '.'); s->p++, s->n--) {
		last = s->p[0];
		if (last == '.') {
			if (has_point || digits_n == 0)
				return false;
			has_point = true;
			continue;
		}
		digits_n++;
		if (__builtin_mul_overflow(d->digits, 10, &d->digits) ||
			__builtin_add_overflow(d->digits, last - '0', &d->digits))
			return false;
		if (has_point && __builtin_mul_overflow(d->scale, 10, &d->scale))
			return false;
	}
	return digits_n > 0 && last != '.';
}

static const struct unit *
take_unit(struct span *s, const struct unit *units, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct span name = span_of(units[i].name);

		if (span_has_prefix(*s, name)) {
			*s = (struct span){s->p + name.n, s->n - name.n};
			return &units[i];
		}
	}
	return NULL;
}

/** digits / scale * factor, if it is a whole number that fits. */
static bool
scale_decimal(struct decimal d, int64_t factor, int64_t *value)
{
	__int128 v = (__int128)d.digits * factor;

	if (v % d.scale != 0 || v / d.scale > INT64_MAX)
		return false;
	*value = (int64_t)(v / d.scale);
	return true;
}

bool
duration_parse(struct span text, int64_t *ms)
{
	int64_t sum = 0;

	do {
		const struct unit *unit;
		struct decimal d;
		int64_t part;

		if (!take_decimal(&text, &d))
			return false;
		unit = take_unit(&text, duration_units, COUNT_OF(duration_units));
		if (unit == NULL || !scale_decimal(d, unit->factor, &part) ||
			__builtin_add_overflow(sum, part, &sum))
			return false;
	} while (text.n > 0);
	*ms = sum;
	return true;
}

void
duration_format(int64_t ms, char out[TIME_TEXT_SIZE])
{
	static const struct unit shown[] = {
		{"d",  MS_PER_DAY   },
		{"h",  MS_PER_HOUR  },
		{"m",  MS_PER_MINUTE},
		{"s",  MS_PER_SECOND},
		{"ms", 1            },
	};
	size_t i = 0;

	while (ms % shown[i].factor != 0)
		i++;
	if (ms == 0)
		i = COUNT_OF(shown) - 2;
	snprintf(out, TIME_TEXT_SIZE, "%" PRId64 "%s", ms / shown[i].factor, shown[i].name);
}

bool
size_parse(struct span text, int64_t *nbytes)
{
	const struct unit *unit = &size_units[0];
	struct decimal d;

	if (!take_decimal(&text, &d) || d.scale != 1)
		return false;
	if (text.n > 0)
		unit = take_unit(&text, size_units, COUNT_OF(size_units));
	return unit != NULL && text.n == 0 && scale_decimal(d, unit->factor, nbytes);
}

void
size_format(int64_t nbytes, char out[TIME_TEXT_SIZE])
{
	static const struct unit shown[] = {
		{"GiB", 1 << 30},
		{"MiB", 1 << 20},
		{"KiB", 1 << 10},
		{"B",   1      },
	};
	size_t i = 0;

	while (nbytes % shown[i].factor != 0)
		i++;
	if (nbytes == 0)
		i = COUNT_OF(shown) - 1;
	snprintf(out, TIME_TEXT_SIZE, "%" PRId64 "%s", nbytes / shown[i].factor, shown[i].name);
}
