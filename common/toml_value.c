/*
 * The values of TOML that are a run of characters: booleans, numbers, dates and
 * times. The run is found first and judged as a whole, so that every fault
 * stands at its start. Pure; any thread.
 */

#include <errno.h>
#include <stdlib.h>

#include "common/time.h"
#include "common/toml_priv.h"

#define DATE_LENGTH 10 /* of "1979-05-27" */

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_run(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c != '\0' && strchr("+-._:", c) != NULL);
}

/** "1979-": no number begins so. */
static bool
is_date(struct span s)
{
	return s.n >= 5 && is_digit(s.p[0]) && is_digit(s.p[1]) && is_digit(s.p[2]) &&
	       is_digit(s.p[3]) && s.p[4] == '-';
}

/** "07:" */
static bool
is_time(struct span s)
{
	return s.n >= 3 && is_digit(s.p[0]) && is_digit(s.p[1]) && s.p[2] == ':';
}

/** Takes the run off the text; a date and a time with a space between them are one. */
static struct span
take_run(struct toml_reader *r)
{
	struct span run = {r->p, 0};

	while (r->p < r->end && is_run(*r->p))
		r->p++;
	run.n = (size_t)(r->p - run.p);
	if (run.n != DATE_LENGTH || !is_date(run) || r->end - r->p < 2 || *r->p != ' ' ||
		!is_digit(r->p[1]))
		return run;
	r->p++;
	while (r->p < r->end && is_run(*r->p))
		r->p++;
	run.n = (size_t)(r->p - run.p);
	return run;
}

/** True if the text between `before` and `after` is a moment. */
static bool
is_moment(struct toml_reader *r, const char *before, struct span s, const char *after)
{
	int64_t ms;

	buf_reset(&r->scratch);
	buf_add_span(&r->scratch, span_of(before));
	buf_add_span(&r->scratch, s);
	buf_add_span(&r->scratch, span_of(after));
	return !r->scratch.failed && time_parse(buf_span(&r->scratch), &ms);
}

/** A copy with a large T between date and time and a large Z. */
static struct span
normalise(struct toml_reader *r, struct span s)
{
	buf_reset(&r->scratch);
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		buf_add_char(&r->scratch, i == DATE_LENGTH ? 'T' : c == 'z' ? 'Z' : c);
	}
	return toml_tree_copy(r->doc, buf_span(&r->scratch));
}

/** What is missing to a moment is put there, so that one function knows the calendar. */
static bool
read_moment(struct toml_reader *r, struct span s, struct toml_node *node)
{
	if (is_time(s) && is_moment(r, "1970-01-01T", s, "Z")) {
		node->type = TOML_LOCAL_TIME;
		node->text = toml_tree_copy(r->doc, s);
		return true;
	}
	if (s.n == DATE_LENGTH && is_moment(r, "", s, "T00:00:00Z"))
		node->type = TOML_LOCAL_DATE;
	else if (is_moment(r, "", s, ""))
		node->type = TOML_OFFSET_DATETIME;
	else if (is_moment(r, "", s, "Z"))
		node->type = TOML_LOCAL_DATETIME;
	else
		return toml_fault(r, s.p, "not a date or time");
	node->text = normalise(r, s);
	return true;
}

static unsigned
digit_value(char c)
{
	if (is_digit(c))
		return (unsigned)(c - '0');
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10) : 16;
}

static struct span
skip(struct span s, size_t n)
{
	return (struct span){s.p + n, s.n - n};
}

/** Moves digits from *s to `out`, single underscores between them left out; false if there are
 * none. */
static bool
take_digits(struct span *s, unsigned base, struct buf *out)
{
	bool had_digit = false; /* before this character */

	for (; s->n > 0; *s = skip(*s, 1)) {
		bool has_digit = digit_value(s->p[0]) < base;

		if (has_digit)
			buf_add_char(out, s->p[0]);
		else if (s->p[0] != '_' || !had_digit || s->n < 2 || digit_value(s->p[1]) >= base)
			break;
		had_digit = has_digit;
	}
	return had_digit;
}

/** Moves the sign, if there is one. */
static void
take_sign(struct span *s, struct buf *out)
{
	if (s->n == 0 || (s->p[0] != '+' && s->p[0] != '-'))
		return;
	buf_add_char(out, s->p[0]);
	*s = skip(*s, 1);
}

