#pragma once
/*
 * JSON Merge Patch (RFC 7396): what an object becomes when some of its members
 * are replaced, added, or taken away by a null. What is not touched stays where it
 * is, token for token; what is new comes at the end. Of a key that is there twice
 * the last one counts. Pure; any thread.
 */

#include <stdbool.h>

#include "common/buf.h"
#include "common/json.h"

/** Appends what the target becomes, without white space between tokens. False when out of memory;
 * that `out` was too small is told by itself (failed). */
bool json_merge_patch(struct json_value target, struct json_value patch, struct buf *out);
