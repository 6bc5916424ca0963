#pragma once
/*
 * The items of a JSON array as a stream: where one ends is known before the
 * array does. It follows strings and brackets and nothing else; whether what
 * stands between two commas is JSON is for json_check() to say. So one bad item
 * spoils no other. Pure; any thread.
 */

#include <stdbool.h>
#include <stddef.h>

enum unarray_place {
	UNARRAY_BEFORE, /* the opening bracket */
	UNARRAY_FIRST,  /* before the first item, or the end of an empty array */
	UNARRAY_ITEM,   /* in an item, or before it */
	UNARRAY_BEHIND, /* the closing bracket */
};

struct unarray {
	enum unarray_place place;
	size_t depth; /* of brackets, inside the item */
	bool in_string;
	bool is_escaped; /* the last byte was a backslash in a string */
};

enum unarray_found {
	UNARRAY_MORE,    /* all n bytes belong to the item, or nothing came that counts */
	UNARRAY_END,     /* the item ends; the comma or bracket behind it is the last byte used */
	UNARRAY_NOTHING, /* what was used is no part of an item */
	UNARRAY_FAULT,   /* something else than the array */
};

/** A stream from its beginning. */
struct unarray unarray_start(void);
/** A stream behind an item with its comma or, at the end of the array, its bracket. */
struct unarray unarray_resume(bool is_behind_array);
/** Goes on through the n bytes at p; *used: how many. */
enum unarray_found unarray_next(struct unarray *u, const char *p, size_t n, size_t *used);
