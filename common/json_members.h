#pragma once
/*
 * The members of an object, gone through once for all that are looked for in it. Of a
 * key that it has twice the last one counts, as for JSON Pointers. A value type: it
 * points into a text that json_check() accepted. Pure; any thread, one at a time.
 */

#include <stdbool.h>
#include <stddef.h>

#include "common/json.h"
#include "common/span.h"

#define JSON_MEMBERS_MAX 64 /* of more the rest is gone through each time */

struct json_member {
	struct span key; /* raw, with its quotes */
	struct json_value value;
};

struct json_members {
	struct json_value of; /* any value: what is no object has none */
	bool is_read;         /* it is gone through when something is looked for */
	size_t n;
	struct json_walk rest;
	struct json_member v[JSON_MEMBERS_MAX];
};

void json_members_start(struct json_members *m, struct json_value of);
/** name: decoded. */
bool json_members_find(struct json_members *m, struct span name, struct json_value *value);
