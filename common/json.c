/*
 * The JSON scanner: one pass that judges (json_check) and cheap walks over what
 * was judged. No recursion: whether a level is an object or an array is one bit
 * on a small stack. Strings and numbers are decoded on request only. Allocates
 * nothing; pure; any thread.
 */

#include "common/json.h"

#include "common/json_priv.h"
#include "common/utf8.h"

struct scan {
	const char *p;
	const char *end;
	const char *what; /* the fault, which is at p; NULL so far */
	unsigned depth;
	unsigned depth_max;
	bool has_opened; /* a container that is not empty: its first item comes next */
	uint64_t objects[(JSON_DEPTH_MAX + 63) / 64]; /* by level: 1 object, 0 array */
};

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int
hex_digit(char c)
{
	if (is_digit(c))
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool
fault_at(struct scan *s, const char *p, const char *what)
{
	s->p = p;
	s->what = what;
	return false;
}

static void
skip_space(struct scan *s)
{
	s->p = json_skip_space(s->p, s->end);
}

static bool
is_in_object(const struct scan *s)
{
	unsigned level = s->depth - 1;

	return (s->objects[level / 64] >> level % 64 & 1) != 0;
}

/** p is at the backslash; returns what is behind the escape, or NULL. */
static const char *
scan_escape(struct scan *s, const char *p)
{
	p++;
	if (p < s->end && *p == 'u') {
		for (int i = 0; i < 4; i++) {
			p++;
			if (p == s->end || hex_digit(*p) < 0) {
				fault_at(s, p, "expected four hexadecimal digits after \\u");
				return NULL;
			}
		}
	} else if (p == s->end || *p == '\0' || strchr("\"\\/bfnrt", *p) == NULL) {
		fault_at(s, p, "unknown escape in a string");
		return NULL;
	}
	return p + 1;
}

static bool
scan_string(struct scan *s)
{
	const char *p = s->p + 1;

	while ((p = json_plain_end(p, s->end)) < s->end && *p != '"') {
		size_t n;

		if (*p == '\\') {
			p = scan_escape(s, p);
			if (p == NULL)
				return false;
			continue;
		}
		if ((unsigned char)*p < 0x20)
			return fault_at(s, p, "control character in a string");
		n = utf8_next(p, s->end);
		if (n == 0)
			return fault_at(s, p, "invalid UTF-8");
		p += n;
	}
	if (p == s->end)
		return fault_at(s, p, "unterminated string");
	s->p = p + 1;
	return true;
}

/** At least one digit. */
static bool
scan_digits(struct scan *s)
{
	const char *p = s->p;

	while (p < s->end && is_digit(*p))
		p++;
	if (p == s->p)
		return fault_at(s, p, "expected a digit");
	s->p = p;
	return true;
}

static bool
scan_number(struct scan *s)
{
	if (*s->p == '-')
		s->p++;
	if (s->p < s->end && *s->p == '0') {
		s->p++;
		if (s->p < s->end && is_digit(*s->p))
			return fault_at(s, s->p, "a number with a leading zero");
	} else if (!scan_digits(s)) {
		return false;
	}
	if (s->p < s->end && *s->p == '.') {
		s->p++;
		if (!scan_digits(s))
			return false;
	}
	if (s->p < s->end && (*s->p == 'e' || *s->p == 'E')) {
		s->p++;
		if (s->p < s->end && (*s->p == '+' || *s->p == '-'))
			s->p++;
		return scan_digits(s);
	}
	return true;
}

static bool
scan_word(struct scan *s, const char *word)
{
	for (; *word != '\0'; word++, s->p++)
		if (s->p == s->end || *s->p != *word)
			return fault_at(s, s->p, "expected a value");
	return true;
}

/** Goes into an object or an array, and out again if it is empty. */
static bool
scan_open(struct scan *s, bool is_object)
{
	uint64_t bit = UINT64_C(1) << s->depth % 64;
	uint64_t *word;

	if (s->depth == s->depth_max)
		return fault_at(s, s->p, JSON_TOO_DEEP);
	word = &s->objects[s->depth / 64];
	*word = is_object ? *word | bit : *word & ~bit;
	s->p++;
	skip_space(s);
	if (s->p < s->end && *s->p == (is_object ? '}' : ']')) {
		s->p++;
		return true;
	}
	s->depth++;
	s->has_opened = true;
	return true;
}

/** A scalar, an empty container, or the start of another one. */
static bool
scan_value(struct scan *s)
{
	if (s->p == s->end)
		return fault_at(s, s->p, "expected a value");
	switch (*s->p) {
	case '"':
		return scan_string(s);
	case '{':
		return scan_open(s, true);
	case '[':
		return scan_open(s, false);
	case 't':
		return scan_word(s, "true");
	case 'f':
		return scan_word(s, "false");
	case 'n':
		return scan_word(s, "null");
	default:
		if (*s->p != '-' && !is_digit(*s->p))
			return fault_at(s, s->p, "expected a value");
		return scan_number(s);
	}
}

/** A key and its colon. */
static bool
scan_key(struct scan *s)
{
	if (s->p == s->end || *s->p != '"')
		return fault_at(s, s->p, "expected a key in double quotes");
	if (!scan_string(s))
		return false;
	skip_space(s);
	if (s->p == s->end || *s->p != ':')
		return fault_at(s, s->p, "expected a colon");
	s->p++;
	skip_space(s);
	return true;
}

/** After a value: closes what ends here; true if another item follows. */
static bool
scan_next(struct scan *s)
{
	while (s->depth > 0) {
		bool is_object = is_in_object(s);

		skip_space(s);
		if (s->p < s->end && *s->p == ',') {
			s->p++;
			skip_space(s);
			return true;
		}
		if (s->p == s->end || *s->p != (is_object ? '}' : ']'))
			return fault_at(s, s->p,
				is_object ? "expected a comma or }" : "expected a comma or ]");
		s->p++;
		s->depth--;
	}
	return false;
}

/** One whole value, with all that is in it. */
static bool
scan_tree(struct scan *s)
{
	do {
		s->has_opened = false;
		if (s->depth > 0 && is_in_object(s) && !scan_key(s))
			return false;
		if (!scan_value(s))
			return false;
	} while (s->has_opened || scan_next(s));
	return s->what == NULL;
}

static enum json_type
type_of(char first)
{
	switch (first) {
	case 'n':
		return JSON_NULL;
	case 'f':
		return JSON_FALSE;
	case 't':
		return JSON_TRUE;
	case '"':
		return JSON_STRING;
	case '[':
		return JSON_ARRAY;
	case '{':
		return JSON_OBJECT;
	default:
		return JSON_NUMBER;
	}
}

struct json_value
json_value_of(struct span checked)
{
	return (struct json_value){type_of(*checked.p), checked};
}

enum err
json_check(struct span text, unsigned depth_max, struct json_value *value, struct json_fault *fault)
{
	const char *start = text.n > 0 ? text.p : "";
	struct scan s = {
		.p = start,
		.end = start + text.n,
		.depth_max = depth_max < JSON_DEPTH_MAX ? depth_max : JSON_DEPTH_MAX,
	};
	struct span raw;

	skip_space(&s);
	raw.p = s.p;
	if (scan_tree(&s)) {
		raw.n = (size_t)(s.p - raw.p);
		skip_space(&s);
		if (s.p == s.end) {
			*value = (struct json_value){type_of(*raw.p), raw};
			return OK;
		}
		s.what = "expected the end of the text";
	}
	fault->offset = (size_t)(s.p - start);
	fault->what = s.p == s.end ? "the text ends too early" : s.what;
	return ERR_PARSE_ERROR;
}

size_t
json_depth(struct json_value value)
{
	const char *p = value.raw.p, *end = p + value.raw.n;
	size_t depth = 0, deepest = 0;

	while (p < end) {
		char c = *p++;

		if (c == '"')
			p = json_closing_quote(p, end) + 1;
		else if (c == '{' || c == '[')
			deepest = ++depth > deepest ? depth : deepest;
		else if (c == '}' || c == ']')
			depth--;
	}
	return deepest;
}

/** The end of a container that was checked; p is at its opening bracket. */
static const char *
container_end(const char *p, const char *end)
{
	size_t depth = 0;

	while (p < end) {
		char c = *p++;

		if (c == '"') {
			p = json_closing_quote(p, end) + 1;
		} else if (c == '{' || c == '[') {
			depth++;
		} else if (c == '}' || c == ']') {
			if (--depth == 0)
				break;
		}
	}
	return p;
}

/** The end of a checked value that starts at p. */
static const char *
value_end(const char *p, const char *end)
{
	switch (*p) {
	case '"':
		return json_closing_quote(p + 1, end) + 1;
	case '{':
	case '[':
		return container_end(p, end);
	default:
		while (p < end && *p != ',' && *p != ']' && *p != '}' && *p > ' ')
			p++;
		return p;
	}
}

struct json_walk
json_walk_start(struct json_value container)
{
	const char *last;

	if (container.raw.n == 0 || (container.type != JSON_OBJECT && container.type != JSON_ARRAY))
		return (struct json_walk){0};
	last = container.raw.p + container.raw.n - 1;
	return (struct json_walk){json_skip_space(container.raw.p + 1, last), last};
}

/** Takes the value at w->p and the comma behind it; w->p is then at the next item or at the end. */
static struct json_value
take_value(struct json_walk *w)
{
	const char *p = w->p;
	const char *stop = value_end(p, w->end);

	w->p = json_skip_space(stop, w->end);
	if (w->p < w->end)
		w->p = json_skip_space(w->p + 1, w->end);
	return (struct json_value){
		type_of(*p), {p, (size_t)(stop - p)}
        };
}

bool
json_object_next(struct json_walk *w, struct span *key, struct json_value *value)
{
	const char *stop;

	if (w->p >= w->end)
		return false;
	stop = json_closing_quote(w->p + 1, w->end) + 1;
	*key = (struct span){w->p, (size_t)(stop - w->p)};
	w->p = json_skip_space(stop, w->end) + 1; /* the colon */
	w->p = json_skip_space(w->p, w->end);
	*value = take_value(w);
	return true;
}

bool
json_array_next(struct json_walk *w, struct json_value *value)
{
	if (w->p >= w->end)
		return false;
	*value = take_value(w);
	return true;
}

static struct span
inside_quotes(struct span raw)
{
	return (struct span){raw.p + 1, raw.n - 2};
}

static unsigned
hex4(const char *p)
{
	unsigned v = 0;

	for (int i = 0; i < 4; i++)
		v = v << 4 | (unsigned)hex_digit(p[i]);
	return v;
}

size_t
json_decode_escape(const char **p, const char *end, char out[4])
{
	static const char names[] = "bfnrt";
	static const char meanings[] = "\b\f\n\r\t";
	const char *name;
	unsigned code;

	if ((*p)[1] != 'u') {
		name = strchr(names, (*p)[1]);
		out[0] = name != NULL ? meanings[name - names] : (*p)[1];
		*p += 2;
		return 1;
	}
	code = hex4(*p + 2);
	*p += 6;
	if (code < 0xd800 || code > 0xdfff)
		return utf8_encode(code, out);
	if (code < 0xdc00 && end - *p >= 6 && (*p)[0] == '\\' && (*p)[1] == 'u') {
		unsigned low = hex4(*p + 2);

		if (low >= 0xdc00 && low <= 0xdfff) {
			*p += 6;
			return utf8_encode(0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00), out);
		}
	}
	utf8_encode(code, out);
	return 0;
}

