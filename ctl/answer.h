#pragma once
/* Looking into what the daemon answered. */

#include "common/json.h"

/** The value of a JSON text; null when it is none. */
struct json_value answer_value(struct span json);
/** A member of an object, with raw.n == 0 when there is none. */
struct json_value answer_member(struct json_value object, const char *name);
/** An integer member, or `otherwise`. */
int64_t answer_int(struct json_value object, const char *name, int64_t otherwise);
/** A string member as text of the caller's own, or NULL. */
char *answer_dup(struct json_value object, const char *name);
