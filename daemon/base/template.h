#pragma once
/*
 * Templates of a mapping: text with places in braces, "{/product_id}" or
 * "trade-{/id}". A place is a JSON Pointer into an item; "{}" is the whole item;
 * with a "$" in front, "{$/channel}", it is of the message that the item is from.
 * "{{" and "}}" stand for braces. Compiled once; filling one in allocates nothing
 * but what the buffer grows. Pure; any thread.
 *
 * A string comes out decoded, a number as it was sent, true and false as words.
 * Nothing else has a text: null, an array, an object and what is not there.
 */

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/json_members.h"
#include "common/span.h"

#define TEMPLATE_BYTES_MAX 4000
#define TEMPLATE_PARTS_MAX 64

struct template;

/** What one is filled in from: JSON that was checked. */
struct template_input {
	struct json_members *item;
	struct json_members *message; /* that it is from; the item itself, if messages are not split
				       */
};

/** Which place had nothing that could be used: as it was written, without its braces. */
struct template_fault {
	struct span place;
	const char *what; /* "is not there", "is null", "is an array", ... */
};

/** ERR_INVALID_ARGUMENT says what is wrong, and at which byte. The text is copied. */
enum err template_new(struct span text, struct template **out, struct error *error);
void template_free(struct template *t);

/** Appends it; false: nothing was appended, and *fault says why (its place is the template's). A
 * buffer that is full has failed, as always. */
bool template_fill(const struct template *t, const struct template_input *in, struct buf *out,
	struct template_fault *fault);

/** Whether it is one place and no text. */
bool template_is_place(const struct template *t);
/** Of such a one: the value itself, of any type. */
bool template_find(const struct template *t, const struct template_input *in,
	struct json_value *value, struct template_fault *fault);

/** The text before the first place; is_all: there is none. The template's own. */
struct span template_beginning(const struct template *t, bool *is_all);
