#pragma once
/*
 * Comparing values by what they mean: numbers exactly, however many digits they
 * have (1 is 1.0 is 10e-1), strings by the bytes of their decoded UTF-8, objects
 * whatever the order of their members. Only to compare two objects whose members
 * are as many and in another order, it allocates. A lone surrogate, which
 * has no UTF-8, counts as the three bytes that its code would make. Pure; any
 * thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/json.h"
#include "common/span.h"

/** A number's sign, and the digits that count: 0.DIGITS times ten to the power of `exponent`.
 * Exponents of more than 15 digits are not told apart. */
struct json_decimal {
	int sign;         /* -1, 0, 1 */
	int64_t exponent; /* of a number that is not 0 */
	struct span
		digits; /* from the first to the last that is not 0; a point may be among them */
};

struct json_decimal json_decimal_of(struct span raw);
/** <0, 0, >0. The cost is that of the shorter one. */
int json_decimal_compare(const struct json_decimal *a, const struct json_decimal *b);

/** The order of two raw strings: <0, 0, >0. */
int json_string_compare(struct span a, struct span b);
/** The order of a raw string and a decoded text. */
int json_string_compare_text(struct span raw, struct span text);
/** Whether the raw string begins with, or holds, a decoded text. `fallback` is what
 * json_fill_fallback() made of the text. */
bool json_string_has_prefix(struct span raw, struct span text);
bool json_string_contains(struct span raw, struct span text, const uint16_t *fallback);
/** For each length of a beginning of the text, but 0: how much of it, less than all, is its end as
 * well as its beginning. text.n is at most 65535. */
void json_fill_fallback(struct span text, uint16_t *fallback);
/** Decodes a raw string into out, which must have room for raw.n bytes; returns the length. */
size_t json_string_bytes(struct span raw, char *out);

/** Whether two values are the same. An object that has a key twice is at most equal to one with the
 * same keys in the same order. */
bool json_equal(struct json_value a, struct json_value b);
