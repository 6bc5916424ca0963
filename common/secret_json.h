#pragma once
/* A secret's value as JSON, in both directions of the wire. Pure; any thread. */

#include "common/json.h"
#include "common/secret.h"

/** Writes members "encoding", "text" or "base64", and "value". A buffer that has room for 6 times
 * the bytes and 64 more does not grow, and so leaves nothing behind. */
void secret_put(struct json_out *o, struct span value);
