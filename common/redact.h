#pragma once
/*
 * Leaving secrets out of what is shown or written down: each place where a text has
 * one of them becomes "***": as it is, or with any of JSON's escapes in it, or with
 * escapes of escapes, for a text in JSON may be JSON again. Pure; any thread.
 */

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"
#include "common/span.h"

/** Appends the text without the secrets; an empty one counts for nothing. may_be_cut: the beginning
 * of one, of four bytes or more, counts at the end of the text. False: none of them is in it, and
 * nothing was appended. */
bool redact_text(
	struct span text, const struct span *secrets, size_t n, bool may_be_cut, struct buf *out);
