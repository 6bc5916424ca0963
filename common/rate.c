/* Rates as text: see rate.h. */

#include "common/rate.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct unit {
	char letter;
	int64_t period_ms;
} units[] = {
	{'s', 1000          },
        {'m', 60 * 1000     },
        {'h', 60 * 60 * 1000}
};

#define UNITS_N (sizeof(units) / sizeof(units[0]))

/** Takes a whole number of at least 1 from the front. */
static bool
take_number(struct span *rest, int64_t max, int64_t *out)
{
	int64_t n = 0;
	size_t i = 0;

	for (; i < rest->n && rest->p[i] >= '0' && rest->p[i] <= '9'; i++) {
		n = n * 10 + (rest->p[i] - '0');
		if (n > max)
			return false;
	}
	*out = n;
	*rest = (struct span){rest->p + i, rest->n - i};
	return n > 0;
}

static bool
take_text(struct span *rest, const char *text)
{
	size_t n = strlen(text);

	if (rest->n < n || memcmp(rest->p, text, n) != 0)
		return false;
	*rest = (struct span){rest->p + n, rest->n - n};
	return true;
}

static bool
take_unit(struct span *rest, int64_t *period_ms)
{
	for (size_t i = 0; i < UNITS_N; i++) {
		if (rest->n > 0 && rest->p[0] == units[i].letter) {
			*period_ms = units[i].period_ms;
			*rest = (struct span){rest->p + 1, rest->n - 1};
			return true;
		}
	}
	return false;
}

bool
rate_parse(struct span text, struct rate *out)
{
	struct rate r;

	if (span_is(text, "unlimited")) {
		*out = RATE_UNLIMITED;
		return true;
	}
	if (!take_number(&text, RATE_COUNT_MAX, &r.count) || !take_text(&text, "/") ||
		!take_unit(&text, &r.period_ms))
		return false;
	r.burst = r.count;
	if (take_text(&text, " burst ") && !take_number(&text, RATE_BURST_MAX, &r.burst))
		return false;
	if (text.n > 0)
		return false;
	*out = r;
	return true;
}

void
rate_format(const struct rate *r, char out[RATE_TEXT_SIZE])
{
	char letter = 's';

	if (rate_is_unlimited(r)) {
		snprintf(out, RATE_TEXT_SIZE, "unlimited");
		return;
	}
	for (size_t i = 0; i < UNITS_N; i++)
		if (units[i].period_ms == r->period_ms)
			letter = units[i].letter;
	if (r->burst == r->count)
		snprintf(out, RATE_TEXT_SIZE, "%" PRId64 "/%c", r->count, letter);
	else
		snprintf(out, RATE_TEXT_SIZE, "%" PRId64 "/%c burst %" PRId64, r->count, letter,
			r->burst);
}