bool
json_string_is_plain(struct span raw)
{
	return memchr(raw.p, '\\', raw.n) == NULL;
}

bool
json_string_is(struct span raw, const char *text)
{
	return json_string_eq(raw, span_of(text));
}

bool
json_string_eq(struct span raw, struct span text)
{
	struct span s = inside_quotes(raw);
	const char *end = s.p + s.n;

	if (s.n == text.n)
		return span_eq(s, text) && json_string_is_plain(s);
	/* Most differ in their first byte; escapes only make a text longer. */
	if (s.n < text.n || (text.n > 0 && *s.p != *text.p && *s.p != '\\') ||
		json_string_is_plain(s))
		return false;
	while (s.p < end) {
		char bytes[4];
		size_t n = 1;

		if (*s.p != '\\')
			bytes[0] = *s.p++;
		else
			n = json_decode_escape(&s.p, end, bytes);
		if (n == 0 || n > text.n || memcmp(bytes, text.p, n) != 0)
			return false;
		text = (struct span){text.p + n, text.n - n};
	}
	return text.n == 0;
}

size_t
json_string_decode(struct span raw, char *out)
{
	struct span s = inside_quotes(raw);
	const char *p = s.p;
	const char *end = s.p + s.n;
	char *to = out;

	while (p < end) {
		const char *escape = memchr(p, '\\', (size_t)(end - p));
		size_t n = (size_t)((escape != NULL ? escape : end) - p);

		memcpy(to, p, n);
		to += n;
		p += n;
		if (p < end) {
			char bytes[4];

			n = json_decode_escape(&p, end, bytes);
			if (n == 0)
				return SIZE_MAX;
			memcpy(to, bytes, n);
			to += n;
		}
	}
	return (size_t)(to - out);
}

