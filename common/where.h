#pragma once
/*
 * A condition on the data of a record: {"/price":{">":10},"/tags":{"contains":"x"}}.
 * Parsed once into one immutable block; matched any number of times in one walk
 * over the data, without allocating but for objects whose members are in another
 * order than those of an operand. Pure; any thread.
 *
 * A condition is an object, all of whose members must hold. A member is a JSON
 * Pointer with a value to be equal to or an object of operators, or "and" or "or"
 * with an array of conditions, or "not" with a condition. Operators: = != < <= >
 * >= in contains prefix exists.
 *
 * Each is true or false, never unknown. What a pointer names in nothing is equal
 * to nothing; != is exactly where = is not. Numbers have an order among
 * themselves, by their exact value, and strings, by the bytes of their UTF-8;
 * between other types < <= > >= are false. `contains` is of an array that has an
 * equal item, or of a string that holds a text.
 */

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"
#include "common/json.h"
#include "common/span.h"

#define WHERE_BYTES_MAX  16384 /* of its text */
#define WHERE_DEPTH_MAX  16    /* of conditions in conditions */
#define WHERE_TERMS_MAX  64    /* a term is an operator at a pointer */
#define WHERE_PLACES_MAX 256   /* the names and indexes of all pointers */
#define WHERE_VALUES_MAX 1000  /* that are compared with */

struct where;

/** Parses a condition out of a text that json_check() accepted; free() it. ERR_INVALID_ARGUMENT
 * names the place and the operator, ERR_LIMIT_EXCEEDED the bound. */
enum err where_new(struct json_value condition, struct where **out, struct error *error);
/** Its JSON, without white space between tokens: equal texts match the same. */
struct span where_text(const struct where *w);
/** The block that it is: it may be copied to any place that is aligned for a pointer. */
size_t where_size(const struct where *w);
/** data: JSON that was checked, without white space around it. */
bool where_matches(const struct where *w, struct span data);