/** The digits in the scratch buffer as an integer. */
static bool
read_integer(struct toml_reader *r, const char *at, int base, struct toml_node *node)
{
	long long value;

	buf_add_char(&r->scratch, '\0');
	if (r->scratch.failed)
		return toml_fault(r, at, "no memory for the number");
	errno = 0;
	value = strtoll(r->scratch.p, NULL, base);
	if (errno == ERANGE)
		return toml_fault(r, at, "the integer does not fit into 64 bits");
	node->type = TOML_INTEGER;
	node->integer = value;
	return true;
}

/** "0xff", "0o17", "0b11". */
static bool
read_prefixed(struct toml_reader *r, struct span s, unsigned base, struct toml_node *node)
{
	struct span digits = skip(s, 2);

	buf_reset(&r->scratch);
	if (!take_digits(&digits, base, &r->scratch) || digits.n > 0)
		return toml_fault(r, s.p, "not a number of base %u", base);
	return read_integer(r, s.p, (int)base, node);
}

/** Moves the fraction and the exponent of a float; *is_float stays false if there is neither. */
static bool
take_float_end(struct span *s, struct buf *out, bool *is_float)
{
	if (s->n > 0 && s->p[0] == '.') {
		*is_float = true;
		buf_add_char(out, '.');
		*s = skip(*s, 1);
		if (!take_digits(s, 10, out))
			return false;
	}
	if (s->n > 0 && (s->p[0] == 'e' || s->p[0] == 'E')) {
		*is_float = true;
		buf_add_char(out, 'e');
		*s = skip(*s, 1);
		take_sign(s, out);
		return take_digits(s, 10, out);
	}
	return true;
}

static bool
read_decimal(struct toml_reader *r, struct span s, struct toml_node *node)
{
	struct span rest = s;
	bool is_float = false;
	size_t sign_n;

	buf_reset(&r->scratch);
	take_sign(&rest, &r->scratch);
	sign_n = r->scratch.n;
	if (!take_digits(&rest, 10, &r->scratch))
		return toml_fault(r, s.p, "expected a value (a text stands in quotes)");
	if (r->scratch.n > sign_n + 1 && r->scratch.p[sign_n] == '0')
		return toml_fault(r, s.p, "a number with a leading zero");
	if (!take_float_end(&rest, &r->scratch, &is_float) || rest.n > 0)
		return toml_fault(r, s.p, "not a number");
	if (!is_float)
		return read_integer(r, s.p, 10, node);
	buf_add_char(&r->scratch, '\0');
	if (r->scratch.failed)
		return toml_fault(r, s.p, "no memory for the number");
	node->type = TOML_FLOAT;
	node->number = strtod(r->scratch.p, NULL);
	return true;
}

/** Words: booleans and the floats that are no numbers. */
static bool
read_word(struct span s, struct toml_node *node)
{
	bool is_negative = s.n > 0 && s.p[0] == '-';
	bool has_sign = is_negative || (s.n > 0 && s.p[0] == '+');
	struct span word = has_sign ? skip(s, 1) : s;

	if (span_is(s, "true") || span_is(s, "false")) {
		node->type = TOML_BOOL;
		node->boolean = s.p[0] == 't';
		return true;
	}
	if (!span_is(word, "inf") && !span_is(word, "nan"))
		return false;
	node->type = TOML_FLOAT;
	node->number = strtod(word.p[0] == 'i' ? "inf" : "nan", NULL);
	if (is_negative)
		node->number = -node->number;
	return true;
}

bool
toml_value_read(struct toml_reader *r, struct toml_node *node)
{
	struct span s = take_run(r);

	if (read_word(s, node))
		return true;
	if (is_date(s) || is_time(s))
		return read_moment(r, s, node);
	if (s.n > 2 && s.p[0] == '0' && s.p[1] == 'x')
		return read_prefixed(r, s, 16, node);
	if (s.n > 2 && s.p[0] == '0' && s.p[1] == 'o')
		return read_prefixed(r, s, 8, node);
	if (s.n > 2 && s.p[0] == '0' && s.p[1] == 'b')
		return read_prefixed(r, s, 2, node);
	return read_decimal(r, s, node);
}