void
json_string_text(struct span raw, char *out, size_t size)
{
	struct span s = inside_quotes(raw);
	const char *p = s.p;
	const char *end = s.p + s.n;
	size_t used = 0;

	while (p < end) {
		char bytes[4];
		size_t n;

		if (*p == '\\') {
			n = json_decode_escape(&p, end, bytes);
		} else {
			n = utf8_next(p, end);
			memcpy(bytes, p, n);
			p += n > 0 ? n : 1;
		}
		if (n == 0 || bytes[0] == '\0')
			n = utf8_encode(0xfffd, bytes);
		if (n > size - 1 - used)
			break;
		memcpy(out + used, bytes, n);
		used += n;
	}
	out[used] = '\0';
}

/** value * 10 + digit; false if that does not fit. */
static bool
shift_in(uint64_t *value, unsigned digit)
{
	return !__builtin_mul_overflow(*value, UINT64_C(10), value) &&
	       !__builtin_add_overflow(*value, digit, value);
}

int64_t
json_read_exponent(const char *p, const char *end)
{
	bool is_negative = p + 1 < end && p[1] == '-';
	int64_t e = 0;

	for (p++; p < end; p++)
		if (is_digit(*p) && e < INT64_C(1) << 50)
			e = e * 10 + (*p - '0');
	return is_negative ? -e : e;
}

