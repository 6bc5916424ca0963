#pragma once
/*
 * What a token is granted, as the one text that the store keeps and seals: its scopes
 * and, if it has one, its rate: "read:ticker publish rate:50/s", "read rate:10/h+60".
 * So an older program, which knows no rates, takes such a token for one that may do
 * nothing, not for one without a limit. Pure.
 */

#include <stdbool.h>

#include "common/buf.h"
#include "common/rate.h"
#include "common/span.h"

/** Appends a rate to the text of scopes that is there, unless it is unlimited. */
void grant_text_add_rate(struct buf *text, const struct rate *rate);
/** Parts the text; false: its rate is none. Without one it is unlimited. */
bool grant_text_split(struct span text, struct span *scopes, struct rate *rate);
