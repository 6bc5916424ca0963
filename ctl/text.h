#pragma once
/* Values of the command line as JSON, and texts from files. */

#include "common/buf.h"
#include "ctl/ctl.h"

/** Reads the data that a word names: JSON, "@FILE", or "-" for standard input (also NULL). With
 * is_text it is a bare string. Appends JSON: 0, or an exit status after telling what is wrong. */
int text_add_data(struct buf *out, const char *word, bool is_text);
/** Writes the words as an array. */
void text_put_words(struct json_out *o, const char *key, const char *const *words, unsigned n);
/** Writes an option as a string, a number or a time when it was given. -1, or an exit status. */
void text_put_option(const struct ctl *c, struct json_out *o, const char *option, const char *key);
int text_put_number(const struct ctl *c, struct json_out *o, const char *option, const char *key);
int text_put_time(const struct ctl *c, struct json_out *o, const char *option, const char *key);