/** The digits without trailing zeros, and the power of ten that they are to be multiplied by. False
 * if there are too many of them. */
static bool
read_decimal(const char *p, const char *end, uint64_t *digits, int64_t *power)
{
	int64_t zeros = 0; /* pending: they count only if another digit follows */
	int64_t places = 0;
	bool has_point = false;

	*digits = 0;
	for (; p < end && *p != 'e' && *p != 'E'; p++) {
		if (*p == '.') {
			has_point = true;
			continue;
		}
		places += has_point;
		if (*p == '0') {
			zeros += *digits != 0;
			continue;
		}
		for (; zeros > 0; zeros--)
			if (!shift_in(digits, 0))
				return false;
		if (!shift_in(digits, (unsigned)(*p - '0')))
			return false;
	}
	*power = zeros - places + (p < end ? json_read_exponent(p, end) : 0);
	return true;
}

bool
json_number_int64(struct span raw, int64_t *out)
{
	bool is_negative = *raw.p == '-';
	uint64_t limit = is_negative ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;
	uint64_t value;
	int64_t power;

	if (!read_decimal(raw.p + is_negative, raw.p + raw.n, &value, &power))
		return false;
	if (value != 0 && power < 0)
		return false;
	for (; value != 0 && power > 0; power--)
		if (!shift_in(&value, 0))
			return false;
	if (value > limit)
		return false;
	*out = is_negative ? (int64_t)-value : (int64_t)value;
	return true;
}
