#pragma once
/*
 * JSON (RFC 8259): a strict scanner that allocates nothing and hands out spans
 * into the input, and a writer. Numbers are never converted unless asked for,
 * so a 64-bit integer or 300 digits come back as they went in. Strings are
 * checked as UTF-8 when scanned and decoded only when asked for. Pure; any
 * thread.
 *
 * json_check() judges a whole text. What it accepted is then walked with
 * json_object_next() and json_array_next(), which do not check again.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/span.h"

/* How deep things are nested: at most so that they are read at all, then of data that comes in, of
 * which any answer is 128 deep at most, which others read too, and of data that was stored before
 * there was this bound, and may come in again as it was. */
#define JSON_DEPTH_MAX        160
#define JSON_DATA_DEPTH_MAX   120
#define JSON_STORED_DEPTH_MAX 126

enum json_type {
	JSON_NULL,
	JSON_FALSE,
	JSON_TRUE,
	JSON_NUMBER,
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT,
};

/** One value of a checked text: its type and its bytes (a string with its quotes). */
struct json_value {
	enum json_type type;
	struct span raw;
};

#define JSON_TOO_DEEP "nested too deeply"

/** Where and why a text is not JSON. */
struct json_fault {
	size_t offset;    /* of the byte that is wrong; the length, when the text ends too early */
	const char *what; /* "expected a value", "invalid UTF-8", JSON_TOO_DEEP, ... */
};

/** Checks that `text` is one JSON value with nothing but white space around it, nested at most
 * `depth_max` (and JSON_DEPTH_MAX) deep. OK, and *value set to it; or ERR_PARSE_ERROR, and *fault
 * set. */
enum err json_check(
	struct span text, unsigned depth_max, struct json_value *value, struct json_fault *fault);

/** How deep a checked value is nested: 0 when it is neither object nor array. */
size_t json_depth(struct json_value value);
/** The value that a text is which was checked before and has no white space around it. */
struct json_value json_value_of(struct span checked);

/** A walk over the members of an object or the items of an array that json_check() accepted. */
struct json_walk {
	const char *p;
	const char *end;
};

struct json_walk json_walk_start(struct json_value container);
/** The next member; false at the end. `key` is the raw string with its quotes. */
bool json_object_next(struct json_walk *w, struct span *key, struct json_value *value);
bool json_array_next(struct json_walk *w, struct json_value *value);

/** True if the raw string (with quotes) decodes to exactly `text` (which may hold escapes in raw
 * form only). */
bool json_string_is(struct span raw, const char *text);
bool json_string_eq(struct span raw, struct span text);
/** Decodes a raw string into out, which must have room for raw.n bytes; returns the length, or
 * SIZE_MAX if it holds a lone surrogate (which has no UTF-8 form). A decoded NUL is a byte 0. Not
 * terminated. */
size_t json_string_decode(struct span raw, char *out);
/** Decodes a raw string for people into out, which has room for `size` bytes, at least 1: cut at a
 * character where it does not fit, lone surrogates and NUL as U+FFFD, terminated. */
void json_string_text(struct span raw, char *out, size_t size);
/** True if no escape is in the raw string, so that the bytes between the quotes are the text. */
bool json_string_is_plain(struct span raw);

/** The exact integer of a number token ("12", "-3", "1e3" and "1.0" too); false if it is none or
 * does not fit. */
bool json_number_int64(struct span raw, int64_t *out);

/** Appends the value with the white space between tokens removed, every token as it was. */
void json_compact(struct json_value value, struct buf *out);
/** Appends text as a JSON string with quotes, escaping only what must be (", \, control
 * characters). Bytes that are not UTF-8 come out as U+FFFD. */
void json_add_string(struct buf *out, struct span text);

/*
 * The writer: puts commas and colons, nothing else; the caller pairs begin and
 * end. It appends to a buffer that somebody else owns. `key` is NULL in arrays
 * and at the top.
 */
struct json_out {
	struct buf *buf;
	bool needs_comma;
};

struct json_out json_out_start(struct buf *buf);
void json_begin_object(struct json_out *o, const char *key);
void json_end_object(struct json_out *o);
void json_begin_array(struct json_out *o, const char *key);
void json_end_array(struct json_out *o);
void json_put_string(struct json_out *o, const char *key, struct span text);
void json_put_str(struct json_out *o, const char *key, const char *text);
void json_put_int(struct json_out *o, const char *key, int64_t value);
void json_put_bool(struct json_out *o, const char *key, bool value);
void json_put_null(struct json_out *o, const char *key);
/** A double in the shortest form that reads back the same; null if it is not finite. */
void json_put_double(struct json_out *o, const char *key, double value);
/** Text that is JSON already, as it is. */
void json_put_raw(struct json_out *o, const char *key, struct span json);
