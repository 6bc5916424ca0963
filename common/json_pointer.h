#pragma once
/*
 * JSON Pointers (RFC 6901): "/a/0/b~1c" names one value inside another. Parsed
 * once, then looked up any number of times without allocating. Of a key that an
 * object has twice the last one counts, as for most readers of JSON. Pure; any
 * thread.
 */

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"
#include "common/json.h"
#include "common/json_members.h"
#include "common/span.h"

struct json_step {
	struct span name; /* a member's, unescaped */
	size_t index;     /* of an item, or SIZE_MAX when the name is none ("-", "01", "x") */
};

/** Immutable, one block of memory: free() it. */
struct json_pointer {
	const struct json_step *steps; /* none: the whole text */
	size_t steps_n;
};

/** Parses the text of a pointer. ERR_INVALID_ARGUMENT says what is wrong with it;
 * ERR_LIMIT_EXCEEDED when out of memory. */
enum err json_pointer_new(struct span text, struct json_pointer **out, struct error *error);
/** The value that it names in `root`, which json_check() accepted; false if there is none. */
bool json_pointer_find(
	const struct json_pointer *p, struct json_value root, struct json_value *value);
/** The same in a value whose members are looked for more than once. */
bool json_pointer_find_in(
	const struct json_pointer *p, struct json_members *root, struct json_value *value);
