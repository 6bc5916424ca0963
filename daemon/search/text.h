#pragma once
/*
 * The text of a record, as the index holds it: the strings and numbers of its
 * data, decoded from JSON, in their order; no keys, no true, false or null.
 * Between two values stands a token of its own, which no query can hold: so no
 * phrase goes from one value into the next. (It costs 4 % of the index on
 * Debian's package catalogue, where a record has 17 values.) Pure; any thread.
 */

#include "common/buf.h"
#include "common/span.h"

/* U+E000, for private use: a letter to the tokenizers. It is taken out of all texts and queries. */
#define TEXT_SEPARATOR "\xee\x80\x80"

/** Puts U+FFFD, which is as long, in the place of separators. */
void text_clean(char *p, size_t n);

/** Fills an empty buffer with the text of data, which is JSON (what is none has no text). False:
 * the buffer's maximum cut it short. */
bool text_add_data(struct buf *out, struct span data);
/** Fills an empty buffer with a name, byte for byte but for the separator. False: it was cut. */
bool text_add_name(struct buf *out, struct span name);
