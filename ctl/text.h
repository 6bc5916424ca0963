#pragma once
/* From words of the command line, and from files, to JSON. */

#include "common/buf.h"
#include "ctl/ctl.h"

/** Appends the data that a word names, as JSON: JSON itself, "@FILE", or "-" or NULL for standard
 * input. With is_text it is a bare string. 0, or an exit status after telling what is wrong. */
int text_add_data(struct buf *out, const char *word, bool is_text);

/** Writes the words as an array. */
void text_put_words(struct json_out *o, const char *key, const char *const *words, unsigned n);
/** Writes an option, when it was given, as a string; as a number; as a time or duration
 * (milliseconds, or a text that the daemon reads). The second one returns 0, or an exit status
 * after telling what is wrong. */
void text_put_option(const struct ctl *c, struct json_out *o, const char *option, const char *key);
int text_put_number(const struct ctl *c, struct json_out *o, const char *option, const char *key);
void text_put_time(const struct ctl *c, struct json_out *o, const char *option, const char *key);
/** Writes the condition of --where, when it was given: JSON, or "/price>10". 0, or an exit status
 * after telling what is wrong. */
int text_put_where(const struct ctl *c, struct json_out *o);
