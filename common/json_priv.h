#pragma once
/*
 * What the scanner and the writer of JSON share: finding bytes that matter in
 * strings, eight at a time. Pure; any thread.
 */

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define JSON_ONES  UINT64_C(0x0101010101010101)
#define JSON_HIGHS UINT64_C(0x8080808080808080)

/** Decodes the escape at *p and moves behind it; returns its length. 0 for a lone surrogate, which
 * has no UTF-8 form: then `out` has the three bytes that its code would make. */
size_t json_decode_escape(const char **p, const char *end, char out[4]);
/** The exponent behind the "e" at p; one that is huge stays huge. */
int64_t json_read_exponent(const char *p, const char *end);

/** Eight bytes, the first one lowest. */
static inline uint64_t
json_load(const char *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	return le64toh(word);
}

/*
 * The flags below mark bytes by their highest bit. A borrow can mark a byte
 * above a marked one wrongly; the lowest mark, which is the one used, is right.
 */
static inline uint64_t
json_flag_equal(uint64_t word, unsigned char byte)
{
	uint64_t x = word ^ JSON_ONES * byte;

	return (x - JSON_ONES) & ~x & JSON_HIGHS;
}

static inline uint64_t
json_flag_delimiter(uint64_t word)
{
	return json_flag_equal(word, '"') | json_flag_equal(word, '\\');
}

/** Control characters and what is not ASCII. */
static inline uint64_t
json_flag_odd(uint64_t word)
{
	return ((word - JSON_ONES * 0x20) | word) & JSON_HIGHS;
}

static inline size_t
json_first_flag(uint64_t flags)
{
	return (size_t)__builtin_ctzll(flags) / 8;
}

/** The first byte of a string that does not simply stand for itself in ASCII: a quote, a backslash,
 * a control character, a byte of a longer sequence; or end. */
static inline const char *
json_plain_end(const char *p, const char *end)
{
	for (; end - p >= 8; p += 8) {
		uint64_t word = json_load(p);
		uint64_t flags = json_flag_delimiter(word) | json_flag_odd(word);

		if (flags != 0)
			return p + json_first_flag(flags);
	}
	while (p < end && (signed char)*p >= 0x20 && *p != '"' && *p != '\\')
		p++;
	return p;
}

/** The closing quote of a string that was checked; p is behind its opening quote. */
static inline const char *
json_closing_quote(const char *p, const char *end)
{
	for (;;) {
		while (end - p >= 8) {
			uint64_t flags = json_flag_delimiter(json_load(p));

			if (flags != 0) {
				p += json_first_flag(flags);
				break;
			}
			p += 8;
		}
		while (p < end && *p != '"' && *p != '\\')
			p++;
		if (p >= end || *p == '"')
			return p;
		p += 2;
	}
}

static inline const char *
json_skip_space(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
		p++;
	return p;
}
