#pragma once
/*
 * Base64 (RFC 4648) with padding, strictly: one text for each run of bytes, no white
 * space. In constant time for what may be secret. Pure; any thread.
 */

#include <stdbool.h>
#include <stddef.h>

#include "common/span.h"

/** Of the text of n bytes, with its terminator. */
size_t base64_size(size_t n);
/** Writes the text, terminated; out has room for base64_size(bytes.n). */
void base64_write(struct span bytes, char *out);
/** How many bytes a text of n characters has at most. */
size_t base64_room(size_t n);
/** Reads a text; false: it is none, or has more than `room` bytes. */
bool base64_read(struct span text, unsigned char *out, size_t room, size_t *n);
